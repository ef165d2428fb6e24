//! The simulator's settings, mostly for undocumented behaviour of the provider.

use std::time::Duration;

use chrono_tz::Tz;

use crate::{Clock, RateLimit, Ties};

/// The form of the look-up's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookUpForm {
    /// The requested service alone.
    One,
    /// A list of services under `baseURIs`.
    Many,
}

/// The required form of list items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListForm {
    /// Everything as strings.
    Strings,
    /// Columns, directions and component types as words; users as strings.
    Words,
    /// Columns and directions as words; component types and users as strings.
    OrderWords,
}

/// The time zone of the filters' days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayZone {
    /// The zone of the argument `timezone`.
    Argument,
    /// The account's zone.
    Account,
}

/// The sort key of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The time in the row. When clocks are set back, that isn't the order in which the events happened.
    WallTime,
    /// When the event happened.
    Instant,
}

/// The rows that `X-Total-Count` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TotalCount {
    /// The rows of the page.
    Page,
    /// The rows of all pages.
    All,
    /// Nothing: the header is left out.
    LeftOut,
}

/// The attribute of a user to which the argument `users` is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserKey {
    /// The login name.
    Login,
    /// The id.
    Id,
    /// The display name.
    Name,
}

/// Settings of the LivePerson simulator.
#[derive(Debug, Clone)]
pub struct LivePersonSettings {
    /// The port of the look-up; 0 for any.
    pub port: u16,
    /// The id of the only OAuth client.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: String,
    /// The login name of the only user.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// The lifetime of a token by the simulator's clock, which its claims `iat` and `exp` use too.
    pub token_lifetime: Duration,
    /// Whether a token response has `expires_in`.
    pub expires_in: bool,
    /// The longest lifetime of a session by the simulator's clock, even if it is kept alive.
    pub session_lifetime: Duration,
    /// The lifetime of a session that isn't kept alive, by the simulator's clock.
    pub session_idle: Duration,
    /// The simulator's clock.
    pub clock: Clock,
    /// The calls to the configuration host allowed per window.
    pub rate_limit: RateLimit,
    /// The form of the look-up's answers.
    pub look_up_form: LookUpForm,
    /// The required form of list items.
    pub list_form: ListForm,
    /// Valid time zones that are refused.
    pub refused_timezones: Vec<String>,
    /// The status for an invalid query: 200 with `errors`, or 400.
    pub refusal_status: u16,
    /// Whether rows have the field `actionType` of older revisions.
    pub action_type: bool,
    /// The maximum page size; a larger `first` is silently reduced.
    pub largest_page: usize,
    /// The time zone of the filters' days.
    pub day_zone: DayZone,
    /// Whether rows of the day `toDate` are included.
    pub last_day_included: bool,
    /// The account's zone.
    pub account_zone: Tz,
    /// The sort key of rows.
    pub order: Order,
    /// The order of rows with equal times.
    pub ties: Ties,
    /// The rows that `X-Total-Count` counts.
    pub total_count: TotalCount,
    /// Which key of a user `users` is compared with.
    pub user_key: UserKey,
    /// By how much each page advances the simulator's clock, so that rows can arrive between two pages. A running clock
    /// becomes a fixed one.
    pub page_takes: Duration,
    /// The delay of every answer.
    pub latency: Duration,
}

impl Default for LivePersonSettings {
    fn default() -> Self {
        Self {
            port: 0,
            client_id: "sim-client".to_owned(),
            client_secret: "sim-secret".to_owned(),
            username: "svc-audit".to_owned(),
            password: "sim-password".to_owned(),
            token_lifetime: Duration::from_hours(1),
            expires_in: false,
            session_lifetime: Duration::from_hours(8),
            session_idle: Duration::from_mins(10),
            clock: Clock::System,
            rate_limit: RateLimit::NONE,
            look_up_form: LookUpForm::One,
            list_form: ListForm::Strings,
            refused_timezones: Vec::new(),
            refusal_status: 200,
            action_type: false,
            largest_page: 500,
            day_zone: DayZone::Argument,
            last_day_included: true,
            account_zone: Tz::Europe__Athens,
            order: Order::Instant,
            ties: Ties::Shuffled,
            total_count: TotalCount::Page,
            user_key: UserKey::Login,
            page_takes: Duration::ZERO,
            latency: Duration::ZERO,
        }
    }
}
