//! The roll-up of a day's rows, for views of months.

use std::collections::BTreeMap;

use super::RunRow;
use crate::model::Range;

/// Merges rows of the same job, stream and kind of work with adjacent ranges into one row, with the newest run's id and
/// error. Sums don't change.
pub(super) fn rolled_up(rows: Vec<RunRow>) -> Vec<RunRow> {
    let mut groups: BTreeMap<_, Vec<RunRow>> = BTreeMap::new();
    for row in rows {
        let key = (
            row.job.clone(),
            row.stream.clone(),
            row.work,
            row.outcome.as_str(),
        );
        groups.entry(key).or_default().push(row);
    }
    let mut rolled_up = Vec::new();
    for mut group in groups.into_values() {
        group.sort_by_key(|row| (row.range, row.run));
        let mut group = group.into_iter();
        let mut of = group.next().map(|first| (first, false));
        for row in group {
            of = match of.take() {
                Some((mut sum, _)) if touch(sum.range, row.range) => {
                    take(&mut sum, row);
                    Some((sum, true))
                }
                done => {
                    rolled_up.extend(done.map(as_total));
                    Some((row, false))
                }
            };
        }
        rolled_up.extend(of.map(as_total));
    }
    rolled_up
}

fn touch(one: Option<Range>, next: Option<Range>) -> bool {
    match (one, next) {
        (Some(one), Some(next)) => next.from() <= one.to(),
        (one, next) => one == next,
    }
}

fn take(sum: &mut RunRow, row: RunRow) {
    sum.range = (sum.range.zip(row.range)).map(|(one, other)| one.hull(&other));
    sum.started_at = sum.started_at.min(row.started_at);
    sum.ended_at = sum.ended_at.max(row.ended_at);
    sum.counts += row.counts;
    sum.calls += row.calls;
    sum.retries += row.retries;
    add(&mut sum.days, &row.days);
    add(&mut sum.delays, &row.delays);
    if row.run >= sum.run {
        sum.run = row.run;
        sum.provider = row.provider.or(sum.provider.take());
        sum.connection = row.connection.or(sum.connection.take());
        sum.error_kind = row.error_kind;
        sum.error = row.error;
    }
    sum.remarks.extend(row.remarks);
}

/// Returns the texts without repetition counts, so that repeated roll-ups don't count them as different.
fn as_total((mut row, is_sum): (RunRow, bool)) -> RunRow {
    if is_sum {
        row.remarks.push("summed up from several rows".to_owned());
        row.remarks.sort();
        row.remarks.dedup();
    }
    row
}

fn add<K: Ord + Copy>(sums: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
    for (key, rows) in more {
        *sums.entry(*key).or_default() += rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::RangeOutcome;
    use crate::history::testing::row;

    #[test]
    fn ranges_that_touch_become_one_and_sums_stay() {
        let lost = RunRow {
            range: None,
            stream: None,
            work: None,
            outcome: RangeOutcome::Lost,
            ..row(1, 0, 1, 0)
        };
        let failed = RunRow {
            outcome: RangeOutcome::Failed,
            error: Some("refused".to_owned()),
            ..row(1, 4, 5, 0)
        };
        let late = RunRow {
            retries: 3,
            delays: BTreeMap::from([(60, 1), (300, 2)]),
            ..row(1, 2, 3, 5)
        };
        let rows = vec![
            late,
            lost.clone(),
            row(1, 0, 1, 1),
            failed.clone(),
            row(1, 1, 2, 2),
            row(1, 6, 7, 4),
            lost,
        ];
        let few = rolled_up(rows.clone());
        let of = |rows: &[RunRow]| {
            let mut sums = (0, 0, 0, BTreeMap::new(), BTreeMap::new());
            for row in rows {
                sums.0 += row.counts.new;
                sums.1 += row.calls;
                sums.2 += row.retries;
                add(&mut sums.3, &row.days);
                add(&mut sums.4, &row.delays);
            }
            sums
        };
        assert_eq!(of(&few), of(&rows));
        let mut as_total: Vec<_> = few
            .iter()
            .map(|row| (row.outcome.as_str(), row.range, row.counts.new))
            .collect();
        as_total.sort();
        let (whole, alone) = (row(1, 0, 3, 0).range, row(1, 6, 7, 0).range);
        assert_eq!(
            as_total,
            [
                ("failed", failed.range, 0),
                ("finished", whole, 8),
                ("finished", alone, 4),
                ("lost", None, 0),
            ]
        );
        let remarks: Vec<_> = few.iter().map(|row| row.remarks.clone()).collect();
        let as_total = vec!["summed up from several rows".to_owned()];
        assert!(remarks.contains(&as_total));
        assert!(few.iter().any(|row| row.error.is_some()));
        // again, with a row between those that weren't adjacent
        let again = rolled_up(few.into_iter().chain([row(1, 3, 6, 1)]).collect());
        let all = row(1, 0, 7, 0).range;
        let whole = again.iter().find(|row| row.range == all);
        assert_eq!(whole.map(|row| &row.remarks), Some(&as_total));
    }
}
