//! What can be set of the simulator; mostly what nobody knows of the provider.

use std::time::Duration;

use chrono_tz::Tz;

use crate::{Clock, RateLimit, Ties};

/// In which form the look-up answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookUpForm {
    /// The service asked for, by itself.
    One,
    /// A list of services, under `baseURIs`.
    Many,
}

/// How the items of a list must be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListForm {
    /// Everything as strings.
    Strings,
    /// Columns, directions and component types as words; users as strings.
    Words,
    /// Columns and directions as words; component types and users as strings.
    OrderWords,
}

/// Which zone's days the filters mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayZone {
    /// That of the argument `timezone`.
    Argument,
    /// That of the account.
    Account,
}

/// What rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The time that they show; where clocks are set back, that isn't the order in which they happened.
    WallTime,
    /// When they happened.
    Instant,
}

/// What `X-Total-Count` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TotalCount {
    /// The rows of the page.
    Page,
    /// The rows of all pages.
    All,
    /// Nothing: the header is left out.
    LeftOut,
}

/// Which key of a user the argument `users` is compared with.
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
    /// Port of the look-up; 0 is any.
    pub port: u16,
    /// Id of the only OAuth client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Login name of the only user.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// Life of a token, on the simulator's clock. Its claims `iat` and `exp` are of that clock, too.
    pub token_lifetime: Duration,
    /// Whether the token's answer has `expires_in`.
    pub expires_in: bool,
    /// Life of a session, on the simulator's clock, however often it is kept up.
    pub session_lifetime: Duration,
    /// How long a session lives that isn't kept up, on the simulator's clock.
    pub session_idle: Duration,
    /// The simulator's clock.
    pub clock: Clock,
    /// Calls allowed to the configuration host in each window.
    pub rate_limit: RateLimit,
    /// In which form the look-up answers.
    pub look_up_form: LookUpForm,
    /// How the items of a list must be written.
    pub list_form: ListForm,
    /// Time zones that are refused, though they exist.
    pub refused_timezones: Vec<String>,
    /// Status of an answer to a question that isn't understood: 200 with `errors`, or 400.
    pub refusal_status: u16,
    /// Whether rows have the field `actionType` of older revisions.
    pub action_type: bool,
    /// The most rows of a page; a larger `first` is cut down without a word.
    pub largest_page: usize,
    /// Which zone's days the filters mean.
    pub day_zone: DayZone,
    /// Whether rows of the day `toDate` are shown, too.
    pub last_day_included: bool,
    /// The account's zone.
    pub account_zone: Tz,
    /// What rows are sorted by.
    pub order: Order,
    /// In which order rows of one time come.
    pub ties: Ties,
    /// What `X-Total-Count` counts.
    pub total_count: TotalCount,
    /// Which key of a user `users` is compared with.
    pub user_key: UserKey,
    /// How far the simulator's clock moves on with each page, so that rows may arrive between two; a clock that runs
    /// stands still then.
    pub page_takes: Duration,
    /// Time by which every answer is delayed.
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
