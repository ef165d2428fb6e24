//! What can be set of the simulator; mostly what nobody knows of the provider.

use std::time::Duration;

use crate::{Bound, Clock, RateCount, RateLimit};

/// How the realtime query shows `total` and `pageCount`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Totals {
    /// As numbers.
    Shown,
    /// As nulls.
    Null,
    /// Not at all.
    LeftOut,
}

/// What a download holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadShape {
    /// An object with the member `entities`.
    Object,
    /// A list of records.
    Array,
    /// A record on each line.
    Lines,
    /// Nothing that can be decoded.
    Garbage,
}

/// How a download is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, and said so by `Content-Encoding`.
    Encoded,
    /// gzip, as a file that only its first bytes and its content type tell.
    File,
}

/// Where a large result's answer names its download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadAddress {
    /// In the body's `downloadUrl` only.
    Body,
    /// In the `Location` header only.
    Location,
    /// In both.
    Both,
}

/// Settings of the Genesys Cloud simulator.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a question of its own about the provider"
)]
pub struct GenesysSettings {
    /// Port of the API; 0 is any.
    pub port: u16,
    /// Id of the only OAuth client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Life of a token, on the simulator's clock.
    pub token_lifetime: Duration,
    /// The simulator's clock.
    pub clock: Clock,
    /// Calls allowed to the API in each window.
    pub rate_limit: RateLimit,
    /// How they are counted.
    pub rate_count: RateCount,
    /// Whether each answer says how many calls were counted and are allowed.
    pub rate_headers: bool,
    /// Status of an accepted query: 200 or 202, nobody knows.
    pub submit_status: u16,
    /// How many status calls (the submit's own answer not counted) say `Queued`.
    pub queued_polls: u32,
    /// How many status calls after those say `Running`.
    pub running_polls: u32,
    /// Real time that must have passed since the submit before a query succeeds.
    pub running_time: Duration,
    /// Whether status answers hold nothing but `id` and `state`.
    pub terse_status: bool,
    /// How long a query can be asked for, on the simulator's clock.
    pub transaction_lifetime: Duration,
    /// How long a cursor can be used, on the simulator's clock.
    pub cursor_lifetime: Duration,
    /// Longest interval of a query.
    pub longest_interval: Duration,
    /// Longest interval that a realtime query answers in time; beyond it there is a 504.
    pub realtime_longest_interval: Duration,
    /// How far back the realtime query reaches.
    pub realtime_reach: Duration,
    /// Services that the realtime query knows, as far as the data set has them.
    pub realtime_services: Vec<String>,
    /// Entity types that the realtime query doesn't show, nor its mapping.
    pub realtime_lacks: Vec<String>,
    /// How the realtime query shows totals.
    pub realtime_totals: Totals,
    /// Whether a record at exactly the interval's start is found.
    pub interval_start: Bound,
    /// Whether a record at exactly the interval's end is found.
    pub interval_end: Bound,
    /// Makes every n-th page of a query's results empty, with a cursor; 0 is never, 1 counts as 2.
    pub empty_page_every: u32,
    /// Whether the last page of every other query has a cursor, too, which leads to an empty page without one.
    pub open_ends: bool,
    /// Whether each page after the first begins with the last record of the page before.
    pub repeat_records: bool,
    /// With more results than this and `allowRedirect`, there is a download; never if absent.
    pub large_results_over: Option<usize>,
    /// The most records in one download; a cursor leads to the rest.
    pub download_records: usize,
    /// What a download holds.
    pub download_shape: DownloadShape,
    /// How it is compressed.
    pub download_compression: Compression,
    /// Where its address stands.
    pub download_address: DownloadAddress,
    /// How long a download can be fetched, on the simulator's clock.
    pub download_lifetime: Duration,
    /// Time by which every answer is delayed.
    pub latency: Duration,
}

impl Default for GenesysSettings {
    fn default() -> Self {
        let realtime_services = ["PeoplePermissions", "ContactCenter", "Architect"];
        Self {
            port: 0,
            client_id: "sim-client".to_owned(),
            client_secret: "sim-secret".to_owned(),
            token_lifetime: days(1),
            clock: Clock::System,
            rate_limit: RateLimit::NONE,
            rate_count: RateCount::Fixed,
            rate_headers: true,
            submit_status: 202,
            queued_polls: 0,
            running_polls: 1,
            running_time: Duration::ZERO,
            terse_status: false,
            transaction_lifetime: Duration::from_mins(30),
            cursor_lifetime: Duration::from_mins(10),
            longest_interval: days(30),
            realtime_longest_interval: days(1),
            realtime_reach: days(14),
            realtime_services: realtime_services.map(str::to_owned).to_vec(),
            realtime_lacks: Vec::new(),
            realtime_totals: Totals::Shown,
            interval_start: Bound::Inclusive,
            interval_end: Bound::Exclusive,
            empty_page_every: 3,
            open_ends: true,
            repeat_records: false,
            large_results_over: Some(10_000),
            download_records: 50_000,
            download_shape: DownloadShape::Object,
            download_compression: Compression::None,
            download_address: DownloadAddress::Both,
            download_lifetime: Duration::from_mins(15),
            latency: Duration::ZERO,
        }
    }
}

fn days(count: u64) -> Duration {
    Duration::from_hours(count * 24)
}
