//! The simulator's settings, mostly for undocumented behaviour of the provider.

use std::time::Duration;

use chrono_tz::Tz;

use super::huge::HugeDay;
use crate::{Clock, RateLimit};

/// The handling of dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dates {
    /// A date that isn't `mm/dd/yyyy` is refused.
    Strict,
    /// A date that isn't `mm/dd/yyyy` is ignored.
    Lenient,
    /// All dates are ignored.
    Ignored,
}

/// The handling of unknown parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stray {
    /// They are refused as a bad request.
    Refused,
    /// They are ignored.
    Ignored,
}

/// The representation of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/json`.
    Json,
    /// `application/xml`.
    Xml,
}

/// The body of an answer without records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Empty {
    /// `{"audit":[]}`.
    List,
    /// `{"audit":null}`.
    Null,
    /// `{}`.
    Object,
    /// Status 204 without a body.
    NoContent,
}

/// The body of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorForm {
    /// `{"message":…}`.
    Bean,
    /// An HTML page of the servlet container.
    Html,
    /// The bean as XML.
    Xml,
}

/// Settings of the Everyware Cloud simulator.
#[derive(Debug, Clone)]
pub struct EverywareSettings {
    /// The port of the API; 0 for any.
    pub port: u16,
    /// The only user; `username@child` is the same user in a child account.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// The accounts whose log the user may not read.
    pub forbidden_accounts: Vec<String>,
    /// The simulator's clock.
    pub clock: Clock,
    /// The calls allowed per window.
    pub rate_limit: RateLimit,
    /// The time zone of days.
    pub timezone: Tz,
    /// The handling of bad dates.
    pub dates: Dates,
    /// The handling of unknown parameters.
    pub stray: Stray,
    /// The representation if `Accept` permits both.
    pub default_form: Form,
    /// The body of an answer without records.
    pub empty: Empty,
    /// Whether a single record is returned instead of a list with one member.
    pub lone_object: bool,
    /// The maximum number of records of an answer; the earliest are returned.
    pub hidden_cap: Option<usize>,
    /// Whether answers have `limitExceeded`, which reports a truncated list.
    pub tells_limit: bool,
    /// The body of an error.
    pub errors: ErrorForm,
    /// The sizes of the pieces in which an answer is sent, repeated in order. If empty, it is sent in one piece.
    pub pieces: Vec<usize>,
    /// A day with more records than fit in memory.
    pub huge_day: Option<HugeDay>,
    /// The delay of every answer.
    pub latency: Duration,
}

impl Default for EverywareSettings {
    fn default() -> Self {
        Self {
            port: 0,
            username: "sim-user".to_owned(),
            password: "sim-secret".to_owned(),
            forbidden_accounts: Vec::new(),
            clock: Clock::System,
            rate_limit: RateLimit::NONE,
            timezone: Tz::UTC,
            dates: Dates::Strict,
            stray: Stray::Refused,
            default_form: Form::Xml,
            empty: Empty::List,
            lone_object: false,
            hidden_cap: None,
            tells_limit: false,
            errors: ErrorForm::Bean,
            pieces: Vec::new(),
            huge_day: None,
            latency: Duration::ZERO,
        }
    }
}
