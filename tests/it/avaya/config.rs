//! The keys of AXP in jobs.yaml, and the messages for mistakes in them.

use std::time::Duration;

use auditlake::config::Config;
use auditlake::providers::{SentIn, SignIn, TransientFailure};
use http::StatusCode;

use super::support::*;

fn problems(yaml: &str) -> String {
    match Config::parse("jobs.yaml", yaml, &|_| None) {
        Ok(_) => "no problem".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

const BASE: &str = "    base_url: https://axp.example.com\n";

/// A valid file, in which `old` is replaced by `new`.
fn with(old: &str, new: &str) -> String {
    let yaml = yaml("https://axp.example.com", "settle: []");
    assert!(yaml.contains(old), "{old}");
    problems(&yaml.replace(old, new))
}

fn with_options(options: &str) -> String {
    with(
        "settle: []",
        &format!("settle: []\n    options: {{{options}}}"),
    )
}

#[test]
fn a_region_or_a_base_names_the_host() {
    assert_eq!(with(BASE, "    region: na\n"), "no problem");
    assert_eq!(with(BASE, "    region: experience\n"), "no problem");
    insta::assert_snapshot!(with(BASE, ""), @"jobs.yaml:4:5: connection `avaya-prod` lacks the key `region` (or `base_url`, for any other host)");
    insta::assert_snapshot!(with(BASE, "    region: EU\n"), @"jobs.yaml:5:13: invalid `region`: `EU` isn't a region; write the host name before `.api.avayacloud.com`, like `na` or `eu`");
    insta::assert_snapshot!(with(BASE, "    region: eu.api\n"), @"jobs.yaml:5:13: invalid `region`: `eu.api` isn't a region; write the host name before `.api.avayacloud.com`, like `na` or `eu`");
    // letters and hyphens that make no host
    insta::assert_snapshot!(with(BASE, "    region: xn--0\n"), @"jobs.yaml:5:13: invalid `region`: `xn--0` isn't a region; write the host name before `.api.avayacloud.com`, like `na` or `eu`");
    insta::assert_snapshot!(with(BASE, "    region: eu\n    base_url: https://h\n"), @"jobs.yaml:5:13: connection `avaya-prod` has a `region` and a `base_url`; keep the one or the other");
    insta::assert_snapshot!(with("    allow_http: true\n    rate_limit: 1000000/s\n", "    region: eu\n"), @"jobs.yaml:10:13: connection `avaya-prod` has a `region` and a `base_url`; keep the one or the other");
}

#[test]
fn all_credentials_are_needed() {
    let yaml = yaml("https://axp.example.com", "settle: []");
    let bare: Vec<&str> = yaml
        .lines()
        .filter(|line| {
            !["account_id", "app_key", "client_id", "client_secret"]
                .iter()
                .any(|key| line.contains(key))
        })
        .collect();
    insta::assert_snapshot!(problems(&bare.join("\n")), @"
    jobs.yaml:4:5: connection `avaya-prod` lacks the key `account_id`
    jobs.yaml:4:5: connection `avaya-prod` lacks the key `app_key`
    jobs.yaml:4:5: connection `avaya-prod` lacks the key `client_id`
    jobs.yaml:4:5: connection `avaya-prod` lacks the key `client_secret`
    ");
    insta::assert_snapshot!(with("account_id: ABCDEF", "account_id: ABC123"), @"jobs.yaml:6:17: invalid `account_id`: `ABC123` isn't an account id, which has exactly six letters, like `ABCDEF`");
    insta::assert_snapshot!(with("account_id: ABCDEF", "account_id: ABCDE"), @"jobs.yaml:6:17: invalid `account_id`: `ABCDE` isn't an account id, which has exactly six letters, like `ABCDEF`");
    insta::assert_snapshot!(with("app_key", "appkey"), @"jobs.yaml:7:5: unknown key `appkey` in connection `avaya-prod`; did you mean `app_key`? valid keys: provider, account_id, rate_limit, proxy, ca_file, allow_http, allowed_hosts, region, base_url, app_key, client_id, client_secret");
}

#[test]
fn options_are_held_against_the_providers_bounds() {
    assert_eq!(with_options(""), "no problem");
    let all = "services: [user, match], types: [USER, QUEUE], event: CREATED, author: a.b@c_d-1, ip_address: 203.0.113.60, search_keyword: Tier 2";
    assert_eq!(with_options(all), "no problem");
    let long = "x".repeat(256);
    insta::assert_snapshot!(with_options("services: [user, mtach]"), @"jobs.yaml:20:32: unknown `services` `mtach`; did you mean `match`? valid: user, account, inventory, group, match, business_hours");
    insta::assert_snapshot!(with_options("types: [user]"), @"jobs.yaml:20:23: unknown `types` `user`; valid: PROFILE, USER, RESOURCE_PARTITION, USERS_DEFAULT_RESOURCE, ACCOUNT, ELEMENT, GROUP, QUEUE, ATTRIBUTE, TIMETABLE");
    insta::assert_snapshot!(with_options("services: [user], types: [USER, QUEUE]"), @"jobs.yaml:20:40: `types` has `QUEUE`, but `services` lacks `match`, whose type it is");
    insta::assert_snapshot!(with_options("event: ENABLED"), @"jobs.yaml:20:22: unknown `event` `ENABLED`; valid: CREATED, UPDATED, DELETED");
    insta::assert_snapshot!(with_options("author: a b"), @"jobs.yaml:20:23: invalid `author`: `a b` isn't a valid author filter, which has only letters, digits and `@._-`");
    insta::assert_snapshot!(with_options(&format!("author: {long}")), @"jobs.yaml:20:23: invalid `author`: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` is too long: 256 characters, of which the provider takes 255");
    insta::assert_snapshot!(with_options(&format!("search_keyword: {long}")), @"jobs.yaml:20:31: invalid `search_keyword`: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` is too long: 256 characters, of which the provider takes 255");
    insta::assert_snapshot!(with_options("ip_address: '2001:db8::5:10000'"), @"jobs.yaml:20:27: invalid `ip_address`: `2001:db8::5:10000` is too long: 17 characters, of which the provider takes 15, so only `business_hours` can be searched for IPv6");
    assert_eq!(
        with_options("services: [business_hours], ip_address: '2001:db8::5:10000'"),
        "no problem"
    );
    insta::assert_snapshot!(with_options("ipAddress: 203.0.113.60"), @"jobs.yaml:20:15: unknown key `ipAddress` in `options` of job `avaya-audits`; did you mean `ip_address`? valid keys: services, types, event, author, ip_address, search_keyword");
}

#[test]
fn two_jobs_may_not_pull_the_same_stream() {
    let two = |options: &str| {
        let yaml = yaml("https://axp.example.com", "settle: []");
        let job = yaml
            .split_once("jobs:\n")
            .unwrap()
            .1
            .replace("avaya-audits", "other");
        problems(&format!(
            "{yaml}    options: {{types: [USER]}}\n{job}    options: {{{options}}}\n"
        ))
    };
    assert_eq!(two("types: [PROFILE]"), "no problem");
    assert_eq!(two("services: [match, account]"), "no problem");
    insta::assert_snapshot!(two("services: [user]"), @"jobs.yaml:21:5: job `other` pulls what job `avaya-audits` pulls already, `user/USER` of the same account; let each stream be pulled by one job only, whatever the filters");
}

#[test]
fn a_connection_says_where_and_how_to_sign_in() {
    let yaml = yaml("https://axp.example.com", "settle: []").replace(
        BASE,
        "    region: eu\n    allowed_hosts: [proxy.example.com]\n",
    );
    let found = connection(&yaml);
    assert_eq!(found.account_id.as_deref(), Some("ABCDEF"));
    let endpoint = &found.endpoint;
    assert_eq!(endpoint.account.as_deref(), Some("ABCDEF"));
    assert_eq!(
        endpoint.api.known().unwrap().as_str(),
        "https://eu.api.avayacloud.com/"
    );
    assert_eq!(
        endpoint.trusted_hosts,
        ["avayacloud.com", "proxy.example.com"]
    );
    let (name, key) = &endpoint.headers[0];
    assert_eq!(
        (*name, key.reveal().unwrap().as_str()),
        ("appkey", "sim-app-key")
    );
    let SignIn::ClientCredentials {
        token_url, sent, ..
    } = &endpoint.sign_in
    else {
        panic!("{endpoint:?}");
    };
    assert_eq!(*sent, SentIn::Form);
    assert_eq!(
        token_url.known().unwrap().as_str(),
        "https://eu.api.avayacloud.com/api/auth/v1/ABCDEF/protocol/openid-connect/token"
    );
    let below = connection(&yaml_with_base("https://gateway.example.com/axp/"));
    let SignIn::ClientCredentials { token_url, .. } = &below.endpoint.sign_in else {
        panic!("{below:?}");
    };
    assert_eq!(
        token_url.known().unwrap().as_str(),
        "https://gateway.example.com/axp/api/auth/v1/ABCDEF/protocol/openid-connect/token"
    );
    assert_eq!(below.endpoint.trusted_hosts, ["gateway.example.com"]);
}

fn yaml_with_base(base_url: &str) -> String {
    yaml(base_url, "settle: []")
}

#[test]
fn a_quota_is_left_alone_for_minutes_a_spike_for_seconds() {
    let retry_hints = connection(&yaml_with_base("https://axp.example.com"))
        .endpoint
        .retry_hints;
    let rests = |status: u16, body: &str| {
        let rest = |times| {
            (retry_hints.rest)(TransientFailure {
                status: StatusCode::from_u16(status).unwrap(),
                body: body.as_bytes(),
                times,
                signing_in: false,
            })
        };
        [1, 2, 3, 4, 9].map(|times| rest(times).as_secs())
    };
    assert_eq!(
        rests(429, &fixture("error_429_tenant_quota")),
        [60, 120, 240, 240, 240]
    );
    for spike in [
        fixture("error_429_spike_limit"),
        fixture("error_awkward_nulls"),
        String::new(),
        "<html>".to_owned(),
    ] {
        assert_eq!(rests(429, &spike), [1, 2, 4, 8, 30]);
    }
    assert_eq!(rests(503, &fixture("error_429_tenant_quota")), [0; 5]);
    let never = (retry_hints.rest)(TransientFailure {
        status: StatusCode::TOO_MANY_REQUESTS,
        body: b"",
        times: u32::MAX,
        signing_in: true,
    });
    assert_eq!(never, Duration::from_secs(30));
}

#[test]
fn only_a_401_about_the_token_is_worth_a_new_one() {
    let retry_hints = connection(&yaml_with_base("https://axp.example.com"))
        .endpoint
        .retry_hints;
    let refused = |body: &str| (retry_hints.token_refused)(body.as_bytes());
    assert!(refused(&fixture("error_401_access_token")));
    assert!(!refused(&fixture("error_401_app_key")));
    // what says nothing may be about the token
    assert!(refused("") && refused("<html>") && refused(&fixture("error_awkward_nulls")));
    assert!(!refused(r#"{"detail":"Invalid app key"}"#));
    assert!(refused(r#"{"detail":"Missing appkey or access token"}"#));
}
