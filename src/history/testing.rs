//! Rows for tests.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use chrono::{NaiveDate, TimeDelta};
use uuid::Uuid;

use super::{RangeOutcome, RunRow};
use crate::lake::{RecordCounts, Work};
use crate::model::Range;

pub(super) fn date(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, day).unwrap()
}

/// Returns a range of hours of a day, pulled to its end by a separate run.
pub(crate) fn row(day: u32, from: u32, to: u32, new: u64) -> RunRow {
    let at = |hour| date(day).and_hms_opt(hour, 0, 0).unwrap().and_utc();
    RunRow {
        job: "job".to_owned(),
        provider: None,
        connection: None,
        run: Uuid::from_u128(u128::from(day * 100 + from)),
        started_at: at(from),
        ended_at: at(from) + TimeDelta::seconds(1),
        stream: Some("all".to_owned()),
        range: Range::new(at(from), at(to)),
        work: Some(Work::Pull),
        outcome: RangeOutcome::Finished,
        counts: RecordCounts {
            fetched: new,
            new,
            ..RecordCounts::default()
        },
        calls: 1,
        retries: 0,
        days: BTreeMap::from([(date(day), new)]),
        delays: BTreeMap::new(),
        error_kind: None,
        error: None,
        remarks: Vec::new(),
    }
}
