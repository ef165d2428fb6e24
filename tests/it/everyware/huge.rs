//! A day that is larger than the memory that may be spent on it.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::process::Command;

use auditlake::lake::Lake;
use auditlake::sim::everyware::{DatasetSpec, EverywareSettings, HugeDay};

use super::support::{Rig, settings, three_days};
use crate::support::rig::at;

const NAME: &str = "everyware::huge::memory_does_not_grow_with_the_day";
/// Set where a test has its process to itself.
const ALONE: &str = "NEXTEST";

/// The most memory that this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1_024
}

#[tokio::test]
async fn memory_does_not_grow_with_the_day() {
    if std::env::var_os(ALONE).is_none() {
        // other tests would be measured, too
        let test = Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact"])
            .env(ALONE, "1")
            .status();
        assert!(test.unwrap().success());
        return;
    }
    let huge = HugeDay {
        day: at("2026-03-02").date_naive(),
        records: 8_000,
        padding: 6_000,
    };
    let settings = EverywareSettings {
        huge_day: Some(huge),
        ..settings()
    };
    let spec = DatasetSpec {
        late_share: 0.0,
        ..three_days()
    };
    let mut rig = Rig::new(
        &spec,
        settings,
        "start: 2026-03-02\n    options: {timezone: UTC}",
    )
    .await;
    rig.job.target_file_size = 1 << 20;
    // a lake in memory would be measured, too
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    rig.job.lake = Lake::at(&url, &BTreeMap::new()).unwrap();
    let columns = rig
        .job
        .partition_by
        .iter()
        .map(|column| column.as_str().to_owned());
    rig.job
        .lake
        .prepare(&columns.collect::<Vec<_>>())
        .await
        .unwrap();
    let before = peak();
    let report = rig.tick(at("2026-03-03") + rig.job.policy.lag).await;
    let grown = peak() - before;
    assert!(grown < 40 << 20, "{grown} bytes more for a day of 48 MB");
    let beside = rig
        .sim
        .dataset()
        .truth(at("2026-03-02"), at("2026-03-03"), rig.sim.now());
    assert_eq!(report.totals.counts.new, huge.records + beside.len() as u64);
    let mut ids: Vec<String> = rig.rows().await.into_iter().map(|row| row.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len() as u64, report.totals.counts.new);
}
