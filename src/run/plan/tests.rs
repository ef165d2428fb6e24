//! Tests of planning.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use chrono::DateTime;
use proptest::prelude::*;

use super::outcome::FAILED_AT_MOST;
use super::*;
use crate::model::FailureKind;
use crate::providers::{Cursor, Stream};

pub(crate) fn at(second: i64) -> Timestamp {
    DateTime::from_timestamp(second, 0).unwrap()
}

pub(crate) fn range(from: i64, to: i64) -> Range {
    Range::new(at(from), at(to)).unwrap()
}

pub(crate) fn policy() -> Policy {
    Policy {
        start: at(0),
        window: TimeDelta::seconds(60),
        min_window: TimeDelta::seconds(1),
        lag: TimeDelta::seconds(10),
        grain: TimeDelta::zero(),
        settle: vec![TimeDelta::seconds(100), TimeDelta::seconds(1_000)],
    }
}

/// Completes all work that is due at `now`.
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
    // only ranges pulled within a pass's delay of their end are re-read
    assert!(
        ranges(&again, Work::Settle)
            .iter()
            .all(|range| range.to() > at(100_000 - 1_000))
    );
}

#[test]
fn an_unfinished_range_goes_on_first_and_is_not_pulled_twice() {
    let open = |from, to, work| OpenRange {
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
    ids.iter().map(|&id| Stream::new(id)).collect()
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
    begin_refetch(&mut all, &both, of); // the next turn, or the repeated command
    assert_eq!(refetches(&all, "a", of), []);
    assert_eq!(refetches(&all, "b", of), [range(60, 120)]);
    finish(
        all.get_mut("b").unwrap(),
        range(60, 120),
        at(5_000),
        &policy(),
    );
    assert_eq!(refetches(&all, "b", of), []);
    begin_refetch(&mut all, &both, of); // all streams were complete: a new refetch
    assert_eq!(refetches(&all, "a", of), [range(0, 60), range(60, 120)]);
}

#[test]
fn a_refetch_doesn_t_go_on_from_a_backfill_s_cursor() {
    let open = OpenRange {
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
    let tasks: Vec<Task> = backfill(&all["a"], range(0, 60), true, at(5_000), &policy()).collect();
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
    let gaps = |progress: &Progress, planned_at: Option<i64>| -> Vec<Range> {
        let found = super::stream_gaps(progress, planned_at.map(at), &policy());
        found.iter().collect()
    };
    assert_eq!(gaps(&progress, Some(1_000)), []);
    // a first load in progress: its second window ends before its first
    finish(&mut progress, range(60, 120), at(500), &policy());
    assert_eq!(gaps(&progress, None), []);
    // it completed its plan, and the first window failed
    assert_eq!(gaps(&progress, Some(500)), [range(0, 60)]);
    finish(&mut progress, range(180, 240), at(500), &policy());
    assert_eq!(gaps(&progress, Some(500)), [range(0, 60), range(120, 180)]);
    // the next run is in progress: the ranges that it has yet to pull aren't gaps
    assert_eq!(gaps(&progress, Some(130)), [range(0, 60)]);
    finish(&mut progress, range(0, 60), at(500), &policy());
    finish(&mut progress, range(-60, -30), at(500), &policy());
    assert_eq!(gaps(&progress, Some(130)), []);
    // nothing was pulled up to the plan's end: only the watermark shows that
    assert_eq!(gaps(&progress, Some(5_000)), [range(120, 180)]);
}

fn fail(progress: &mut Progress, range: Range, now: i64) {
    super::fail(
        progress,
        range,
        Work::Pull,
        at(now),
        FailureKind::Data,
        "poison",
    );
}

#[test]
fn a_range_that_failed_comes_after_fresh_ones_each_time_later() {
    let mut progress = Progress::default();
    finish(&mut progress, range(60, 120), at(150), &policy());
    fail(&mut progress, range(0, 60), 150);
    let again = |progress: &Progress, now: i64| -> Vec<Range> {
        let tasks = due(progress, at(now), &policy()).filter(|task| task.again);
        tasks.map(|task| task.range).collect()
    };
    // with the next run, then after a minute, two, four
    assert_eq!(again(&progress, 150), [range(0, 60)]);
    let tasks: Vec<Task> = due(&progress, at(190), &policy()).collect();
    assert_eq!(ranges(&tasks, Work::Pull), [range(120, 180), range(0, 60)]);
    let mut now = 150;
    for pause in [60, 120, 240] {
        fail(&mut progress, range(0, 60), now);
        assert_eq!(again(&progress, now + pause - 1), []);
        now += pause;
        assert_eq!(again(&progress, now), [range(0, 60)]);
    }
    for _ in 0..40 {
        fail(&mut progress, range(0, 60), now);
    }
    assert_eq!(again(&progress, now + 6 * 3_600 - 1), []);
    assert_eq!(again(&progress, now + 6 * 3_600), [range(0, 60)]);
    // an instant written by a clock that was ahead isn't waited for
    fail(&mut progress, range(0, 60), now + 100_000);
    assert_eq!(again(&progress, now + 90_000), [range(0, 60)]);
    // any kind of work completes it
    finish(&mut progress, range(-10, 30), at(now), &policy());
    assert_eq!(progress.failed[0].range, range(30, 60));
    finish(&mut progress, range(30, 60), at(now), &policy());
    assert_eq!(progress.failed, []);
}

#[test]
fn a_failed_range_is_a_gap_once_later_ones_were_pulled() {
    let mut progress = Progress::default();
    let gaps = |progress: &Progress| -> Vec<Range> {
        super::stream_gaps(progress, None, &policy())
            .iter()
            .collect()
    };
    fail(&mut progress, range(60, 120), 150);
    assert_eq!(gaps(&progress), []);
    finish(&mut progress, range(0, 60), at(150), &policy());
    assert_eq!(gaps(&progress), []);
    finish(&mut progress, range(120, 180), at(190), &policy());
    assert_eq!(gaps(&progress), [range(60, 120)]);
}

#[test]
fn an_unfinished_range_that_failed_waits_for_its_time_and_goes_on_from_its_cursor() {
    let open = OpenRange {
        range: range(0, 60),
        work: Work::Pull,
        asked_at: at(70),
        cursor: Cursor("c".into()),
    };
    let mut progress = Progress {
        open: vec![open],
        ..Progress::default()
    };
    finish(&mut progress, range(60, 120), at(150), &policy());
    fail(&mut progress, range(0, 60), 150);
    fail(&mut progress, range(0, 60), 150);
    assert_eq!(due(&progress, at(160), &policy()).count(), 1); // 120 to 150
    let tasks: Vec<Task> = due(&progress, at(210), &policy()).collect();
    let last = tasks.last().unwrap();
    assert_eq!((last.range, last.again), (range(0, 60), true));
    assert_eq!(last.resume.as_ref().unwrap().cursor, Cursor("c".into()));
}

#[test]
fn a_settle_pass_that_failed_waits_for_its_time() {
    let mut progress = Progress::default();
    run(&mut progress, 70, &policy());
    let settle = |progress: &Progress, now: i64| {
        let tasks: Vec<Task> = due(progress, at(now), &policy()).collect();
        ranges(&tasks, Work::Settle)
    };
    assert_eq!(settle(&progress, 170), [range(0, 60)]);
    for _ in 0..2 {
        let failed = range(0, 60);
        super::fail(
            &mut progress,
            failed,
            Work::Settle,
            at(170),
            FailureKind::Data,
            "",
        );
    }
    assert_eq!(settle(&progress, 220), []);
    assert_eq!(settle(&progress, 230), [range(0, 60)]);
    assert_eq!(progress.watermark, Some(at(60)));
    let calm = Policy {
        settle: vec![],
        ..policy()
    };
    finish(&mut progress, range(60, 90), at(230), &calm);
    assert_eq!(progress.failed, []); // that pass is no longer configured
}

#[test]
fn what_failed_of_a_day_is_asked_for_with_the_rest_of_that_day() {
    let mut progress = Progress::default();
    finish(&mut progress, range(3_600, 7_200), at(7_300), &by_day());
    for _ in 0..9 {
        fail(&mut progress, range(0, 3_600), 7_300);
    }
    let tasks: Vec<Task> = due(&progress, at(10_860), &by_day()).collect();
    assert_eq!(ranges(&tasks, Work::Pull), [range(0, 10_800)]);
    // alone, it waits
    let unsettled = Policy {
        settle: vec![],
        ..by_day()
    };
    finish(&mut progress, range(7_200, DAY), at(DAY + 60), &unsettled);
    let pulls = |progress: &Progress, now: i64| {
        let tasks: Vec<Task> = due(progress, at(now), &unsettled).collect();
        ranges(&tasks, Work::Pull)
    };
    assert_eq!(pulls(&progress, 7_300 + 128 * 60 - 1), []);
    assert_eq!(pulls(&progress, 7_300 + 128 * 60), [range(0, 3_600)]);
}

#[test]
fn what_is_too_old_is_passed_and_is_not_asked_for_again() {
    let mut progress = Progress::default();
    let settled = range(0, 30);
    finish(&mut progress, settled, at(40), &policy());
    fail(&mut progress, range(30, 60), 70);
    give_up(&mut progress, range(-60, 120), &policy());
    assert_eq!(progress.watermark, Some(at(120)));
    let lost: Vec<Range> = progress.unobtainable.iter().collect();
    assert_eq!(lost, [range(-60, 0), range(30, 120)]);
    assert_eq!(progress.failed, []);
    assert_eq!(progress.unsettled, BTreeMap::new());
    let tasks: Vec<Task> = due(&progress, at(190), &policy()).collect();
    assert_eq!(ranges(&tasks, Work::Pull), [range(120, 180)]);
    let by_hand = |progress: &Progress, refetch| -> Vec<Range> {
        let tasks = backfill(progress, range(0, 60), refetch, at(190), &policy());
        tasks.map(|task| task.range).collect()
    };
    assert_eq!(by_hand(&progress, false), []);
    let mut all = BTreeMap::from([("a".to_owned(), progress)]);
    begin_refetch(&mut all, &streams(&["a"]), range(0, 60));
    let mut progress = all.remove("a").unwrap();
    assert_eq!(by_hand(&progress, true), [range(0, 60)]);
    // a range that is served after all is no longer lost
    finish(&mut progress, range(0, 60), at(190), &policy());
    let lost: Vec<Range> = progress.unobtainable.iter().collect();
    assert_eq!(lost, [range(-60, 0), range(60, 120)]);
    assert_eq!(progress.watermark, Some(at(120)));
}

#[test]
fn the_newest_window_can_be_taken_out_of_its_turn() {
    for grain in [0, 45] {
        let policy = Policy {
            grain: TimeDelta::seconds(grain),
            ..policy()
        };
        let mut progress = Progress::default();
        finish(&mut progress, range(40, 70), at(80), &policy);
        let whole: Vec<Task> = due(&progress, at(600), &policy).collect();
        for taken in 0..whole.len() {
            let mut plan = due(&progress, at(600), &policy);
            let mut tasks: Vec<Task> = plan.by_ref().take(taken).collect();
            let newest: Vec<Task> = std::iter::from_fn(|| plan.newest()).collect();
            // unless it was already taken
            let mut first = tasks.iter().chain(newest.first());
            assert!(first.any(|task| plan.is_newest(task)), "{grain} {taken}");
            assert!(plan.is_empty());
            tasks.extend(newest.into_iter().rev());
            tasks.sort_by_key(|task| (task.work, task.range));
            let mut whole = whole.clone();
            whole.sort_by_key(|task| (task.work, task.range));
            assert_eq!(tasks, whole, "{grain} {taken}");
        }
    }
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
    progress.open = vec![OpenRange {
        range: range(1_200, 1_800),
        work: Work::Pull,
        asked_at: at(1_810),
        cursor: Cursor("x".to_owned()),
    }];
    // ranges first pulled with the lost commit are missing again; ranges that it re-read are to be settled
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
    // a cursor in the lost range is dropped
    uncover(&mut progress, range(1_500, 1_800), &before, &policy);
    assert!(progress.open.is_empty());
    // without settle passes, it is pulled
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
    // a part of a day is requested as a whole day, so it may be shorter than `min_window`
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
    // the range after a half also ends between days
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
    /// With any ticks, nothing up to the lag is left out, nothing is first-pulled twice, and each instant that was
    /// first pulled before a pass's delay is re-read after it.
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

    /// With any failures of any duration: fresh windows come first, failed ranges wait for their back-off, nothing
    /// is forgotten or requested twice in a run, the progress stays small, and everything is pulled when the
    /// provider has recovered.
    #[test]
    fn what_fails_is_pulled_in_the_end(
        mut ticks in prop::collection::vec(1_i64..9_000, 1..40),
        poison in prop::collection::vec((0_i64..9_000, 1_i64..400), 0..6),
        too_old in prop::option::of(0_i64..500),
        grain in prop_oneof![Just(0_i64), 100_i64..400],
    ) {
        let policy = Policy { grain: TimeDelta::seconds(grain), ..policy() };
        let poison: RangeSet = poison.into_iter().map(|(from, length)| range(from, from + length)).collect();
        ticks.sort_unstable();
        let mut progress = Progress::default();
        if let Some(oldest) = too_old.filter(|oldest| *oldest > 0) {
            give_up(&mut progress, range(0, oldest), &policy);
        }
        for &now in &ticks {
            let before = progress.clone();
            let mut again = false;
            let mut seen = RangeSet::default();
            for task in due(&before, at(now), &policy) {
                prop_assert!(task.again || !again, "fresh ones come first");
                again |= task.again;
                if task.work == Work::Pull && grain == 0 {
                    prop_assert!(seen.within(task.range).is_empty());
                    prop_assert!(before.unobtainable.within(task.range).is_empty());
                    seen.insert(task.range);
                }
                let waits = |failed: &&FailedRange| {
                    failed.work == task.work && failed.range.intersection(&task.range).is_some()
                };
                for failed in before.failed.iter().filter(waits) {
                    prop_assert!(grain > 0 || (task.again && failed.retry_at <= at(now)), "{failed:?}");
                }
                if poison.within(task.range).is_empty() {
                    finish(&mut progress, task.range, at(now), &policy);
                } else {
                    super::fail(&mut progress, task.range, task.work, at(now), FailureKind::Data, "");
                }
            }
            prop_assert!(progress.failed.len() <= FAILED_AT_MOST);
            let horizon = at(now) - policy.lag;
            if let Some(wanted) = Range::new(at(0), horizon) {
                let mut known = progress.passed();
                progress.failed.iter().for_each(|failed| known.insert(failed.range));
                prop_assert!(known.covers(wanted), "nothing is forgotten");
            }
            for failed in &progress.failed {
                prop_assert!(failed.work == Work::Settle || !progress.passed().covers(failed.range));
            }
        }
        // a day later the provider has recovered
        let now = 200_000;
        run(&mut progress, now, &policy);
        prop_assert_eq!(&progress.failed, &[]);
        prop_assert_eq!(progress.watermark, Some(at(now) - policy.lag));
    }

    /// With any number of failed windows, the progress holds a bounded number of ranges that includes all of them.
    #[test]
    fn the_state_of_many_failures_is_bounded(seeds in prop::collection::vec(0_i64..2_000, 150..400)) {
        let mut progress = Progress::default();
        for &seed in &seeds {
            fail(&mut progress, range(seed * 100, seed * 100 + 60), seed);
        }
        prop_assert!(progress.failed.len() <= FAILED_AT_MOST);
        for &seed in &seeds {
            let failed = range(seed * 100, seed * 100 + 60);
            prop_assert!(progress.failed.iter().any(|have| have.range.intersection(&failed) == Some(failed)));
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
