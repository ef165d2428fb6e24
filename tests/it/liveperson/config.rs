//! What jobs.yaml may say of LivePerson.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use auditlake::config::{Config, schema};
use auditlake::providers::{ServiceHost, SignIn};
use serde_json::Value;

use super::support::{ACCOUNT, APP, USER, connection};

fn file(connection: &str, options: &str) -> String {
    format!(
        "\
lake: {{url: memory://}}
connections:
  cloud:
    provider: liveperson
    {connection}
jobs:
  - name: audits
    connection: cloud
    schedule: '@hourly'
    start: 2026-01-01
    options: {{{options}}}
"
    )
}

fn problems(connection: &str, options: &str) -> String {
    let config = Config::parse("jobs.yaml", &file(connection, options), &|_| None);
    config.unwrap_err().to_string()
}

fn good(more: &str) -> String {
    format!("account_id: {ACCOUNT}\n    {APP}\n    {more}")
}

fn question(place: &ServiceHost) -> String {
    match place {
        ServiceHost::At(url) => url.to_string(),
        ServiceHost::Named(named) => format!("{} -> {}", named.question, named.path),
    }
}

#[test]
fn hosts_are_looked_up_unless_they_are_given() {
    let mut text = String::new();
    for credentials in [APP, USER] {
        for hosts in [
            "",
            "domain_url: https://domain.example.com/look/",
            "base_url: https://conf.example.com\n    login_url: https://login.example.com/sub",
        ] {
            let file = file(
                &format!(
                    "account_id: {ACCOUNT}\n    {credentials}\n    {hosts}\n    allowed_hosts: [example.org]"
                ),
                "",
            );
            let endpoint = connection(&file).endpoint;
            let (first, second) = match &endpoint.sign_in {
                SignIn::ClientCredentials { token_url, .. } => (question(token_url), String::new()),
                SignIn::Session { login, refresh, .. } => (question(login), question(refresh)),
                SignIn::Basic { .. } => panic!("no such way"),
            };
            let (api, trusted) = (question(&endpoint.api), &endpoint.trusted_hosts);
            writeln!(text, "{api}\n  {first}\n  {second}\n  {trusted:?}").unwrap();
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn every_problem_is_told_where_it_is_and_what_would_be_valid() {
    let mut text = String::new();
    for (connection, options) in [
        // what is missing
        (String::new(), ""),
        (format!("account_id: {ACCOUNT}\n    auth: login"), ""),
        (
            "account_id: no-account\n    client_id: a\n    client_secret: b".to_owned(),
            "",
        ),
        (
            "account_id: le1234567890123456789\n    client_id: a\n    client_secret: b".to_owned(),
            "",
        ),
        // hosts
        (good("domain_url: http://api.example.com"), ""),
        (
            good("domain_url: https://a.example.com\n    base_url: https://b.example.com"),
            "",
        ),
        (good("base_url: https://b.example.com"), ""),
        (good("login_url: https://b.example.com"), ""),
        // ways to sign in
        (good("username: u"), ""),
        (
            format!("account_id: {ACCOUNT}\n    {USER}\n    client_secret: x"),
            "",
        ),
        (good("auth: saml"), ""),
        (
            format!(
                "account_id: {ACCOUNT}\n    auth: oauth1\n    app_key: a\n    app_secret: b\n    access_token: c\n    access_token_secret: d"
            ),
            "",
        ),
        (good("app_key: a"), ""),
        (good("region: us"), ""),
        // options
        (
            good(""),
            r#"users: ['a"b', "a{b", 'a\b', "ok@example.com"], component_types: [ACUserObject, 'AC User', 'x"']"#,
        ),
        (
            good(""),
            "timezone: Mars/Olympus, language: 'en US', page_size: 0, days_in_timezone: perhaps",
        ),
        (good(""), "page_size: 5001, user: [a]"),
    ] {
        text.push_str(&problems(&connection, options));
        text.push_str("\n\n");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn two_jobs_of_one_account_are_refused() {
    let text = file(&good(""), "users: [a]");
    let second = "  - {name: more, connection: cloud, schedule: '@hourly', start: 2026-01-01}\n";
    let config = Config::parse("jobs.yaml", &format!("{text}{second}"), &|_| None);
    insta::assert_snapshot!(config.unwrap_err().to_string());
}

/// The valid keys, as a message lists them.
fn keys_read(problems: &str) -> BTreeSet<String> {
    let (_, keys) = problems.split_once("valid keys: ").unwrap();
    let keys = keys.lines().next().unwrap_or_default();
    keys.split(", ").map(str::to_owned).collect()
}

fn keys_described(schemas: &Value, known_by: impl Fn(&Value) -> bool) -> BTreeSet<String> {
    let mut all = schemas.as_array().unwrap().iter();
    let schema = all.find(|one| known_by(&one["properties"])).unwrap();
    let keys = schema["properties"].as_object().unwrap().keys();
    keys.cloned().collect()
}

#[test]
fn the_schema_has_the_keys_that_are_read() {
    let schema = schema();
    let connections = &schema["properties"]["connections"]["additionalProperties"]["oneOf"];
    assert_eq!(
        keys_read(&problems(&good("zzzzzzzz: 1"), "")),
        keys_described(connections, |keys| keys["provider"]["const"]
            == "liveperson")
    );
    let options = &schema["properties"]["jobs"]["items"]["properties"]["options"]["anyOf"];
    assert_eq!(
        keys_read(&problems(&good(""), "zzzzzzzz: 1")),
        keys_described(options, |keys| keys.get("days_in_timezone").is_some())
    );
}
