//! The shortcuts in `tests/shortcuts` are put into the code by its `run.sh`, to see that each is caught. That takes long;
//! this only sees to it that they still fit the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Steps of the protocol itself; the shortcuts of `crates/protocol-model` are their counterparts.
const SHORTCUTS: [&str; 19] = [
    "as-written",
    "cache-filled-at-pull",
    "cache-trusted",
    "check-head-only",
    "check-none",
    "check-none-key-without-run",
    "cursor-lists-full-parts-only",
    "failing-run-cleans-up",
    "ids-before-claim",
    "ids-before-roll-forward",
    "prune-not-yet-said",
    "prune-unpublished",
    "renewal-names-unpublished",
    "roll-forward-read-after-check",
    "same-run-id",
    "sweep-by-claim-unchecked",
    "sweep-listed-late",
    "version-again",
    "windows-own-id-sets",
];

/// And what came with the code's own ways to save requests, and with stores that lie.
const OWN: [&str; 6] = [
    "left-by-number",
    "left-unlisted",
    "left-unpublished",
    "own-unchecked",
    "publish-unlooked",
    "published-by-existence",
];

/// What a hunk takes away and what it leaves, with the file it is for.
fn hunks(patch: &str) -> Vec<(String, String)> {
    let mut file = "";
    let mut hunks: Vec<(String, String)> = Vec::new();
    for line in patch.lines() {
        if let Some(name) = line.strip_prefix("--- a/") {
            file = name;
        } else if line.starts_with("@@") {
            hunks.push((file.to_owned(), String::new()));
        } else if let Some((_, old)) = hunks.last_mut()
            && let Some(kept) = line.strip_prefix([' ', '-'])
            && !line.starts_with("---")
        {
            old.push_str(kept);
            old.push('\n');
        }
    }
    hunks
}

/// The lines of the old and of the new text that a hunk's header announces, and those that follow it: `patch` refuses a
/// hunk in which they differ.
fn counts(patch: &str) -> Vec<[(usize, usize); 2]> {
    let mut counts: Vec<[(usize, usize); 2]> = Vec::new();
    for line in patch.lines() {
        if let Some(header) = line.strip_prefix("@@ -") {
            let (old, rest) = header.split_once(" +").unwrap();
            let announced =
                |range: &str| range.split_once(',').map_or(1, |(_, n)| n.parse().unwrap());
            let new = rest.split_once(" @@").unwrap().0;
            counts.push([(announced(old), 0), (announced(new), 0)]);
        } else if let Some([(_, old), (_, new)]) = counts.last_mut()
            && !line.starts_with("---")
            && !line.starts_with("+++")
        {
            *old += usize::from(line.starts_with([' ', '-']));
            *new += usize::from(line.starts_with([' ', '+']));
        }
    }
    counts
}

#[test]
fn every_shortcut_still_fits_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    for found in fs::read_dir(root.join("tests/shortcuts")).unwrap() {
        let entry = found.unwrap().path();
        if entry
            .extension()
            .is_none_or(|extension| extension != "patch")
        {
            continue;
        }
        let name = entry.file_stem().unwrap().to_str().unwrap().to_owned();
        let patch = fs::read_to_string(&entry).unwrap();
        assert!(patch.starts_with("Removes: "), "{name} has no description");
        let hunks = hunks(&patch);
        assert!(!hunks.is_empty(), "{name} has no hunk");
        for (announced, there) in counts(&patch).into_iter().flatten() {
            assert_eq!(
                announced, there,
                "{name} has a hunk whose header counts wrongly"
            );
        }
        for (file, old) in hunks {
            let code = fs::read_to_string(root.join(&file)).unwrap();
            assert_eq!(
                code.matches(&old).count(),
                1,
                "{name} no longer applies to {file}; recreate it with `diff -u`:\n{old}"
            );
        }
        names.insert(name);
    }
    let known = SHORTCUTS.iter().chain(&OWN).map(|&name| name.to_owned());
    assert_eq!(names, known.collect());
}
