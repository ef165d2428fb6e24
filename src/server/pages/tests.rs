//! Tests of pages rendered from typical data.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{Days, TimeDelta};
use uuid::Uuid;

use super::ledger::Ledger;
use super::view::{Look, View};
use super::{calendar, job, overview, run};
use crate::client::RateLimitStatus;
use crate::history::{History, RangeOutcome, RunRow};
use crate::lake::quarantine::LineCounts;
use crate::lake::{
    Claim, Commit, CommitKind, FORMAT, FailureStreak, Progress, RecordCounts, RunFailure,
    RunSummary, Work,
};
use crate::model::{FailureKind, Range, Timestamp};
use crate::run::plan::Policy;
use crate::status::{JobStatus, LastKnownStatus};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const NOW: &str = "2026-11-20T12:00:00Z";

fn range(from: &str, to: &str) -> Range {
    Range::new(at(from), at(to)).unwrap()
}

fn policy() -> Policy {
    Policy {
        start: at("2026-11-02T00:00:00Z"),
        window: TimeDelta::hours(1),
        min_window: TimeDelta::minutes(1),
        lag: TimeDelta::minutes(2),
        settle: vec![TimeDelta::hours(1), TimeDelta::hours(24)],
        grain: TimeDelta::zero(),
    }
}

fn progress(coverage: &[Range]) -> Progress {
    Progress {
        coverage: coverage.iter().copied().collect(),
        watermark: coverage.first().map(Range::to),
        ..Progress::default()
    }
}

/// Returns a job's newest commit with these streams.
fn commit(name: &str, streams: Vec<(&str, Progress)>) -> Commit {
    Commit {
        format: FORMAT,
        version: 12,
        id: Uuid::from_u128(1),
        run: Uuid::from_u128(2),
        job: name.to_owned(),
        epoch: None,
        kind: CommitKind::Release,
        at: at("2026-11-20T11:45:03Z"),
        claim: None,
        published_through: 11,
        planned_at: Some(at("2026-11-20T11:45:00Z")),
        planned_by: None,
        clocks: Vec::new(),
        ended: None,
        failing: None,
        origin: None,
        streams: streams.iter().map(|(name, _)| (*name).to_owned()).collect(),
        pulled: Vec::new(),
        files: Vec::new(),
        progress: (streams.into_iter())
            .map(|(name, progress)| (name.to_owned(), progress))
            .collect(),
    }
}

/// Returns the status of a job with that commit.
fn status(name: &str, newest: Option<Commit>, policy: &Policy) -> JobStatus {
    let mut gaps = Vec::new();
    let mut watermark = None;
    for (stream, progress) in newest.iter().flat_map(Commit::current) {
        let missing =
            crate::run::plan::stream_gaps(progress, newest.as_ref().unwrap().planned_at, policy);
        gaps.extend(missing.iter().map(|gap| (stream.clone(), gap)));
        let end = progress.coverage.contiguous_end(policy.start);
        watermark = Some(watermark.map_or(end, |least: Timestamp| least.min(end)));
    }
    JobStatus {
        job: name.to_owned(),
        connection: "genesys-prod".to_owned(),
        failing: None,
        lake: "s3://lake/audit".to_owned(),
        watermark,
        stale: Vec::new(),
        fresh_until: Some(at("2026-11-20T13:00:00Z")),
        next_run: Some(at("2026-11-20T12:15:00Z")),
        gaps,
        lost: Vec::new(),
        start: policy.start,
        quarantine: LineCounts::default(),
        newest,
    }
}

fn look<'a>(name: &'a str, policy: &'a Policy, status: Option<&'a JobStatus>) -> Look<'a> {
    Look {
        log: name,
        provider: "genesys_cloud",
        schedule: "*/15 * * * * (UTC)".to_owned(),
        policy,
        status: Arc::new(LastKnownStatus {
            job: name.to_owned(),
            connection: "genesys-prod".to_owned(),
            last: status.cloned().map(Arc::new),
            unreadable: None,
            failing: None,
        }),
        is_tail_late: false,
        read_at: status.map(|_| at("2026-11-20T11:59:58Z")),
        budget: RateLimitStatus {
            limit: 300,
            per: Duration::from_mins(1),
            left: 287,
            pause: Duration::ZERO,
        },
    }
}

fn view<'a>(jobs: Vec<Look<'a>>, history: &'a History) -> View<'a> {
    let now = at(NOW);
    View {
        now,
        lake: "s3://lake/audit",
        jobs,
        ledger: Ledger::of(history, now),
        history_problems: &[],
    }
}

/// Returns a row of a run: `new` rows of `range`.
fn row(job: &str, run: u128, stream: &str, range: Range, new: u64) -> RunRow {
    RunRow {
        job: job.to_owned(),
        provider: Some("genesys_cloud".to_owned()),
        connection: Some("genesys-prod".to_owned()),
        run: Uuid::from_u128(run),
        started_at: range.to(),
        ended_at: range.to() + TimeDelta::seconds(3),
        stream: Some(stream.to_owned()),
        range: Some(range),
        work: Some(Work::Pull),
        outcome: RangeOutcome::Finished,
        counts: RecordCounts {
            fetched: new,
            new,
            ..RecordCounts::default()
        },
        calls: 4,
        retries: 0,
        days: BTreeMap::from([(range.from().date_naive(), new)]),
        delays: BTreeMap::new(),
        error_kind: None,
        error: None,
        remarks: Vec::new(),
    }
}

/// Returns a healthy job: three weeks of two streams, a few late rows, and an error long ago.
fn lived_in(job: &str) -> Vec<RunRow> {
    let mut rows = Vec::new();
    let first = at("2026-11-02T00:00:00Z");
    for day in 0..19_u64 {
        let from = first + Days::new(day);
        let whole =
            Range::new(from, (from + Days::new(1)).min(at("2026-11-20T11:43:00Z"))).unwrap();
        let new = match day % 7 {
            5 | 6 => day % 2 * 40,
            weekday => 900 + weekday * 210 + day * 13,
        };
        let id = u128::from(day) + 100;
        rows.push(row(job, id, "Routing", whole, new));
        rows.push(row(job, id, "Quality", whole, new / 7));
        let mut settle = row(job, id, "Routing", whole, 3);
        settle.work = Some(Work::Settle);
        settle.counts.late = 3;
        settle.counts.fetched = new;
        settle.counts.duplicate = new - new.min(3);
        settle.delays = BTreeMap::from([(21_600, 2), (900, 1)]);
        rows.push(settle);
    }
    rows
}

const NAMES: [&str; 7] = [
    "whole",
    "gap",
    "behind",
    "quarantine",
    "new",
    "failing",
    "unreadable",
];

fn all() -> Range {
    range("2026-11-02T00:00:00Z", "2026-11-20T11:43:00Z")
}

/// Returns a stream that is completely pulled, whose last day is to be re-read.
fn settling() -> Progress {
    let since = |from: &str| {
        [Range::new(at(from), all().to()).unwrap()]
            .into_iter()
            .collect()
    };
    Progress {
        unsettled: BTreeMap::from([
            (3_600, since("2026-11-20T10:00:00Z")),
            (86_400, since("2026-11-19T11:00:00Z")),
        ]),
        ..progress(&[all()])
    }
}

fn settled(name: &str) -> Commit {
    commit(name, vec![("Routing", settling()), ("Quality", settling())])
}

/// Returns jobs in every state, by name.
fn statuses(policy: &Policy, later: &Policy) -> [JobStatus; 7] {
    let with_gap = progress(&[
        range("2026-11-02T00:00:00Z", "2026-11-09T06:00:00Z"),
        range("2026-11-11T12:00:00Z", "2026-11-20T11:43:00Z"),
    ]);
    let with_gap = commit("gap", vec![("Routing", with_gap), ("Quality", settling())]);
    let early = progress(&[range("2026-11-02T00:00:00Z", "2026-11-17T09:00:00Z")]);
    let early = commit("behind", vec![("Routing", early)]);
    let running = Commit {
        claim: Some(Claim {
            expires_at: at("2026-11-20T12:00:20Z"),
            host: "worker-1".to_owned(),
            pid: 7,
            process: None,
        }),
        ..settled("quarantine")
    };
    [
        status("whole", Some(settled("whole")), policy),
        status("gap", Some(with_gap), policy),
        JobStatus {
            fresh_until: Some(at("2026-11-17T11:00:00Z")),
            stale: vec!["Routing".to_owned()],
            next_run: Some(at(NOW)),
            ..status("behind", Some(early), policy)
        },
        JobStatus {
            quarantine: LineCounts {
                open: 3,
                acknowledged: 12,
                reasons: BTreeMap::from([
                    ("`eventTime` is no time".to_owned(), 2),
                    ("no `id`".to_owned(), 1),
                ]),
                ..LineCounts::default()
            },
            ..status("quarantine", Some(running), policy)
        },
        status("new", None, later),
        JobStatus {
            failing: Some(FailureStreak {
                since: at("2026-11-20T09:00:03Z"),
                at: at("2026-11-20T11:58:03Z"),
                run: FAILED,
                runs: 4,
                kind: Some(FailureKind::Auth),
                at_lake: false,
                error: REFUSED.to_owned(),
                streams: vec!["Routing".to_owned()],
                failed_streams: 1,
                asked_until: None,
                retry_at: at("2026-11-20T12:06:03Z"),
            }),
            ..status("failing", Some(settled("failing")), policy)
        },
        status("unreadable", Some(settled("unreadable")), policy),
    ]
}

const REFUSED: &str = "the sign-in was refused: 401 of `POST https://login.mypurecloud.com/oauth/token`: \
                       invalid_client";
const FAILED: Uuid = Uuid::from_u128(90_000);

/// Returns the history of their runs.
fn happened() -> History {
    let mut rows = Vec::new();
    for (at, name) in NAMES
        .into_iter()
        .enumerate()
        .filter(|(_, name)| *name != "new")
    {
        rows.extend(lived_in(name).into_iter().map(|row| RunRow {
            run: Uuid::from_u128(row.run.as_u128() + at as u128 * 1_000),
            ..row
        }));
    }
    let tail = range("2026-11-20T11:43:00Z", "2026-11-20T11:58:00Z");
    rows.push(RunRow {
        run: FAILED,
        outcome: RangeOutcome::Failed,
        error_kind: Some(FailureKind::Auth),
        error: Some(REFUSED.to_owned()),
        retries: 1,
        ..row("failing", 0, "Routing", tail, 0)
    });
    History { rows }
}

/// Renders every page of jobs in every state.
fn draw() -> BTreeMap<String, String> {
    let (policy, later) = (
        policy(),
        Policy {
            start: at("2026-11-20T00:00:00Z"),
            ..policy()
        },
    );
    let (statuses, history) = (statuses(&policy, &later), happened());
    let looks = NAMES.into_iter().zip(&statuses).map(|(name, status)| {
        let mut look = look(
            name,
            if name == "new" { &later } else { &policy },
            Some(status),
        );
        look.is_tail_late = name == "behind";
        if name == "unreadable" {
            Arc::make_mut(&mut look.status).unreadable =
                Some("can't read `commits/`: connection refused".to_owned());
            look.read_at = Some(at("2026-11-20T11:20:00Z"));
        }
        look
    });
    let view = view(looks.collect(), &history);
    let (of, failed) = view.ledger.run(FAILED).unwrap();
    let mut pages = BTreeMap::from([
        (
            "/".to_owned(),
            overview::page(&view, overview::OverviewQuery::default()),
        ),
        ("run".to_owned(), run::page(&view, of, failed)),
    ]);
    for look in &view.jobs {
        let page = job::page(&view, look, job::JobQuery::default());
        pages.insert(look.name().to_owned(), page);
    }
    (pages.into_iter())
        .map(|(name, page)| (name, page.into_string()))
        .collect()
}

#[test]
fn every_state_is_told_by_sign_and_word() {
    let pages = draw();
    for words in [
        "✓</span> whole",
        "!</span> gap",
        "…</span> behind",
        "▲</span> quarantine",
        "○</span> new",
        "✕</span> failing",
        "?</span> unreadable",
    ] {
        assert!(pages["/"].contains(words), "{words}");
    }
    assert!(pages["/"].contains("5 jobs need a look"));
}

#[test]
fn what_cant_be_read_is_said_and_what_is_known_is_as_of_then() {
    let pages = draw();
    for page in ["/", "unreadable"] {
        let text = &pages[page];
        assert!(text.contains("connection refused"), "{page}");
        assert!(text.contains("2026-11-20 11:20"), "{page}");
    }
    assert!(!pages["whole"].contains("connection refused"));
    assert!(
        pages["unreadable"].contains("2026-11-20 11:43"),
        "the watermark as it was"
    );
}

#[test]
fn a_failure_stands_in_full_with_its_run() {
    let pages = draw();
    for page in ["/", "failing", "run"] {
        assert!(pages[page].contains("invalid_client"), "{page}");
    }
    assert!(pages["failing"].contains(&format!("/runs/{FAILED}")));
    assert!(pages["run"].contains("<pre>auth: the sign-in was refused"));
}

#[test]
fn the_quarantine_is_told_by_reason_the_most_frequent_first() {
    let text = &draw()["quarantine"];
    let (first, second) = (text.find("is no time"), text.find("no `id`"));
    assert!(first.unwrap() < second.unwrap());
}

/// Returns the description of each day of a job since 2026-11-02.
fn lines(status: Option<&JobStatus>, history: &History, now: &str) -> Vec<String> {
    let (policy, now) = (policy(), at(now));
    let mut look = look("audits", &policy, status);
    look.is_tail_late = look.is_stale(now);
    let ledger = Ledger::of(history, now);
    let span = calendar::span(now, 3);
    calendar::days(&look, ledger.job("audits"), span, now)
        .iter()
        .map(calendar::CalendarDay::words)
        .collect()
}

#[test]
fn a_day_says_what_it_is_like() {
    let mut stream = progress(&[
        range("2026-11-02T00:00:00Z", "2026-11-09T06:00:00Z"),
        range("2026-11-11T12:00:00Z", "2026-11-20T11:43:00Z"),
    ]);
    stream.unsettled = BTreeMap::from([(
        86_400,
        [range("2026-11-19T11:00:00Z", "2026-11-20T11:43:00Z")]
            .into_iter()
            .collect(),
    )]);
    let newest = commit(
        "audits",
        vec![("Routing", stream), ("Quality", progress(&[all()]))],
    );
    let status = status("audits", Some(newest), &policy());
    let mut rows = vec![row("audits", 7, "Routing", all(), 5)];
    rows[0].days = BTreeMap::from([(at("2026-11-12T00:00:00Z").date_naive(), 1_234)]);
    let history = History { rows };
    insta::assert_snapshot!(lines(Some(&status), &history, NOW).join("\n"), @"
    2026-11-02: pulled, no rows
    2026-11-03: pulled, no rows
    2026-11-04: pulled, no rows
    2026-11-05: pulled, no rows
    2026-11-06: pulled, no rows
    2026-11-07: pulled, no rows
    2026-11-08: pulled, no rows
    2026-11-09: GAP, passed over; 18h missing of Routing
    2026-11-10: GAP, passed over; 1d missing of Routing
    2026-11-11: GAP, passed over; 12h missing of Routing
    2026-11-12: 1,234 rows
    2026-11-13: pulled, no rows
    2026-11-14: pulled, no rows
    2026-11-15: pulled, no rows
    2026-11-16: pulled, no rows
    2026-11-17: pulled, no rows
    2026-11-18: pulled, no rows
    2026-11-19: pulled, no rows; unsettled: re-read for late rows until 2026-11-21 00:00
    2026-11-20: pulled, no rows; unsettled: re-read for late rows until 2026-11-21 11:43
    2026-11-21: still to come
    2026-11-22: still to come
    ");
}

/// A range that the provider no longer serves isn't a gap, as it can't be filled. A later `start` accepts it.
#[test]
fn a_day_that_the_provider_gives_no_more_is_lost() {
    let mut stream = progress(&[range("2026-11-06T12:00:00Z", "2026-11-20T11:43:00Z")]);
    stream.unobtainable = [range("2026-11-02T00:00:00Z", "2026-11-06T12:00:00Z")]
        .into_iter()
        .collect();
    let newest = commit(
        "audits",
        vec![("Routing", stream), ("Quality", progress(&[all()]))],
    );
    let status = status("audits", Some(newest), &policy());
    let mut rows = vec![row("audits", 7, "Routing", all(), 5)];
    rows[0].days = BTreeMap::from([(at("2026-11-06T00:00:00Z").date_naive(), 7)]);
    let history = History { rows };
    let lines = lines(Some(&status), &history, NOW);
    assert_eq!(
        lines[..5],
        [
            "2026-11-02: LOST, refused by the provider as too old; 1d lost of Routing",
            "2026-11-03: LOST, refused by the provider as too old; 1d lost of Routing",
            "2026-11-04: LOST, refused by the provider as too old; 1d lost of Routing",
            "2026-11-05: LOST, refused by the provider as too old; 1d lost of Routing",
            "2026-11-06: LOST, refused by the provider as too old; 7 rows; 12h lost of Routing",
        ]
    );
    assert_eq!(lines[5], "2026-11-07: pulled, no rows");

    let policy = policy();
    let page = |policy: &Policy| {
        let view = view(vec![look("audits", policy, Some(&status))], &history);
        let all = overview::page(&view, overview::OverviewQuery::default()).into_string();
        let one = job::page(&view, &view.jobs[0], job::JobQuery::default()).into_string();
        (all, one)
    };
    let (all, one) = page(&policy);
    assert_eq!(all.matches("<td class=\"l\"").count(), 5, "{all}");
    assert_eq!(one.matches("<td class=\"l\"").count(), 5, "{one}");
    assert!(one.contains("<strong>× 12h</strong>"), "{one}");
    for page in [&all, &one] {
        assert!(!page.contains("<td class=\"h\""), "{page}");
        assert!(page.contains("lost: refused by the provider as too old"));
    }
    let accepted = Policy {
        start: at("2026-11-06T12:00:00Z"),
        ..policy.clone()
    };
    let (all, one) = page(&accepted);
    assert!(!all.contains("<td class=\"l\"") && !one.contains("<td class=\"l\""));
}

#[test]
fn what_isnt_pulled_is_behind_only_once_it_should_be() {
    let early = progress(&[range("2026-11-02T00:00:00Z", "2026-11-18T09:00:00Z")]);
    let mut status = status(
        "audits",
        Some(commit("audits", vec![("Routing", early)])),
        &policy(),
    );
    let none = History::default();
    let days = |status: &JobStatus| lines(Some(status), &none, NOW).split_off(15).join("\n");
    insta::assert_snapshot!(days(&status), @r"
2026-11-17: pulled; the number of rows is unknown, as the run history begins later
2026-11-18: pulled; the number of rows is unknown, as the run history begins later
2026-11-19: not pulled yet
2026-11-20: not pulled yet
2026-11-21: still to come
2026-11-22: still to come
");
    status.fresh_until = Some(at("2026-11-18T11:00:00Z"));
    insta::assert_snapshot!(days(&status), @r"
2026-11-17: pulled; the number of rows is unknown, as the run history begins later
2026-11-18: BEHIND, not pulled in time; 15h missing of Routing
2026-11-19: BEHIND, not pulled in time; 1d missing of Routing
2026-11-20: BEHIND, not pulled in time; 11h 58m missing of Routing
2026-11-21: still to come
2026-11-22: still to come
");
}

/// Returns a run that failed as a whole with this kind.
fn failed_so(kind: FailureKind) -> RunSummary {
    RunSummary {
        started_at: at(NOW),
        unfinished: false,
        calls: 0,
        retries: 0,
        failures: vec![RunFailure {
            stream: None,
            range: None,
            work: None,
            kind: Some(kind),
            error: "refused".to_owned(),
            retry_after: None,
            at_lake: false,
            went_on: false,
        }],
    }
}

/// Texts from a provider, or from anyone who can write to a lake.
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\u{202e}\u{0}";

#[test]
fn text_from_outside_stays_text() {
    let long = "x".repeat(100_000);
    let hostile = format!("{HOSTILE}{long}");
    let policy = policy();
    let stream = || progress(&[range("2026-11-03T00:00:00Z", "2026-11-09T06:00:00Z")]);
    let newest = commit(
        "audits",
        vec![(HOSTILE, stream()), (hostile.as_str(), stream())],
    );
    let mut status = status("audits", Some(newest), &policy);
    status.quarantine = LineCounts {
        open: 1,
        acknowledged: 0,
        reasons: BTreeMap::from([(hostile.clone(), 1)]),
        ..LineCounts::default()
    };
    status.stale = vec![hostile.clone()];
    status.fresh_until = Some(at("2026-11-09T00:00:00Z"));
    let failed = RunRow {
        stream: Some(hostile.clone()),
        outcome: RangeOutcome::Failed,
        error: Some(hostile.clone()),
        remarks: vec![hostile.clone()],
        ..row(HOSTILE, 9, "", all(), 3)
    };
    let history = History { rows: vec![failed] };
    let problems = vec![hostile.clone()];
    status.failing = Some(FailureStreak {
        error: hostile.clone(),
        streams: vec![hostile.clone()],
        ..FailureStreak::after(None, FAILED, &failed_so(FailureKind::Transient), at(NOW)).unwrap()
    });
    let mut look = look(HOSTILE, &policy, Some(&status));
    look.schedule.clone_from(&hostile);
    let status = Arc::make_mut(&mut look.status);
    HOSTILE.clone_into(&mut status.connection);
    status.unreadable = Some(hostile.clone());
    let mut view = view(vec![look], &history);
    view.lake = HOSTILE;
    view.history_problems = &problems;
    let (of, run) = view.ledger.run(Uuid::from_u128(9)).unwrap();
    for page in [
        overview::page(&view, overview::OverviewQuery::default()),
        job::page(&view, &view.jobs[0], job::JobQuery::default()),
        run::page(&view, of, run),
    ] {
        let text = page.into_string();
        assert!(text.contains("&lt;script&gt;alert(1)"), "it is shown");
        assert_eq!(text.matches("<script").count(), 1, "the page's own");
        assert_eq!(text.matches("<img").count(), 0);
        // no attribute ends early: the quotes of each tag are paired
        for tag in text
            .split('<')
            .skip(1)
            .filter_map(|tag| tag.split_once('>'))
        {
            assert_eq!(
                tag.0.matches('"').count() % 2,
                0,
                "{}",
                &tag.0[..tag.0.len().min(200)]
            );
        }
    }
}

/// A page of many jobs stays small, with two hundred at a time.
#[test]
fn a_thousand_jobs_come_in_pages() {
    let policy = policy();
    let names: Vec<String> = (0..1_000)
        .map(|number| format!("job-{number:04}"))
        .collect();
    let statuses: Vec<JobStatus> = (names.iter())
        .map(|name| status(name, Some(settled(name)), &policy))
        .collect();
    let looks = names
        .iter()
        .zip(&statuses)
        .map(|(name, status)| look(name, &policy, Some(status)));
    let history = History {
        rows: (names.iter()).flat_map(|name| lived_in(name)).collect(),
    };
    let view = view(looks.collect(), &history);
    let page = |page| {
        overview::page(
            &view,
            overview::OverviewQuery {
                page: Some(page),
                ..overview::OverviewQuery::default()
            },
        )
        .into_string()
    };
    let (first, last) = (page(1), page(5));
    assert!(
        first.contains("job-0000") && first.contains("job-0199") && !first.contains("job-0200")
    );
    assert!(last.contains("job-0800") && last.contains("job-0999"));
    assert_eq!(page(99), last);
    assert!(first.len() < 1_000_000, "{} bytes", first.len());
    assert!(first.contains("1,000 jobs"));
}

#[test]
fn a_small_page_is_as_it_was() {
    let policy = Policy {
        start: at("2026-11-16T00:00:00Z"),
        ..policy()
    };
    let newest = commit(
        "audits",
        vec![(
            "Routing",
            progress(&[range("2026-11-16T00:00:00Z", "2026-11-20T11:43:00Z")]),
        )],
    );
    let status = status("audits", Some(newest), &policy);
    let history = History {
        rows: vec![row(
            "audits",
            7,
            "Routing",
            range("2026-11-19T00:00:00Z", "2026-11-20T00:00:00Z"),
            42,
        )],
    };
    let view = view(vec![look("audits", &policy, Some(&status))], &history);
    let text = overview::page(
        &view,
        overview::OverviewQuery {
            weeks: Some(1),
            ..overview::OverviewQuery::default()
        },
    )
    .into_string();
    // one tag per line, for readable diffs
    insta::assert_snapshot!(text.replace('<', "\n<").replace("\n</", "</"));
}

/// Returns the outcomes of runs in order.
fn ended(outcomes: &[RangeOutcome]) -> History {
    let rows = outcomes.iter().enumerate().map(|(at, outcome)| RunRow {
        outcome: *outcome,
        error: (*outcome == RangeOutcome::Failed).then(|| format!("error {at}")),
        ..row("audits", at as u128 + 1, "Routing", all(), 0)
    });
    History {
        rows: rows.collect(),
    }
}

#[test]
fn the_newest_failure_is_told_with_how_things_went_on() {
    use RangeOutcome::{Failed, Finished, Unfinished};
    let lines = |outcomes: &[RangeOutcome]| {
        let history = ended(outcomes);
        let ledger = Ledger::of(&history, at(NOW));
        let failing = ledger.job("audits").unwrap().failing();
        failing.map(|failing| {
            (
                failing.error.to_owned(),
                failing.in_a_row,
                failing.well_since,
            )
        })
    };
    assert_eq!(lines(&[Finished, Unfinished]), None);
    assert_eq!(
        lines(&[Failed, Finished, Failed, Failed]),
        Some(("error 3".to_owned(), 2, 0))
    );
    assert_eq!(
        lines(&[Failed, Failed, Finished, Unfinished]),
        Some(("error 1".to_owned(), 2, 2))
    );
}

#[test]
fn what_was_only_read_again_isnt_taken_for_empty() {
    let again = RunRow {
        work: Some(Work::Settle),
        ..row("audits", 7, "Routing", all(), 0)
    };
    let history = History { rows: vec![again] };
    let status = status(
        "audits",
        Some(commit("audits", vec![("Routing", progress(&[all()]))])),
        &policy(),
    );
    let lines = lines(Some(&status), &history, NOW);
    assert!(
        lines[3].contains("the number of rows is unknown"),
        "{}",
        lines[3]
    );
}
