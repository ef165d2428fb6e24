//! Tests of the simulator through its socket, by an independent client.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::*;
use crate::testing::*;
use crate::{Clock, PoisonKind};

const USER: &str = "/api/admin/user/v1";
const MATCH: &str = "/api/admin/match/v1";
const HOURS: &str = "/api/business-hours/v1";
const TOKEN: &str = "/api/auth/v1/ABCDEF/protocol/openid-connect/token";
const SIGN_IN: &str = "grant_type=client_credentials&client_id=sim-client&client_secret=sim-secret";
const JSON: &str = "application/json";
const MALFORMED: &str = "400 The payload could not be parsed.";
const NO_KEY: &str = "401 Missing or invalid credentials(Appkey)";
const NO_TOKEN: &str = "401 Missing or invalid credentials(Access-Token)";

/// A simulator and a signed-in client.
struct Client {
    sim: Avaya,
    http: reqwest::Client,
    token: String,
}

/// Returns the status; for an error, the first violation's field and code, or the detail.
fn message(reply: &Reply) -> String {
    if reply.status == 200 {
        return "200".to_owned();
    }
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!(reply.at("/status"), reply.status);
    match reply.at("/violations/0/code") {
        Value::Null => reply.says("/detail"),
        code => format!("{} {code}", reply.says("/violations/0/field")),
    }
}

fn total(reply: &Reply) -> u64 {
    reply.at("/pagination/total").as_u64().unwrap()
}

fn records(reply: &Reply) -> Vec<Value> {
    reply.list("/auditRecords")
}

fn path(base: &str) -> String {
    format!("{base}/accounts/ABCDEF/audit-records:search")
}

impl Client {
    /// Starts a simulator with few records, all visible, after a change of its settings.
    async fn new(
        settings: impl FnOnce(&mut AvayaSettings),
        spec: impl FnOnce(&mut DatasetSpec),
    ) -> Self {
        let clock = Clock::Fixed(at("2026-03-09T00:00:00Z"));
        let usual = changed(AvayaSettings::default(), |it| {
            (it.clock, it.token_lifetime) = (clock, EVER);
        });
        let few = changed(DatasetSpec::default(), |it| it.records = 600);
        let data = Dataset::generate(&changed(few, spec));
        let mut client = Self {
            sim: start(changed(usual, settings), data).await.unwrap(),
            http: http(),
            token: String::new(),
        };
        client.sign_in().await;
        client
    }

    async fn with(settings: impl FnOnce(&mut AvayaSettings)) -> Self {
        Self::new(settings, |_| {}).await
    }

    async fn sign_in(&mut self) {
        self.token.clear();
        self.token = self
            .ask(TOKEN, FORM, SIGN_IN)
            .await
            .text_at("/access_token");
    }

    fn bare(&self, path: &str, kind: &str, body: &str) -> reqwest::RequestBuilder {
        // used as it is, without escaping any part again
        let url = format!("{}{path}", self.sim.base_url());
        let request = self.http.post(url).header("content-type", kind);
        request.body(body.to_owned())
    }

    /// Returns a request with the right key, and the token if there is one.
    fn signed(&self, path: &str, kind: &str, body: &str) -> reqwest::RequestBuilder {
        let request = self.bare(path, kind, body);
        let request = request.header("appkey", "sim-app-key");
        match self.token.as_str() {
            "" => request,
            token => request.bearer_auth(token),
        }
    }

    async fn ask(&self, path: &str, kind: &str, body: &str) -> Reply {
        Reply::of(self.signed(path, kind, body)).await
    }

    /// Returns a search below a base path with the given query.
    async fn search(&self, base: &str, query: &str, body: &Value) -> Reply {
        let path = format!("{}{query}", path(base));
        self.ask(&path, JSON, &body.to_string()).await
    }

    async fn users(&self, query: &str) -> Reply {
        self.search(USER, query, &week("USER")).await
    }

    /// Returns a page of users in ascending order, byte for byte.
    async fn page(&self, number: usize, size: usize) -> Vec<String> {
        let query = format!("?pageNumber={number}&pageSize={size}&orderBy=date%20asc");
        self.users(&query).await.raw_list(&["auditRecords"])
    }

    /// Returns the number of missing records and of duplicates.
    fn compare(&self, pulled: Vec<String>) -> (usize, usize) {
        let truth = self.sim.dataset().truth(NEVER, ALWAYS, ALWAYS);
        compare(raws(&truth), pulled)
    }
}

/// Returns a search for the whole week of the default data set.
fn week(kind: &str) -> Value {
    json!({ "startDate": FROM, "endDate": TO, "type": kind })
}

#[tokio::test]
async fn a_token_takes_the_app_key_a_form_and_the_right_client() {
    let mut client = Client::with(|_| {}).await;
    client.token.clear();
    for (change, wanted) in table(
        "
        client_secret=sim-secret|client_secret=x => 401 Missing or invalid credentials(Client)
        client_credentials|password              => 400 Unsupported grant_type
        &client_id=sim-client|                   => 400 client_id 20002
        grant_type=|x=1&grant_type=              => 200
        grant_type=|grant_type=x&grant_type=     => 400 The payload could not be parsed.",
    ) {
        let (old, new) = change.split_once('|').unwrap();
        let form = SIGN_IN.replace(old, new);
        assert_eq!(message(&client.ask(TOKEN, FORM, &form).await), wanted);
    }
    for (account, kind, status) in [
        ("GHIJKL", FORM, 404),
        ("ABC1EF", FORM, 400),
        ("ABCDEF", JSON, 415),
    ] {
        let path = TOKEN.replace("ABCDEF", account);
        assert_eq!(client.ask(&path, kind, SIGN_IN).await.status, status);
    }
    let keyless = Reply::of(client.bare(TOKEN, FORM, SIGN_IN)).await;
    assert_eq!(message(&keyless), NO_KEY);
    for (shape, members) in [
        (TokenAnswer::Minimal, 2),
        (TokenAnswer::Documented, 3),
        (TokenAnswer::Extended, 7),
    ] {
        let client = Client::with(|it| it.token_answer = shape).await;
        let reply = client.ask(TOKEN, FORM, SIGN_IN).await;
        assert_eq!(reply.json().as_object().unwrap().len(), members);
    }
}

#[tokio::test]
async fn a_search_takes_both_credentials_for_as_long_as_they_live() {
    let mut client = Client::with(|it| {
        it.token_lifetime = Duration::from_mins(15);
        it.advance_per_call = Duration::from_mins(5);
    })
    .await;
    let body = week("USER").to_string();
    let bare = || client.bare(&path(USER), JSON, &body);
    for (request, wanted) in [
        (bare(), NO_KEY),
        (bare().bearer_auth(&client.token), NO_KEY),
        (bare().header("appkey", "sim-app-key"), NO_TOKEN),
    ] {
        assert_eq!(message(&Reply::of(request).await), wanted);
    }
    client.sign_in().await;
    for wanted in ["200", "200", "200", NO_TOKEN] {
        assert_eq!(message(&client.users("").await), wanted);
    }
    client.sign_in().await;
    assert_eq!(message(&client.users("").await), "200");
    client.sim.revoke_tokens();
    assert_eq!(message(&client.users("").await), NO_TOKEN);
    client.sim.set_app_key("rotated");
    assert_eq!(message(&client.users("").await), NO_KEY);
}

#[tokio::test]
async fn paths_and_content_types_are_exact() {
    let client = Client::with(|_| {}).await;
    let body = week("USER").to_string();
    for (path, status) in table(
        "
        /                                                                         => 404
        /api/admin/user/v1/accounts/ABCDEF/audit-records%3Asearch                 => 404
        /api/admin/user/v1/accounts/ABCDEF/audit-records:export                   => 404
        /api/admin/user/v1/accounts//audit-records:search                         => 404
        /api/admin/user/v1/accounts/A/B/audit-records:search                      => 404
        /api/admin/user/v1beta/accounts/ABCDEF/audit-records:search               => 404
        /api/admin/user/v1/api/admin/user/v1/accounts/ABCDEF/audit-records:search => 404
        /api/admin/user/v1/accounts/GHIJKL/audit-records:search                   => 404
        /api/admin/user/v1/accounts/ABC/audit-records:search                      => 400",
    ) {
        let reply = client.ask(path, JSON, &body).await;
        assert_eq!(reply.status.to_string(), status, "{path}");
    }
    let url = format!("{}{}", client.sim.base_url(), path(USER));
    assert_eq!(Reply::of(client.http.get(url)).await.status, 405);
    for (kind, accept, status) in [
        ("text/plain", JSON, 415),
        ("application/json; charset=utf-8", "*/*", 200),
        (JSON, "text/html", 406),
    ] {
        let request = client.signed(&path(USER), kind, &body);
        let reply = Reply::of(request.header("accept", accept)).await;
        assert_eq!(reply.status, status);
    }
}

#[tokio::test]
async fn both_limits_refuse_in_their_own_words() {
    let set = |it: &mut AvayaSettings| (it.spike_limit, it.rate_headers) = (hourly(2), true);
    let client = Client::with(set).await;
    for remaining in ["1", "0"] {
        let reply = client.users("").await;
        assert_eq!(reply.header("ratelimit-remaining"), remaining);
    }
    let refused = client.users("").await;
    assert_eq!(message(&refused), "429 Spike limit has been exhausted");
    assert_eq!(refused.header("ratelimit-policy"), "2;w=3600");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 3_000);
    let client = Client::with(|it| it.quota = hourly(2)).await;
    client.sim.exhaust_quota(1);
    let exhausted = "429 Tenant Quota has been exhausted";
    for wanted in [exhausted, "200", exhausted] {
        let reply = client.users("").await;
        assert_eq!(
            (&*message(&reply), reply.header("retry-after")),
            (wanted, "")
        );
    }
}

#[tokio::test]
async fn services_differ_in_permissions_faults_types_bounds_and_order() {
    let client = Client::with(|_| {}).await;
    let sim = &client.sim;
    sim.forbid_service("user");
    assert_eq!(client.users("").await.status, 403);
    sim.allow_service("user");
    sim.faults()
        .next(endpoint::MATCH, 1, refusal(500, Some("3")));
    assert_eq!(client.users("").await.status, 200);
    let failed = client.search(MATCH, "", &week("QUEUE")).await;
    let words = "500 An internal server error was encountered.";
    assert_eq!(
        (&*message(&failed), failed.header("retry-after")),
        (words, "3")
    );
    let names = [endpoint::TOKEN, endpoint::USER, endpoint::MATCH];
    let calls = names.map(|name| sim.counters().calls(name));
    assert_eq!((calls, sim.searches()), ([1, 2, 1], 3));

    for (base, kind, ascending) in [
        (USER, "USER", true),
        (MATCH, "QUEUE", true),
        ("/api/admin/account/v1", "ACCOUNT", false),
        ("/api/admin/inventory/v1", "ELEMENT", false),
        (HOURS, "TIMETABLE", false),
    ] {
        for (query, ascending) in [("", ascending), ("?orderBy=date%20asc", true)] {
            let reply = client.search(base, query, &week(kind)).await;
            let date = |record: &Value| at(record["date"].as_str().unwrap());
            let dates: Vec<_> = records(&reply).iter().map(date).collect();
            assert_eq!((dates.len(), dates.is_sorted()), (5, ascending), "{kind}");
        }
    }
    assert_eq!(client.search(HOURS, "", &week("QUEUE")).await.status, 400);
    let mut body = week("TIMETABLE");
    body["ipAddress"] = json!("2001:db8::5:10000");
    assert_eq!(client.search(HOURS, "", &body).await.status, 200);
    let group = "/api/admin/group/v1";
    assert_eq!(total(&client.search(group, "", &week("GROUP")).await), 0);
}

#[tokio::test]
async fn bodies_and_queries_are_checked_member_by_member() {
    let client = Client::with(|_| {}).await;
    for (member, wanted) in table(
        r#"
        type null                                => 400 type 20002
        startDate null                           => 400 startDate 20002
        endDate null                             => 400 endDate 20002
        type "QUEUE"                             => malformed
        type "user"                              => malformed
        type ["USER"]                            => malformed
        startDate "2026-03-01"                   => malformed
        startDate "2026-03-01T00:00:00"          => malformed
        startDate "2026-03-01 00:00:00Z"         => malformed
        startDate "2026-03-01T00:00:00.000000Z"  => malformed
        startDate "2026-03-01T00:00Z"            => malformed
        startDate "2026-02-30T00:00:00Z"         => malformed
        startDate 1772323200                     => malformed
        startDate "2026-03-01T05:30:00+05:30"    => 200
        endDate "2026-03-07T19:00:00.000-05:00"  => 200
        endDate "2026-02-01T00:00:00Z"           => 400 endDate 20003
        event "MERGED"                           => malformed
        event "created"                          => malformed
        author "a b"                             => 400 author 20006
        author ""                                => 400 author 20006
        author LONG                              => 400 author 20003
        ipAddress "2001:db8::5:10000"            => 400 ipAddress 20003
        searchKeyword LONG                       => 400 searchKeyword 20003
        searchKeyword null                       => malformed
        pageSize 50                              => malformed"#,
    ) {
        let (name, value) = member.split_once(' ').unwrap();
        let long = format!("\"{}\"", "x".repeat(256));
        let mut body = week("USER");
        body[name] = serde_json::from_str(&value.replace("LONG", &long)).unwrap();
        let wanted = wanted.replace("malformed", MALFORMED);
        let reply = client.search(USER, "", &body).await;
        assert_eq!(message(&reply), wanted, "{member}");
        body.as_object_mut().unwrap().remove(name);
        let needed = ["type", "startDate", "endDate"].contains(&name);
        let wanted = if needed {
            format!("400 {name} 20002")
        } else {
            "200".to_owned()
        };
        assert_eq!(message(&client.search(USER, "", &body).await), wanted);
    }
    for body in [json!([]), json!(null), json!("{}")] {
        assert_eq!(message(&client.search(USER, "", &body).await), MALFORMED);
    }
    for (query, wanted) in table(
        "
        ?pageSize=4                  => 400 pageSize 20003
        ?pageSize=51                 => 400 pageSize 20003
        ?pageSize=+5                 => 400 pageSize 20003
        ?pageNumber=0                => 400 pageNumber 20003
        ?pageNumber=-1               => 400 pageNumber 20003
        ?orderBy=asc                 => 400 orderBy 20003
        ?orderBy=Date%20asc          => 400 orderBy 20006
        ?orderBy=date%20ASC          => 400 orderBy 20006
        ?orderBy=date+asc            => 400 orderBy 20006
        ?orderBy=event               => 400 orderBy 20006
        ?orderBy=date%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20desc => 400 orderBy 20003
        ?orderBy=author%20desc&pageSize=5&pageNumber=1 => 200
        ?orderBy=date                => 200
        ?size=50                     => 400 The query parameter size is not expected
        ?pageSize=50&pageSize=50     => 400 The query parameter pageSize is not expected",
    ) {
        assert_eq!(message(&client.users(query).await), wanted, "{query}");
    }
}

#[test]
fn the_data_holds_what_pullers_stumble_over() {
    let spec = changed(DatasetSpec::default(), |it| it.poison = 12);
    let dataset = Dataset::generate(&spec);
    let truth = dataset.truth(NEVER, ALWAYS, ALWAYS);
    let (mut texts, mut ties) = (BTreeMap::new(), BTreeMap::new());
    for record in &truth {
        *texts.entry(record.raw).or_insert(0) += 1;
        let instant = (record.event_time_micros, record.kind);
        *ties.entry(instant).or_insert(0) += 1;
        let parsed: Value = serde_json::from_str(record.raw).unwrap();
        assert!(parsed.get("id").is_none(), "records have no id");
        let shown = at(parsed["date"].as_str().unwrap());
        assert_eq!(shown.timestamp_micros(), record.event_time_micros);
    }
    let twins = texts.values().filter(|count| **count > 1).count();
    assert!(twins > 50 && ties.values().any(|count| *count >= 8));
    for part in [
        "Z\"",
        "+00:00\"",
        "previousData",
        "\"ipAddress\":null",
        "12345678901234567890",
        "SOMETHING_NEW",
    ] {
        let has = |record: &Truth<'_>| record.raw.contains(part);
        assert!(truth.iter().any(has), "{part}");
    }
    let poison = dataset.poison(ALWAYS);
    let of = |kind| poison.iter().filter(|one| one.kind == kind).count();
    assert_eq!(of(PoisonKind::NoTime), 4);
    assert_eq!(of(PoisonKind::GarbledTime), 4);
    assert_eq!(of(PoisonKind::NotAnObject), 4);
}

#[tokio::test]
async fn a_careful_walk_shows_exactly_the_truth_in_the_calls_needed() {
    let client = Client::with(|it| it.ties = Ties::Stable).await;
    let mut walked = Vec::new();
    for (service, kind) in catalogue::logs() {
        let base = service.endpoint.trim_start_matches("POST ");
        let base = base.split("/accounts").next().unwrap();
        for number in 1.. {
            let query = format!("?pageNumber={number}&pageSize=50&orderBy=date%20asc");
            let page = client.search(base, &query, &week(kind)).await;
            walked.extend(page.raw_list(&["auditRecords"]));
            if number * 50 >= total(&page) {
                break;
            }
        }
    }
    assert_eq!(client.compare(walked), (0, 0));
    let data = client.sim.dataset();
    let needed = data.calls_needed(at(FROM), at(TO), ALWAYS);
    assert_eq!(client.sim.searches(), needed);
    let nothing = data.calls_needed(NEVER, NEVER, ALWAYS);
    assert_eq!(nothing, 10, "a search for nothing is a call");
}

/// Returns users, many of them with the same instant.
fn users(it: &mut DatasetSpec) {
    (it.records, it.late_share, it.largest_tie) = (300, 0.05, 60);
    it.types = vec!["USER".to_owned()];
}

#[tokio::test]
async fn a_puller_that_follows_links_goes_in_circles_and_loses_records() {
    let client = Client::new(|_| {}, users).await;
    let (mut query, mut seen, mut pulled) = (String::new(), BTreeSet::new(), Vec::new());
    while seen.insert(query.clone()) {
        let reply = client.users(&query).await;
        pulled.extend(reply.raw_list(&["auditRecords"]));
        let next = reply.text_at("/links/next");
        query = next[next.find('?').unwrap()..].to_owned();
    }
    let (lost, doubled) = client.compare(pulled);
    // the first page, the second, and the first again
    assert_eq!(client.sim.searches(), 3);
    assert!(lost >= 285 && doubled > 0, "{lost} {doubled}");
}

/// Reads every page once. Returns the lost and doubled records, and the same counts if equal records are merged.
async fn walk(ties: Ties) -> [(usize, usize); 2] {
    let client = Client::new(|it| it.ties = ties, users).await;
    let mut pulled = Vec::new();
    for number in 1..=6 {
        pulled.extend(client.page(number, 50).await);
    }
    assert_eq!(pulled.len(), 300, "the count is right");
    let distinct: BTreeSet<String> = pulled.iter().cloned().collect();
    let distinct = distinct.into_iter().collect();
    [client.compare(pulled), client.compare(distinct)]
}

#[tokio::test]
async fn a_puller_that_takes_equal_records_for_one_loses_twins() {
    let [(lost, doubled), (lost_twins, _)] = walk(Ties::Stable).await;
    assert_eq!((lost, doubled), (0, 0));
    assert!(lost_twins > 5, "{lost_twins}");
}

#[tokio::test]
async fn a_puller_that_believes_one_walk_loses_and_doubles_shuffled_records() {
    let [(lost, doubled), _] = walk(Ties::ByPage).await;
    assert!(lost > 0 && lost == doubled, "{lost} {doubled}");
}

/// Reads each hour once, at its end or when all records are visible. Returns the lost and doubled records.
async fn pull_by_the_hour(live: bool) -> (usize, usize) {
    let few_ties = |it: &mut DatasetSpec| {
        users(it);
        it.largest_tie = 20;
    };
    let client = Client::new(|_| {}, few_ties).await;
    let (mut from, mut pulled) = (at(FROM), Vec::new());
    while from < at(TO) {
        let to = from + TimeDelta::hours(1);
        if live {
            client.sim.set_now(to);
        }
        let body = json!({ "startDate": from, "endDate": to, "type": "USER" });
        let reply = client.search(USER, "?pageSize=50", &body).await;
        assert!(total(&reply) <= 50, "nothing can move between pages");
        pulled.extend(reply.raw_list(&["auditRecords"]));
        from = to;
    }
    client.compare(pulled)
}

#[tokio::test]
async fn a_puller_that_reads_each_hour_once_loses_late_records() {
    let (lost, doubled) = pull_by_the_hour(true).await;
    assert!(lost > 5 && doubled == 0, "{lost} {doubled}");
}

#[tokio::test]
async fn a_careful_puller_gets_everything_once() {
    assert_eq!(pull_by_the_hour(false).await, (0, 0));
}
