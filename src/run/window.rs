//! The windows of a run: what each has added since the last commit.

use std::collections::BTreeMap;

use chrono::{NaiveDate, TimeDelta};

use super::report::RunTotals;
use super::sink::Candidate;
use super::worker::InFlight;
use crate::lake::{self, OpenRange, Progress, Pulled, RecordCounts};
use crate::model::{Range, Timestamp};

/// The windows in flight, and what others have added since the last commit.
#[derive(Default)]
pub(super) struct Windows {
    /// By slot.
    in_flight: BTreeMap<usize, WindowStats>,
    /// What windows that are no longer in flight have added.
    pulled: Vec<Pulled>,
    /// Windows pulled to their last page, and the event time that they cover.
    finished: u64,
    covered: TimeDelta,
}

impl Windows {
    /// Begins a window in a slot.
    pub(super) fn begin(&mut self, slot: usize, window: InFlight) {
        self.in_flight.insert(slot, WindowStats::new(window));
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut WindowStats> {
        self.in_flight.get_mut(&slot)
    }

    /// Takes out the window of a slot, to be finished or put down.
    pub(super) fn take(&mut self, slot: usize) -> Option<WindowStats> {
        self.in_flight.remove(&slot)
    }

    /// Keeps what a window added that is no longer pulled.
    pub(super) fn put_down(&mut self, mut window: WindowStats) {
        let pulled = window.pulled(false);
        if says_something(&pulled) {
            self.pulled.push(pulled);
        }
    }

    /// Keeps what a window added that was pulled to its last page, and of its range what counts as pulled.
    pub(super) fn finish(&mut self, mut window: WindowStats, counts: Option<Range>) {
        if let Some(pulled) = counts {
            self.finished += 1;
            self.covered += pulled.length();
            window.window.range = pulled;
        }
        let pulled = window.pulled(counts.is_some());
        self.add(pulled);
    }

    /// Adds what was done under the claim besides pulling.
    pub(super) fn add_all(&mut self, pulled: impl IntoIterator<Item = Pulled>) {
        self.pulled.extend(pulled);
    }

    /// Ranges of one stream that touch become one entry: the commit of a first load would list thousands.
    fn add(&mut self, pulled: Pulled) {
        let goes_on = |have: &&mut Pulled| {
            have.stream == pulled.stream
                && have.work == pulled.work
                && have.finished
                && (have.range.to() == pulled.range.from()
                    || pulled.range.to() == have.range.from())
        };
        let Some(have) = self.pulled.iter_mut().find(goes_on) else {
            return self.pulled.push(pulled);
        };
        have.range = have.range.hull(&pulled.range);
        have.counts += pulled.counts;
        have.calls += pulled.calls;
        have.retries += pulled.retries;
        add_up(&mut have.days, pulled.days);
        add_up(&mut have.delays, pulled.delays);
        have.remarks.extend(pulled.remarks);
        have.remarks.sort();
        have.remarks.dedup();
        have.provider_total = have
            .provider_total
            .zip(pulled.provider_total)
            .map(|(a, b)| a + b);
    }

    pub(super) fn has_something(&self) -> bool {
        self.pulled.iter().any(is_worth_a_commit)
            || self.in_flight.values().any(WindowStats::has_something)
    }

    /// What windows that are no longer in flight have added since the last commit.
    pub(super) fn uncommitted(&self) -> RunTotals {
        let mut totals = RunTotals {
            windows: self.finished,
            covered: self.covered,
            ..RunTotals::default()
        };
        (self.pulled.iter()).for_each(|range| totals.counts += range.counts);
        totals
    }

    /// Takes what was added since the last commit, and adds where each window stands to `progress`. The run's last commit
    /// also counts the requests of windows that added nothing.
    pub(super) fn cut(
        &mut self,
        progress: &mut BTreeMap<String, Progress>,
        is_last: bool,
    ) -> (Vec<Pulled>, RunTotals) {
        let mut pulled = std::mem::take(&mut self.pulled);
        for window in self.in_flight.values_mut() {
            progress
                .entry(window.window.stream.clone())
                .or_default()
                .open
                .extend(window.window.unfinished());
            if window.has_something() || is_last {
                pulled.push(window.pulled(false));
            }
        }
        pulled.retain(says_something);
        let totals = RunTotals {
            windows: std::mem::take(&mut self.finished),
            covered: std::mem::take(&mut self.covered),
            ..RunTotals::default()
        };
        (pulled, totals)
    }
}

/// A window in flight, and what it has added since the last commit.
pub(super) struct WindowStats {
    pub(super) window: InFlight,
    pub(super) counts: RecordCounts,
    /// The provider's own count for the whole range, if it returns one.
    pub(super) total: Option<u64>,
    /// What an operator should know.
    remarks: Vec<String>,
    /// The new rows by date, and the late ones by how late they were.
    days: BTreeMap<NaiveDate, u64>,
    delays: BTreeMap<u64, u64>,
}

impl WindowStats {
    fn new(window: InFlight) -> Self {
        Self {
            window,
            counts: RecordCounts::default(),
            total: None,
            remarks: Vec::new(),
            days: BTreeMap::new(),
            delays: BTreeMap::new(),
        }
    }

    pub(super) fn remark(&mut self, text: String) {
        tracing::warn!(stream = self.window.stream, range = %self.window.range, "{text}");
        if !self.remarks.contains(&text) {
            self.remarks.push(text);
        }
    }

    /// Counts new rows of a page that was received at this instant.
    pub(super) fn count_new(&mut self, new: &[Candidate], received_at: Timestamp) {
        self.counts.new += new.len() as u64;
        self.counts.late += new.iter().filter(|row| row.admission.late).count() as u64;
        self.counts.outside += new.iter().filter(|row| row.admission.outside).count() as u64;
        count_days(&mut self.days, new.iter().map(|row| row.key.event_time));
        for late in new.iter().filter_map(|row| row.delay(received_at)) {
            *self.delays.entry(lake::delay(late)).or_default() += 1;
        }
    }

    fn has_something(&self) -> bool {
        self.counts != RecordCounts::default() || !self.remarks.is_empty()
    }

    /// What has been added since the last commit, also by a range that then fails or is begun again: what lies outside
    /// is no news to its next reading.
    fn pulled(&mut self, finished: bool) -> Pulled {
        if self.counts.outside > 0 {
            self.remark(format!(
                "{} new records lie outside the bounds that were asked",
                self.counts.outside
            ));
        }
        let (calls, retries) = self.window.calls.take();
        Pulled {
            stream: self.window.stream.clone(),
            range: self.window.range,
            work: self.window.work,
            finished,
            counts: std::mem::take(&mut self.counts),
            provider_total: self.total,
            remarks: std::mem::take(&mut self.remarks),
            days: std::mem::take(&mut self.days),
            delays: std::mem::take(&mut self.delays),
            calls,
            retries,
        }
    }
}

/// Whether there is a reason to commit it now: requests alone are none.
fn is_worth_a_commit(pulled: &Pulled) -> bool {
    pulled.finished || pulled.counts != RecordCounts::default() || !pulled.remarks.is_empty()
}

fn says_something(pulled: &Pulled) -> bool {
    is_worth_a_commit(pulled) || pulled.calls > 0
}

/// Counts times by their UTC date; most of a page are of the same.
fn count_days(days: &mut BTreeMap<NaiveDate, u64>, times: impl Iterator<Item = Timestamp>) {
    const DAY_MICROS: i64 = 86_400_000_000;
    let mut run: Option<(i64, Timestamp, u64)> = None;
    let mut note = |run: Option<(i64, Timestamp, u64)>| {
        if let Some((_, at, rows)) = run {
            *days.entry(at.date_naive()).or_default() += rows;
        }
    };
    for at in times {
        let day = at.timestamp_micros().div_euclid(DAY_MICROS);
        match &mut run {
            Some((of, _, rows)) if *of == day => *rows += 1,
            _ => note(run.replace((day, at, 1))),
        }
    }
    note(run);
}

fn add_up<K: Ord>(sums: &mut BTreeMap<K, u64>, more: BTreeMap<K, u64>) {
    for (key, rows) in more {
        *sums.entry(key).or_default() += rows;
    }
}

impl InFlight {
    /// Where to go on, if its provider has a place to go on from.
    pub(super) fn unfinished(&self) -> Option<OpenRange> {
        Some(OpenRange {
            range: self.range,
            work: self.work,
            asked_at: self.asked_at,
            cursor: self.cursor.clone()?,
        })
    }
}
