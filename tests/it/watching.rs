//! What operators watch the daemon by: the table of metrics, the alerts and the dashboard name what there is.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use auditlake::metrics::{MetricHelp, Metrics};
use serde_json::Value;

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn table(all: &[MetricHelp]) -> String {
    let mut table = "| metric | kind | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for about in all {
        let labels: Vec<_> = about
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let MetricHelp {
            name, kind, help, ..
        } = about;
        writeln!(
            table,
            "| `{name}` | {kind} | {} | {help} |",
            labels.join(", ")
        )
        .unwrap();
    }
    table
}

#[test]
fn the_page_of_metrics_has_all_of_them() {
    let path = file("docs/metrics.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("<!-- table -->\n").unwrap();
    let (have, after) = rest.split_once("<!-- end -->\n").unwrap();
    let want = table(Metrics::default().catalogue());
    if std::env::var_os("UPDATE").is_some() {
        let page = format!("{before}<!-- table -->\n{want}<!-- end -->\n{after}");
        return std::fs::write(path, page).unwrap();
    }
    assert_eq!(
        have, want,
        "docs/metrics.md is stale; run the tests with UPDATE=1"
    );
}

/// The metrics that an expression names, as the catalogue has them.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text
        .split(|c| !is_part(c))
        .filter(|word| word.starts_with("auditlake_"));
    words
        .map(|word| {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| word.strip_suffix(end));
            family.unwrap_or(word).to_owned()
        })
        .collect()
}

fn assert_there_are(named: &BTreeSet<String>) {
    let metrics = Metrics::default();
    let known: BTreeSet<String> = (metrics.catalogue().iter())
        .map(|about| about.name.to_owned())
        .collect();
    let unknown: Vec<_> = named.difference(&known).collect();
    assert!(
        !named.is_empty() && unknown.is_empty(),
        "there is no {unknown:?}"
    );
}

#[test]
fn alerts_ask_for_metrics_that_there_are() {
    let rules = std::fs::read_to_string(file("deploy/prometheus/alerts.yaml")).unwrap();
    let rules: Value = serde_saphyr::from_str(&rules).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules: Vec<_> = groups
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    for rule in &rules {
        let text = |key: &str| rule["annotations"][key].as_str().unwrap();
        assert!(!text("summary").is_empty() && !text("description").is_empty());
        let expression = rule["expr"].as_str().unwrap();
        assert_there_are(&named(expression));
    }
    assert!(rules.len() >= 7);
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let dashboard = std::fs::read_to_string(file("deploy/grafana/auditlake.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut queries = Vec::new();
    expressions(&dashboard, &mut queries);
    assert!(queries.len() >= 15, "{queries:?}");
    for query in queries {
        let mut query = query;
        query.retain(|c| c != '\n');
        assert_there_are(&named(&query));
    }
}

/// Runs promtool in a folder, and shows what it says should it find something.
pub(crate) fn promtool(folder: &Path, args: &[&str], input: Option<&str>) {
    let tool = std::env::var("AUDITLAKE_TEST_PROMTOOL").unwrap();
    let input = input.map(|text| {
        let path = folder.join("input");
        std::fs::write(&path, text).unwrap();
        std::fs::File::open(path).unwrap()
    });
    let output = std::process::Command::new(tool)
        .args(args)
        .current_dir(folder)
        .stdin(input.map_or_else(std::process::Stdio::null, Into::into))
        .output()
        .unwrap();
    let message = [output.stdout, output.stderr].concat();
    let message = String::from_utf8_lossy(&message);
    assert!(output.status.success(), "promtool {args:?}: {message}");
}

#[test]
#[ignore = "needs promtool: make check-alerts"]
fn promtool_takes_the_alerts_and_they_fire_as_they_should() {
    let folder = file("deploy/prometheus");
    promtool(&folder, &["check", "rules", "alerts.yaml"], None);
    promtool(&folder, &["test", "rules", "alerts_test.yaml"], None);
}

/// As rules, with the values that Grafana inserts for its variables.
#[test]
#[ignore = "needs promtool: make check-alerts"]
fn promtool_takes_the_dashboards_queries() {
    let dashboard = std::fs::read_to_string(file("deploy/grafana/auditlake.json")).unwrap();
    let mut queries = Vec::new();
    expressions(&serde_json::from_str(&dashboard).unwrap(), &mut queries);
    queries.retain(|query| !query.starts_with("label_values("));
    let rules = queries.iter().enumerate().map(|(number, query)| {
        let query = query
            .replace("$__rate_interval", "5m")
            .replace("$__range", "1d");
        serde_json::json!({ "record": format!("q{number}"), "expr": query })
    });
    let rules: Vec<Value> = rules.collect();
    let rules = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yaml"), rules.to_string()).unwrap();
    promtool(folder.path(), &["check", "rules", "rules.yaml"], None);
}

/// All that a panel or a variable asks Prometheus for.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(text)
                        if matches!(key.as_str(), "expr" | "query") && text.contains('(') =>
                    {
                        found.push(text.clone());
                    }
                    value => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}
