use std::collections::BTreeSet;

use super::*;

#[test]
fn every_path_is_described() {
    let described = Description::openapi();
    let described: BTreeSet<&str> = described.paths.paths.keys().map(String::as_str).collect();
    let there = table();
    let there: BTreeSet<&str> = there.iter().map(|(path, _)| *path).collect();
    assert_eq!(described, there);
}

/// Generated clients use these names.
#[test]
fn components_keep_their_names() {
    let components = Description::openapi().components;
    let names: BTreeSet<String> = components
        .into_iter()
        .flat_map(|all| all.schemas.into_keys())
        .collect();
    let expected = [
        "Activity",
        "Advice",
        "Counts",
        "Failing",
        "Gap",
        "Holder",
        "Job",
        "JobState",
        "JobWithStreams",
        "Jobs",
        "Kind",
        "Outcome",
        "Problem",
        "Range",
        "RangeOfRun",
        "Run",
        "Runs",
        "Stream",
        "Work",
    ];
    assert_eq!(names, expected.map(str::to_owned).into());
}
