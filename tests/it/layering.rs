//! Layers import downward only, as src/lib.rs says.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each module of the crate, and all that it may import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    // the bottom: what the layers share
    ("model", &[]),
    ("tls", &[]),
    ("shutdown", &[]),
    ("single_flight", &[]),
    ("foreign", &[]),
    ("text", &["model"]),
    ("clocks", &["model", "text"]),
    ("clock", &["clocks", "model"]),
    ("telemetry", &["clock", "foreign", "text", "tls"]),
    ("timer", &["clock", "model"]),
    ("metrics", &["model"]),
    ("secret", &[]),
    ("cron", &["model"]),
    ("yaml", &["model", "secret"]),
    // the parts: none of them knows another's insides
    ("providers", &["model", "secret", "yaml"]),
    (
        "client",
        &[
            "clock",
            "foreign",
            "metrics",
            "model",
            "providers",
            "secret",
            "single_flight",
            "telemetry",
            "tls",
        ],
    ),
    (
        "lake",
        &[
            "clock",
            "clocks",
            "metrics",
            "model",
            "secret",
            "telemetry",
            "tls",
        ],
    ),
    ("table", &["model"]),
    (
        "config",
        &[
            "lake",
            "model",
            "providers",
            "cron",
            "secret",
            "tls",
            "yaml",
        ],
    ),
    // what is made of them
    (
        "history",
        &["timer", "clock", "lake", "model", "table", "telemetry"],
    ),
    (
        "run",
        &[
            "client",
            "clock",
            "clocks",
            "foreign",
            "lake",
            "metrics",
            "model",
            "providers",
            "table",
            "telemetry",
            "text",
        ],
    ),
    (
        "verify",
        &[
            "clock",
            "lake",
            "model",
            "providers",
            "run",
            "table",
            "telemetry",
        ],
    ),
    (
        "setup",
        &[
            "client", "config", "lake", "metrics", "model", "run", "cron",
        ],
    ),
    (
        "status",
        &["clocks", "lake", "metrics", "model", "run", "setup", "text"],
    ),
    (
        "scheduler",
        &[
            "timer",
            "clock",
            "history",
            "lake",
            "metrics",
            "model",
            "run",
            "setup",
            "status",
            "telemetry",
        ],
    ),
    (
        "server",
        &[
            "client",
            "clock",
            "config", // its tests
            "foreign",
            "history",
            "lake",
            "metrics",
            "model",
            "run",
            "setup",
            "scheduler",
            "single_flight",
            "status",
            "telemetry",
            "text",
        ],
    ),
    // the top: nothing imports it, and it may import all
    ("cli", &["*"]),
];

#[test]
fn layers_import_downward_only() {
    let may: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut wrong = BTreeSet::new();
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let path = file
            .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
            .unwrap();
        let module = path.iter().next().unwrap().to_str().unwrap();
        let module = module.trim_end_matches(".rs");
        if matches!(module, "lib" | "main") {
            continue;
        }
        let Some(allowed) = may.get(module) else {
            wrong.insert(format!("`{module}` has no place in the table of layers"));
            continue;
        };
        let text = std::fs::read_to_string(&file).unwrap();
        if text.contains("crate::{") {
            wrong.insert(format!("{}: one `use` for each module", path.display()));
        }
        for imported in imports(&text) {
            let fine = imported == module || allowed.contains(&"*") || allowed.contains(&imported);
            if !fine {
                wrong.insert(format!(
                    "{}: `{module}` imports `{imported}`",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_of_layers_has_no_upward_edge() {
    let mut below = BTreeSet::from(["*"]);
    for (module, imported) in MAY_IMPORT {
        for import in *imported {
            assert!(
                below.contains(import),
                "`{module}` imports `{import}`, which stands above it"
            );
        }
        below.insert(module);
    }
}

/// The modules of this crate that the text names; comments don't count.
fn imports(text: &str) -> BTreeSet<&str> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            &rest[..end.unwrap_or(rest.len())]
        })
        .filter(|name| !name.is_empty())
        .collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found
}
