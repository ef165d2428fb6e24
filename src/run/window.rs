//! The windows of a run, with the additions of each since the last commit.

use std::collections::BTreeMap;

use chrono::{NaiveDate, TimeDelta};

use super::decode::RowKey;
use super::event::InFlight;
use super::progress::Admission;
use super::report::RunTotals;
use crate::lake::{self, OpenRange, Progress, Pulled, RecordCounts};
use crate::model::{Range, Timestamp};
use crate::text;

/// The windows in flight, and the additions of others since the last commit.
#[derive(Default)]
pub(super) struct Windows {
    /// The windows in flight by slot.
    in_flight: BTreeMap<usize, WindowStats>,
    /// The additions of windows that are no longer in flight.
    pulled: Vec<Pulled>,
    /// The number of windows pulled to their last page, and the event time that they cover.
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

    /// Removes the window of a slot, to be finished or dropped.
    pub(super) fn remove(&mut self, slot: usize) -> Option<WindowStats> {
        self.in_flight.remove(&slot)
    }

    /// Keeps the additions of a window that is no longer pulled.
    pub(super) fn put_down(&mut self, mut window: WindowStats) {
        let pulled = window.pulled(false);
        if is_recorded(&pulled) {
            self.pulled.push(pulled);
        }
    }

    /// Keeps the additions of a window that was pulled to its last page, with the part of its range that counts as
    /// pulled.
    pub(super) fn finish(&mut self, mut window: WindowStats, covered: Option<Range>) {
        if let Some(pulled) = covered {
            self.finished += 1;
            self.covered += pulled.length();
            window.in_flight.range = pulled;
        }
        let pulled = window.pulled(covered.is_some());
        self.add(pulled);
    }

    /// Adds work done under the claim other than pulling.
    pub(super) fn add_all(&mut self, pulled: impl IntoIterator<Item = Pulled>) {
        self.pulled.extend(pulled);
    }

    /// Merges adjacent ranges of a stream into one entry, as the commit of a first load would list thousands.
    fn add(&mut self, pulled: Pulled) {
        let continues = |have: &&mut Pulled| {
            have.stream == pulled.stream
                && have.work == pulled.work
                && have.finished
                && (have.range.to() == pulled.range.from()
                    || pulled.range.to() == have.range.from())
        };
        let Some(have) = self.pulled.iter_mut().find(continues) else {
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

    pub(super) fn has_uncommitted(&self) -> bool {
        self.pulled.iter().any(is_worth_a_commit)
            || self.in_flight.values().any(WindowStats::has_uncommitted)
    }

    /// The additions since the last commit of windows that are no longer in flight.
    pub(super) fn uncommitted(&self) -> RunTotals {
        let mut totals = RunTotals {
            windows: self.finished,
            covered: self.covered,
            ..RunTotals::default()
        };
        (self.pulled.iter()).for_each(|range| totals.counts += range.counts);
        totals
    }

    /// Takes the additions since the last commit, and adds the position of each window to `progress`. The run's last
    /// commit also counts the requests of windows that added nothing.
    pub(super) fn take_uncommitted(
        &mut self,
        progress: &mut BTreeMap<String, Progress>,
        is_last: bool,
    ) -> (Vec<Pulled>, RunTotals) {
        let mut pulled = std::mem::take(&mut self.pulled);
        for window in self.in_flight.values_mut() {
            progress
                .entry(window.in_flight.stream.clone())
                .or_default()
                .open
                .extend(window.in_flight.unfinished());
            if window.has_uncommitted() || is_last {
                pulled.push(window.pulled(false));
            }
        }
        pulled.retain(is_recorded);
        let totals = RunTotals {
            windows: std::mem::take(&mut self.finished),
            covered: std::mem::take(&mut self.covered),
            ..RunTotals::default()
        };
        (pulled, totals)
    }
}

/// A range in flight, with its additions since the last commit.
pub(super) struct WindowStats {
    pub(super) in_flight: InFlight,
    pub(super) counts: RecordCounts,
    /// The provider's own count for the whole range, if it returns one.
    pub(super) total: Option<u64>,
    /// Remarks for the operator.
    remarks: Vec<String>,
    /// The new rows by date, and the late ones by delay.
    days: BTreeMap<NaiveDate, u64>,
    delays: BTreeMap<u64, u64>,
}

impl WindowStats {
    fn new(window: InFlight) -> Self {
        Self {
            in_flight: window,
            counts: RecordCounts::default(),
            total: None,
            remarks: Vec::new(),
            days: BTreeMap::new(),
            delays: BTreeMap::new(),
        }
    }

    pub(super) fn remark(&mut self, text: String) {
        tracing::warn!(stream = self.in_flight.stream, range = %self.in_flight.range, "{text}");
        if !self.remarks.contains(&text) {
            self.remarks.push(text);
        }
    }

    /// Counts the new rows of a page that was received at this instant.
    pub(super) fn count_new(&mut self, new: &[Candidate], received_at: Timestamp) {
        self.counts.new += new.len() as u64;
        self.counts.late += new.iter().filter(|row| row.admission.late).count() as u64;
        self.counts.outside += new.iter().filter(|row| row.admission.outside).count() as u64;
        count_days(&mut self.days, new.iter().map(|row| row.key.event_time));
        for late in new.iter().filter_map(|row| row.delay(received_at)) {
            *self.delays.entry(lake::delay(late)).or_default() += 1;
        }
    }

    fn has_uncommitted(&self) -> bool {
        self.counts != RecordCounts::default() || !self.remarks.is_empty()
    }

    /// Returns the additions since the last commit, including those of a range that then fails or restarts, whose next
    /// read finds rows outside its bounds as duplicates.
    fn pulled(&mut self, finished: bool) -> Pulled {
        if self.counts.outside > 0 {
            let outside = text::counted(self.counts.outside, "new record");
            self.remark(format!("{outside} outside the requested bounds"));
        }
        let (calls, retries) = self.in_flight.calls.take();
        Pulled {
            stream: self.in_flight.stream.clone(),
            range: self.in_flight.range,
            work: self.in_flight.work,
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

/// Returns whether the additions need a commit now; requests alone don't.
fn is_worth_a_commit(pulled: &Pulled) -> bool {
    pulled.finished || pulled.counts != RecordCounts::default() || !pulled.remarks.is_empty()
}

fn is_recorded(pulled: &Pulled) -> bool {
    is_worth_a_commit(pulled) || pulled.calls > 0
}

/// Counts times by their UTC date; most times of a page have the same date.
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
    /// Returns the cursor from which to continue, if the provider has cursors.
    pub(super) fn unfinished(&self) -> Option<OpenRange> {
        Some(OpenRange {
            range: self.range,
            work: self.work,
            asked_at: self.as_of,
            cursor: self.cursor.clone()?,
        })
    }
}

/// A row that is written unless the lake has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    /// The row's index in its page.
    pub(super) row: u32,
    pub(super) key: RowKey,
    pub(super) admission: Admission,
}

impl Candidate {
    /// Returns by how many milliseconds the row is late, if it is.
    pub(super) fn delay(&self, received_at: Timestamp) -> Option<i64> {
        (self.admission.late).then(|| (received_at - self.key.event_time).num_milliseconds())
    }
}
