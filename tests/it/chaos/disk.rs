//! A lake in a folder whose disk is full, read-only, or gone in the middle.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::time::Duration;

use auditlake::sim::Clock;
use tokio::process::Command;

use super::world::{FOUR, Spec, UNLIMITED, World};
use crate::process::support::{Ended, Process, at, files, until};

const EVENING: &str = "2026-03-03T00:10:00Z";
const RUN: &str = "run --once --as-of 2026-03-03T00:10:00Z";

/// 2026-03-02, seen in the evening.
async fn a_day(records: usize) -> World {
    let spec = Spec {
        records,
        from: at("2026-03-02T00:00:00Z"),
        to: at("2026-03-03T00:00:00Z"),
        clock: Clock::Fixed(at(EVENING)),
        late_share: 0.0,
        latest: Duration::from_hours(1),
        rate: UNLIMITED,
        yaml: "  schedule: '@hourly'
  window: 6h",
        jobs: FOUR,
    };
    World::on_disk(&spec).await
}

/// Runs a shell's lines with `$auditlake` in the world's folder.
async fn shell(folder: &Path, script: &str) -> Ended {
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .current_dir(folder)
        .env("auditlake", env!("CARGO_BIN_EXE_auditlake"));
    Process::of(command).ended().await
}

/// The same where it may mount.
async fn within_own_mounts(world: &World, script: &str) -> Ended {
    std::fs::write(world.path().join("script"), script).unwrap();
    shell(world.path(), "exec unshare -Urm sh script").await
}

/// Whether this user may have a file system of its own to play with; says so if not.
async fn may_mount() -> bool {
    let tried = shell(
        Path::new("/"),
        "unshare -Urm sh -c 'mount -t tmpfs -o size=1m tmpfs /mnt'",
    )
    .await;
    if tried.code != Some(0) {
        println!("skipped: this user can't mount, {}", tried.stderr);
    }
    tried.code == Some(0)
}

#[tokio::test]
async fn files_that_can_grow_no_further_leave_nothing_half_written() {
    let world = a_day(4_000).await;
    // so that nothing can be written, that commits can but no data, and that some data can
    for blocks in [0, 24, 200] {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec $auditlake {RUN}");
        let ended = shell(world.path(), &script).await.assert_code(1);
        let ended = ended.assert_says("File too large");
        if blocks > 0 {
            ended.assert_says("failed (transient): can't write `_auditlake/jobs/");
        }
        world.reader().look().await;
        assert_eq!(world.temporary_files(), [""; 0]);
    }
    shell(world.path(), &format!("exec $auditlake {RUN}"))
        .await
        .assert_code(0);
    world.assert_all_landed().await;
}

#[tokio::test]
async fn a_full_disk_is_named_and_done_with_once_there_is_room() {
    if !may_mount().await {
        return;
    }
    let world = a_day(4_000).await;
    // too small for a commit, for all the data, and large enough
    let script = format!(
        "mount -t tmpfs -o size=16k tmpfs lake
for size in 16 512 4096; do
  mount -o remount,size=${{size}}k lake
  $auditlake {RUN}
  echo \"with ${{size}}k: $?\"
  find lake -name '*#*'
done
mkdir copy && cp -a lake/. copy"
    );
    let ended = within_own_mounts(&world, &script).await.assert_code(0);
    let told: Vec<&str> = ended
        .stdout
        .lines()
        .filter(|line| !line.contains(" new, ") && !line.ends_with(": FAILED"))
        .collect();
    assert_eq!(
        told,
        ["with 16k: 1", "with 512k: 1", "with 4096k: 0"],
        "{}",
        ended.stderr
    );
    let ended =
        ended.assert_says("failed (transient): commit 1 got no clear answer after 6 attempts");
    ended.assert_says("No space left on device");
    shell(world.path(), "cp -a copy/. lake")
        .await
        .assert_code(0);
    world.assert_all_landed().await;
}

#[tokio::test]
async fn a_read_only_disk_is_named_and_keeps_what_it_has() {
    if !may_mount().await {
        return;
    }
    let world = a_day(400).await;
    shell(world.path(), &format!("exec $auditlake {RUN}"))
        .await
        .assert_code(0);
    let before = files(&world.path().join("lake"));
    let script =
        format!("mount --bind lake lake && mount -o remount,bind,ro lake && exec $auditlake {RUN}");
    let ended = within_own_mounts(&world, &script).await.assert_code(1);
    ended
        .assert_says("error: can't write `_auditlake/lake.json` in the lake: ")
        .assert_says("Read-only file system");
    assert_eq!(files(&world.path().join("lake")), before);
    world.assert_all_landed().await;
}

#[tokio::test]
async fn a_folder_that_is_removed_in_the_middle_gets_no_log_that_begins_in_the_middle() {
    let world = a_day(4_000).await;
    world.set_latency(Duration::from_millis(20));
    let process = world.start(&RUN.split(' ').collect::<Vec<_>>());
    until("all jobs are claimed", async || {
        let mut all = true;
        for (job, ..) in FOUR {
            all &= world.newest(job).await.is_some();
        }
        all
    })
    .await;
    std::fs::remove_dir_all(world.path().join("lake")).unwrap();
    let ended = process.ended().await.assert_code(1);
    ended.assert_says(
        "failed (transient): the lake `file://./lake` is gone: its folder was removed",
    );
    world.set_latency(Duration::ZERO);
    for (job, ..) in FOUR {
        assert_eq!(world.newest(job).await, None, "{job}");
    }
    shell(world.path(), &format!("exec $auditlake {RUN}"))
        .await
        .assert_code(0);
    world.assert_all_landed().await;
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_cleared() {
    let world = a_day(400).await;
    let run = RUN.split(' ').collect::<Vec<_>>();
    world.run(&run).await.assert_code(0);
    // as the store names a file until all of it is written
    let staging = world
        .path()
        .join("lake/_auditlake/jobs/genesys/staging/01a202ea-65c5-7259-8bb0-46f61b899d5a");
    std::fs::create_dir_all(&staging).unwrap();
    std::fs::write(staging.join("3.staged#1"), "PAR1").unwrap();
    world.run(&run).await.assert_code(0);
    assert!(!staging.exists());
    assert_eq!(world.temporary_files(), [""; 0]);
    world.assert_all_landed().await;
}
