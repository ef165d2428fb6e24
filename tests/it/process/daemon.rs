//! The daemon: schedules, signals, readiness.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use auditlake::sim::Fault;
use auditlake::sim::genesys::endpoint;
use tokio_util::sync::CancellationToken;

use super::support::{Process, World, get, lately, until};

#[tokio::test]
async fn it_lands_data_on_its_schedule_and_stops_cleanly() {
    for signal in ["TERM", "INT"] {
        let world = World::live(&lately()).await;
        let daemon = world.start(&["run"]);
        let address = daemon.address().await;
        assert_eq!(get(&address, "/healthz").await, (200, "ok\n".to_owned()));
        daemon.says("run ended").await;
        assert_eq!(get(&address, "/readyz").await, (200, "ready\n".to_owned()));
        world.assert_all_landed();
        daemon.says_times("run ended", 3).await; // it goes on by itself
        world
            .run(&["health", "--listen", &address])
            .await
            .assert_code(0);

        let ended = daemon.signalled(signal).await.assert_code(0);
        assert_eq!(ended.stdout, "");
        ended.assert_says("stopped");
        world.assert_all_landed();
        let gone = world
            .run(&["health", "--listen", &address])
            .await
            .assert_code(1);
        gone.assert_says(&format!("the daemon at `{address}` isn't healthy"));
    }
}

#[tokio::test]
async fn what_it_was_pulling_is_committed_before_it_stops() {
    let world = World::live(&lately()).await;
    let held = CancellationToken::new();
    world.provider.faults().inject(auditlake::sim::FaultRule {
        endpoint: Some(endpoint::REALTIME),
        skip: 1,
        times: 4,
        fault: Fault::Hold(held.clone()),
    });
    let daemon = world.start(&["run"]);
    world
        .provider
        .counters()
        .reached(endpoint::REALTIME, 5)
        .await;
    daemon.signal("TERM").await;
    daemon.says("stopping: ").await;
    held.cancel();
    daemon
        .ended()
        .await
        .assert_code(0)
        .assert_says("unfinished=true");
    let landed = world.lake().rows().len();
    assert!((1..500).contains(&landed), "{landed} rows");

    world.run(&["run", "--once"]).await.assert_code(0);
    world.assert_all_landed();
}

#[tokio::test]
async fn a_second_signal_doesnt_wait_for_the_grace_period() {
    let world = World::live(&lately()).await;
    let held = CancellationToken::new();
    world
        .provider
        .faults()
        .next_any(1_000, Fault::Hold(held.clone()));
    let daemon = world.start(&["run"]);
    world.provider.counters().reached(endpoint::TOKEN, 1).await;
    daemon.signal("TERM").await;
    daemon.says("stopping: ").await;
    let asked = Instant::now();
    daemon.signalled("TERM").await.assert_code(0);
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    held.cancel();
}

#[tokio::test]
async fn the_grace_period_ends() {
    let world = World::live(&lately()).await;
    world.change("server:", "server:\n  shutdown_grace: 1s");
    let held = CancellationToken::new();
    world
        .provider
        .faults()
        .next_any(1_000, Fault::Hold(held.clone()));
    let daemon = world.start(&["run"]);
    world.provider.counters().reached(endpoint::TOKEN, 1).await;
    let ended = daemon.signalled("TERM").await.assert_code(0);
    ended.assert_says("the grace period is over");
    held.cancel();
}

#[tokio::test]
async fn a_hangup_reads_the_configuration_again() {
    let world = World::live(&lately()).await;
    world.change("- name: audits", "- name: first");
    let daemon = world.start(&["run"]);
    daemon.says("run ended job=\"first\"").await;

    world.change("schedule:", "shedule:");
    daemon.signal("HUP").await;
    daemon.says("the old configuration stays").await;
    daemon.says("unknown key `shedule`").await;
    let runs = daemon.stderr().matches("run ended job=\"first\"").count();
    daemon.says_times("run ended job=\"first\"", runs + 1).await;

    world.change("shedule:", "schedule:");
    world.change("- name: first", "- name: second\n    log: first");
    daemon.signal("HUP").await;
    daemon.says("the configuration was reloaded").await;
    daemon.says("run ended job=\"second\"").await;
    let (_, since) = daemon
        .stderr()
        .split_once("the configuration was reloaded")
        .map(|(a, b)| (a.len(), b.to_owned()))
        .unwrap();
    assert!(!since.contains("job=\"first\""), "{since}");
    let (_, told) = get(&daemon.address().await, "/api/v1/jobs").await;
    assert!(
        told.contains("\"second\"") && !told.contains("\"first\""),
        "{told}"
    );
    daemon.signalled("TERM").await.assert_code(0);
}

#[tokio::test]
async fn two_daemons_share_a_lake() {
    let world = World::live(&lately()).await;
    world.provider.set_latency(Duration::from_millis(2));
    let (one, other) = (world.start(&["run"]), world.start(&["run"]));
    tokio::join!(one.says("scheduling jobs"), other.says("scheduling jobs"));
    tokio::select! {
        _ = one.says_times("run ended", 2) => {}
        _ = other.says_times("run ended", 2) => {}
    }
    world.assert_all_landed();
    // one is killed, the other takes over
    one.signalled("KILL").await;
    let runs = other.stderr().matches("run ended").count();
    other.says_times("run ended", runs + 2).await;
    other.signalled("TERM").await.assert_code(0);
    world.assert_all_landed();
}

#[tokio::test]
async fn a_lake_in_memory_works_and_survives_a_hangup() {
    let world = World::live(&lately()).await;
    world.change("file://./lake", "memory://");
    let daemon = world.start(&["run"]);
    daemon.says("new=500").await;
    daemon.signal("HUP").await;
    daemon.says("the configuration was reloaded").await;
    let runs = daemon.stderr().matches("run ended").count();
    daemon.says_times("run ended", runs + 1).await;
    // a run may say so of a commit, too, if that one commit has them all
    let told = daemon.stderr();
    let landed_all = |line: &&str| line.contains("run ended") && line.contains("new=500");
    assert_eq!(told.lines().filter(landed_all).count(), 1, "{told}");
    daemon.signalled("TERM").await.assert_code(0);
    assert!(!world.path().join("lake").exists());
}

#[tokio::test]
async fn it_is_alive_but_not_ready_while_the_lake_cant_be_reached() {
    let world = World::live(&lately()).await;
    // nobody listens there
    world.change(
        "url: file://./lake",
        "url: s3://bucket/prefix
  storage_options: { aws_endpoint: http://127.0.0.1:9, aws_allow_http: true, aws_region: r, aws_access_key_id: a, aws_secret_access_key: b }",
    );
    let daemon = world.start(&["run"]);
    let address = daemon.address().await;
    assert_eq!(get(&address, "/healthz").await, (200, "ok\n".to_owned()));
    until("told why", async || {
        let (status, body) = get(&address, "/readyz").await;
        assert_eq!(status, 503);
        body.contains("bucket") || body.contains("lake.json")
    })
    .await;
    let asked = Instant::now();
    daemon.signalled("TERM").await.assert_code(0);
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
}

/// Another user than root, whom no permission binds; none if this isn't root.
fn unprivileged() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    (std::fs::metadata("/proc/self").ok()?.uid() == 0).then_some(65_534)
}

#[tokio::test]
async fn it_is_alive_but_not_ready_while_the_lake_cant_be_written() {
    use std::os::unix::fs::PermissionsExt;

    let world = World::live(&lately()).await;
    let may = |mode| {
        let lake = world.path().join("lake");
        std::fs::set_permissions(lake, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    std::fs::create_dir(world.path().join("lake")).unwrap();
    may(0o555);
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.path(), open).unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_auditlake"));
    command.arg("run").current_dir(world.path()).env_clear();
    if let Some(user) = unprivileged() {
        command.uid(user).gid(user);
    }
    let daemon = Process::of(command);
    let address = daemon.address().await;
    daemon.says("the lake can't be used").await;
    assert_eq!(get(&address, "/healthz").await, (200, "ok\n".to_owned()));
    until("told why", async || {
        let (status, body) = get(&address, "/readyz").await;
        assert_eq!(status, 503);
        body.contains("Permission denied")
    })
    .await;
    // a new configuration with such a lake doesn't end it either
    world.change("    start:", "    lag: 1m\n    start:");
    daemon.signal("HUP").await;
    daemon.says("the old configuration stays").await;

    may(0o777);
    daemon.says("run ended").await;
    assert_eq!(get(&address, "/readyz").await, (200, "ready\n".to_owned()));
    world.assert_all_landed();
    daemon.signalled("TERM").await.assert_code(0);
}

#[tokio::test]
async fn a_lake_that_is_configured_wrongly_is_refused_at_the_start_alone() {
    let world = World::live(&lately()).await;
    let daemon = world.start(&["run"]);
    daemon.says("run ended").await;
    world.change(
        "  url: file://./lake",
        "  url: file://./lake\n  partition_by: [event_date]",
    );
    daemon.signal("HUP").await;
    daemon.says("the old configuration stays").await;
    daemon.says("is partitioned by").await;
    let runs = daemon.stderr().matches("run ended").count();
    daemon.says_times("run ended", runs + 1).await;
    let ended = world.run(&["run"]).await.assert_code(2);
    ended.assert_says("is partitioned by");
    daemon.signalled("TERM").await.assert_code(0);
}

/// What probes send: no `Host` at all, any name, HTTP/1.0.
#[tokio::test]
async fn probes_are_answered_whatever_they_call_it() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let world = World::live(&lately()).await;
    let daemon = world.start(&["run"]);
    let address = daemon.address().await;
    daemon.says("run ended").await;
    let ask = async |request: String| {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let hosts = [
        "",
        "Host: auditlake.audit.svc:8080\r\n",
        "Host: 10.1.2.3\r\n",
        "Host:\r\n",
        "Host: what ever/\r\n",
        "Host: a\r\nHost: b\r\n",
    ];
    for version in ["1.0", "1.1"] {
        for host in hosts {
            let request = |method: &str, path: &str| {
                format!("{method} {path} HTTP/{version}\r\n{host}Connection: close\r\n\r\n")
            };
            for path in ["/healthz", "/readyz"] {
                for method in ["GET", "HEAD"] {
                    let answer = ask(request(method, path)).await;
                    let status = answer.split(' ').nth(1);
                    assert_eq!(status, Some("200"), "{method} {path} {host:?}: {answer}");
                }
            }
            // all else is for those who know its name
            let status = if host.contains("10.1.2.3") {
                "200"
            } else {
                "4"
            };
            let answer = ask(request("GET", "/metrics")).await;
            let found = answer.split(' ').nth(1).unwrap();
            assert!(found.starts_with(status), "{host:?}: {answer}");
        }
    }
    daemon.signalled("TERM").await.assert_code(0);
}

#[tokio::test]
async fn a_failing_job_keeps_the_daemon_alive() {
    let world = World::live(&lately()).await;
    world.change("sim-secret", "wrong");
    let daemon = world.start(&["run"]);
    let address = daemon.address().await;
    let line = daemon.says("the run failed").await;
    assert!(
        line.contains("job=\"audits\"") && line.contains("auth"),
        "{line}"
    );
    assert_eq!(get(&address, "/healthz").await.0, 200);
    daemon.signalled("TERM").await.assert_code(0);
}

#[tokio::test]
async fn an_address_that_is_taken_is_said() {
    let world = World::live(&lately()).await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    world.change("127.0.0.1:0", &address);
    let ended = world.run(&["run"]).await.assert_code(1);
    ended.assert_says(&format!(
        "can't listen on `{address}`; set `server.listen` to another address"
    ));
}

#[tokio::test]
async fn only_the_jobs_named_are_kept() {
    let world = World::live(&lately()).await;
    let ended = world.run(&["run", "--job", "nope"]).await.assert_code(2);
    ended.assert_says("there is no job `nope`; the jobs are `audits`");
    let process = Process::start(world.path(), &["run", "--job", "audits"], &[]);
    process.says("run ended").await;
    process.signalled("INT").await.assert_code(0);
}

/// Memory in kilobytes, open files, threads.
#[cfg(target_os = "linux")]
fn held(process: u32) -> [usize; 3] {
    let folder = std::path::Path::new("/proc").join(process.to_string());
    let status = std::fs::read_to_string(folder.join("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let memory = line.unwrap().split_whitespace().nth(1).unwrap();
    let count = |name| std::fs::read_dir(folder.join(name)).unwrap().count();
    [memory.parse().unwrap(), count("fd"), count("task")]
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn it_holds_no_more_after_many_ticks() {
    let ticks = std::env::var("AUDITLAKE_SOAK_TICKS").map_or(24, |text| text.parse().unwrap());
    let world = World::live(&lately()).await;
    world.change("*/2 * * * * *", "* * * * * *");
    let daemon = world.start(&["run"]);
    let mut all = Vec::new();
    // each is waited for by itself, as many of them take longer than anything may
    for tick in 1..=ticks {
        daemon.says_times("run ended", tick).await;
        all.push(held(daemon.id()));
    }
    let (first, last) = (all[ticks / 3], all[ticks - 1]);
    daemon.signalled("TERM").await.assert_code(0);
    let message = format!("after {} runs {first:?}, after {ticks} {last:?}", ticks / 3);
    assert!(
        last[0] < first[0] + first[0] / 10 + 4_000,
        "memory: {message}"
    );
    // connections to the provider and threads of the pool come and go
    assert!(last[1] <= first[1] + 4, "open files: {message}");
    assert!(last[2] <= first[2] + 4, "threads: {message}");
}
