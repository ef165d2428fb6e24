//! Where `demo` may write its invented events: in a place of its own, and nowhere else.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use super::support::{EVENING, Ended, Process, World, files, one_day};

async fn demo(folder: &Path, lake: &str) -> Ended {
    let args = ["demo", "--json", "--lake", lake];
    Process::start(folder, &args, &[]).ended().await
}

/// All files with what is in them.
fn contents(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    // a link may lead nowhere
    let read = |file: std::path::PathBuf| (file.clone(), std::fs::read(file).unwrap_or_default());
    files(folder).into_iter().map(read).collect()
}

#[tokio::test]
async fn it_writes_into_no_lake_of_real_jobs_and_no_other_place_with_something_in_it() {
    let world = World::new(&one_day(), EVENING).await;
    // as the README's own job is called
    world.change("- name: audits", "- name: genesys-audits");
    world.run_as_of(EVENING).await.assert_code(0);
    let at = |name: &str| world.path().join(name);
    std::fs::create_dir_all(at("photos")).unwrap();
    std::fs::write(at("photos/holiday.jpg"), "x").unwrap();
    std::fs::create_dir_all(at("broken/_auditlake")).unwrap();
    std::fs::write(at("broken/_auditlake/lake.json"), "{").unwrap();
    // as an earlier version has left it
    std::fs::create_dir_all(at("demo-lake/_auditlake")).unwrap();
    let earlier = r#"{"format": 1, "partition_by": ["provider", "event_date"]}"#;
    std::fs::write(at("demo-lake/_auditlake/lake.json"), earlier).unwrap();
    std::os::unix::fs::symlink("lake", at("link")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
    let before = contents(world.path());
    for (lake, why) in [
        ("lake", "isn't one that it made"),
        ("./lake/", "isn't one that it made"),
        ("photos/../lake", "isn't one that it made"),
        ("link", "isn't one that it made"),
        ("demo-lake", "earlier version"),
        ("broken", "isn't one that it made"),
        ("lake/audit_events", "isn't empty"),
        ("lake/audit_events/provider=demo", "is inside the lake"),
        ("link/new/deeper", "is inside the lake"),
        ("photos", "isn't empty"),
        (".", "isn't empty"),
        ("jobs.yaml", "isn't a folder"),
        ("jobs.yaml/lake", "can't be read"),
        ("dangling", "can't be read"),
        ("s3://bucket/lake", "isn't a folder"),
    ] {
        let ended = demo(world.path(), lake).await.assert_code(2);
        assert_eq!(ended.stdout, "", "{lake}");
        ended.assert_says(why).assert_says("--lake");
        assert!(contents(world.path()) == before, "{lake} was written to");
        assert!(!at("lake/audit_events/provider=demo").exists(), "{lake}");
        assert!(!at("lake/new").exists() && !at("s3:").exists(), "{lake}");
    }
    world.assert_all_landed();
}

#[tokio::test]
async fn it_continues_its_own_lake_and_real_jobs_stay_out_of_it() {
    let world = World::new(&one_day(), EVENING).await;
    std::fs::create_dir(world.path().join("empty")).unwrap();
    std::os::unix::fs::symlink("empty", world.path().join("link")).unwrap();
    for lake in ["new/deeper", "link", "empty"] {
        demo(world.path(), lake).await.assert_code(0);
    }
    let rows = super::support::Lake(world.path().join("empty")).rows();
    assert!(!rows.is_empty());

    world.change("file://./lake", "file://./empty");
    for args in [&["run", "--once"][..], &["run"], &["check"]] {
        let ended = world.run(args).await;
        assert!(matches!(ended.code, Some(1 | 2)), "{args:?}: {ended:?}");
        ended.assert_says("its events are invented");
    }
    assert!(super::support::Lake(world.path().join("empty")).rows() == rows);
}
