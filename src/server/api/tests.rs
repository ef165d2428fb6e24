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
