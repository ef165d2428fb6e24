//! Clocks that are wrong, as the program meets them: the provider's `Date`, this machine's clock, and what its log says.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use auditlake::sim::Fault;
use auditlake::sim::genesys::{DatasetSpec, endpoint};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::check::asked_bounds;
use super::support::{Ended, World, files, now, until};

/// All of the API.
const API: [&str; 6] = [
    endpoint::SERVICES,
    endpoint::REALTIME_SERVICES,
    endpoint::SUBMIT,
    endpoint::STATUS,
    endpoint::RESULTS,
    endpoint::REALTIME,
];

/// Records of the last five days, up to ten minutes ago.
fn five_days() -> DatasetSpec {
    let now = DateTime::from_timestamp(now().timestamp(), 0).unwrap();
    DatasetSpec {
        records: 600,
        from: now - TimeDelta::days(5),
        to: now - TimeDelta::minutes(10),
        late_share: 0.0,
        largest_tie: 5,
        ..DatasetSpec::default()
    }
}

/// The newest entry of the job's log.
fn newest(world: &World) -> Value {
    world.lake().commits("audits").pop().unwrap()
}

/// The last instant that the log's newest entry says was pulled.
fn pulled_to(world: &World) -> DateTime<Utc> {
    let progress = newest(world)["progress"].clone();
    let ends = progress.as_object().unwrap().values().filter_map(|stream| {
        let last = stream["coverage"].as_array()?.last()?;
        Some(last[1].as_str()?.parse().unwrap())
    });
    ends.max().unwrap()
}

async fn once(world: &World) -> Ended {
    world.run(&["run", "--once"]).await.assert_code(0)
}

/// What `status --check` finds of clocks.
async fn clock_findings(world: &World) -> String {
    let found = world.run(&["status", "--check"]).await;
    let lines = found
        .stdout
        .lines()
        .filter(|line| line.starts_with("clock: "));
    let lines: Vec<&str> = lines.collect();
    assert!(lines.is_empty() || found.code == Some(3), "{found:?}");
    lines.join("\n")
}

#[tokio::test]
async fn what_had_not_happened_by_the_provider_s_clock_lands_once_it_has() {
    let world = World::ahead_by(&five_days(), -TimeDelta::days(3)).await;
    let before = now();
    once(&world)
        .await
        .assert_says("the local clock is 3d ahead of the API's clock");
    let by_provider = world.provider.now();
    assert!(pulled_to(&world) <= by_provider - TimeDelta::minutes(2));
    let planned_at: DateTime<Utc> = newest(&world)["planned_at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(planned_at <= by_provider);
    world.assert_landed_before(pulled_to(&world));
    let found = clock_findings(&world).await;
    assert!(
        found.contains("the local clock is 3d ahead of the API's clock"),
        "{found}"
    );

    world.provider.set_now(now());
    once(&world).await;
    world.assert_landed_before(before - TimeDelta::minutes(2));
    assert!(pulled_to(&world) > before - TimeDelta::minutes(3));
    assert_eq!(clock_findings(&world).await, "");
}

#[tokio::test]
async fn a_host_that_is_always_ahead_by_more_than_the_lag_loses_no_range_s_end() {
    let mut records = five_days();
    records.from = records.to - TimeDelta::hours(8);
    let world = World::ahead_by(&records, -TimeDelta::hours(3)).await;
    for step in 0..5 {
        once(&world).await;
        let end = pulled_to(&world);
        assert!(
            end <= world.provider.now() - TimeDelta::minutes(2),
            "step {step}"
        );
        world.assert_landed_before(end);
        // the host stays ten minutes ahead at least
        let next = world.provider.now() + TimeDelta::minutes(35);
        world.provider.set_now(next);
    }
}

#[tokio::test]
async fn a_host_that_is_behind_waits_and_says_so() {
    let world = World::ahead_by(&five_days(), TimeDelta::minutes(10)).await;
    let before = now();
    once(&world)
        .await
        .assert_says("the local clock is 10m behind the API's clock");
    assert!(pulled_to(&world) > before - TimeDelta::minutes(3));
    assert!(
        clock_findings(&world)
            .await
            .contains("the local clock is 10m behind the API's clock")
    );
    let json = world.run(&["status", "--json"]).await.stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["findings"][0]["kind"], "clock");
}

#[tokio::test]
async fn a_cached_answer_says_nothing_of_the_time() {
    let world = World::ahead_by(&five_days(), -TimeDelta::days(3)).await;
    let age = vec![("age", "3".to_owned())];
    for endpoint in API {
        world
            .provider
            .faults()
            .always(endpoint, Fault::Headers(age.clone()));
    }
    once(&world).await;
    assert!(pulled_to(&world) > now() - TimeDelta::minutes(3));
    assert_eq!(clock_findings(&world).await, "");
}

/// Changes the newest entry of the log as a clock that was three days ahead would have written it.
fn write_the_future(world: &World) {
    let ahead = |at: &Value| {
        let at: DateTime<Utc> = at.as_str().unwrap().parse().unwrap();
        json!((at + TimeDelta::days(3)).to_rfc3339())
    };
    let mut commit = newest(world);
    for stream in commit["progress"].as_object_mut().unwrap().values_mut() {
        let last = stream["coverage"]
            .as_array_mut()
            .unwrap()
            .last_mut()
            .unwrap();
        last[1] = ahead(&last[1]);
        stream["watermark"] = last[1].clone();
        // by that clock all passes over what was pulled were made
        stream["unsettled"] = json!({});
    }
    commit["planned_at"] = ahead(&commit["planned_at"]);
    let folder = world.path().join("lake/_auditlake/jobs/audits/commits");
    let file = files(&folder)
        .into_iter()
        .rfind(|file| file.extension().is_some_and(|it| it == "json"));
    std::fs::write(file.unwrap(), commit.to_string()).unwrap();
}

#[tokio::test]
async fn a_log_that_mentions_the_future_is_planned_again_where_two_clocks_agree() {
    let world = World::live(&five_days()).await;
    once(&world).await;
    write_the_future(&world);
    let found = clock_findings(&world).await;
    assert!(
        found.contains("in the future by the local clock"),
        "{found}"
    );
    let shown = world.run(&["status"]).await.stdout;
    assert!(
        shown.contains("-2d 23h"),
        "a negative lag is shown as it is:\n{shown}"
    );

    once(&world)
        .await
        .assert_says("those entries are void, and planned again");
    assert!(pulled_to(&world) <= now());
    let commit = newest(&world);
    let planned_at: DateTime<Utc> = commit["planned_at"].as_str().unwrap().parse().unwrap();
    assert!(planned_at <= now());
    for (stream, progress) in commit["progress"].as_object().unwrap() {
        let passes = progress["unsettled"].as_object().unwrap();
        assert!(
            passes.contains_key("3600") && passes.contains_key("86400"),
            "{stream}: {progress}"
        );
    }
    assert_eq!(clock_findings(&world).await, "");
    world.assert_landed_before(pulled_to(&world));
}

#[tokio::test]
async fn with_one_clock_or_as_of_another_time_nothing_is_void() {
    let world = World::live(&five_days()).await;
    once(&world).await;
    write_the_future(&world);
    let age = vec![("age", "3".to_owned())];
    for endpoint in API {
        world
            .provider
            .faults()
            .always(endpoint, Fault::Headers(age.clone()));
    }
    once(&world).await.assert_says("no two clocks agree");
    assert!(pulled_to(&world) > now() + TimeDelta::days(2));
    world.provider.faults().clear();
    let as_of = (now() - TimeDelta::hours(1)).to_rfc3339();
    world
        .run(&["run", "--once", "--as-of", &as_of])
        .await
        .assert_code(0);
    assert!(pulled_to(&world) > now() + TimeDelta::days(2));
    once(&world).await;
    assert!(pulled_to(&world) <= now());
}

#[tokio::test]
async fn a_daemon_never_sleeps_until_an_instant_that_a_wrong_clock_wrote() {
    let world = World::live(&five_days()).await;
    once(&world).await;
    write_the_future(&world);
    let daemon = world.start(&["run"]);
    until("the job has run", async || pulled_to(&world) <= now()).await;
    daemon.signalled("TERM").await.assert_code(0);
}

/// What commands take for now where this machine is days ahead of the provider.
#[tokio::test]
async fn no_command_of_a_host_that_is_ahead_counts_time_that_has_not_happened() {
    let world = World::ahead_by(&five_days(), -TimeDelta::days(3)).await;
    world.change("*/2 * * * * *", "0 0 1 1 *"); // not due again meanwhile
    once(&world).await;
    let ahead = "the local clock is 3d ahead of the API's clock";
    let local = now();
    let (a_day_ago, end) = (
        (world.provider.now() - TimeDelta::days(1)).to_rfc3339(),
        local.to_rfc3339(),
    );
    let run = async |command: &str, from: &str, more: &[&str]| {
        let range = [command, "--job", "audits", "--from", from, "--to", &end];
        world.run(&[&range, more].concat()).await
    };
    let until = |at: &Value| at.as_str().unwrap().parse::<DateTime<Utc>>().unwrap();

    // nothing that was to be pulled is missing
    let verified = run("verify", &a_day_ago, &["--json"]).await.assert_code(0);
    let verified = verified.assert_says(ahead).stdout;
    let verified: Value = serde_json::from_str(&verified).unwrap();
    assert_eq!(verified["equal"], true, "{verified}");
    assert_eq!(verified["not_pulled"], json!([]), "{verified}");
    let most = world.provider.now() - TimeDelta::minutes(2);
    assert!(until(&verified["too_new"][0]) <= most, "{verified}");
    let repaired = run("verify", &a_day_ago, &["--repair"])
        .await
        .assert_code(0);
    repaired.assert_says("not verified, too new: ");

    let pulled = run("backfill", &a_day_ago, &["--refetch"])
        .await
        .assert_code(0);
    assert!(!pulled.stderr.contains("repeat the command"), "{pulled:?}");
    for (stream, progress) in newest(&world)["progress"].as_object().unwrap() {
        let refetched = &progress["refetch"]["range"][1];
        assert!(
            until(refetched) <= world.provider.now(),
            "{stream}: {progress}"
        );
    }

    let yesterday = (local - TimeDelta::days(1)).to_rfc3339();
    for command in ["verify", "backfill"] {
        let refused = run(command, &yesterday, &[]).await.assert_code(2);
        refused
            .assert_says("is later than now (")
            .assert_says(ahead);
    }
    assert!(pulled_to(&world) <= world.provider.now() - TimeDelta::minutes(2));

    // `check` asks for a minute that has been, too
    let checked = world.run(&["check"]).await.assert_code(1);
    let asked = asked_bounds(&checked.stdout);
    assert!(asked.1 <= world.provider.now(), "{asked:?}");
}
