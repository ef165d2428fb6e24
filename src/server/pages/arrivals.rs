//! The delays of late records, and advice about `lag` and `settle`.
//!
//! A row is late if an earlier pull of its range didn't return it. Its delay, from the event to the read that found it,
//! is an upper bound. Records that no settle pass re-reads aren't found at all.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::history::{DELAYS, RunRow};
use crate::lake::Work;
use crate::model::Timestamp;
use crate::run::plan::Policy;
use crate::text;

/// The period of runs that are evaluated.
pub(super) const WATCHED: TimeDelta = TimeDelta::days(30);
/// The minimum period of settle passes before a lack of late rows is meaningful.
const ENOUGH: TimeDelta = TimeDelta::days(3);
/// The suggested delays of a further pass: the first that is later.
const LADDER: [u64; 7] = [900, 3_600, 21_600, 86_400, 259_200, 604_800, 2_592_000];
/// The share of late rows in per cent above which a larger `lag` is suggested.
const MUCH: u64 = 1;

/// The late rows in runs of the last [`WATCHED`].
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Arrivals {
    /// The new rows.
    pub(super) rows: u64,
    /// The late rows by delay, as in [`RunRow::delays`].
    pub(super) delays: BTreeMap<u64, u64>,
    /// The late rows found by settle passes. Others came with pulls of neighbouring ranges, or with a backfill.
    pub(super) by_passes: BTreeMap<u64, u64>,
    /// The records re-read by settle passes.
    pub(super) read_again: u64,
    /// The period covered by the evaluated runs.
    pub(super) watched: TimeDelta,
}

/// The kind of advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdviceTone {
    /// Nothing to do.
    Fine,
    /// A change to make or consider.
    Consider,
    /// The data are insufficient.
    Unknown,
}

/// Advice about `lag` or `settle`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LagAdvice {
    pub(super) tone: AdviceTone,
    pub(super) text: String,
}

impl Arrivals {
    /// Adds a row of a run.
    pub(super) fn take(&mut self, row: &RunRow, now: Timestamp) {
        self.rows += row.counts.new;
        for (delay, rows) in &row.delays {
            *self.delays.entry(*delay).or_default() += rows;
        }
        if row.work == Some(Work::Settle) {
            self.read_again += row.counts.fetched;
            for (delay, rows) in &row.delays {
                *self.by_passes.entry(*delay).or_default() += rows;
            }
        }
        self.watched = self.watched.max(now - row.started_at);
    }

    /// Adds the late rows of another job.
    pub(super) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        for (delay, rows) in &other.delays {
            *self.delays.entry(*delay).or_default() += rows;
        }
        for (delay, rows) in &other.by_passes {
            *self.by_passes.entry(*delay).or_default() += rows;
        }
        self.read_again += other.read_again;
        self.watched = self.watched.max(other.watched);
    }

    /// Returns the number of late rows.
    pub(super) fn late(&self) -> u64 {
        self.delays.values().sum()
    }

    /// Returns the number of rows that may be later than `delay` seconds.
    fn later_than(&self, delay: u64) -> u64 {
        later_than(&self.delays, delay)
    }

    /// Returns the upper bound of the latest row found by settle passes, such as `6h`; `None` without such rows.
    fn latest(&self) -> Option<String> {
        let (bound, _) = self.by_passes.iter().rfind(|(_, rows)| **rows > 0)?;
        Some(match *bound {
            u64::MAX => format!("more than {} late", words(DELAYS[DELAYS.len() - 1])),
            bound => format!("at most {} late", words(bound)),
        })
    }
}

fn later_than(delays: &BTreeMap<u64, u64>, delay: u64) -> u64 {
    let later = delays.iter().filter(|(bound, _)| **bound > delay);
    later.map(|(_, rows)| rows).sum()
}

/// Formats a share of `whole`: `1.3 %`, `under 0.01 %`.
pub(super) fn share(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0\u{a0}%".to_owned();
    }
    let hundredths = u128::from(part) * 10_000 / u128::from(whole);
    match hundredths {
        0 => "under 0.01\u{a0}%".to_owned(),
        1..1_000 => format!("{}.{:02}\u{a0}%", hundredths / 100, hundredths % 100),
        _ => format!("{}.{}\u{a0}%", hundredths / 100, hundredths % 100 / 10),
    }
}

/// Returns the advice about the policy.
pub(super) fn advise(policy: &Policy, arrivals: &Arrivals) -> Vec<LagAdvice> {
    let mut advice = vec![of_settle(policy, arrivals)];
    advice.extend(of_lag(policy, arrivals));
    advice
}

#[expect(clippy::too_many_lines, reason = "one sentence for each case")]
fn of_settle(policy: &Policy, arrivals: &Arrivals) -> LagAdvice {
    let say = |tone, text| LagAdvice { tone, text };
    let passes: Vec<u64> = (policy.settle.iter())
        .map(|delay| delay.num_seconds().unsigned_abs())
        .collect();
    let settle = format!("`settle: {}`", list(&passes));
    let (late, watched) = (arrivals.late(), in_time(arrivals.watched));
    let Some(&last) = passes.last() else {
        return say(
            AdviceTone::Consider,
            format!(
                "There is no settle pass, so records that arrive later than the lag of {} are never found. `settle: \
                 [1h, 24h]` would show whether there are any.",
                text::length(policy.lag)
            ),
        );
    };
    if arrivals.rows == 0 {
        return say(
            AdviceTone::Unknown,
            format!("No row has landed {watched}: there is no data."),
        );
    }
    let by_passes: u64 = arrivals.by_passes.values().sum();
    let elsewhere = match late.saturating_sub(by_passes) {
        0 => String::new(),
        more => format!(
            "; {} came with pulls of neighbouring ranges",
            text::counted(more, "late row")
        ),
    };
    if arrivals.read_again == 0 {
        return say(
            AdviceTone::Unknown,
            format!(
                "No pass of {settle} has re-read a record {watched}{elsewhere}. Too early to tell whether the passes \
                 are sufficient."
            ),
        );
    }
    let found = match arrivals.latest() {
        None => format!("{settle} found no late row {watched}"),
        Some(latest) => format!(
            "{settle} found {} {watched}, {}{latest}",
            text::counted(by_passes, "late row"),
            if by_passes == 1 { "" } else { "the latest " },
        ),
    };
    let found = format!("{found}{elsewhere}");
    let by_last = later_than(&arrivals.by_passes, last);
    let next = (LADDER.into_iter())
        .find(|next| *next > last)
        .unwrap_or(last.saturating_mul(2));
    if by_last > 0 {
        let before = passes.len().checked_sub(2).map(|at| passes[at]);
        let same = before.filter(|before| bound_above(*before) == bound_above(last));
        let whose = match same {
            Some(before) => format!(
                "The passes after {} and {}, which these figures don't distinguish, still find rows",
                words(before),
                words(last)
            ),
            None => format!("The last pass, after {}, still finds rows", words(last)),
        };
        return say(
            AdviceTone::Consider,
            format!(
                "{found}. {whose} ({} of them): later ones aren't found. Add a later pass, e.g. {}.",
                text::count(by_last),
                words(next)
            ),
        );
    }
    let after_last = arrivals.later_than(last);
    if after_last > 0 {
        return say(
            AdviceTone::Consider,
            format!(
                "{found}. {} of these may be later than the last pass, after {}: no pass would have found them. Add a \
                 later pass, e.g. {}.",
                text::count(after_last),
                words(last),
                words(next)
            ),
        );
    }
    let made_for =
        arrivals.watched - TimeDelta::seconds(i64::try_from(last).unwrap_or(i64::MAX / 1_000_000));
    if made_for < ENOUGH {
        return say(
            AdviceTone::Unknown,
            format!(
                "{found}. Too early to tell: passes after {} haven't run for long enough.",
                words(last)
            ),
        );
    }
    let silent: Vec<String> = (passes
        .iter()
        .filter(|pass| arrivals.later_than(**pass) == 0))
    .map(|pass| words(*pass))
    .collect();
    let also = if late == 0 && passes.len() > 1 {
        format!(
            " One pass, `settle: [{}]`, would be enough for monitoring, with fewer calls.",
            words(last)
        )
    } else if silent.len() > 1 {
        format!(
            " Of the passes after {}, one is enough for monitoring.",
            silent.join(" and ")
        )
    } else {
        String::new()
    };
    say(
        AdviceTone::Fine,
        format!(
            "{found}: sufficient. Passes after {} found nothing.{also}",
            silent.join(" and ")
        ),
    )
}

/// Returns the advice about `lag`. Late rows cause additional calls, but are never lost; if there are many, the first
/// pull is too early.
fn of_lag(policy: &Policy, arrivals: &Arrivals) -> Option<LagAdvice> {
    let late = arrivals.late();
    if late.saturating_mul(100) < arrivals.rows.saturating_mul(MUCH) || late == 0 {
        return None;
    }
    let first = policy
        .settle
        .first()
        .map(|delay| delay.num_seconds().unsigned_abs())?;
    let earlier = LADDER.into_iter().rfind(|step| *step < first);
    let tell = earlier.map_or_else(String::new, |earlier| {
        format!(
            " The right value is unknown before the first pass, after {}: one after {} would narrow it down.",
            words(first),
            words(earlier)
        )
    });
    Some(LagAdvice {
        tone: AdviceTone::Consider,
        text: format!(
            "{} of the rows weren't there when their range was first pulled. They land with a settle pass. With a \
             `lag` longer than {}, more of them would land at once, but all others that much later.{tell}",
            share(late, arrivals.rows),
            text::length(policy.lag),
        ),
    })
}

/// Returns the smallest distinguished delay above `delay`.
fn bound_above(delay: u64) -> u64 {
    DELAYS
        .into_iter()
        .find(|bound| *bound > delay)
        .unwrap_or(u64::MAX)
}

fn in_time(length: TimeDelta) -> String {
    if length < TimeDelta::days(1) {
        "within the last day".to_owned()
    } else {
        format!(
            "in {}",
            text::counted(length.num_days().unsigned_abs(), "day")
        )
    }
}

fn list(passes: &[u64]) -> String {
    let passes: Vec<String> = passes.iter().map(|pass| words(*pass)).collect();
    format!("[{}]", passes.join(", "))
}

/// Formats a delay as in jobs.yaml: `90m`, `24h`, `3d`.
pub(super) fn words(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        172_800.. if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        3_600.. if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600;

    fn policy(settle: &[u64]) -> Policy {
        Policy {
            start: chrono::DateTime::UNIX_EPOCH,
            window: TimeDelta::hours(1),
            min_window: TimeDelta::minutes(1),
            lag: TimeDelta::minutes(2),
            settle: settle
                .iter()
                .map(|&pass| TimeDelta::seconds(pass.cast_signed()))
                .collect(),
            grain: TimeDelta::zero(),
        }
    }

    fn seen(rows: u64, delays: &[(u64, u64)], days: i64) -> Arrivals {
        Arrivals {
            rows,
            delays: delays.iter().copied().collect(),
            by_passes: delays.iter().copied().collect(),
            read_again: 2 * rows,
            watched: TimeDelta::days(days),
        }
    }

    fn advice(settle: &[u64], arrivals: &Arrivals) -> String {
        let advice = advise(&policy(settle), arrivals);
        let lines: Vec<String> = (advice.iter())
            .map(|advice| format!("{:?}: {}", advice.tone, advice.text))
            .collect();
        lines.join("\n").replace('\u{a0}', " ")
    }

    #[test]
    fn passes_that_found_all_there_was_are_enough() {
        insta::assert_snapshot!(
            advice(&[HOUR, 24 * HOUR], &seen(90_000, &[(6 * HOUR, 12)], 30)),
            @"Fine: `settle: [1h, 24h]` found 12 late rows in 30 days, the latest at most 6h late: sufficient. Passes after 24h found nothing."
        );
        insta::assert_snapshot!(advice(&[HOUR, 24 * HOUR], &seen(90_000, &[], 30)), @"Fine: `settle: [1h, 24h]` found no late row in 30 days: sufficient. Passes after 1h and 24h found nothing. One pass, `settle: [24h]`, would be enough for monitoring, with fewer calls.");
        insta::assert_snapshot!(
            advice(&[HOUR, 24 * HOUR, 72 * HOUR], &seen(90_000, &[(6 * HOUR, 1)], 30)),
            @"Fine: `settle: [1h, 24h, 3d]` found 1 late row in 30 days, at most 6h late: sufficient. Passes after 24h and 3d found nothing. Of the passes after 24h and 3d, one is enough for monitoring."
        );
    }

    #[test]
    fn a_last_pass_that_still_finds_rows_wants_a_later_one() {
        insta::assert_snapshot!(
            advice(&[HOUR, 24 * HOUR], &seen(90_000, &[(6 * HOUR, 9), (72 * HOUR, 3)], 30)),
            @"Consider: `settle: [1h, 24h]` found 12 late rows in 30 days, the latest at most 3d late. The last pass, after 24h, still finds rows (3 of them): later ones aren't found. Add a later pass, e.g. 3d."
        );
        insta::assert_snapshot!(advice(&[24 * HOUR], &seen(90_000, &[(u64::MAX, 1)], 30)), @"Consider: `settle: [24h]` found 1 late row in 30 days, more than 7d late. The last pass, after 24h, still finds rows (1 of them): later ones aren't found. Add a later pass, e.g. 3d.");
        // two passes within one class of delays
        insta::assert_snapshot!(advice(&[HOUR, 2 * HOUR], &seen(90_000, &[(6 * HOUR, 3)], 30)), @"Consider: `settle: [1h, 2h]` found 3 late rows in 30 days, the latest at most 6h late. The passes after 1h and 2h, which these figures don't distinguish, still find rows (3 of them): later ones aren't found. Add a later pass, e.g. 6h.");
        // no later class
        insta::assert_snapshot!(advice(&[2_592_000], &seen(90_000, &[(u64::MAX, 3)], 30)), @"Consider: `settle: [30d]` found 3 late rows in 30 days, the latest more than 7d late. The last pass, after 30d, still finds rows (3 of them): later ones aren't found. Add a later pass, e.g. 60d.");
    }

    #[test]
    fn it_doesnt_say_more_than_it_knows() {
        insta::assert_snapshot!(advice(&[HOUR], &Arrivals::default()), @"Unknown: No row has landed within the last day: there is no data.");
        insta::assert_snapshot!(advice(&[HOUR, 24 * HOUR], &seen(90_000, &[(6 * HOUR, 12)], 2)), @"Unknown: `settle: [1h, 24h]` found 12 late rows in 2 days, the latest at most 6h late. Too early to tell: passes after 24h haven't run for long enough.");
        insta::assert_snapshot!(advice(&[], &seen(90_000, &[], 30)), @"Consider: There is no settle pass, so records that arrive later than the lag of 2m are never found. `settle: [1h, 24h]` would show whether there are any.");
        let never_read_again = Arrivals {
            read_again: 0,
            ..seen(90_000, &[], 30)
        };
        insta::assert_snapshot!(advice(&[HOUR], &never_read_again), @"Unknown: No pass of `settle: [1h]` has re-read a record in 30 days. Too early to tell whether the passes are sufficient.");
    }

    /// A provider that accepts only whole days also returns records of the previous day.
    #[test]
    fn what_a_neighbouring_pull_found_is_not_credited_to_the_passes() {
        let no_pass_yet = Arrivals {
            read_again: 0,
            by_passes: BTreeMap::new(),
            ..seen(90, &[(6 * HOUR, 2), (24 * HOUR, 1)], 30)
        };
        insta::assert_snapshot!(advice(&[24 * HOUR], &no_pass_yet), @"
        Unknown: No pass of `settle: [24h]` has re-read a record in 30 days; 3 late rows came with pulls of neighbouring ranges. Too early to tell whether the passes are sufficient.
        Consider: 3.33 % of the rows weren't there when their range was first pulled. They land with a settle pass. With a `lag` longer than 2m, more of them would land at once, but all others that much later. The right value is unknown before the first pass, after 24h: one after 6h would narrow it down.
        ");
        let some = Arrivals {
            by_passes: BTreeMap::from([(6 * HOUR, 1)]),
            ..seen(90_000, &[(6 * HOUR, 1), (72 * HOUR, 2)], 30)
        };
        insta::assert_snapshot!(advice(&[24 * HOUR], &some), @"Consider: `settle: [24h]` found 1 late row in 30 days, at most 6h late; 2 late rows came with pulls of neighbouring ranges. 2 of these may be later than the last pass, after 24h: no pass would have found them. Add a later pass, e.g. 3d.");
    }

    #[test]
    fn many_late_rows_are_a_matter_of_the_lag() {
        insta::assert_snapshot!(advice(&[HOUR, 24 * HOUR], &seen(10_000, &[(6 * HOUR, 130)], 30)), @"
        Fine: `settle: [1h, 24h]` found 130 late rows in 30 days, the latest at most 6h late: sufficient. Passes after 24h found nothing.
        Consider: 1.30 % of the rows weren't there when their range was first pulled. They land with a settle pass. With a `lag` longer than 2m, more of them would land at once, but all others that much later. The right value is unknown before the first pass, after 1h: one after 15m would narrow it down.
        ");
    }

    #[test]
    fn shares_and_lengths_read_well() {
        assert_eq!(
            [
                share(0, 0),
                share(1, 1_000_000),
                share(212, 123_456),
                share(130, 1_000),
                share(5, 5)
            ],
            ["0 %", "under 0.01 %", "0.17 %", "13.0 %", "100.0 %"]
                .map(|text| text.replace(" %", "\u{a0}%"))
        );
        assert_eq!(
            [30, 90, 900, 5_400, 3_600, 86_400, 259_200].map(words),
            ["30s", "90s", "15m", "90m", "1h", "24h", "3d"]
        );
    }
}
