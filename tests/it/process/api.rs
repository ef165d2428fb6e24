//! `/api/v1` of a real daemon, compared with its own description.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Stdio;

use auditlake::sim::Fault;
use auditlake::sim::genesys::endpoint;
use serde_json::{Value, json};

use super::support::{Process, World, get, lately, until};

/// A daemon that has pulled what there is.
async fn daemon() -> (World, Process, String) {
    let world = World::live(&lately()).await;
    let daemon = world.start(&["run"]);
    let address = daemon.address().await;
    daemon.says("run ended").await;
    (world, daemon, address)
}

async fn ask(address: &str, path: &str) -> (u16, Value) {
    let (status, text) = get(address, path).await;
    let answer = serde_json::from_str(&text);
    (
        status,
        answer.unwrap_or_else(|error| panic!("{path}: {error}: {text}")),
    )
}

/// The violations of a schema of the description: missing members, additional ones, and those of another type. Only the
/// keywords that the description uses are supported; others are violations, too.
fn wrong(at: &str, value: &Value, schema: &Value, description: &Value, found: &mut Vec<String>) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => description.pointer(&reference[1..]).unwrap(),
        None => schema,
    };
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices.iter().any(|choice| {
            let mut found = Vec::new();
            wrong(at, value, choice, description, &mut found);
            found.is_empty()
        });
        if !fits {
            found.push(format!("{at}: {value} is none of {choices:?}"));
        }
        return;
    }
    let is = |kind: &Value| match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{at}: {other}"),
    };
    let fits = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(is),
        kind => is(kind),
    };
    if !fits {
        return found.push(format!("{at}: {value} isn't {}", schema["type"]));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        found.push(format!("{at}: {value} is none of {words:?}"));
    }
    if schema["format"] == "date-time" && value.is_string() {
        let time = chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap());
        assert!(time.is_ok(), "{at}: {value}");
    }
    match value {
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                wrong(
                    &format!("{at}/{number}"),
                    item,
                    &schema["items"],
                    description,
                    found,
                );
            }
        }
        Value::Object(members) => {
            for (key, value) in members {
                let of = match schema["properties"].get(key) {
                    Some(of) => of,
                    None => &schema["additionalProperties"],
                };
                let at = format!("{at}/{key}");
                if of.is_null() {
                    found.push(format!("{at}: isn't described"));
                } else {
                    wrong(&at, value, of, description, found);
                }
            }
            let required = schema["required"].as_array().into_iter().flatten();
            for key in required.filter(|key| !members.contains_key(key.as_str().unwrap())) {
                found.push(format!("{at}: lacks {key}"));
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn every_answer_has_the_described_shape() {
    let (_world, daemon, address) = daemon().await;
    let (_, description) = ask(&address, "/api/v1/openapi.json").await;
    let check = async |path: &str, of: &str, expected: u16| {
        let (status, answer) = ask(&address, path).await;
        assert_eq!(status, expected, "{path}: {answer}");
        let responses = &description["paths"][of]["get"]["responses"];
        let content = responses[status.to_string()]["content"]
            .as_object()
            .unwrap();
        let mut found = Vec::new();
        let schema = &content.values().next().unwrap()["schema"];
        wrong(path, &answer, schema, &description, &mut found);
        assert!(found.is_empty(), "{found:#?}");
        answer
    };
    let jobs = check("/api/v1/jobs", "/api/v1/jobs", 200).await;
    assert_eq!(jobs["jobs"][0]["name"], "audits");
    let standing = &jobs["jobs"][0]["standing"];
    assert!(
        standing["watermark"].is_string() && standing["gaps"].is_array(),
        "{standing}"
    );
    let job = check("/api/v1/jobs/audits", "/api/v1/jobs/{name}", 200).await;
    assert!(
        job["streams"]
            .as_object()
            .is_some_and(|streams| !streams.is_empty()),
        "{job}"
    );
    let runs = check("/api/v1/runs", "/api/v1/runs", 200).await;
    assert!(runs["runs"].is_array());

    let unknown = check("/api/v1/jobs/nobody", "/api/v1/jobs/{name}", 404).await;
    assert!(
        unknown["detail"].as_str().unwrap().contains("`nobody`"),
        "{unknown}"
    );
    check("/api/v1/jobs/%FF", "/api/v1/jobs/{name}", 400).await;
    check("/api/v1/runs?job=nobody", "/api/v1/runs", 404).await;
    for query in ["limit=0", "limit=501", "limit=x", "before=x", "nonsense=1"] {
        check(&format!("/api/v1/runs?{query}"), "/api/v1/runs", 400).await;
    }
    daemon.signalled("TERM").await.assert_code(0);
}

#[tokio::test]
async fn runs_can_be_read_page_by_page() {
    let world = World::live(&lately()).await;
    let refuse = Fault::Status {
        status: 404,
        retry_after: None,
    };
    world.provider.faults().next(endpoint::REALTIME, 2, refuse);
    let daemon = world.start(&["run"]);
    let address = daemon.address().await;
    until("there are three runs", async || {
        let (_, answer) = ask(&address, "/api/v1/runs?job=audits").await;
        answer["runs"]
            .as_array()
            .is_some_and(|runs| runs.len() >= 3)
    })
    .await;
    let (_, all) = ask(&address, "/api/v1/runs?job=audits&limit=500").await;
    let all = all["runs"].as_array().unwrap();
    let ids: Vec<&str> = all.iter().map(|run| run["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
    let failed = |run: &&Value| run["outcome"] == "failed";
    let failure = all.iter().find(failed).unwrap();
    let ranges = failure["ranges"].as_array().unwrap();
    assert!(
        ranges.iter().any(|range| range["error"].is_string()),
        "{failure}"
    );

    let mut before = ids[0].to_owned();
    for id in &ids[1..] {
        let (_, page) = ask(&address, &format!("/api/v1/runs?limit=1&before={before}")).await;
        assert_eq!(page["runs"][0]["id"], json!(id), "{page}");
        let is_last = *id == *ids.last().unwrap();
        assert_eq!(page["next"], if is_last { Value::Null } else { json!(id) });
        before = (*id).to_owned();
    }
    daemon.signalled("TERM").await.assert_code(0);
}

#[tokio::test]
#[ignore = "needs schemathesis: make test-api"]
async fn schemathesis_finds_nothing() {
    let (world, daemon, address) = daemon().await;
    let tool = std::env::var("AUDITLAKE_TEST_SCHEMATHESIS").unwrap();
    let message = tokio::process::Command::new(tool)
        .args(["run", &format!("http://{address}/api/v1/openapi.json")])
        .args([
            "--checks",
            "all",
            "--max-examples",
            "25",
            "--seed",
            "1",
            "--no-color",
        ])
        .current_dir(world.path()) // it leaves a folder
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&message.stdout).into_owned()
        + &String::from_utf8_lossy(&message.stderr);
    assert!(message.status.success(), "{text}");
    daemon.signalled("TERM").await.assert_code(0);
}

/// A job that began two hours ago is drawn over the requested number of weeks.
#[tokio::test]
async fn the_page_has_as_many_weeks_as_are_asked_for() {
    let (_world, daemon, address) = daemon().await;
    let count = async |path: &str, what: &str| {
        let (status, page) = get(&address, path).await;
        assert_eq!(status, 200, "{path}");
        page.matches(what).count()
    };
    for (asked, weeks) in [("1", 1), ("26", 26), ("0", 1), ("9999", 53)] {
        let across = count(&format!("/?weeks={asked}"), "colspan=\"7\"").await;
        let path = format!("/jobs/audits?weeks={asked}");
        let down = count(&path, "<span class=\"date\">").await;
        assert_eq!((across, down), (weeks, 7 * weeks), "{asked}");
    }
    let by_itself = count("/", "colspan=\"7\"").await;
    assert_eq!(count("/?weeks=many", "colspan=\"7\"").await, by_itself);
    daemon.signalled("TERM").await.assert_code(0);
}
