//! The simulator's settings, mostly for undocumented behaviour of the provider.

use std::time::Duration;

use crate::{Bound, Clock, RateCount, RateLimit};

/// The form of `total` and `pageCount` in the realtime query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Totals {
    /// As numbers.
    Shown,
    /// As nulls.
    Null,
    /// Not at all.
    LeftOut,
}

/// The content of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadShape {
    /// An object with the member `entities`.
    Object,
    /// A list of records.
    Array,
    /// A record on each line.
    Lines,
    /// Bytes that can't be decoded.
    Garbage,
}

/// The compression of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip with `Content-Encoding`.
    Encoded,
    /// A gzip file, recognisable only by its first bytes and its content type.
    File,
}

/// The place of the download's URL in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadAddress {
    /// Only in the body's `downloadUrl`.
    Body,
    /// Only in the `Location` header.
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
    /// The port of the API; 0 for any.
    pub port: u16,
    /// The id of the only OAuth client.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: String,
    /// The lifetime of a token by the simulator's clock.
    pub token_lifetime: Duration,
    /// The simulator's clock.
    pub clock: Clock,
    /// The calls to the API allowed per window.
    pub rate_limit: RateLimit,
    /// How the calls are counted.
    pub rate_count: RateCount,
    /// Whether each answer has the number of counted and of allowed calls.
    pub rate_headers: bool,
    /// The status of an accepted query: 200 or 202, undocumented.
    pub submit_status: u16,
    /// The number of status calls that return `Queued`, not counting the submit's own answer.
    pub queued_polls: u32,
    /// The number of status calls after those that return `Running`.
    pub running_polls: u32,
    /// The real time after the submit before which a query doesn't succeed.
    pub running_time: Duration,
    /// Whether status answers contain only `id` and `state`.
    pub terse_status: bool,
    /// The lifetime of a query by the simulator's clock.
    pub transaction_lifetime: Duration,
    /// The lifetime of a cursor by the simulator's clock.
    pub cursor_lifetime: Duration,
    /// The longest interval of a query.
    pub longest_interval: Duration,
    /// The longest interval that a realtime query answers in time; longer ones get 504.
    pub realtime_longest_interval: Duration,
    /// The reach of the realtime query into the past.
    pub realtime_reach: Duration,
    /// The services of the realtime query that are in the data set.
    pub realtime_services: Vec<String>,
    /// The entity types that the realtime query and its mapping omit.
    pub realtime_lacks: Vec<String>,
    /// The form of totals in the realtime query.
    pub realtime_totals: Totals,
    /// Whether a record at exactly the interval's start is returned.
    pub interval_start: Bound,
    /// Whether a record at exactly the interval's end is returned.
    pub interval_end: Bound,
    /// Makes every n-th page of a query's results an empty page with a cursor; 0 for never, 1 means 2.
    pub empty_page_every: u32,
    /// Whether the last page of every other query has a cursor that leads to an empty page without one.
    pub open_ends: bool,
    /// Whether each page after the first begins with the last record of the previous page.
    pub repeat_records: bool,
    /// The number of results above which `allowRedirect` gives a download; `None` for never.
    pub large_results_over: Option<usize>,
    /// The maximum number of records in a download; a cursor leads to the rest.
    pub download_records: usize,
    /// The content of a download.
    pub download_shape: DownloadShape,
    /// The compression of a download.
    pub download_compression: Compression,
    /// The place of a download's URL.
    pub download_address: DownloadAddress,
    /// The lifetime of a download by the simulator's clock.
    pub download_lifetime: Duration,
    /// The delay of every answer.
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
