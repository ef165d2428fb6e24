//! The progress of a command over a long range.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::{Client, RateLimitStatus};
use crate::lake::RecordCounts;
use crate::model::RateLimit;
use crate::run::RunTotals;
use crate::telemetry;
use crate::text;

/// The interval at which the bar is redrawn.
const DRAW_EVERY: Duration = Duration::from_millis(500);
/// The interval of log lines without a terminal.
const LOG_EVERY: Duration = Duration::from_secs(30);
/// The period over which the rate is computed.
const RECENT: Duration = Duration::from_mins(2);
/// The number of windows needed for an estimate of the remaining time: the default number in flight, some of which are
/// short.
const TELLING: u64 = 4;

/// The work of a command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Remaining {
    /// The number of windows, if known.
    pub(super) windows: Option<u64>,
    /// The event time, summed over streams.
    pub(super) time: TimeDelta,
}

/// The meaning of rows for a command: their name, and their number among the counted records.
pub(super) type RowCounter = (&'static str, fn(&RecordCounts) -> u64);

/// A progress bar on a terminal, or occasional log lines.
#[derive(Debug)]
pub(super) struct Bar {
    course: Arc<Mutex<Pace>>,
    begun: Instant,
    bar: ProgressBar,
    logged: BarState,
    ticker: JoinHandle<()>,
}

/// The reported values other than the progress.
#[derive(Debug, Clone)]
struct BarState {
    job: String,
    rows: RowCounter,
    client: Client,
}

impl Bar {
    /// Creates the progress of the remaining work of this job by this client.
    pub(super) fn new(job: &str, client: &Client, left: Remaining, rows: RowCounter) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let texts = BarText::default();
        let style =
            ProgressStyle::with_template("{headline}  {wide_bar} {percent:>3} %\n{details}");
        if let Ok(style) = style {
            bar.set_style(texts.shown_in(style));
        }
        let mut course = Pace::default();
        course.plan(left);
        let course = Arc::new(Mutex::new(course));
        let begun = Instant::now();
        let logged = BarState {
            job: job.to_owned(),
            rows,
            client: client.clone(),
        };
        let ticker = if bar.is_hidden() {
            tokio::spawn(log_now_and_then(Arc::clone(&course), begun, logged.clone()))
        } else {
            telemetry::write_above(Some(bar.clone()));
            logged.draw(&bar, &texts, &locked(&course).shown(Duration::ZERO, rows));
            let shared = Arc::clone(&course);
            let drawing = keep_drawing(bar.clone(), texts, shared, begun, logged.clone());
            tokio::spawn(drawing)
        };
        Self {
            course,
            begun,
            bar,
            logged,
            ticker,
        }
    }

    /// Follows a run after the work that is `done`.
    pub(super) fn follow(&self, done: RunTotals) -> watch::Sender<RunTotals> {
        let (sender, mut receiver) = watch::channel(RunTotals::default());
        let (course, begun) = (Arc::clone(&self.course), self.begun);
        tokio::spawn(async move {
            while receiver.changed().await.is_ok() {
                let mut now = done;
                now += *receiver.borrow_and_update();
                locked(&course).advance(begun.elapsed(), now);
            }
        });
        sender
    }

    /// Records the work that a run has `done`, and what is left.
    pub(super) fn plan(&self, done: RunTotals, left: Remaining) {
        let mut course = locked(&self.course);
        course.advance(self.begun.elapsed(), done);
        course.plan(left);
    }

    /// Ends the progress with the work that is `done`.
    pub(super) fn leave(self, done: RunTotals) {
        let mut course = locked(&self.course);
        course.advance(self.begun.elapsed(), done);
        if self.bar.is_hidden() {
            self.logged
                .log(&course.shown(self.begun.elapsed(), self.logged.rows));
        }
    }
}

/// Ends the progress.
impl Drop for Bar {
    fn drop(&mut self) {
        self.ticker.abort();
        telemetry::write_above(None);
        self.bar.finish_and_clear();
    }
}

async fn keep_drawing(
    bar: ProgressBar,
    texts: BarText,
    course: Arc<Mutex<Pace>>,
    begun: Instant,
    logged: BarState,
) {
    loop {
        tokio::time::sleep(DRAW_EVERY).await;
        let shown = locked(&course).shown(begun.elapsed(), logged.rows);
        let (logged, bar, texts) = (logged.clone(), bar.clone(), texts.clone());
        // a stopped terminal only blocks that thread
        let drawn = tokio::task::spawn_blocking(move || logged.draw(&bar, &texts, &shown)).await;
        if drawn.is_err() {
            return;
        }
    }
}

async fn log_now_and_then(course: Arc<Mutex<Pace>>, begun: Instant, logged: BarState) {
    loop {
        tokio::time::sleep(LOG_EVERY).await;
        let shown = locked(&course).shown(begun.elapsed(), logged.rows);
        logged.log(&shown);
    }
}

fn locked(course: &Mutex<Pace>) -> MutexGuard<'_, Pace> {
    course.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BarState {
    /// Formats as `audits 12/96 windows 2m 10s left`.
    fn headline(&self, shown: &Snapshot) -> String {
        let windows = match shown.of {
            Some(of) => format!(
                "{}/{}",
                text::count(shown.windows),
                text::counted(of, "window")
            ),
            None => text::counted(shown.windows, "window"),
        };
        format!("{}  {windows}  {}", self.job, left(shown.left))
    }

    /// Formats as `12,345 rows, 678/s; 210 of 300/min calls left`.
    fn details(&self, shown: &Snapshot, budget: RateLimitStatus) -> String {
        let rate = shown
            .per_second
            .map_or_else(String::new, |rate| format!(", {}/s", text::count(rate)));
        format!(
            "{} {}{rate}; {}",
            text::count(shown.rows),
            self.rows.0,
            calls(budget)
        )
    }

    fn draw(&self, bar: &ProgressBar, texts: &BarText, shown: &Snapshot) {
        texts.set(
            self.headline(shown),
            self.details(shown, self.client.budget()),
        );
        bar.update(|state| {
            state.set_len(shown.total.num_seconds().unsigned_abs());
            state.set_pos(shown.covered.num_seconds().unsigned_abs());
        });
    }

    fn log(&self, shown: &Snapshot) {
        let budget = self.client.budget();
        tracing::info!(
            job = self.job,
            percent = shown.percent(),
            windows = shown.windows,
            of = shown.of,
            rows = shown.rows,
            rows_per_second = shown.per_second,
            calls_left = budget.left,
            calls_limit = budget.limit,
            calls_limit_seconds = budget.per.as_secs(),
            eta_seconds = shown.left.map(|left| left.as_secs()),
            "under way"
        );
    }
}

/// The text around a bar, set together with it, so that it is always drawn completely.
#[derive(Debug, Clone, Default)]
struct BarText(Arc<Mutex<[String; 2]>>);

impl BarText {
    fn set(&self, headline: String, details: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = [headline, details];
    }

    fn shown_in(&self, style: ProgressStyle) -> ProgressStyle {
        let text = |at: usize| {
            let texts = Arc::clone(&self.0);
            move |_: &ProgressState, to: &mut dyn std::fmt::Write| {
                let texts = texts.lock().unwrap_or_else(PoisonError::into_inner);
                // writing to a string doesn't fail
                let _ = to.write_str(&texts[at]);
            }
        };
        style
            .with_key("headline", text(0))
            .with_key("details", text(1))
    }
}

fn left(left: Option<Duration>) -> String {
    match left.and_then(|left| TimeDelta::from_std(left).ok()) {
        Some(left) => format!("{} left", text::length(left)),
        None => "time left unknown".to_owned(),
    }
}

fn calls(budget: RateLimitStatus) -> String {
    match std::num::NonZeroU32::new(budget.limit) {
        Some(requests) => {
            let limit = RateLimit {
                requests,
                per: budget.per,
            };
            format!("{} of {limit} calls left", text::count(budget.left.into()))
        }
        None => String::new(),
    }
}

/// The progress at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Snapshot {
    windows: u64,
    /// The total, as far as it is known.
    of: Option<u64>,
    covered: TimeDelta,
    total: TimeDelta,
    rows: u64,
    /// The recent rate; `None` without enough data.
    per_second: Option<u64>,
    /// The estimated remaining time; `None` without enough data.
    left: Option<Duration>,
}

impl Snapshot {
    /// The share of the event time in per cent; 100 only when all of it is done.
    fn percent(&self) -> i64 {
        match self.total.num_seconds() {
            0 => 100,
            total => self.covered.num_seconds() * 100 / total,
        }
    }
}

/// The history of the progress. Times are relative to the start.
#[derive(Debug, Default)]
struct Pace {
    /// The current totals and the remaining work.
    windows: Option<u64>,
    total: TimeDelta,
    /// The last totals before the recent past, then all since.
    tallies: VecDeque<(Duration, RunTotals)>,
}

impl Pace {
    fn done(&self) -> RunTotals {
        self.tallies
            .back()
            .map(|(_, done)| *done)
            .unwrap_or_default()
    }

    /// Records the remaining work.
    fn plan(&mut self, left: Remaining) {
        let done = self.done();
        self.windows = left.windows.map(|left| done.windows + left);
        self.total = done.covered + left.time;
    }

    fn advance(&mut self, at: Duration, done: RunTotals) {
        if done == self.done() {
            return;
        }
        self.tallies.push_back((at, done));
        self.forget(at);
    }

    /// Keeps one that is older than the recent past, as a base.
    fn forget(&mut self, now: Duration) {
        while self
            .tallies
            .get(1)
            .is_some_and(|(at, _)| *at + RECENT <= now)
        {
            self.tallies.pop_front();
        }
    }

    fn shown(&mut self, now: Duration, (_, rows): RowCounter) -> Snapshot {
        self.forget(now);
        let done = self.done();
        // without one that old, the start is the base
        let (since, before) = match self.tallies.front() {
            Some((at, before)) if *at + RECENT <= now => (*at, *before),
            _ => (Duration::ZERO, RunTotals::default()),
        };
        let took = now.saturating_sub(since);
        let landed = rows(&done.counts).saturating_sub(rows(&before.counts));
        let covered = (done.covered - before.covered).to_std().unwrap_or_default();
        let left = (self.total - done.covered).to_std().unwrap_or_default();
        let is_long_enough = done.windows >= before.windows + TELLING && !covered.is_zero();
        Snapshot {
            windows: done.windows,
            of: self.windows.map(|of| of.max(done.windows)),
            covered: done.covered,
            total: self.total.max(done.covered),
            rows: rows(&done.counts),
            per_second: per_second(landed, took),
            left: is_long_enough.then(|| took.mul_f64(left.as_secs_f64() / covered.as_secs_f64())),
        }
    }
}

/// Returns `None` within the first second.
fn per_second(rows: u64, took: Duration) -> Option<u64> {
    let milliseconds = u64::try_from(took.as_millis()).ok()?;
    (milliseconds >= 1_000).then(|| rows.saturating_mul(1_000) / milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: RowCounter = ("rows", |counts| counts.new);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Returns totals of this number of windows of an hour, with a hundred rows each.
    fn hours(windows: u64) -> RunTotals {
        RunTotals {
            windows,
            covered: TimeDelta::seconds(3_600) * i32::try_from(windows).unwrap_or(i32::MAX),
            counts: RecordCounts {
                new: 100 * windows,
                ..RecordCounts::default()
            },
            commits: 0,
        }
    }

    fn to_do(windows: u64) -> Remaining {
        Remaining {
            windows: Some(windows),
            time: hours(windows).covered,
        }
    }

    #[test]
    fn rate_and_time_left_are_those_of_the_last_minutes() {
        let mut course = Pace::default();
        course.plan(to_do(100));
        let shown = |course: &mut Pace, at| {
            let shown = course.shown(seconds(at), ROWS);
            (shown.windows, shown.percent(), shown.per_second, shown.left)
        };
        assert_eq!(shown(&mut course, 0), (0, 0, None, None));
        // nothing is known yet, and nothing is estimated
        assert_eq!(shown(&mut course, 10), (0, 0, Some(0), None));
        course.advance(seconds(10), hours(3));
        assert_eq!(shown(&mut course, 10), (3, 3, Some(30), None));
        course.advance(seconds(20), hours(10));
        assert_eq!(
            shown(&mut course, 20),
            (10, 10, Some(50), Some(seconds(180)))
        );
        // time that passes without a window counts
        assert_eq!(
            shown(&mut course, 40),
            (10, 10, Some(25), Some(seconds(360)))
        );
        // the time before the last two minutes doesn't
        course.advance(seconds(200), hours(20));
        course.advance(seconds(300), hours(40));
        assert_eq!(
            shown(&mut course, 320),
            (40, 40, Some(2_000 / 120), Some(seconds(360)))
        );
        // and without any progress since, the time is unknown
        assert_eq!(shown(&mut course, 420), (40, 40, Some(0), None));
    }

    #[test]
    fn what_is_left_is_planned_anew_between_turns() {
        let mut course = Pace::default();
        course.plan(to_do(10));
        course.advance(seconds(5), hours(12));
        let shown = course.shown(seconds(5), ROWS);
        // more windows than planned: some were too large
        assert_eq!((shown.windows, shown.of), (12, Some(12)));
        course.plan(to_do(8));
        let shown = course.shown(seconds(5), ROWS);
        assert_eq!((shown.of, shown.percent()), (Some(20), 60));
        assert_eq!(Pace::default().shown(seconds(1), ROWS).percent(), 100);
    }

    #[test]
    fn all_of_it_is_told() {
        let budget = RateLimitStatus {
            left: 1_210,
            limit: 3_000,
            per: Duration::from_mins(1),
            pause: Duration::ZERO,
        };
        assert_eq!(calls(budget), "1,210 of 3000/min calls left");
        assert_eq!(left(Some(seconds(130))), "2m 10s left");
        assert_eq!(left(None), "time left unknown");
    }
}
