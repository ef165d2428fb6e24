//! The simulator's settings, mostly for undocumented behaviour of the provider.

use std::time::Duration;

use crate::{Bound, Clock, RateLimit, Ties};

/// The content of `links`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// As in the published examples: the User service swaps `next` and `prev` from page 2 on, and the other services
    /// have a `next` on every page.
    AsPublished,
    /// Absolute URLs with a doubled base path.
    Doubled,
    /// Blank texts.
    Blank,
    /// Not at all.
    LeftOut,
}

/// The content of `pagination`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pagination {
    /// Page, size and total as numbers.
    Shown,
    /// No total.
    WithoutTotal,
    /// Not at all.
    LeftOut,
}

/// The published form of dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateForms {
    /// The form differs by record.
    ByRecord,
    /// The form differs by answer.
    ByCall,
}

/// The members of a token response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAnswer {
    /// The token and its lifetime.
    Minimal,
    /// A refresh token as well, as documented.
    Documented,
    /// Undocumented members as well.
    Extended,
}

/// Settings of the AXP simulator.
#[derive(Debug, Clone)]
pub struct AvayaSettings {
    /// The port; 0 for any.
    pub port: u16,
    /// The only account.
    pub account_id: String,
    /// The only application key.
    pub app_key: String,
    /// The id of the only client.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: String,
    /// The lifetime of a token by the simulator's clock.
    pub token_lifetime: Duration,
    /// The members of a token response.
    pub token_answer: TokenAnswer,
    /// The simulator's clock.
    pub clock: Clock,
    /// By how much each search advances the simulator's clock, so that reading several pages takes time.
    pub advance_per_call: Duration,
    /// The spike limit: searches allowed in a short window.
    pub spike_limit: RateLimit,
    /// The tenant's quota: searches allowed in a long window.
    pub quota: RateLimit,
    /// Whether answers have `RateLimit-*` headers, and a 429 has `Retry-After`.
    pub rate_headers: bool,
    /// Whether a record at exactly `startDate` is returned.
    pub start: Bound,
    /// Whether a record at exactly `endDate` is returned.
    pub end: Bound,
    /// The order of records of the same instant.
    pub ties: Ties,
    /// The content of `links`.
    pub links: Links,
    /// The content of `pagination`.
    pub pagination: Pagination,
    /// The maximum page size, even if a larger one is requested; `pagination.pageSize` shows it.
    pub largest_page: usize,
    /// The form of dates.
    pub date_forms: DateForms,
    /// Whether a `+` in the query means a space.
    pub plus_is_space: bool,
    /// The longest permitted time between `startDate` and `endDate`, if limited.
    pub longest_interval: Option<Duration>,
    /// The maximum number of records that a search may match, if limited.
    pub most_records: Option<usize>,
    /// The maximum number of records on all pages of a search together, if limited; `pagination.total` also counts the
    /// omitted ones.
    pub deepest: Option<usize>,
    /// The delay of every answer.
    pub latency: Duration,
}

impl Default for AvayaSettings {
    fn default() -> Self {
        Self {
            port: 0,
            account_id: "ABCDEF".to_owned(),
            app_key: "sim-app-key".to_owned(),
            client_id: "sim-client".to_owned(),
            client_secret: "sim-secret".to_owned(),
            token_lifetime: Duration::from_mins(15),
            token_answer: TokenAnswer::Extended,
            clock: Clock::System,
            advance_per_call: Duration::ZERO,
            spike_limit: RateLimit::NONE,
            quota: RateLimit::NONE,
            rate_headers: false,
            start: Bound::Inclusive,
            end: Bound::Exclusive,
            ties: Ties::ByPage,
            links: Links::AsPublished,
            pagination: Pagination::Shown,
            largest_page: 50,
            date_forms: DateForms::ByRecord,
            plus_is_space: false,
            longest_interval: None,
            most_records: None,
            deepest: None,
            latency: Duration::ZERO,
        }
    }
}
