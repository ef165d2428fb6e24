//! Log entries in the future, which were written by a clock that was ahead. Pure functions find and remove them, so
//! that the ranges are planned again.

use std::collections::BTreeMap;

use crate::lake::Progress;
use crate::model::{Range, RangeSet, Timestamp};
use crate::run::plan::{Policy, failed_at};

/// Returns the last instant that a log mentions as past: the end of its pulled, refused or failed ranges, or the time
/// of their requests.
pub fn latest(
    progress: &BTreeMap<String, Progress>,
    planned_at: Option<Timestamp>,
) -> Option<Timestamp> {
    let of_streams = progress.values().flat_map(|progress| {
        let passed = [&progress.coverage, &progress.unobtainable];
        let passed = (passed.into_iter()).filter_map(|set| Some(set.iter().next_back()?.to()));
        let failed = progress
            .failed
            .iter()
            .flat_map(|failed| [failed.range.to(), failed_at(failed)]);
        let open = progress
            .open
            .iter()
            .flat_map(|open| [open.range.to(), open.asked_at]);
        passed.chain(failed).chain(open)
    });
    of_streams.chain(planned_at).max()
}

/// Removes entries that can't have been pulled by `now`. Returns whether there were any.
///
/// The same wrong clock also decided about settle passes. Ranges pulled so shortly before `now` that no pass can have
/// been due are therefore re-read by each pass.
pub fn void(progress: &mut BTreeMap<String, Progress>, now: Timestamp, policy: &Policy) -> bool {
    let mut found = false;
    for progress in progress.values_mut() {
        found |= void_stream(progress, now, policy);
    }
    found
}

fn void_stream(progress: &mut Progress, now: Timestamp, policy: &Policy) -> bool {
    let end = policy.horizon(now);
    let is_past = |open: &crate::lake::OpenRange| open.range.to() <= end && open.asked_at <= now;
    let mut found = cut(&mut progress.coverage, end) | cut(&mut progress.unobtainable, end);
    for unsettled in progress.unsettled.values_mut() {
        found |= cut(unsettled, end);
    }
    let all = progress.open.len();
    progress.open.retain(is_past);
    found |= progress.open.len() < all;
    if let Some(refetch) = &mut progress.refetch {
        found |= cut(&mut refetch.left, end);
    }
    progress.failed.retain_mut(|failed| {
        if failed_at(failed) > now {
            failed.retry_at = now;
            found = true;
        }
        if failed.range.to() <= end {
            return true;
        }
        found = true;
        let past = Range::new(failed.range.from(), end);
        failed.range = past.unwrap_or(failed.range);
        past.is_some()
    });
    if !found {
        return false;
    }
    for &delay in &policy.settle {
        let unsettled = (progress.unsettled)
            .entry(delay.num_seconds().unsigned_abs())
            .or_default();
        let Some(recent) = (now.checked_sub_signed(delay)).and_then(|from| Range::new(from, now))
        else {
            continue;
        };
        for pulled in progress.coverage.within(recent).iter() {
            unsettled.insert(pulled);
        }
    }
    progress.unsettled.retain(|_, ranges| !ranges.is_empty());
    progress.watermark = Some(progress.passed().contiguous_end(policy.start));
    true
}

/// Removes ranges after `end` from the set. Returns whether there were any.
fn cut(set: &mut RangeSet, end: Timestamp) -> bool {
    let last = set.iter().next_back().map(|last| last.to());
    let beyond = last.and_then(|last| Range::new(end, last));
    beyond.map(|beyond| set.remove(beyond)).is_some()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lake::{FailedRange, OpenRange, Refetch, Work};
    use crate::providers::Cursor;
    use crate::run::plan;
    use crate::run::plan::tests::{at, policy, range};

    /// Completes all work that is due by a clock that shows `now`.
    fn run(progress: &mut Progress, now: i64) {
        let tasks: Vec<_> = plan::due(progress, at(now), &policy()).collect();
        for task in tasks {
            plan::finish(progress, task.range, at(now), &policy());
        }
    }

    fn one(progress: Progress) -> BTreeMap<String, Progress> {
        BTreeMap::from([("s".to_owned(), progress)])
    }

    #[test]
    fn what_lies_beyond_now_is_taken_out() {
        let open = |from, to, asked_at| OpenRange {
            range: range(from, to),
            work: Work::Pull,
            asked_at: at(asked_at),
            cursor: Cursor("c".into()),
        };
        let mut progress = one(Progress {
            watermark: Some(at(900)),
            coverage: [range(0, 900), range(950, 1_000)].into_iter().collect(),
            unsettled: BTreeMap::from([(1_000, [range(0, 1_000)].into_iter().collect())]),
            open: vec![
                open(100, 160, 400),
                open(200, 260, 501),
                open(490, 510, 400),
            ],
            refetch: Some(Refetch {
                range: range(400, 800),
                left: [range(450, 800)].into_iter().collect(),
            }),
            window: Some(30),
            ..Progress::default()
        });
        assert_eq!(latest(&progress, None), Some(at(1_000)));
        assert_eq!(latest(&progress, Some(at(2_000))), Some(at(2_000)));
        assert!(void(&mut progress, at(500), &policy()));
        let left = &progress["s"];
        assert_eq!(left.watermark, Some(at(490)));
        assert_eq!(left.coverage, [range(0, 490)].into_iter().collect());
        assert_eq!(
            left.unsettled[&1_000],
            [range(0, 490)].into_iter().collect()
        );
        assert_eq!(
            left.unsettled[&100],
            [range(400, 490)].into_iter().collect()
        );
        assert_eq!(left.open, [open(100, 160, 400)]);
        assert_eq!(
            left.refetch.as_ref().unwrap().left,
            [range(450, 490)].into_iter().collect()
        );
        assert_eq!(left.window, Some(30));
        assert!(!void(&mut progress, at(500), &policy()), "once is enough");
    }

    #[test]
    fn what_failed_or_was_refused_beyond_now_is_taken_out_and_what_failed_then_is_due() {
        let failed = |from, to, attempts, retry_at| FailedRange {
            range: range(from, to),
            work: Work::Pull,
            attempts,
            retry_at: at(retry_at),
            kind: None,
            error: "down".to_owned(),
        };
        // after the second failure a range waits for a minute
        let waits = failed(0, 60, 2, 560);
        let mut progress = one(Progress {
            coverage: [range(60, 300)].into_iter().collect(),
            unobtainable: [range(300, 310), range(490, 600)].into_iter().collect(),
            failed: vec![
                waits.clone(),
                failed(320, 380, 2, 100_000),
                failed(400, 700, 1, 500),
                failed(700, 760, 1, 500),
            ],
            ..Progress::default()
        });
        assert_eq!(latest(&progress, None), Some(at(99_940)));
        assert!(void(&mut progress, at(500), &policy()));
        let left = &progress["s"];
        assert_eq!(left.unobtainable, [range(300, 310)].into_iter().collect());
        assert_eq!(
            left.failed,
            [waits, failed(320, 380, 2, 500), failed(400, 490, 1, 500)]
        );
        assert!(latest(&progress, None) <= Some(at(500)));
        let once = progress.clone();
        assert!(!void(&mut progress, at(500), &policy()), "once is enough");
        assert_eq!(progress, once);
        // each of the three kinds is found alone
        for (unobtainable, failed) in [
            (Some(range(490, 600)), None),
            (None, Some(failed(0, 60, 3, 5_000))),
            (None, Some(failed(400, 700, 1, 500))),
        ] {
            let mut progress = one(Progress {
                unobtainable: unobtainable.into_iter().collect(),
                failed: failed.into_iter().collect(),
                ..Progress::default()
            });
            assert!(latest(&progress, None) > Some(at(500)));
            assert!(void(&mut progress, at(500), &policy()));
            assert!(latest(&progress, None) <= Some(at(500)));
        }
    }

    proptest! {
        /// Entries written by correct clocks never change.
        #[test]
        fn what_right_clocks_wrote_stays(mut ticks in prop::collection::vec(1_i64..5_000, 1..12)) {
            ticks.sort_unstable();
            let mut progress = Progress::default();
            for now in ticks {
                run(&mut progress, now);
                let mut read = one(progress.clone());
                prop_assert!(!void(&mut read, at(now), &policy()));
                prop_assert_eq!(&read["s"], &progress);
            }
        }

        /// After a run with a clock that was ahead, runs with correct clocks re-read each instant after it happened,
        /// and each settle pass that wasn't due yet still takes place.
        #[test]
        fn what_a_clock_that_was_ahead_wrote_is_planned_again(
            before in 1_i64..2_000, ahead in 61_i64..100_000, after in 0_i64..2_000,
        ) {
            let mut progress = Progress::default();
            run(&mut progress, before);
            let mut right = progress.clone();
            run(&mut progress, before + ahead);
            let now = before + after.min(50); // re-read before much time has passed
            let mut read = one(progress);
            void(&mut read, at(now), &policy());
            let read = read.remove("s").unwrap();
            prop_assert!(read.coverage.iter().all(|range| range.to() <= at(now)));
            run(&mut right, before);
            for (delay, unsettled) in &right.unsettled {
                let delay = i64::try_from(*delay).unwrap();
                for range in unsettled.iter() {
                    for second in (range.from().timestamp()..range.to().timestamp()).filter(|at| at + delay >= now) {
                        let healed = read.unsettled.get(&delay.unsigned_abs());
                        prop_assert!(healed.is_some_and(|healed| healed.contains(at(second))), "{second} {delay}");
                    }
                }
            }
        }
    }
}
