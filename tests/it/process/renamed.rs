//! A job that gets another name: it continues its log, or it is refused. Nothing is landed twice.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::support::{EVENING, World, one_day};

const REFUSED: &str = "and job `renamed` would land it a second time: set `log: audits` in job \
                       `renamed` to continue that log";

/// A lake that holds a day of the job `audits`.
async fn pulled() -> World {
    let world = World::new(&one_day(), EVENING).await;
    world.run_as_of(EVENING).await.assert_code(0);
    world.assert_all_landed();
    world
}

/// Every command that pulls, or says what would be pulled, refuses the job `renamed`.
async fn assert_refused(world: &World) {
    for args in [
        &["run", "--once"][..],
        &["plan"],
        &["check"],
        &["run", "--once", "--as-of", EVENING],
        &[
            "backfill",
            "--job",
            "renamed",
            "--from",
            "2026-03-02",
            "--to",
            "2026-03-03",
        ],
        &[
            "backfill",
            "--job",
            "renamed",
            "--from",
            "2026-03-02",
            "--to",
            "2026-03-03",
            "--refetch",
        ],
        &[
            "verify",
            "--job",
            "renamed",
            "--from",
            "2026-03-02",
            "--to",
            "2026-03-03",
            "--repair",
        ],
    ] {
        let ended = world.run(args).await;
        if args[0] == "verify" {
            assert_ne!(ended.code, Some(0), "{args:?}");
        } else {
            ended.assert_code(2).assert_says(REFUSED);
        }
        world.assert_all_landed();
    }
}

#[tokio::test]
async fn a_renamed_job_is_refused_until_it_names_its_log() {
    let world = pulled().await;
    world.change("- name: audits", "- name: renamed");
    assert_refused(&world).await;

    world.change("- name: renamed", "- name: renamed\n    log: audits");
    let ended = world.run_as_of(EVENING).await.assert_code(0);
    ended.assert_says("renamed: 0 new");
    world.run(&["plan"]).await.assert_code(0);
    world.run(&["check"]).await.assert_code(0);
    world.assert_all_landed();
    // people see the name, the lake has the log
    let status = world.run(&["status", "--json"]).await.assert_code(0);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status[0]["job"], "renamed");
    assert!(status[0]["watermark"].is_string());
    let commits = world.lake().commits("audits");
    assert!(commits.iter().all(|commit| commit["job"] == "audits"));

    // without it, the log is another one
    world.change("\n    log: audits", "");
    assert_refused(&world).await;
}

#[tokio::test]
async fn a_renamed_connection_is_the_same_account() {
    for account in ["", "account_id: acme"] {
        let world = pulled().await;
        world.change("- name: audits", "- name: renamed");
        world.change("  main:\n", &format!("  other:\n    {account}\n"));
        world.change("connection: main", "connection: other");
        assert_refused(&world).await;
    }
}

#[tokio::test]
async fn what_isnt_pulled_again_is_not_refused() {
    let world = pulled().await;
    // the old log ends where the new one begins
    let commits = world.lake().commits("audits");
    let progress = commits.last().unwrap()["progress"].as_object().unwrap();
    let ends = progress
        .values()
        .map(|of| of["watermark"].as_str().unwrap());
    let end = ends.max().unwrap().to_owned();
    world.change("- name: audits", "- name: renamed");
    let start = "start: 2026-03-02T00:00:00+00:00";
    world.change(start, &format!("start: {end}"));
    world.run_as_of(EVENING).await.assert_code(0);
    world.run(&["plan"]).await.assert_code(0);
    // once it has a log, it isn't let before its start either
    let earlier = [
        "backfill",
        "--job",
        "renamed",
        "--from",
        "2026-03-02",
        "--to",
        "2026-03-03",
    ];
    world
        .run(&earlier)
        .await
        .assert_code(2)
        .assert_says(REFUSED);
    world.change(&format!("start: {end}"), start);
    world.run(&["run", "--once"]).await.assert_code(2);
    world.assert_all_landed();
}

#[tokio::test]
async fn other_streams_are_not_refused_and_a_moved_one_is() {
    let world = World::new(&one_day(), EVENING).await;
    let commits = || world.lake().commits("audits");
    world.run_as_of(EVENING).await.assert_code(0);
    let streams: Vec<String> = (commits().last().unwrap()["progress"].as_object().unwrap())
        .keys()
        .cloned()
        .collect();
    assert!(streams.len() > 2, "{streams:?}");
    std::fs::remove_dir_all(world.path().join("lake")).unwrap();

    let [first, second] = [&streams[..1], &streams[1..]];
    let job = |name: &str, services: &[String]| {
        format!(
            "  - {{name: {name}, connection: main, schedule: '@hourly', start: 2026-03-02, options: {{services: {services:?}}}}}\n"
        )
    };
    let (head, _) = world
        .yaml()
        .split_once("  - name: audits")
        .map(|(head, rest)| (head.to_owned(), rest.to_owned()))
        .unwrap();
    let both = |one: &[String], other: &[String]| {
        format!("{head}{}{}", job("one", one), job("other", other))
    };
    // both are new, and run at once
    world.configure(&both(first, second));
    world.run_as_of(EVENING).await.assert_code(0);
    world.assert_all_landed();
    // a stream that changes hands
    let (less, more) = (&second[1..], [first, &second[..1]].concat());
    world.configure(&both(&more, less));
    let moved = world.run_as_of(EVENING).await.assert_code(2);
    moved.assert_says("leave the stream to the job that has the log `other`");
    world.assert_all_landed();
}

#[tokio::test]
async fn of_two_new_jobs_at_once_one_at_most_lands() {
    let world = World::new(&one_day(), EVENING).await;
    for round in 0..4 {
        let other = world.yaml().replace("- name: audits", "- name: other");
        std::fs::write(world.path().join("other.yaml"), other).unwrap();
        let args = ["run", "--once", "--as-of", EVENING];
        let [one, two] = [
            world.start(&args),
            world.start(&[&["-c", "other.yaml"], &args[..]].concat()),
        ];
        let (one, two) = tokio::join!(one.ended(), two.ended());
        let codes = [one.code, two.code];
        assert!(codes.contains(&Some(2)), "round {round}: {codes:?}");
        if codes.contains(&Some(0)) {
            world.assert_all_landed();
        } else {
            assert!(world.lake().rows().is_empty());
        }
        // the loser must not follow
        world.run(&args).await;
        world
            .run(&[&["-c", "other.yaml"], &args[..]].concat())
            .await;
        world.assert_all_landed();
        std::fs::remove_dir_all(world.path().join("lake")).unwrap();
    }
}

#[tokio::test]
async fn the_log_of_another_account_is_not_continued() {
    let world = pulled().await;
    // both call their only stream `audit`, or the like: what one has pulled must not count for the other
    world.change("- name: audits", "- name: renamed\n    log: audits");
    let genesys = std::fs::read_to_string(world.path().join("jobs.yaml")).unwrap();
    let connection = "  other: {provider: everyware_cloud, base_url: 'http://127.0.0.1:9/v2', allow_http: true, username: u, password: p}\njobs:";
    let everyware = genesys
        .replace("jobs:", connection)
        .replace("connection: main", "connection: other");
    let elsewhere = genesys
        .replace("  main:", "  other:")
        .replace("connection: main", "connection: other")
        .replace("sim-client", "another");
    for yaml in [everyware, elsewhere] {
        world.configure(&yaml);
        for args in [&["plan"][..], &["run", "--once", "--as-of", EVENING]] {
            let ended = world.run(args).await.assert_code(2);
            ended.assert_says(
                "the log `audits` of job `renamed` belongs to genesys_cloud, connection `main`",
            );
        }
    }
    world.assert_all_landed();
}

#[tokio::test]
async fn a_log_that_cant_be_read_is_not_passed_over() {
    let world = pulled().await;
    let folder = world.path().join("lake/_auditlake/jobs/audits/commits");
    let newest = super::support::files(&folder).pop().unwrap();
    std::fs::write(newest, "{\"format\": 99}").unwrap();
    world.change("- name: audits", "- name: renamed");
    let ended = world.run_as_of(EVENING).await;
    assert_ne!(ended.code, Some(0));
    ended.assert_says("has format 99");
    world.assert_all_landed();
}
