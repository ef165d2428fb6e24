//! What can be set of the simulator; mostly what nobody knows of the provider.

use std::time::Duration;

use chrono_tz::Tz;

use super::huge::HugeDay;
use crate::{Clock, RateLimit};

/// What a date is to the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dates {
    /// One that is no `mm/dd/yyyy` is refused.
    Strict,
    /// One that is no `mm/dd/yyyy` is as good as none.
    Lenient,
    /// All of them are as good as none.
    Ignored,
}

/// What a parameter that does not exist is to the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stray {
    /// A bad request.
    Refused,
    /// Nothing.
    Ignored,
}

/// A representation of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/json`.
    Json,
    /// `application/xml`.
    Xml,
}

/// How an answer without records looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Empty {
    /// `{"audit":[]}`.
    List,
    /// `{"audit":null}`.
    Null,
    /// `{}`.
    Object,
    /// A 204, without a body.
    NoContent,
}

/// How an error looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorForm {
    /// `{"message":…}`.
    Bean,
    /// A page of the container's.
    Html,
    /// The bean as XML.
    Xml,
}

/// Settings of the Everyware Cloud simulator.
#[derive(Debug, Clone)]
pub struct EverywareSettings {
    /// Port of the API; 0 is any.
    pub port: u16,
    /// The only user; `username@child` is that user in a child account.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// Accounts whose log the user may not read.
    pub forbidden_accounts: Vec<String>,
    /// The simulator's clock.
    pub clock: Clock,
    /// Calls allowed in each window.
    pub rate_limit: RateLimit,
    /// The zone in which a day begins and ends.
    pub timezone: Tz,
    /// What a bad date is.
    pub dates: Dates,
    /// What an unknown parameter is.
    pub stray: Stray,
    /// The representation where `Accept` leaves the choice.
    pub default_form: Form,
    /// How an answer without records looks.
    pub empty: Empty,
    /// Whether a single record stands in the place of the list.
    pub lone_object: bool,
    /// The most records that an answer shows; the earliest do.
    pub hidden_cap: Option<usize>,
    /// Whether answers tell by `limitExceeded` whether that happened.
    pub tells_limit: bool,
    /// How an error looks.
    pub errors: ErrorForm,
    /// The sizes of the pieces in which an answer goes out, over and over; in one if there are none.
    pub pieces: Vec<usize>,
    /// A day with more records than anybody wants to hold.
    pub huge_day: Option<HugeDay>,
    /// Time by which every answer is delayed.
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
