//! What to pull next: pure functions from where a stream stands, what time it is, and the job's policy (design §5).

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};

use crate::lake::{Commit, Open, Progress, Refetch, Work};
use crate::model::{Range, RangeSet, Timestamp};
use crate::providers::Stream;

/// How a job's ranges are cut and when they are read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Where a stream begins.
    pub start: Timestamp,
    /// The size in which ranges are pulled.
    pub window: TimeDelta,
    /// The least to which a window is halved.
    pub min_window: TimeDelta,
    /// How far behind now a first pull stops.
    pub lag: TimeDelta,
    /// How long after a window's end it is read again for late arrivals; ascending.
    pub settle: Vec<TimeDelta>,
    /// The least length that the provider can be asked for, counted from the epoch; zero if any bounds will do.
    pub grain: TimeDelta,
}

impl Policy {
    /// Up to where first pulls may go: whole seconds, as providers take no finer bounds.
    pub fn horizon(&self, now: Timestamp) -> Timestamp {
        let second = (now - self.lag).timestamp();
        DateTime::from_timestamp(second, 0).unwrap_or(now - self.lag)
    }

    /// The size in which a provider with a grain is asked: the window, in whole grains.
    fn cell(&self) -> TimeDelta {
        let grain = self.grain.num_seconds().max(1);
        let grains = (self.window.num_seconds() + grain - 1) / grain;
        TimeDelta::seconds(grains.max(1) * grain)
    }

    fn is_grained(&self) -> bool {
        self.grain > TimeDelta::zero()
    }

    /// The first half of a range, as far as the provider can be asked for it and `min_window` lets it.
    pub fn first_half(&self, range: Range) -> Option<Range> {
        if !self.is_grained() {
            return range.first_half(self.min_window);
        }
        let middle = cell_end(range.from() + range.length() / 2, self.grain) - self.grain;
        let to = middle.max(cell_end(range.from(), self.grain));
        let long_enough =
            |half: &Range| self.min_window <= self.grain || half.length() >= self.min_window;
        Range::new(range.from(), to).filter(|half| half.to() < range.to() && long_enough(half))
    }

    /// The piece of `[from, to)` that begins it and is about as long as `length`.
    pub fn first_piece(&self, from: Timestamp, to: Timestamp, length: TimeDelta) -> Option<Range> {
        let end = match (from + length).min(to) {
            end if end < to && self.is_grained() => {
                cell_end(end - TimeDelta::microseconds(1), self.grain)
            }
            end => end,
        };
        Range::new(from, end.min(to))
    }
}

/// One range to pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The range.
    pub range: Range,
    /// Why.
    pub work: Work,
    /// Where an earlier run left off, and when that one began.
    pub resume: Option<Open>,
}

impl Task {
    fn fresh(range: Range, work: Work) -> Self {
        Self {
            range,
            work,
            resume: None,
        }
    }

    fn rest_of(open: &Open) -> Self {
        Self {
            range: open.range,
            work: open.work,
            resume: Some(open.clone()),
        }
    }
}

/// What a scheduled run owes one stream, most urgent first: the rest of unfinished ranges, then everything from the
/// start up to `now - lag` that was never pulled, then the settle passes whose time has come.
///
/// Windows are cut as they are taken: a first load may have many.
pub fn due(
    progress: &Progress,
    now: Timestamp,
    policy: &Policy,
) -> impl Iterator<Item = Task> + use<> {
    let rest: Vec<Task> = progress
        .open
        .iter()
        .filter(|open| open.work != Work::Backfill)
        .map(Task::rest_of)
        .collect();

    let mut missing = match Range::new(policy.start, policy.horizon(now)) {
        Some(range) => progress.coverage.missing(range),
        None => RangeSet::default(),
    };
    let mut again = settle_due(progress, now, policy);
    for open in &progress.open {
        match open.work {
            Work::Pull => missing.remove(open.range),
            Work::Settle => again.remove(open.range),
            Work::Backfill | Work::Replay => {}
        }
    }
    let fresh: Box<dyn Iterator<Item = Task> + Send> = if policy.is_grained() {
        Box::new(cells(&missing, &again, policy).into_iter())
    } else {
        let pulls = cut(missing, policy.window).map(|range| Task::fresh(range, Work::Pull));
        let settles = on_grid(again, policy.window).map(|range| Task::fresh(range, Work::Settle));
        Box::new(pulls.chain(settles))
    };
    rest.into_iter().chain(fresh)
}

/// Of a provider that is asked for whole days: all that is due within one such length is one question, whether it was
/// never pulled or is to be read again. First pulls come first.
fn cells(missing: &RangeSet, again: &RangeSet, policy: &Policy) -> Vec<Task> {
    let mut due: BTreeMap<Timestamp, Task> = BTreeMap::new();
    for (ranges, work) in [(missing, Work::Pull), (again, Work::Settle)] {
        for range in on_grid(ranges.clone(), policy.cell()) {
            due.entry(cell_end(range.from(), policy.cell()))
                .and_modify(|task| task.range = task.range.hull(&range))
                .or_insert_with(|| Task::fresh(range, work));
        }
    }
    let (mut pulls, settles): (Vec<_>, Vec<_>) =
        due.into_values().partition(|task| task.work == Work::Pull);
    pulls.extend(settles);
    pulls
}

/// What `backfill` owes one stream for `range`: what was never pulled of it or, for a refetch, what that has left (see
/// [`begin_refetch`]).
pub fn backfill(
    progress: &Progress,
    range: Range,
    refetch: bool,
    now: Timestamp,
    policy: &Policy,
) -> impl Iterator<Item = Task> + use<> {
    let is_ours = |open: &&Open| {
        open.work == Work::Backfill && open.range.intersection(&range) == Some(open.range)
    };
    let rest: Vec<Task> = progress
        .open
        .iter()
        .filter(is_ours)
        .map(Task::rest_of)
        .collect();
    let within = Range::new(range.from(), range.to().min(policy.horizon(now)));
    let mut left = match (within, &progress.refetch) {
        (Some(within), _) if !refetch => progress.coverage.missing(within),
        (Some(within), Some(of)) if of.range == range => of.left.within(within),
        _ => RangeSet::default(),
    };
    rest.iter().for_each(|task| left.remove(task.range));
    let ranges: Box<dyn Iterator<Item = Range> + Send> = if policy.is_grained() {
        Box::new(
            cells(&left, &RangeSet::default(), policy)
                .into_iter()
                .map(|task| task.range),
        )
    } else {
        Box::new(cut(left, policy.window))
    };
    let fresh = ranges.map(|range| Task::fresh(range, Work::Backfill));
    rest.into_iter().chain(fresh)
}

/// What of `ranges` is asked to look at them once more: windows counted from the epoch, in whole grains.
pub fn look_again(ranges: RangeSet, policy: &Policy) -> impl Iterator<Item = Task> + Send + use<> {
    on_grid(ranges, policy.cell()).map(|range| Task::fresh(range, Work::Backfill))
}

/// `range` in pieces of a UTC day, or of a window where that is longer: what is held against the lake at a time.
pub fn days_or_windows(range: Range, policy: &Policy) -> impl Iterator<Item = Range> + use<> {
    let length = policy.cell().max(TimeDelta::days(1));
    on_grid([range].into_iter().collect(), length)
}

/// Notes that the streams are to be read again over `range`. If they were being read again over just that range, and
/// not all of them are through, it goes on; else it begins anew, and what earlier backfills left unfinished is void.
pub fn begin_refetch(progress: &mut BTreeMap<String, Progress>, streams: &[Stream], range: Range) {
    let of_range = |refetch: &&Refetch| refetch.range == range;
    let under_way = streams
        .iter()
        .filter_map(|stream| progress.get(&stream.id)?.refetch.as_ref().filter(of_range))
        .any(|refetch| !refetch.left.is_empty());
    for stream in streams {
        let progress = progress.entry(stream.id.clone()).or_default();
        if !(under_way
            && progress
                .refetch
                .as_ref()
                .is_some_and(|refetch| refetch.range == range))
        {
            progress.refetch = Some(Refetch {
                range,
                left: [range].into_iter().collect(),
            });
            let is_void = |open: &Open| {
                open.work == Work::Backfill && open.range.intersection(&range).is_some()
            };
            progress.open.retain(|open| !is_void(open));
        }
    }
}

/// Records that `range` was pulled to its last page, its first answer having been given at `asked_at`. Returns the part
/// that counts as pulled: what lies less than the lag before that answer has still to be pulled, whoever asked for it.
///
/// What was first pulled later than a pass's delay after it happened skips that pass; what is read again so late has
/// had it.
pub fn finish(
    progress: &mut Progress,
    range: Range,
    asked_at: Timestamp,
    policy: &Policy,
) -> Option<Range> {
    let range = Range::new(range.from(), range.to().min(policy.horizon(asked_at)))?;
    let first_time = progress.coverage.missing(range);
    progress.coverage.insert(range);
    progress.watermark = Some(progress.coverage.contiguous_end(policy.start));
    // of a range that was left unfinished, what another range has covered meanwhile isn't gone on with
    progress.open.retain(|open| {
        !progress.coverage.covers(open.range) || open.range.intersection(&range).is_none()
    });
    progress
        .unsettled
        .retain(|&delay, _| policy.settle.contains(&seconds(delay)));
    for &delay in &policy.settle {
        let unsettled = progress
            .unsettled
            .entry(delay.num_seconds().unsigned_abs())
            .or_default();
        first_time.iter().for_each(|new| unsettled.insert(new));
        let late_enough = asked_at - delay;
        let through = if range.to() <= late_enough {
            range.to()
        } else {
            cell_end(late_enough, policy.window) - policy.window // in whole windows, so that no crumbs are left
        };
        if let Some(settled) = Range::new(range.from(), range.to().min(through)) {
            unsettled.remove(settled);
        }
    }
    progress.unsettled.retain(|_, ranges| !ranges.is_empty());
    if let Some(refetch) = &mut progress.refetch {
        refetch.left.remove(range);
    }
    Some(range)
}

/// Takes back that `range` was pulled, as rows of it are lost that were committed. What was covered `before` that commit
/// is to be settled again, so that what is found there counts as late, as it did; the rest is to be pulled.
pub fn uncover(progress: &mut Progress, range: Range, before: &RangeSet, policy: &Policy) {
    let again = match policy.settle.is_empty() {
        true => RangeSet::default(), // nothing would read it
        false => before.within(range),
    };
    let mut lost: RangeSet = [range].into_iter().collect();
    again.iter().for_each(|again| lost.remove(again));
    for lost in lost.iter() {
        progress.coverage.remove(lost);
        let unsettled = progress.unsettled.values_mut();
        unsettled.for_each(|ranges| ranges.remove(lost));
    }
    for delay in &policy.settle {
        let delay = delay.num_seconds().unsigned_abs();
        let unsettled = progress.unsettled.entry(delay).or_default();
        again.iter().for_each(|again| unsettled.insert(again));
    }
    progress.unsettled.retain(|_, ranges| !ranges.is_empty());
    // a cursor in it has passed what is lost
    (progress.open).retain(|open| open.range.intersection(&range).is_none());
    progress.watermark = Some(progress.coverage.contiguous_end(policy.start));
    if let Some(refetch) = &mut progress.refetch
        && let Some(lost) = range.intersection(&refetch.range)
    {
        refetch.left.insert(lost);
    }
}

/// The holes in a stream's coverage: what lies between the job's start and the last that was pulled, and was not pulled
/// itself, as far as the last run that went through its plan had planned.
///
/// Behind that, windows of a run that is under way, or was interrupted, end in any order: what is missing there is still
/// to come. How long that may take is a matter of the watermark's age.
pub fn holes(progress: &Progress, planned_at: Option<Timestamp>, policy: &Policy) -> RangeSet {
    let last = progress.coverage.iter().next_back().map(|last| last.to());
    let end = last.zip(planned_at.map(|at| policy.horizon(at)));
    end.and_then(|(last, planned)| Range::new(policy.start, last.min(planned)))
        .map(|whole| progress.coverage.missing(whole))
        .unwrap_or_default()
}

/// The holes of every stream that the job pulls, as `commit` has them, each with its stream.
pub fn gaps<'a>(
    commit: &'a Commit,
    policy: &'a Policy,
) -> impl Iterator<Item = (&'a String, Range)> {
    commit.current().flat_map(move |(stream, progress)| {
        let holes: Vec<Range> = holes(progress, commit.planned_at, policy).iter().collect();
        holes.into_iter().map(move |hole| (stream, hole))
    })
}

/// The slowest stream's watermark, counted from where the job starts now, which its commits may not have known; none if
/// there are no streams: the job was never pulled.
pub fn watermark<'a>(
    streams: impl Iterator<Item = (&'a String, &'a Progress)>,
    policy: &Policy,
) -> Option<Timestamp> {
    let ends = streams.map(|(_, progress)| progress.coverage.contiguous_end(policy.start));
    ends.min()
}

/// What settle passes have to read now: a window's pass is due once its delay has passed since the window's end. One
/// reading serves every pass that is due.
fn settle_due(progress: &Progress, now: Timestamp, policy: &Policy) -> RangeSet {
    let mut due = RangeSet::default();
    for (&delay, unsettled) in &progress.unsettled {
        let delay = seconds(delay);
        if policy.settle.contains(&delay) {
            // the end of the last whole window that is old enough
            let through = cell_end(now - delay, policy.window) - policy.window;
            for range in unsettled.iter() {
                if let Some(old) = Range::new(range.from(), range.to().min(through)) {
                    due.insert(old);
                }
            }
        }
    }
    due
}

/// Windows counted from where each range begins.
fn cut(ranges: RangeSet, window: TimeDelta) -> impl Iterator<Item = Range> {
    Vec::from(ranges)
        .into_iter()
        .flat_map(move |range| range.pieces(window))
}

/// Whole windows, counted from the epoch, so that a settle pass reads an hour once and not each of its pulls.
fn on_grid(ranges: RangeSet, window: TimeDelta) -> impl Iterator<Item = Range> + Send {
    Vec::from(ranges).into_iter().flat_map(move |range| {
        let mut from = range.from();
        std::iter::from_fn(move || {
            let piece = Range::new(from, range.to().min(cell_end(from, window)))?;
            from = piece.to();
            Some(piece)
        })
    })
}

/// Where the window that holds `instant` ends, windows being counted from the epoch.
fn cell_end(instant: Timestamp, window: TimeDelta) -> Timestamp {
    let into = instant
        .timestamp_micros()
        .rem_euclid(window.num_microseconds().unwrap_or(i64::MAX).max(1));
    instant + (window - TimeDelta::microseconds(into))
}

fn seconds(delay: u64) -> TimeDelta {
    TimeDelta::seconds(i64::try_from(delay).unwrap_or(i64::MAX / 1_000_000))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::providers::Cursor;

    fn at(second: i64) -> Timestamp {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn range(from: i64, to: i64) -> Range {
        Range::new(at(from), at(to)).unwrap()
    }

    fn policy() -> Policy {
        Policy {
            start: at(0),
            window: TimeDelta::seconds(60),
            min_window: TimeDelta::seconds(1),
            lag: TimeDelta::seconds(10),
            grain: TimeDelta::zero(),
            settle: vec![TimeDelta::seconds(100), TimeDelta::seconds(1_000)],
        }
    }

    /// Does all that is due at `now`.
    fn run(progress: &mut Progress, now: i64, policy: &Policy) -> Vec<Task> {
        let tasks: Vec<Task> = due(progress, at(now), policy).collect();
        for task in &tasks {
            finish(progress, task.range, at(now), policy);
        }
        tasks
    }

    fn ranges(tasks: &[Task], work: Work) -> Vec<Range> {
        tasks
            .iter()
            .filter(|task| task.work == work)
            .map(|task| task.range)
            .collect()
    }

    #[test]
    fn first_pulls_go_from_the_start_to_the_lag_in_windows() {
        let mut progress = Progress::default();
        let tasks = run(&mut progress, 160, &policy());
        assert_eq!(
            ranges(&tasks, Work::Pull),
            [range(0, 60), range(60, 120), range(120, 150)]
        );
        assert_eq!(progress.watermark, Some(at(150)));
    }

    #[test]
    fn a_settle_pass_reads_whole_windows_once_their_delay_has_passed() {
        let mut progress = Progress::default();
        run(&mut progress, 40, &policy());
        run(&mut progress, 70, &policy());
        assert_eq!(
            ranges(&run(&mut progress, 159, &policy()), Work::Settle),
            []
        );
        assert_eq!(
            ranges(&run(&mut progress, 160, &policy()), Work::Settle),
            [range(0, 60)]
        );
        assert_eq!(
            ranges(&run(&mut progress, 161, &policy()), Work::Settle),
            []
        );
    }

    #[test]
    fn one_reading_serves_every_pass_that_is_due() {
        let mut progress = Progress::default();
        run(&mut progress, 70, &policy());
        let tasks = run(&mut progress, 1_060, &policy());
        assert_eq!(ranges(&tasks, Work::Settle), [range(0, 60)]);
        assert_eq!(
            ranges(&run(&mut progress, 1_100, &policy()), Work::Settle),
            []
        );
    }

    #[test]
    fn a_first_load_is_read_once() {
        let mut progress = Progress::default();
        run(&mut progress, 100_000, &policy());
        let again = run(&mut progress, 100_000 + 2_000, &policy());
        // only what was pulled within a pass's delay of its end is read again
        assert!(
            ranges(&again, Work::Settle)
                .iter()
                .all(|range| range.to() > at(100_000 - 1_000))
        );
    }

    #[test]
    fn an_unfinished_range_goes_on_first_and_is_not_pulled_twice() {
        let open = |from, to, work| Open {
            range: range(from, to),
            work,
            asked_at: at(70),
            cursor: Cursor("c".into()),
        };
        let progress = Progress {
            open: vec![open(60, 120, Work::Pull), open(-60, 0, Work::Backfill)],
            ..Progress::default()
        };
        let tasks: Vec<Task> = due(&progress, at(190), &policy()).collect();
        assert_eq!(tasks[0].resume.as_ref().unwrap().cursor, Cursor("c".into()));
        assert_eq!(
            ranges(&tasks, Work::Pull),
            [range(60, 120), range(0, 60), range(120, 180)]
        );
        let tasks: Vec<Task> =
            backfill(&progress, range(-120, 30), false, at(190), &policy()).collect();
        assert_eq!(
            ranges(&tasks, Work::Backfill),
            [range(-60, 0), range(-120, -60), range(0, 30)]
        );
    }

    #[test]
    fn a_backfill_pulls_what_is_missing() {
        let mut progress = Progress::default();
        finish(&mut progress, range(60, 120), at(5_000), &policy());
        let tasks: Vec<Task> =
            backfill(&progress, range(0, 180), false, at(5_000), &policy()).collect();
        assert_eq!(
            ranges(&tasks, Work::Backfill),
            [range(0, 60), range(120, 180)]
        );
    }

    fn streams(ids: &[&str]) -> Vec<Stream> {
        ids.iter()
            .map(|&id| Stream {
                id: id.to_owned(),
                realtime: false,
            })
            .collect()
    }

    fn refetches(all: &BTreeMap<String, Progress>, id: &str, of: Range) -> Vec<Range> {
        let tasks: Vec<Task> = backfill(&all[id], of, true, at(5_000), &policy()).collect();
        ranges(&tasks, Work::Backfill)
    }

    #[test]
    fn a_refetch_goes_on_until_every_stream_is_through_and_then_begins_anew() {
        let (of, both) = (range(0, 120), streams(&["a", "b"]));
        let mut all = BTreeMap::new();
        begin_refetch(&mut all, &both, of);
        assert_eq!(refetches(&all, "a", of), [range(0, 60), range(60, 120)]);
        for (id, done) in [
            ("a", range(0, 60)),
            ("a", range(60, 120)),
            ("b", range(0, 60)),
        ] {
            finish(all.get_mut(id).unwrap(), done, at(5_000), &policy());
        }
        begin_refetch(&mut all, &both, of); // the next turn, or the command again
        assert_eq!(refetches(&all, "a", of), []);
        assert_eq!(refetches(&all, "b", of), [range(60, 120)]);
        finish(
            all.get_mut("b").unwrap(),
            range(60, 120),
            at(5_000),
            &policy(),
        );
        assert_eq!(refetches(&all, "b", of), []);
        begin_refetch(&mut all, &both, of); // all were through: the command is meant anew
        assert_eq!(refetches(&all, "a", of), [range(0, 60), range(60, 120)]);
    }

    #[test]
    fn a_refetch_doesn_t_go_on_from_a_backfill_s_cursor() {
        let open = Open {
            range: range(0, 60),
            work: Work::Backfill,
            asked_at: at(70),
            cursor: Cursor("c".into()),
        };
        let mut all = BTreeMap::from([(
            "a".to_owned(),
            Progress {
                open: vec![open],
                ..Progress::default()
            },
        )]);
        begin_refetch(&mut all, &streams(&["a"]), range(0, 60));
        let tasks: Vec<Task> =
            backfill(&all["a"], range(0, 60), true, at(5_000), &policy()).collect();
        assert_eq!(tasks, [Task::fresh(range(0, 60), Work::Backfill)]);
    }

    #[test]
    fn a_pass_that_is_no_longer_wanted_is_forgotten() {
        let mut progress = Progress::default();
        run(&mut progress, 70, &policy());
        let calm = Policy {
            settle: vec![],
            ..policy()
        };
        assert_eq!(ranges(&run(&mut progress, 10_000, &calm), Work::Settle), []);
        assert!(progress.unsettled.is_empty());
    }

    #[test]
    fn a_hole_is_what_a_whole_plan_left_out_before_something_that_was_pulled() {
        let mut progress = Progress::default();
        let holes = |progress: &Progress, planned_at: Option<i64>| -> Vec<Range> {
            let found = super::holes(progress, planned_at.map(at), &policy());
            found.iter().collect()
        };
        assert_eq!(holes(&progress, Some(1_000)), []);
        // a first load under way: its second window is through before its first
        finish(&mut progress, range(60, 120), at(500), &policy());
        assert_eq!(holes(&progress, None), []);
        // it went through its plan, and the first window failed
        assert_eq!(holes(&progress, Some(500)), [range(0, 60)]);
        finish(&mut progress, range(180, 240), at(500), &policy());
        assert_eq!(holes(&progress, Some(500)), [range(0, 60), range(120, 180)]);
        // the next run is under way: what it has still to bring is no hole
        assert_eq!(holes(&progress, Some(130)), [range(0, 60)]);
        finish(&mut progress, range(0, 60), at(500), &policy());
        finish(&mut progress, range(-60, -30), at(500), &policy());
        assert_eq!(holes(&progress, Some(130)), []);
        // nothing at all was pulled up to the plan's end: that is the watermark's matter
        assert_eq!(holes(&progress, Some(5_000)), [range(120, 180)]);
    }

    const DAY: i64 = 86_400;

    fn by_day() -> Policy {
        Policy {
            window: TimeDelta::hours(1),
            min_window: TimeDelta::minutes(1),
            lag: TimeDelta::seconds(60),
            settle: vec![
                TimeDelta::hours(1),
                TimeDelta::hours(24),
                TimeDelta::hours(72),
            ],
            grain: TimeDelta::days(1),
            ..policy()
        }
    }

    #[test]
    fn what_is_due_within_a_day_is_one_question_for_a_provider_that_knows_days_only() {
        let mut progress = Progress::default();
        let ticks = 24 * 7;
        let mut asked = 0;
        for hour in 1..=ticks {
            let now = hour * 3_600 + 120;
            let tasks = run(&mut progress, now, &by_day());
            let mut days: Vec<i64> = (tasks.iter())
                .map(|task| task.range.from().timestamp().div_euclid(DAY))
                .collect();
            asked += days.len();
            days.dedup();
            assert_eq!(days.len(), tasks.len(), "{tasks:?}");
            for task in &tasks {
                let last = task.range.to() - TimeDelta::seconds(1);
                assert_eq!(
                    task.range.from().timestamp().div_euclid(DAY),
                    last.timestamp().div_euclid(DAY)
                );
            }
            assert_eq!(tasks[0].work, Work::Pull);
            assert_eq!(progress.watermark, Some(at(now - 60)));
        }
        // today's hour with the pass an hour later, the pass of a day ago, the pass of three days ago
        assert!(asked <= 3 * usize::try_from(ticks).unwrap() + 14, "{asked}");
        let state = progress
            .unsettled
            .values()
            .map(|ranges| ranges.iter().count());
        assert!(state.sum::<usize>() <= 4, "{progress:?}");
    }

    #[test]
    fn what_is_lost_is_pulled_again_or_settled_again() {
        let policy = policy();
        let mut progress = Progress::default();
        finish(&mut progress, range(0, 600), at(610), &policy);
        let before = progress.coverage.clone();
        finish(&mut progress, range(600, 1_200), at(1_210), &policy);
        progress.open = vec![Open {
            range: range(1_200, 1_800),
            work: Work::Pull,
            asked_at: at(1_810),
            cursor: Cursor("x".to_owned()),
        }];
        // what was first pulled with the lost commit is missing again; what it had read once more is to be settled
        uncover(&mut progress, range(540, 720), &before, &policy);
        assert_eq!(progress.watermark, Some(at(600)));
        assert_eq!(
            Vec::from(progress.coverage.clone()),
            [range(0, 600), range(720, 1_200)]
        );
        assert_eq!(progress.open.len(), 1);
        let tasks: Vec<Task> = due(&progress, at(2_000), &policy).collect();
        let pulls = ranges(&tasks, Work::Pull);
        assert!(pulls.contains(&range(600, 660)) && pulls.contains(&range(660, 720)));
        assert!(ranges(&tasks, Work::Settle).contains(&range(540, 600)));
        // a cursor in what is lost is void
        uncover(&mut progress, range(1_500, 1_800), &before, &policy);
        assert!(progress.open.is_empty());
        // where nothing is settled, it is pulled
        let never = Policy {
            settle: vec![],
            ..policy
        };
        uncover(&mut progress, range(0, 60), &before, &never);
        assert_eq!(progress.watermark, Some(at(0)));
    }

    #[test]
    fn windows_of_days_are_halved_between_days() {
        let policy = by_day();
        let halves = |from, to| -> Vec<Range> {
            std::iter::successors(policy.first_half(range(from, to)), |half| {
                policy.first_half(*half)
            })
            .collect()
        };
        assert_eq!(halves(0, 7 * DAY), [range(0, 3 * DAY), range(0, DAY)]);
        assert_eq!(halves(DAY / 2, 2 * DAY), [range(DAY / 2, DAY)]);
        assert_eq!(halves(DAY / 2, DAY + 60), [range(DAY / 2, DAY)]);
        // a part of a day is asked for as a day, so it may be shorter than `min_window`
        assert_eq!(halves(DAY - 30, 2 * DAY), [range(DAY - 30, DAY)]);
        assert_eq!(halves(60, DAY), []);
        let coarse = Policy {
            min_window: TimeDelta::days(2),
            ..policy.clone()
        };
        assert_eq!(coarse.first_half(range(0, 3 * DAY)), None);
        assert_eq!(
            coarse.first_half(range(0, 4 * DAY)),
            Some(range(0, 2 * DAY))
        );
        // what goes on behind a half ends between days, too
        let piece =
            |from, length| policy.first_piece(at(from), at(7 * DAY), TimeDelta::seconds(length));
        assert_eq!(piece(DAY / 2, DAY), Some(range(DAY / 2, 2 * DAY)));
        assert_eq!(piece(DAY, DAY), Some(range(DAY, 2 * DAY)));
        assert_eq!(piece(6 * DAY + 1, DAY), Some(range(6 * DAY + 1, 7 * DAY)));
    }

    #[test]
    fn a_first_load_by_days_is_read_once_and_a_backfill_asks_days() {
        let mut progress = Progress::default();
        let tasks = run(&mut progress, 30 * DAY + 7_200, &by_day());
        assert_eq!(tasks.len(), 31);
        assert!(ranges(&tasks, Work::Settle).is_empty());
        let asked: Vec<Task> = backfill(
            &Progress::default(),
            range(3_600, 2 * DAY + 60),
            false,
            at(30 * DAY),
            &by_day(),
        )
        .collect();
        assert_eq!(
            ranges(&asked, Work::Backfill),
            [
                range(3_600, DAY),
                range(DAY, 2 * DAY),
                range(2 * DAY, 2 * DAY + 60)
            ]
        );
        let weeks = Policy {
            window: TimeDelta::days(7),
            ..by_day()
        };
        let asked: Vec<Task> = due(&Progress::default(), at(14 * DAY + 60), &weeks).collect();
        assert_eq!(
            ranges(&asked, Work::Pull),
            [range(0, 7 * DAY), range(7 * DAY, 14 * DAY)]
        );
    }

    proptest! {
        /// Whatever the ticks, nothing up to the lag is left out, nothing is pulled for the first time twice, and each
        /// instant that was first pulled before a pass's delay is read again after it.
        #[test]
        fn nothing_is_left_out(
            mut ticks in prop::collection::vec(1_i64..3_000, 1..30),
            window in 1_i64..200,
            lag in 0_i64..50,
            grain in prop_oneof![Just(0_i64), 1_i64..400],
        ) {
            let policy = Policy {
                window: TimeDelta::seconds(window),
                lag: TimeDelta::seconds(lag),
                grain: TimeDelta::seconds(grain),
                ..policy()
            };
            ticks.sort_unstable();
            let mut progress = Progress::default();
            let mut first = RangeSet::default();
            let mut reads: Vec<(i64, Range)> = vec![];
            for &now in &ticks {
                for task in run(&mut progress, now, &policy) {
                    let longest = if grain > 0 { policy.cell() } else { policy.window };
                    prop_assert!(task.range.length() <= longest);
                    prop_assert!(task.range.to() <= at(now) - policy.lag);
                    if task.work == Work::Pull {
                        prop_assert!(grain > 0 || first.within(task.range).is_empty());
                        first.insert(task.range);
                    }
                    reads.push((now, task.range));
                }
                prop_assert_eq!(progress.watermark.unwrap_or(at(0)), at(0).max(at(now) - policy.lag));
            }
            let last = *ticks.last().unwrap();
            for second in (0..last).step_by(7) {
                let times: Vec<i64> =
                    reads.iter().filter(|(_, range)| range.contains(at(second))).map(|(now, _)| *now).collect();
                for delay in &policy.settle {
                    let cell = cell_end(at(second), policy.window).timestamp() + delay.num_seconds();
                    if first.contains(at(second)) && ticks.iter().any(|&now| now >= cell) {
                        prop_assert!(times.iter().any(|&now| now >= second + delay.num_seconds()), "{second} {delay}");
                    }
                }
            }
        }

        /// A stream's state doesn't grow with time.
        #[test]
        fn the_state_stays_small(step in 1_i64..500) {
            let mut progress = Progress::default();
            for tick in 1..100 {
                run(&mut progress, tick * step, &policy());
            }
            prop_assert!(progress.coverage.iter().count() <= 1);
            prop_assert!(progress.unsettled.values().all(|ranges| ranges.iter().count() <= 1));
        }
    }
}
