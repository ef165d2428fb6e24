//! What `--json` prints: the names and types of its fields, which scripts rely on.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use insta::assert_snapshot;
use serde_json::Value;

use super::quarantine::{READABLE, TORN, world};
use super::support::{Ended, World};
use super::verify::VERIFY;

/// Objects whose keys are data: days, streams, delays.
const KEYED_BY_DATA: [&str; 3] = ["days", "streams", "unsettled"];

/// Types by path: `[].findings[].kind` → `string`.
type Shape = BTreeMap<String, BTreeSet<&'static str>>;

fn add(value: &Value, path: &str, shape: &mut Shape) {
    let mut is = |what| {
        shape.entry(path.to_owned()).or_default().insert(what);
    };
    match value {
        Value::Null => is("null"),
        Value::Bool(_) => is("bool"),
        Value::Number(_) => is("number"),
        Value::String(_) => is("string"),
        Value::Array(items) => {
            is("array");
            items
                .iter()
                .for_each(|item| add(item, &format!("{path}[]"), shape));
        }
        Value::Object(fields) => {
            is("object");
            let by_data = KEYED_BY_DATA.iter().any(|name| path.ends_with(name));
            for (key, value) in fields {
                let key = if by_data { "*" } else { key };
                add(value, &format!("{path}.{key}"), shape);
            }
        }
    }
}

/// All that commands printed, by command.
#[derive(Default)]
struct Shapes(BTreeMap<String, Shape>);

impl Shapes {
    async fn run(&mut self, world: &World, name: &str, args: &[&str], code: i32) -> Value {
        let ended: Ended = world.run(args).await.assert_code(code);
        let value = serde_json::from_str(&ended.stdout)
            .unwrap_or_else(|error| panic!("{name}: {error}: {}", ended.stdout));
        add(&value, "", self.0.entry(name.to_owned()).or_default());
        value
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, shape) in &self.0 {
            writeln!(text, "{name}").unwrap();
            for (path, types) in shape {
                let types: Vec<&str> = types.iter().copied().collect();
                let path = if path.is_empty() { "." } else { path };
                writeln!(text, "  {path}: {}", types.join(" | ")).unwrap();
            }
        }
        text
    }
}

#[tokio::test]
async fn names_and_types_stay_as_they_are_and_each_is_documented() {
    let mut shapes = Shapes::default();
    let world = world(&[READABLE, TORN]).await;
    let of_job = ["--job", "audits"];
    let run = |what: &[&'static str]| [what, &of_job].concat();
    shapes
        .run(&world, "validate", &["validate", "--json"], 0)
        .await;
    shapes.run(&world, "check", &["check", "--json"], 0).await;
    shapes.run(&world, "status", &["status", "--json"], 0).await;
    let list = ["quarantine", "list", "--json"];
    shapes.run(&world, "quarantine list", &list, 0).await;
    let torn = &auditlake::lake::quarantine::id_of(TORN.as_bytes());
    let mut show = run(&["quarantine", "show"]);
    show.push(torn);
    shapes.run(&world, "quarantine show", &show, 0).await;
    let replay = run(&["quarantine", "replay", "--json"]);
    let replayed = shapes.run(&world, "quarantine replay", &replay, 0).await;
    let mut became: Vec<_> = (replayed["lines"].as_array().unwrap().iter())
        .map(|line| line["became"].as_str().unwrap())
        .collect();
    became.sort_unstable();
    assert_eq!(became, ["landed", "unreadable"]);
    let ack = run(&["quarantine", "ack", "--all", "--json"]);
    let acknowledged = shapes.run(&world, "quarantine ack", &ack, 0).await;
    assert_eq!(acknowledged["acknowledged"], 1);

    let plan = [
        "plan",
        "--from",
        "2026-03-01",
        "--to",
        "2026-03-02T06:00:00Z",
        "--json",
    ];
    shapes.run(&world, "plan", &plan, 0).await;
    let backfill = |more: &'static str| {
        let range = ["--from", "2026-03-01", "--to", "2026-03-02T06:00:00Z"];
        [&run(&["backfill", "--json"])[..], &range[..], &[more]].concat()
    };
    let done = shapes
        .run(&world, "backfill", &backfill("--concurrency=2"), 0)
        .await;
    assert_eq!(
        (&done["outcome"], &done["windows"]),
        (&"finished".into(), &(24 * 8).into())
    );
    world.provider.forbid_service("Routing");
    let failed = shapes
        .run(&world, "backfill", &backfill("--refetch"), 1)
        .await;
    assert_eq!(failed["outcome"], "failed");
    assert_eq!(failed["failures"][0]["stream"], "Routing");
    world.provider.allow_service("Routing");
    let verify = [&VERIFY[..], &["--json"]].concat();
    shapes.run(&world, "verify", &verify, 3).await;
    let once = ["run", "--once", "--json", "--as-of", "2026-03-03T03:00:00Z"];
    let ran = shapes.run(&world, "run --once", &once, 0).await;
    assert_eq!(ran[0]["job"], "audits");

    world.change("client_secret: sim-secret", "client_secret: wrong");
    shapes.run(&world, "check", &["check", "--json"], 1).await;
    let later = ["run", "--once", "--json", "--as-of", "2026-03-03T06:00:00Z"];
    let failed = shapes.run(&world, "run --once", &later, 1).await;
    assert_eq!(failed[0]["outcome"], "failed");
    world.change("provider: genesys_cloud", "provider: nobody");
    let invalid = shapes
        .run(&world, "validate", &["validate", "--json"], 2)
        .await;
    assert_eq!(
        (&invalid["valid"], &invalid["problems"][0]["line"]),
        (&false.into(), &8.into())
    );
    shapes.run(&world, "demo", &["demo", "--json"], 0).await;

    assert_snapshot!(shapes.text());
    let page = include_str!("../../../docs/cli.md");
    let undocumented: BTreeSet<&str> = (shapes.0.values().flat_map(BTreeMap::keys))
        .filter_map(|path| path.rsplit('.').next())
        .map(|key| key.trim_end_matches("[]"))
        .filter(|key| !matches!(*key, "" | "*"))
        .filter(|key| !page.contains(&format!("`{key}`")))
        .collect();
    assert!(
        undocumented.is_empty(),
        "not in docs/cli.md: {undocumented:?}"
    );
}
