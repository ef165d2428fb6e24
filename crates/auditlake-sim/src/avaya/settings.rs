//! What can be set of the simulator; mostly what nobody knows of the provider.

use std::time::Duration;

use crate::{Bound, Clock, RateLimit, Ties};

/// What stands under `links`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// As in the published examples: the User service swaps `next` and `prev` from page 2 on, the others have a `next`
    /// on every page.
    AsPublished,
    /// Absolute, with the base path doubled.
    Doubled,
    /// Always blank.
    Blank,
    /// Not at all.
    LeftOut,
}

/// What stands under `pagination`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pagination {
    /// Page, size and total, as numbers.
    Shown,
    /// No total.
    WithoutTotal,
    /// Not at all.
    LeftOut,
}

/// Which of the two published forms dates have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateForms {
    /// Each record has its own.
    ByRecord,
    /// All of an answer have the same, and the next answer has the other.
    ByCall,
}

/// What a token's answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAnswer {
    /// The token and its life.
    Minimal,
    /// A refresh token, too, as documented.
    Documented,
    /// And members that nobody documents.
    Extended,
}

/// Settings of the AXP simulator.
#[derive(Debug, Clone)]
pub struct AvayaSettings {
    /// Port; 0 is any.
    pub port: u16,
    /// The only account.
    pub account_id: String,
    /// The only application key.
    pub app_key: String,
    /// Id of the only client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Life of a token, on the simulator's clock.
    pub token_lifetime: Duration,
    /// What a token's answer holds.
    pub token_answer: TokenAnswer,
    /// The simulator's clock.
    pub clock: Clock,
    /// How far each search moves the simulator's clock on, so that a walk over pages takes time.
    pub advance_per_call: Duration,
    /// Searches allowed in a short window: the spike limit.
    pub spike_limit: RateLimit,
    /// Searches allowed in a long window: the tenant's quota.
    pub quota: RateLimit,
    /// Whether answers have `RateLimit-*` headers, and a 429 has `Retry-After`.
    pub rate_headers: bool,
    /// Whether a record at exactly `startDate` is found.
    pub start: Bound,
    /// Whether a record at exactly `endDate` is found.
    pub end: Bound,
    /// How records of one instant are ordered.
    pub ties: Ties,
    /// What stands under `links`.
    pub links: Links,
    /// What stands under `pagination`.
    pub pagination: Pagination,
    /// The most records on a page, whatever size was asked for; `pagination.pageSize` then says so.
    pub largest_page: usize,
    /// Which form dates have.
    pub date_forms: DateForms,
    /// Whether a `+` in the query stands for a space, or for itself.
    pub plus_is_space: bool,
    /// Longest time between `startDate` and `endDate`, if there is one.
    pub longest_interval: Option<Duration>,
    /// The most records that a search may match, if there is a limit.
    pub most_records: Option<usize>,
    /// The most records that all pages of a search show together, if there is a limit; `pagination.total` counts the
    /// others, too.
    pub deepest: Option<usize>,
    /// Time by which every answer is delayed.
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
