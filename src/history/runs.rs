//! The derivation of the rows of runs from a job's commits.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use uuid::Uuid;

use super::{RangeOutcome, RunRow};
use crate::lake::{Claim, Commit, CommitKind, Pulled, RecordCounts, RunFailure, RunSummary, Work};
use crate::model::{Range, Timestamp};

/// The runs of a job, derived from its commits in order.
///
/// Every added commit is in the rows exactly once: their sums are those of the commits, with any number of commits at a
/// time. Therefore the rows of a day are derived from the commits of that day alone.
#[derive(Debug, Clone, Default)]
pub struct RunFold {
    runs: Vec<FoldedRun>,
}

/// A run, as far as its commits were added.
#[derive(Debug, Clone)]
struct FoldedRun {
    job: String,
    id: Uuid,
    provider: Option<String>,
    connection: Option<String>,
    started_at: Timestamp,
    last_at: Timestamp,
    /// The pulled ranges by stream and kind of work.
    parts: BTreeMap<(String, Work), Vec<RangePart>>,
    /// Whether its newest commit holds a claim.
    claim: Option<Claim>,
    ended: Option<RunSummary>,
    /// Whether another run has claimed the job since.
    is_followed: bool,
    /// Whether it has a later commit that isn't added.
    goes_on: bool,
}

/// A range with the counts of its records.
#[derive(Debug, Clone)]
struct RangePart {
    range: Range,
    finished: bool,
    sums: Sums,
}

#[derive(Debug, Clone, Default)]
struct Sums {
    counts: RecordCounts,
    calls: u64,
    retries: u64,
    days: BTreeMap<NaiveDate, u64>,
    delays: BTreeMap<u64, u64>,
    remarks: BTreeSet<String>,
}

impl RunFold {
    /// Adds the job's next commit.
    pub fn take(&mut self, commit: Commit) {
        self.see(commit.run);
        if self.runs.last().is_none_or(|run| run.id != commit.run) {
            self.runs.push(FoldedRun::of(&commit));
        }
        if let Some(run) = self.runs.last_mut() {
            run.take(commit);
        }
    }

    /// Records that the job's next commit belongs to `run` and isn't added.
    pub fn see(&mut self, run: Uuid) {
        if let Some(last) = self.runs.last_mut() {
            last.is_followed |= last.id != run;
            last.goes_on = last.id == run;
        }
    }

    /// Returns the number of runs.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Returns whether there are no runs.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Returns the rows in the order of the runs. A run that holds the job `now` has the rows of its ranges so far.
    pub fn rows(&self, now: Timestamp) -> impl Iterator<Item = RunRow> {
        self.runs.iter().flat_map(move |run| run.rows(now))
    }

    /// Removes and returns the runs that no further commit can change.
    pub fn take_over(&mut self, now: Timestamp) -> Vec<RunRow> {
        let over = self.runs.iter().take_while(|run| run.is_followed).count();
        let over: Vec<FoldedRun> = self.runs.drain(..over).collect();
        over.iter().flat_map(|run| run.rows(now)).collect()
    }
}

impl FoldedRun {
    fn of(commit: &Commit) -> Self {
        let started_at = match (commit.kind, started(commit.run)) {
            (CommitKind::Claim, _) | (_, None) => commit.at,
            (_, Some(at)) => at.min(commit.at),
        };
        Self {
            job: commit.job.clone(),
            id: commit.run,
            provider: None,
            connection: None,
            started_at,
            last_at: commit.at,
            parts: BTreeMap::new(),
            claim: None,
            ended: None,
            is_followed: false,
            goes_on: false,
        }
    }

    fn take(&mut self, commit: Commit) {
        self.goes_on = false;
        self.last_at = self.last_at.max(commit.at);
        if let Some(origin) = commit.origin {
            self.provider = origin.provider;
            self.connection = Some(origin.connection);
        }
        self.claim = commit.claim;
        if let Some(ended) = commit.ended {
            self.started_at = ended.started_at;
            self.ended = Some(ended);
        }
        for pulled in commit.pulled {
            self.pulled(pulled);
        }
    }

    /// Merges adjacent ranges, as in the commits; the parts of a range that were pulled before it was finished become
    /// part of it.
    fn pulled(&mut self, pulled: Pulled) {
        let parts = self
            .parts
            .entry((pulled.stream.clone(), pulled.work))
            .or_default();
        let mut new = RangePart::of(pulled);
        if new.finished {
            // the enlarged range may be adjacent to others
            while let Some(place) = parts.iter().position(|part| part.belongs_to(&new)) {
                let part = parts.swap_remove(place);
                new.range = new.range.hull(&part.range);
                new.sums.add(part.sums);
            }
            return parts.push(new);
        }
        let of = |part: &&mut RangePart| {
            part.range == new.range || part.finished && contains(part.range, new.range)
        };
        match parts.iter_mut().find(of) {
            Some(part) => part.sums.add(new.sums),
            None => parts.push(new),
        }
    }

    /// Returns whether the run ended without a final commit.
    fn is_lost(&self, now: Timestamp) -> bool {
        let has_gone = |claim: &Claim| self.is_followed || !claim.is_live(now);
        !self.goes_on && self.claim.as_ref().is_some_and(has_gone)
    }

    fn rows(&self, now: Timestamp) -> Vec<RunRow> {
        let no_failures = Vec::new();
        let failures = (self.ended.as_ref()).map_or(&no_failures, |ended| &ended.failures);
        let mut left: Vec<&RunFailure> = failures.iter().collect();
        let mut rows = Vec::new();
        for ((stream, work), parts) in &self.parts {
            for part in parts {
                let mut row = self.row(if part.finished {
                    RangeOutcome::Finished
                } else {
                    RangeOutcome::Unfinished
                });
                row.stream = Some(stream.clone());
                row.range = Some(part.range);
                row.work = Some(*work);
                part.sums.clone().into_row(&mut row);
                let of = |failed: &&RunFailure| {
                    failed.stream.as_ref() == Some(stream)
                        && failed.work == Some(*work)
                        && failed.range == Some(part.range)
                };
                if !part.finished
                    && let Some(place) = left.iter().position(of)
                {
                    row.fail(left.swap_remove(place));
                }
                rows.push(row);
            }
        }
        for failed in left {
            let mut row = self.row(RangeOutcome::Failed);
            row.stream.clone_from(&failed.stream);
            (row.range, row.work) = (failed.range, failed.work);
            row.fail(failed);
            rows.push(row);
        }
        // the values of the run as a whole
        let (calls, retries) =
            (self.ended.as_ref()).map_or((0, 0), |ended| (ended.calls, ended.retries));
        let lost = self.is_lost(now).then_some(RangeOutcome::Lost);
        if let Some(row) = rows.iter_mut().find(|row| row.stream.is_none()) {
            (row.calls, row.retries) = (calls, retries);
        } else if lost.is_some() || calls > 0 || (rows.is_empty() && self.claim.is_none()) {
            let unfinished = self.ended.as_ref().is_some_and(|ended| ended.unfinished);
            let ended = if unfinished {
                RangeOutcome::Unfinished
            } else {
                RangeOutcome::Finished
            };
            let mut row = self.row(lost.unwrap_or(ended));
            (row.calls, row.retries) = (calls, retries);
            rows.push(row);
        }
        rows.sort_by(|one, other| {
            let key = |row: &RunRow| (row.stream.clone(), row.range, row.work);
            key(one).cmp(&key(other))
        });
        rows
    }

    /// Returns a row without a range.
    fn row(&self, outcome: RangeOutcome) -> RunRow {
        RunRow {
            job: self.job.clone(),
            provider: self.provider.clone(),
            connection: self.connection.clone(),
            run: self.id,
            started_at: self.started_at,
            ended_at: self.last_at,
            stream: None,
            range: None,
            work: None,
            outcome,
            counts: RecordCounts::default(),
            calls: 0,
            retries: 0,
            days: BTreeMap::new(),
            delays: BTreeMap::new(),
            error_kind: None,
            error: None,
            remarks: Vec::new(),
        }
    }
}

impl RunRow {
    fn fail(&mut self, failed: &RunFailure) {
        self.outcome = RangeOutcome::Failed;
        self.error_kind = failed.kind;
        self.error = Some(failed.error.clone());
    }
}

impl RangePart {
    fn of(pulled: Pulled) -> Self {
        Self {
            range: pulled.range,
            finished: pulled.finished,
            sums: Sums {
                counts: pulled.counts,
                calls: pulled.calls,
                retries: pulled.retries,
                days: pulled.days,
                delays: pulled.delays,
                remarks: pulled.remarks.into_iter().collect(),
            },
        }
    }

    /// Returns whether it can be merged with a finished range: it is adjacent to it, or an unfinished part of it.
    fn belongs_to(&self, finished: &Self) -> bool {
        let (one, other) = (self.range, finished.range);
        if self.finished {
            one.from() <= other.to() && other.from() <= one.to()
        } else {
            contains(other, one)
        }
    }
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.counts += other.counts;
        self.calls += other.calls;
        self.retries += other.retries;
        for (day, rows) in other.days {
            *self.days.entry(day).or_default() += rows;
        }
        for (delay, rows) in other.delays {
            *self.delays.entry(delay).or_default() += rows;
        }
        self.remarks.extend(other.remarks);
    }

    fn into_row(self, row: &mut RunRow) {
        row.counts = self.counts;
        (row.calls, row.retries) = (self.calls, self.retries);
        (row.days, row.delays) = (self.days, self.delays);
        row.remarks = self.remarks.into_iter().collect();
    }
}

fn contains(whole: Range, part: Range) -> bool {
    whole.from() <= part.from() && part.to() <= whole.to()
}

/// Returns when a run began, by its id, a `UUIDv7`.
fn started(run: Uuid) -> Option<Timestamp> {
    let (seconds, nanos) = run.get_timestamp()?.to_unix();
    let micros = nanos / 1_000 * 1_000;
    Timestamp::from_timestamp(i64::try_from(seconds).ok()?, micros)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::lake::{FORMAT, Origin, RecordCounts};
    use crate::model::FailureKind;

    fn at(second: i64) -> Timestamp {
        DateTime::from_timestamp(1_770_000_000 + second, 0).unwrap()
    }

    fn range(from: i64, to: i64) -> Range {
        Range::new(at(from * 3_600), at(to * 3_600)).unwrap()
    }

    fn id(run: u64) -> Uuid {
        let seconds = u64::try_from(at(0).timestamp()).unwrap() + run;
        let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0);
        Uuid::new_v7(time)
    }

    fn commit(run: Uuid, second: i64, kind: CommitKind) -> Commit {
        let holds = kind != CommitKind::Release;
        Commit {
            format: FORMAT,
            version: 1,
            id: Uuid::nil(),
            run,
            job: "job".to_owned(),
            epoch: None,
            kind,
            at: at(second),
            claim: holds.then(|| Claim {
                expires_at: at(second + 30),
                host: "host".to_owned(),
                pid: 1,
                process: None,
            }),
            published_through: 0,
            planned_at: None,
            planned_by: None,
            clocks: Vec::new(),
            origin: None,
            streams: Vec::new(),
            pulled: Vec::new(),
            files: Vec::new(),
            progress: BTreeMap::new(),
            ended: None,
            failing: None,
        }
    }

    fn pulled(stream: &str, range: Range, finished: bool, new: u64) -> Pulled {
        Pulled {
            stream: stream.to_owned(),
            range,
            work: Work::Pull,
            finished,
            counts: RecordCounts {
                fetched: new + 1,
                new,
                duplicate: 1,
                ..RecordCounts::default()
            },
            provider_total: None,
            remarks: Vec::new(),
            days: BTreeMap::from([(range.from().date_naive(), new)]),
            delays: BTreeMap::from([(60, new / 2)]),
            calls: 2,
            retries: 1,
        }
    }

    fn ended(calls: u64, failures: Vec<RunFailure>) -> RunSummary {
        RunSummary {
            started_at: at(0),
            unfinished: false,
            calls,
            retries: 0,
            failures,
        }
    }

    fn failed(stream: Option<&str>, range: Option<Range>) -> RunFailure {
        RunFailure {
            stream: stream.map(str::to_owned),
            range,
            work: range.map(|_| Work::Pull),
            kind: Some(FailureKind::Auth),
            error: "refused".to_owned(),
            retry_after: None,
            at_lake: false,
            went_on: false,
        }
    }

    fn rows(commits: Vec<Commit>, now: i64) -> Vec<RunRow> {
        let mut runs = RunFold::default();
        commits.into_iter().for_each(|commit| runs.take(commit));
        runs.rows(at(now)).collect()
    }

    /// Returns the compared parts of a row: stream and range, outcome, new rows, calls.
    type Outcome<'a> = (Option<&'a str>, Option<Range>, RangeOutcome, u64, u64);

    fn outcomes(rows: &[RunRow]) -> Vec<Outcome<'_>> {
        let outcomes = rows.iter().map(|row| {
            let stream = row.stream.as_deref();
            (stream, row.range, row.outcome, row.counts.new, row.calls)
        });
        outcomes.collect()
    }

    #[test]
    fn a_range_is_one_row_however_often_it_was_committed() {
        let run = id(1);
        let mut first = commit(run, 1, CommitKind::Data);
        first.origin = Some(Origin {
            provider: Some("genesys_cloud".to_owned()),
            connection: "prod".to_owned(),
            account_id: "a".to_owned(),
            id_basis: None,
            host: None,
            user: None,
            from: None,
        });
        first.pulled = vec![
            pulled("a", range(0, 1), false, 3),
            pulled("b", range(0, 1), true, 1),
        ];
        let mut second = commit(run, 2, CommitKind::Data);
        second.pulled = vec![
            pulled("a", range(0, 2), true, 4),
            pulled("b", range(5, 6), false, 1),
        ];
        let mut release = commit(run, 3, CommitKind::Release);
        release.ended = Some(ended(0, Vec::new()));
        let claim = commit(run, 0, CommitKind::Claim);
        let rows = rows(vec![claim, first, second, release], 9);
        assert_eq!(
            outcomes(&rows),
            [
                (Some("a"), Some(range(0, 2)), RangeOutcome::Finished, 7, 4),
                (Some("b"), Some(range(0, 1)), RangeOutcome::Finished, 1, 2),
                (Some("b"), Some(range(5, 6)), RangeOutcome::Unfinished, 1, 2),
            ]
        );
        assert_eq!((rows[0].started_at, rows[0].ended_at), (at(0), at(3)));
        assert_eq!(rows[0].provider.as_deref(), Some("genesys_cloud"));
        assert_eq!(rows[0].connection.as_deref(), Some("prod"));
    }

    #[test]
    fn what_failed_is_a_row_with_what_was_pulled_of_it() {
        let run = id(1);
        let mut release = commit(run, 3, CommitKind::Release);
        release.pulled = vec![pulled("a", range(0, 1), false, 3)];
        release.ended = Some(ended(
            5,
            vec![
                failed(Some("a"), Some(range(0, 1))),
                failed(Some("b"), Some(range(0, 1))),
                failed(None, None),
            ],
        ));
        let rows = rows(vec![commit(run, 0, CommitKind::Claim), release], 9);
        assert_eq!(
            outcomes(&rows),
            [
                (None, None, RangeOutcome::Failed, 0, 5),
                (Some("a"), Some(range(0, 1)), RangeOutcome::Failed, 3, 2),
                (Some("b"), Some(range(0, 1)), RangeOutcome::Failed, 0, 0),
            ]
        );
        assert!(
            rows.iter()
                .all(|row| row.error_kind == Some(FailureKind::Auth))
        );
        assert!(
            rows.iter()
                .all(|row| row.error.as_deref() == Some("refused"))
        );
    }

    #[test]
    fn a_run_is_lost_if_it_said_no_end_and_another_followed_or_its_claim_is_over() {
        let (one, other) = (id(1), id(2));
        let mut data = commit(one, 1, CommitKind::Data);
        data.pulled = vec![pulled("a", range(0, 1), false, 3)];
        let log = vec![commit(one, 0, CommitKind::Claim), data];
        let open = (Some("a"), Some(range(0, 1)), RangeOutcome::Unfinished, 3, 2);
        let lost = (None, None, RangeOutcome::Lost, 0, 0);
        assert_eq!(outcomes(&rows(log.clone(), 9)), [open]);
        assert_eq!(outcomes(&rows(log.clone(), 99)), [lost, open]);
        let mut followed = log.clone();
        followed.push(commit(other, 9, CommitKind::Claim));
        assert_eq!(outcomes(&rows(followed, 9)), [lost, open]);
        // the next commit is in another file, but still determines the end of this run
        let mut runs = RunFold::default();
        log.into_iter().for_each(|commit| runs.take(commit));
        runs.see(one);
        assert_eq!(outcomes(&runs.rows(at(99)).collect::<Vec<_>>()), [open]);
        runs.see(other);
        assert_eq!(
            outcomes(&runs.rows(at(9)).collect::<Vec<_>>()),
            [lost, open]
        );
    }

    #[test]
    fn a_run_with_nothing_to_do_is_one_row() {
        let run = id(1);
        let mut release = commit(run, 1, CommitKind::Release);
        let claim = commit(run, 0, CommitKind::Claim);
        let nothing = (None, None, RangeOutcome::Finished, 0, 0);
        // the end of a run in earlier versions
        assert_eq!(
            outcomes(&rows(vec![claim.clone(), release.clone()], 9)),
            [nothing]
        );
        release.ended = Some(RunSummary {
            unfinished: true,
            ..ended(3, Vec::new())
        });
        let stopped = (None, None, RangeOutcome::Unfinished, 0, 3);
        assert_eq!(
            outcomes(&rows(vec![claim.clone(), release.clone()], 9)),
            [stopped]
        );
        release.pulled = vec![pulled("a", range(0, 1), true, 1)];
        let done = (Some("a"), Some(range(0, 1)), RangeOutcome::Finished, 1, 2);
        assert_eq!(
            outcomes(&rows(vec![claim.clone(), release], 9)),
            [stopped, done]
        );
        assert_eq!(outcomes(&rows(vec![claim], 9)), []); // it is in progress
    }

    #[test]
    fn a_run_whose_beginning_is_another_files_began_when_its_id_says() {
        let rows = rows(vec![commit(id(5), 600, CommitKind::Release)], 999);
        assert_eq!((rows[0].started_at, rows[0].ended_at), (at(5), at(600)));
    }

    type Sum = (
        RecordCounts,
        u64,
        u64,
        BTreeMap<NaiveDate, u64>,
        BTreeMap<u64, u64>,
        usize,
    );

    fn sum_of_rows(rows: &[RunRow]) -> Sum {
        let mut sums = Sums::default();
        for row in rows {
            sums.add(Sums {
                counts: row.counts,
                calls: row.calls,
                retries: row.retries,
                days: row.days.clone(),
                delays: row.delays.clone(),
                remarks: BTreeSet::new(),
            });
        }
        let failed = rows
            .iter()
            .filter(|row| row.outcome == RangeOutcome::Failed);
        let Sums {
            counts,
            calls,
            retries,
            days,
            delays,
            ..
        } = sums;
        (counts, calls, retries, days, delays, failed.count())
    }

    fn sum_of_commits(commits: &[Commit]) -> Sum {
        let mut sums = Sums::default();
        let mut failed = 0;
        for commit in commits {
            for pulled in &commit.pulled {
                sums.add(RangePart::of(pulled.clone()).sums);
            }
            if let Some(ended) = &commit.ended {
                sums.calls += ended.calls;
                sums.retries += ended.retries;
                failed += ended.failures.len();
            }
        }
        let Sums {
            counts,
            calls,
            retries,
            days,
            delays,
            ..
        } = sums;
        (counts, calls, retries, days, delays, failed)
    }

    fn any_pulled() -> impl Strategy<Value = Pulled> {
        let stream = prop::sample::select(vec!["a", "b"]);
        let work = prop::sample::select(vec![Work::Pull, Work::Settle]);
        (stream, 0_i64..20, 1_i64..5, any::<bool>(), 0_u64..9, work).prop_map(
            |(stream, from, length, finished, new, work)| Pulled {
                work,
                ..pulled(stream, range(from, from + length), finished, new)
            },
        )
    }

    /// The calls that no commit counted, and the failure: of the run, or of one of two streams with its range.
    type End = (u64, Vec<(u8, i64)>);

    /// The commits of a run except its claim, with at most one failure per stream and of the run.
    fn any_run() -> impl Strategy<Value = (Vec<Vec<Pulled>>, Option<End>)> {
        let failures = prop::collection::btree_map(0_u8..3, 0_i64..20, 0..3);
        let failures = failures.prop_map(|failures| failures.into_iter().collect());
        (
            prop::collection::vec(prop::collection::vec(any_pulled(), 0..4), 0..5),
            prop::option::of((0_u64..4, failures)),
        )
    }

    proptest! {
        /// No content of commits is lost or doubled in the rows, with the end of the day anywhere.
        #[test]
        fn sums_are_kept(runs in prop::collection::vec(any_run(), 1..5), cut in any::<prop::sample::Index>()) {
            let (mut commits, mut second) = (Vec::new(), 0);
            for (number, (data, end)) in (1..).zip(runs) {
                let run = id(number);
                let mut add = |kind, pulled, ended| {
                    second += 1;
                    commits.push(Commit { pulled, ended, ..commit(run, second, kind) });
                };
                add(CommitKind::Claim, Vec::new(), None);
                for pulled in data {
                    add(CommitKind::Data, pulled, None);
                }
                if let Some((calls, failures)) = end {
                    let failures = failures.into_iter().map(|(stream, from)| match stream {
                        0 => failed(None, None),
                        1 => failed(Some("a"), Some(range(from, from + 1))),
                        _ => failed(Some("b"), Some(range(from, from + 1))),
                    });
                    add(CommitKind::Release, Vec::new(), Some(ended(calls, failures.collect())));
                }
            }
            let whole = rows(commits.clone(), 0);
            prop_assert_eq!(sum_of_rows(&whole), sum_of_commits(&commits));
            let mut keys = BTreeSet::new();
            for row in &whole {
                let key = (row.run, row.stream.clone(), row.range, row.work);
                let is_failed = row.outcome == RangeOutcome::Failed;
                prop_assert!(keys.insert((key, is_failed)), "{:?}", row);
            }
            let cut = cut.index(commits.len() + 1);
            let (today, tomorrow) = commits.split_at(cut);
            let mut both = rows(today.to_vec(), 0);
            both.extend(rows(tomorrow.to_vec(), 0));
            prop_assert_eq!(sum_of_rows(&both), sum_of_commits(&commits));
            // the finished runs and the rest are the whole
            let mut piecemeal = RunFold::default();
            let mut over = Vec::new();
            for commit in commits {
                piecemeal.take(commit);
                over.extend(piecemeal.take_over(at(0)));
            }
            prop_assert!(piecemeal.len() <= 1);
            over.extend(piecemeal.rows(at(0)));
            prop_assert_eq!(over, whole);
        }
    }
}
