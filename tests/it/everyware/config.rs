//! What jobs.yaml may say of Everyware Cloud.

use std::collections::BTreeSet;

use auditlake::config::{Config, schema};
use auditlake::providers::SignIn;
use serde_json::Value;

const LEAST: &str = "\
lake: {url: memory://}
connections:
  prod:
    provider: everyware_cloud
    username: ops
    password: s3cret
jobs:
  - name: audits
    connection: prod
    schedule: '@hourly'
    start: 2026-01-01
";

fn parse(connection: &str, options: &str) -> Result<Config, String> {
    let text = LEAST.replace("    password", &format!("    {connection}\n    password"));
    let text = format!("{text}    options: {{{options}}}\n");
    let none = |_: &str| None;
    Config::parse("jobs.yaml", &text, &none).map_err(|problems| problems.to_string())
}

fn problem(connection: &str, options: &str) -> String {
    parse(connection, options).unwrap_err()
}

/// Where the connection's API is, and as whom it signs in.
fn login(connection: &str) -> (String, String) {
    let config = parse(connection, "").unwrap();
    let endpoint = &config.connections["prod"].endpoint;
    let SignIn::Basic { username, password } = &endpoint.sign_in else {
        unreachable!("{endpoint:?}");
    };
    assert_eq!(password.reveal().unwrap(), "s3cret");
    (
        endpoint.api.known().unwrap().to_string(),
        username.reveal().unwrap(),
    )
}

#[test]
fn the_least_file_goes_to_the_public_host_and_trusts_no_other() {
    let (api, user) = login("");
    assert_eq!(
        (api.as_str(), user.as_str()),
        ("https://api.everyware-cloud.com/v2", "ops")
    );
    let trusted = |connection| {
        parse(connection, "").unwrap().connections["prod"]
            .endpoint
            .trusted_hosts
            .clone()
    };
    assert_eq!(
        trusted(""),
        ["everyware-cloud.com", "api.everyware-cloud.com"]
    );
    assert_eq!(
        trusted("base_url: https://edc.example.net/v2/\n    allowed_hosts: [proxy.example.net]"),
        [
            "everyware-cloud.com",
            "edc.example.net",
            "proxy.example.net"
        ]
    );
}

#[test]
fn pitfall_5_credentials_never_travel_in_the_clear() {
    insta::assert_snapshot!(problem("base_url: http://edc.example.net/v2", ""), @"jobs.yaml:6:15: invalid `base_url`: `http://edc.example.net/v2` isn't https, so credentials would travel in the clear; write `https://`, or set `allow_http: true` on this connection");
    let allowed = "base_url: http://edc.example.net/v2\n    allow_http: true";
    assert_eq!(login(allowed).0, "http://edc.example.net/v2");
}

#[test]
fn pitfall_8_a_child_account_has_a_login_of_its_own() {
    assert_eq!(login("child_account: plant-2").1, "ops@plant-2");
    assert_eq!(login("child_account: 2026").1, "ops@2026");
    insta::assert_snapshot!(problem("child_account: ops@plant-2", ""), @"jobs.yaml:6:20: invalid `child_account`: `ops@plant-2` has an `@` or a `:` in it; write the child account's name alone");
}

#[test]
fn mistakes_are_told() {
    let text = LEAST
        .replace("username: ops", "username: 'ops:x'")
        .replace("    password: s3cret\n", "");
    let none = |_: &str| None;
    let problems = Config::parse("jobs.yaml", &text, &none)
        .unwrap_err()
        .to_string();
    insta::assert_snapshot!(problems, @"
    jobs.yaml:4:5: connection `prod` lacks the key `password`
    jobs.yaml:5:15: invalid `username`: it contains a `:`, after which HTTP Basic expects the password
    ");
    insta::assert_snapshot!(problem("", "action: READ"), @"jobs.yaml:13:23: unknown `action` `READ`; valid: LOGIN, CREATE, UPDATE, DELETE");
    insta::assert_snapshot!(problem("", "result_code: maybe"), @"jobs.yaml:13:28: unknown `result_code` `maybe`; valid: TRUE, FALSE, true, false");
    insta::assert_snapshot!(problem("", "timezone: Mars/Olympus"), @"jobs.yaml:13:25: invalid `timezone`: `Mars/Olympus` isn't an IANA time zone; write `UTC` or a name like `Europe/Rome`, or leave it out if you don't know");
    insta::assert_snapshot!(problem("", "max_rows: 0"), @"jobs.yaml:13:25: invalid `max_rows`: `0` isn't a whole number from 1 to 1000000000");
    insta::assert_snapshot!(problem("", "actions: [LOGIN]"), @"jobs.yaml:13:15: unknown key `actions` in `options` of job `audits`; did you mean `action`? valid keys: action, result_code, user_name, timezone, max_rows");
    for options in [
        "action: LOGIN, result_code: TRUE, user_name: x, timezone: Europe/Rome, max_rows: 50",
        "result_code: false",
        "user_name: 17",
    ] {
        parse("", options).unwrap();
    }
}

/// A second job on the same connection.
fn two(first: &str, second: &str) -> String {
    let none = |_: &str| None;
    let job = |name: &str, options: &str| {
        format!(
            "  - {{name: {name}, connection: prod, schedule: '@hourly', start: 2026-01-01, options: {{{options}}}}}\n"
        )
    };
    let (head, _) = LEAST.split_once("  - name").unwrap();
    let text = format!("{head}{}{}", job("a", first), job("b", second));
    Config::parse("jobs.yaml", &text, &none)
        .map_or_else(|problems| problems.to_string(), |_| String::new())
}

#[test]
fn two_jobs_pull_different_records_or_are_refused() {
    for (first, second) in [
        ("action: LOGIN", "action: DELETE"),
        ("result_code: TRUE", "result_code: FALSE"),
        (
            "action: LOGIN, result_code: TRUE",
            "action: LOGIN, result_code: FALSE",
        ),
        ("action: LOGIN, result_code: TRUE", "action: DELETE"),
    ] {
        assert_eq!(two(first, second), "", "{first} {second}");
    }
    for (first, second) in [
        ("", ""),
        ("", "action: LOGIN"),
        ("", "user_name: x"),
        ("action: LOGIN", "action: LOGIN, result_code: TRUE"),
        ("action: LOGIN", "result_code: TRUE"),
        ("user_name: x", "user_name: y"),
    ] {
        assert_ne!(two(first, second), "", "{first} {second}");
    }
    insta::assert_snapshot!(two("action: LOGIN", "result_code: TRUE"), @"jobs.yaml:9:5: job `b` pulls what job `a` pulls already, `LOGIN TRUE` of the same account; let each stream be pulled by one job only, whatever the filters");
}

/// The keys that a message of an unknown key lists.
fn keys_read(problem: &str) -> BTreeSet<String> {
    let (_, keys) = problem.split_once("valid keys: ").unwrap();
    keys.trim().split(", ").map(str::to_owned).collect()
}

fn keys_described(schema: &Value) -> BTreeSet<String> {
    schema["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

#[test]
fn the_schema_has_the_keys_that_are_read() {
    let schema = schema();
    let connections = &schema["properties"]["connections"]["additionalProperties"]["oneOf"];
    let connection = connections.as_array().unwrap().iter();
    let connection = connection
        .clone()
        .find(|one| one["properties"]["provider"]["const"] == "everyware_cloud");
    assert_eq!(
        keys_read(&problem("zzzzzzzz: 1", "")),
        keys_described(connection.unwrap())
    );
    let options = &schema["properties"]["jobs"]["items"]["properties"]["options"]["anyOf"];
    let options = options.as_array().unwrap().iter();
    let options = options
        .clone()
        .find(|one| one["properties"].get("result_code").is_some());
    assert_eq!(
        keys_read(&problem("", "zzzzzzzz: 1")),
        keys_described(options.unwrap())
    );
}
