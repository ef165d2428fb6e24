//! A store that fails: a fifth of all requests, one at the worst moment, or all of them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use auditlake::model::Timestamp;
use auditlake::sim::Clock;
use chrono::SecondsFormat;
use rand::Rng as _;

use super::proxy::{Fault, Proxy, Request};
use super::world::{FOUR, Spec, UNLIMITED, World};
use super::{random, rounds};
use crate::process::support::{Ended, at};
use crate::s3::Store;

/// A day, some of it late by up to two hours, pulled in four pieces or more.
fn a_day(records: usize) -> Spec {
    Spec {
        records,
        from: at("2026-03-02T00:00:00Z"),
        to: at("2026-03-03T00:00:00Z"),
        clock: Clock::Fixed(at("2026-03-02T00:00:00Z")),
        late_share: 0.1,
        latest: Duration::from_hours(2),
        rate: UNLIMITED,
        yaml: "  schedule: '* * * * * *'
  window: 6h
  settle: [1h, 24h]
server: { listen: '127.0.0.1:0' }",
        jobs: FOUR,
    }
}

const EVENING: &str = "2026-03-03T00:10:00Z";
/// The last pass has found what came late.
const SETTLED: &str = "2026-03-04T06:10:00Z";

async fn run_as_of(world: &World, now: Timestamp) -> Ended {
    world.set_now(now);
    let now = now.to_rfc3339_opts(SecondsFormat::Secs, true);
    world.run(&["run", "--once", "--as-of", &now]).await
}

#[tokio::test]
#[ignore = "needs SeaweedFS: `make test` runs it"]
async fn a_store_that_fails_at_a_fifth_of_all_requests_ends_in_the_right_rows() {
    let (mut random, pulls) = (
        random("a failing store"),
        i32::try_from(rounds(8) / 4).unwrap(),
    );
    let store = Store::start().await;
    let proxy = Proxy::start(&store.endpoint).await;
    let world = World::in_store(&a_day(2_000), &store, &proxy.endpoint(), ", timeout: 500ms").await;
    let reader = world.reader().keep_looking();
    proxy.choose(move |request| {
        random
            .random_bool(0.2)
            .then(|| Fault::some(&mut random, request))
    });
    let begun = Instant::now();
    let step = (at(EVENING) - at("2026-03-02T00:00:00Z")) / pulls;
    let mut nows: Vec<Timestamp> = (1..=pulls)
        .map(|number| at("2026-03-02T00:00:00Z") + step * number)
        .collect();
    nows.push(at(SETTLED));
    let mut failed = 0;
    for now in nows {
        loop {
            let ended = run_as_of(&world, now).await;
            if ended.code == Some(0) {
                break;
            }
            assert_told_why(&ended);
            failed += 1;
            assert!(failed < 20 * pulls, "it never gets well: {ended:?}");
        }
    }
    proxy.choose(|_| None);
    run_as_of(&world, at(SETTLED)).await.assert_code(0);
    reader.enough().await;
    let rows = world.assert_all_landed().await;
    println!(
        "tried: a failing store, {pulls} pulls, {failed} failed runs, {rows} rows, {} requests, {:?}, {:?}",
        proxy.requests(),
        proxy.faults(),
        begun.elapsed()
    );
}

/// It failed, and each of its messages has a kind that fits what was done to it.
#[track_caller]
fn assert_told_why(ended: &Ended) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let told = format!("\n{}", ended.stderr);
    let errors: Vec<&str> = told.split("\nerror: ").skip(1).collect();
    assert!(!errors.is_empty(), "{ended:?}");
    for error in errors {
        // its own words, not what other jobs have logged since
        let is_logged = |line: &&str| line.contains("  INFO ") || line.contains("  WARN ");
        let own: Vec<&str> = error.lines().take_while(|line| !is_logged(line)).collect();
        let error = own.join("\n");
        let denied = error.contains("status code: 403"); // an answer to HEAD has no body that says more
        let fits = match error
            .split(" failed (")
            .nth(1)
            .and_then(|rest| rest.split(')').next())
        {
            Some("auth") => denied && error.contains("this machine's clock"),
            Some("transient") => {
                !denied && error.contains(" in the lake: ")
                    || error.contains("can't read `some/prefix")
            }
            Some("conflict") => error.contains("claim expired"),
            // before there is a job
            None => error.to_lowercase().contains("lake.json") || error.contains("/probe/"),
            _ => false,
        };
        assert!(fits, "{error}");
    }
}

/// Whether it is the commit that lands what a job has pulled.
fn is_data_commit(request: &Request, job: &str) -> bool {
    request.is_create()
        && request.line().contains(&format!("/jobs/{job}/commits/"))
        && request.body().contains("\"kind\": \"data\"")
}

#[tokio::test]
#[ignore = "needs SeaweedFS: `make test` runs it"]
async fn trouble_at_the_commit_itself_costs_no_run() {
    let store = Store::start().await;
    let proxy = Proxy::start(&store.endpoint).await;
    let world = World::in_store(&a_day(500), &store, &proxy.endpoint(), "").await;
    // an answer that never comes, with and without effect; a lost answer; a store that can't decide, three times
    let mut left = vec![
        ("genesys", Fault::HeldBefore),
        ("avaya", Fault::HeldAfter),
        ("liveperson", Fault::ResetAfter),
        ("everyware", Fault::Conflict),
        ("everyware", Fault::Conflict),
        ("everyware", Fault::Conflict),
    ];
    proxy.choose(move |request| {
        let place = left
            .iter()
            .position(|(job, _)| is_data_commit(request, job))?;
        Some(left.remove(place).1)
    });
    let ended = run_as_of(&world, at(EVENING)).await.assert_code(0);
    assert_eq!(proxy.faults().values().sum::<u64>(), 6);
    assert!(!ended.stderr.contains("error"), "{}", ended.stderr);
    proxy.choose(|_| None);
    run_as_of(&world, at(SETTLED)).await.assert_code(0);
    world.assert_all_landed().await;
}

/// Copies, uploads and commits that are answered with 200 and never made, of each job several: no run counts on them.
#[tokio::test]
#[ignore = "needs SeaweedFS: `make test` runs it"]
async fn a_store_that_says_done_and_did_nothing_costs_no_row() {
    let store = Store::start().await;
    let proxy = Proxy::start(&store.endpoint).await;
    let world = World::in_store(&a_day(400), &store, &proxy.endpoint(), "").await;
    let mut lies = std::collections::BTreeMap::<(usize, usize), u32>::new();
    proxy.choose(move |request| {
        let job = FOUR.iter().position(|(job, ..)| {
            request.line().contains(&format!("/{job}/"))
                || request.line().contains(&format!("/{job}-"))
        })?;
        let kind = match request {
            request if request.is_copy() => 0,
            request
                if request.line().starts_with("PUT ") && request.line().contains("/staging/") =>
            {
                1
            }
            request if is_data_commit(request, FOUR[job].0) => 2,
            _ => return None,
        };
        let so_far = lies.entry((job, kind)).or_default();
        *so_far += 1;
        match *so_far {
            1 => Some(Fault::ErrorInside),
            2 => Some(Fault::Ignored),
            _ => None,
        }
    });
    let mut failed = 0;
    while run_as_of(&world, at(EVENING)).await.code != Some(0) {
        failed += 1;
        assert!(failed < 10, "it never gets well");
    }
    let lies = proxy.faults();
    assert!(lies.values().sum::<u64>() > 12, "{lies:?}");
    proxy.choose(|_| None);
    run_as_of(&world, at(SETTLED)).await.assert_code(0);
    world.assert_all_landed().await;
    println!("tried: a store that says done and did nothing, {lies:?}, {failed} failed runs");
}

#[tokio::test]
#[ignore = "needs SeaweedFS: `make test` runs it"]
async fn a_store_that_cant_decide_about_its_first_object_is_asked_again_later() {
    let store = Store::start().await;
    let proxy = Proxy::start(&store.endpoint).await;
    let world = World::in_store(&a_day(200), &store, &proxy.endpoint(), "").await;
    proxy.choose(|request| request.is_create().then_some(Fault::Conflict));
    let ended = run_as_of(&world, at(EVENING)).await.assert_code(1);
    ended.assert_says("ConditionalRequestConflict");
    proxy.choose(|_| None);
    run_as_of(&world, at(EVENING)).await.assert_code(0);
    // at every commit of a run: nobody took the job over, and that isn't said
    proxy.choose(|request| is_data_commit(request, "genesys").then_some(Fault::Conflict));
    let ended = run_as_of(&world, at(SETTLED)).await.assert_code(1);
    ended
        .assert_says("job `genesys` failed (transient): commit ")
        .assert_says("ConditionalRequestConflict");
    proxy.choose(|_| None);
    run_as_of(&world, at(SETTLED)).await.assert_code(0);
    world.assert_all_landed().await;
}

#[tokio::test]
#[ignore = "needs SeaweedFS: `make test` runs it"]
async fn a_store_that_forbids_to_list_is_a_matter_of_permission() {
    let store = Store::start().await;
    let proxy = Proxy::start(&store.endpoint).await;
    let world = World::in_store(&a_day(200), &store, &proxy.endpoint(), "").await;
    proxy.choose(|request| {
        request
            .line()
            .contains("list-type")
            .then_some(Fault::SkewedClock)
    });
    let ended = run_as_of(&world, at(EVENING)).await.assert_code(1);
    ended
        .assert_says("job `genesys` failed (auth): can't list ")
        .assert_says("this machine's clock and the store's are too far apart for a signature");
    proxy.choose(|_| None);
    run_as_of(&world, at(SETTLED)).await.assert_code(0);
    world.assert_all_landed().await;
}

#[tokio::test]
#[ignore = "needs SeaweedFS: `make test` runs it"]
async fn a_store_that_is_down_is_not_hammered() {
    let store = Store::start().await;
    let proxy = Proxy::start(&store.endpoint).await;
    let world = World::in_store(&a_day(400), &store, &proxy.endpoint(), "").await;
    // from the start: the first request and its eight retries
    proxy.choose(|_| Some(Fault::SlowDown));
    let ended = run_as_of(&world, at(EVENING)).await.assert_code(1);
    ended.assert_says("SlowDown");
    assert_eq!(proxy.requests(), 9);
    // from the moment at which the first job commits what it has pulled
    let before = 9;
    let mut is_down = false;
    proxy.choose(move |request| {
        is_down |= FOUR.iter().any(|(job, ..)| is_data_commit(request, job));
        is_down.then_some(Fault::SlowDown)
    });
    let ended = run_as_of(&world, at(EVENING)).await;
    assert_told_why(&ended);
    // of a job: a file, or six attempts at a commit, each of them to be written and read, all with eight retries; then
    // the same for the claim to be given up
    let refused = proxy.faults()[&Fault::SlowDown] - before;
    assert!(
        refused <= 4 * (9 + 6 * 18),
        "tried: {refused} requests to a store that is down"
    );
    println!("{refused} requests to a store that is down");
    proxy.choose(|_| None);
    run_as_of(&world, at(SETTLED)).await.assert_code(0);
    world.assert_all_landed().await;
}
