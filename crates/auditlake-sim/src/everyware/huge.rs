//! A day with more records than fit in memory; they are generated while they are sent.

use std::sync::LazyLock;

use chrono::{NaiveDate, NaiveTime};
use rand::SeedableRng as _;
use rand::distr::{Alphanumeric, SampleString as _};
use rand::rngs::StdRng;

/// A prime larger than the number of records of any day, so that the order is a permutation.
const STRIDE: u64 = 1_000_003;
/// The number of records per piece.
const AT_ONCE: u64 = 200;
/// The smallest id, above those of all other records.
const FIRST_ID: u64 = 4_000_000_000_000_000_000;

/// Text that hardly compresses, as it is longer than a compressor's window.
static NOISE: LazyLock<String> =
    LazyLock::new(|| Alphanumeric.sample_string(&mut StdRng::seed_from_u64(1), 1 << 20));

/// Many records of one day in UTC in the log of the first account. They are always visible and match every filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HugeDay {
    /// The day.
    pub day: NaiveDate,
    /// The number of records, at most a million.
    pub records: u64,
    /// The bytes of padding in each record, at most 512 KiB.
    pub padding: usize,
}

impl HugeDay {
    /// Returns the id, the time in microseconds since 1970, and the text of a record, by its number from 0.
    pub fn record(&self, number: u64) -> (String, i64, String) {
        let id = FIRST_ID + number;
        let midnight = self.day.and_time(NaiveTime::MIN).and_utc();
        let millis =
            midnight.timestamp_millis() + i64::try_from(number % 86_400_000).unwrap_or_default();
        let padding = self.padding.min(NOISE.len() / 2);
        let from = usize::try_from(number % 100).unwrap_or_default() * 4_099;
        let padding = NOISE.get(from..from + padding).unwrap_or_default();
        let text = format!(
            r#"{{"id":{id},"accountId":1803,"occurredOn":{millis},"userId":15076,"username":"meter","sessionId":null,"entityId":"{number}","eventType":"UPDATE","eventResultCode":"TRUE","eventResultFailure":"","eventInput1":"{padding}"}}"#
        );
        (id.to_string(), millis * 1_000, text)
    }

    /// Returns the members of the list in a shuffled order, each with a comma before it if it isn't the first.
    pub(super) fn pieces(self, mut first: bool) -> impl Iterator<Item = Vec<u8>> + Send {
        (0..self.records.div_ceil(AT_ONCE)).map(move |piece| {
            let mut text = String::new();
            for turn in piece * AT_ONCE..((piece + 1) * AT_ONCE).min(self.records) {
                if !first {
                    text.push(',');
                }
                first = false;
                text.push_str(&self.record(turn * STRIDE % self.records).2);
            }
            text.into_bytes()
        })
    }
}
