//! Tests of the simulator through its sockets, by an independent client.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::*;
use crate::Clock;
use crate::testing::*;

const ACCOUNT: &str = "le12345678";
const SIGN_IN: &str = "client_id=sim-client&client_secret=sim-secret&grant_type=client_credentials";
const ASCENDING: &str = r#"orderBy:["changeTimestamp"],orderDirection:["ASC"],first:500,"#;
/// All fields in an arbitrary order.
const ALL: &str = "changeDate accountId objectType objectName element oldValue newValue originator \
originatorLoginName originatorUserId originatorUserAgent originatorAuthType originatorIsLpa";

/// A simulator and a signed-in app.
struct Client {
    sim: LivePerson,
    http: reqwest::Client,
    bearer: String,
}

impl Client {
    /// Starts a simulator with few rows, all visible, after a change of its settings.
    async fn new(
        settings: impl FnOnce(&mut LivePersonSettings),
        spec: impl FnOnce(&mut DatasetSpec),
    ) -> Self {
        let clock = Clock::Fixed(at("2026-03-09T00:00:00Z"));
        let usual = changed(LivePersonSettings::default(), |it| it.clock = clock);
        let few = changed(DatasetSpec::default(), |it| it.records = 400);
        let data = Dataset::generate(&changed(few, spec));
        let mut client = Self {
            sim: start(changed(usual, settings), data).await.unwrap(),
            http: http(),
            bearer: String::new(),
        };
        client.sign_in().await;
        client
    }

    async fn with(settings: impl FnOnce(&mut LivePersonSettings)) -> Self {
        Self::new(settings, |_| {}).await
    }

    async fn sign_in(&mut self) -> Reply {
        let reply = self.token(SIGN_IN).await;
        self.bearer = reply.text_at("/access_token");
        reply
    }

    fn token_request(&self) -> reqwest::RequestBuilder {
        let path = format!("/sentinel/api/v2/account/{ACCOUNT}/app/token");
        let request = self.http.post(format!("{}{path}", self.sim.sentinel_url()));
        request.header("content-type", FORM)
    }

    async fn token(&self, form: &str) -> Reply {
        Reply::of(self.token_request().body(form.to_owned())).await
    }

    async fn look_up(&self, path: &str) -> Reply {
        let url = format!("{}/api/account/{path}", self.sim.domain_url());
        Reply::of(self.http.get(url)).await
    }

    async fn post(&self, url: String, body: &str) -> Reply {
        let request = self
            .http
            .post(url)
            .header("content-type", "application/json");
        Reply::of(request.bearer_auth(&self.bearer).body(body.to_owned())).await
    }

    fn audit_url(&self) -> String {
        let base = self.sim.configuration_url();
        format!("{base}/api/account/{ACCOUNT}/configuration/metadata/audit")
    }

    async fn ask(&self, query: &str) -> Reply {
        self.post(self.audit_url(), &json!({ "query": query }).to_string())
            .await
    }

    /// Queries rows with all fields and without hidden rows.
    async fn ask_with(&self, arguments: &str) -> Reply {
        self.ask(&question(arguments)).await
    }

    async fn rows(&self, arguments: &str) -> Vec<Value> {
        let reply = self.ask_with(arguments).await;
        assert_eq!(reply.at("/errors"), Value::Null, "{}", reply.text());
        reply.list("/data/auditData")
    }

    /// Returns the rows of a page, byte for byte.
    async fn raw(&self, arguments: &str) -> Vec<String> {
        self.ask_with(arguments)
            .await
            .raw_list(&["data", "auditData"])
    }

    /// Returns the rows of all pages with these arguments, up to a page with fewer than `full` rows.
    async fn walk(&self, arguments: &str, full: usize) -> Vec<String> {
        let mut rows = Vec::new();
        loop {
            let page = self
                .raw(&format!("{arguments}offset:{},", rows.len()))
                .await;
            let last = page.len() < full;
            rows.extend(page);
            if last {
                return rows;
            }
        }
    }

    fn truth(&self, zone: Tz) -> Vec<String> {
        let fields: Vec<&str> = ALL.split(' ').collect();
        let (data, now) = (self.sim.dataset(), self.sim.now());
        let truth = data.truth(NEVER, ALWAYS, now, &fields, zone);
        truth.into_iter().map(|row| row.raw).collect()
    }
}

/// Returns the status and the error in the form of the login service.
fn refused(reply: &Reply) -> (u16, String) {
    (reply.status, reply.text_at("/error/message"))
}

fn question(arguments: &str) -> String {
    format!("{{auditData({arguments} lpa:true, automaticUpdates:true){{{ALL}}}}}")
}

#[tokio::test]
async fn services_are_looked_up_in_both_forms_and_may_move() {
    for (form, entry) in [(LookUpForm::One, ""), (LookUpForm::Many, "/baseURIs/3")] {
        let client = Client::with(|it| it.look_up_form = form).await;
        let path = format!("{ACCOUNT}/service/sentinel/baseURI.json?version=1.0");
        let host = client.sim.sentinel_url().replace("http://", "");
        let wanted = json!({ "service": "sentinel", "account": ACCOUNT, "baseURI": host });
        assert_eq!(client.look_up(&path).await.at(entry), wanted);
    }
    let client = Client::with(|_| {}).await;
    client.sim.fail_look_up("agentVep", 503);
    for (path, status) in table(
        "
        le12345678/service/Sentinel/baseURI.json?version=1.0              => 400
        le12345678/service/nonsense/baseURI.json?version=1.0              => 400
        le12345678/service/sentinel/baseURI.json                          => 400
        le12345678/service/sentinel/baseURI.json?version=2.0              => 400
        other/service/sentinel/baseURI.json?version=1.0                   => 401
        no-account/service/sentinel/baseURI.json?version=1.0              => 400
        le1234567890123456789/service/sentinel/baseURI.json?version=1.0   => 400
        le12345678/service/agentVep/baseURI.json?version=1.0              => 503
        le12345678/service/accountConfigReadOnly/baseURI.json?version=1.0 => 200",
    ) {
        let reply = client.look_up(path).await;
        assert_eq!(reply.status.to_string(), status, "{path}");
    }
    let old = client.audit_url();
    client.sim.move_configuration().await.unwrap();
    assert_ne!(client.audit_url(), old);
    assert_eq!(client.ask_with("").await.status, 200);
    assert!(client.http.post(old).send().await.is_err());
    let path = format!("{ACCOUNT}/service/accountConfigReadOnly/baseURI.json?version=1.0");
    let host = client.look_up(&path).await.text_at("/baseURI");
    assert_eq!(format!("http://{host}"), client.sim.configuration_url());
    client.sim.shutdown().await;
}

#[tokio::test]
async fn a_token_is_a_jwt_of_the_simulators_clock_for_the_right_form() {
    for expires_in in [false, true] {
        let mut client = Client::with(|it| it.expires_in = expires_in).await;
        let reply = client.sign_in().await;
        assert_eq!(reply.at("/token_type"), "Bearer");
        assert_eq!(reply.at("/expires_in").is_null(), !expires_in);
        let claims = client.bearer.split('.').nth(1).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        let now = client.sim.now().timestamp();
        assert_eq!(claims["iat"], now);
        assert_eq!(claims["exp"], now + 3_600);
        client.sim.advance(Duration::from_secs(3_599));
        assert_eq!(client.ask_with("").await.status, 200);
        client.sim.advance(Duration::from_secs(1));
        let bad = (401, "Bad Authentication".to_owned());
        assert_eq!(refused(&client.ask_with("").await), bad);
        client.sign_in().await;
        assert_eq!(client.ask_with("").await.status, 200);
        client.sim.sign_all_out();
        assert_eq!(client.ask_with("").await.status, 401);
    }
    let client = Client::with(|_| {}).await;
    for (form, error) in [
        ("", "invalid_request"),
        (
            "client_id=sim-client&client_secret=sim-secret",
            "invalid_request",
        ),
        (&format!("{SIGN_IN}&scope=x"), "invalid_request"),
        (
            &SIGN_IN.replace("client_credentials", "password"),
            "unsupported_grant_type",
        ),
        (&SIGN_IN.replace("sim-secret", "wrong"), "invalid_client"),
    ] {
        let reply = client.token(form).await;
        assert_eq!(reply.text_at("/error"), error, "{form}");
        assert_eq!(reply.status, 400 + u16::from(error == "invalid_client"));
    }
    // id and secret in the header are undocumented
    let basic = client
        .token_request()
        .basic_auth("sim-client", Some("sim-secret"));
    let reply = Reply::of(basic.body("grant_type=client_credentials")).await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn a_session_is_kept_up_with_cookie_and_csrf_or_dies() {
    let mut client = Client::with(|_| {}).await;
    let base = format!("{}/api/account/{ACCOUNT}", client.sim.login_url());
    let user = r#"{"username":"svc-audit","password":"sim-password"}"#;
    for (query, body, status) in [
        ("?v=1.3", &*user.replace("sim-password", "wrong"), 401),
        ("?v=1.3", r#"{"username":"svc-audit"}"#, 400),
        ("?v=1.3", &user.replace('}', r#","appKey":"x"}"#), 400),
        ("?v=1.3", "username=svc-audit", 400),
        ("", user, 400),
    ] {
        let reply = client.post(format!("{base}/login{query}"), body).await;
        assert_eq!(reply.status, status, "{query} {body}");
    }
    let reply = client.post(format!("{base}/login?v=1.3"), user).await;
    assert_eq!(reply.at("/sessionTTl"), "28800000");
    client.bearer = reply.text_at("/bearer");
    let csrf = json!({ "csrf": reply.at("/csrf") }).to_string();
    let cookie = reply.header("set-cookie").split(';').next().unwrap();
    assert!(cookie.starts_with("Session_id="));
    assert_eq!(client.ask_with("").await.status, 200);
    let refresh = async |cookie: &str, csrf: &str| {
        let request = client.http.post(format!("{base}/refresh"));
        let request = request.header("content-type", "application/json");
        Reply::of(request.header("cookie", cookie).body(csrf.to_owned()))
            .await
            .status
    };
    for _ in 0..3 {
        client.sim.advance(Duration::from_mins(9));
        assert_eq!(refresh(cookie, &csrf).await, 200);
    }
    assert_eq!(client.ask_with("").await.status, 200);
    assert_eq!(refresh("Session_id=x", &csrf).await, 401);
    assert_eq!(refresh(cookie, r#"{"csrf":"x"}"#).await, 401);
    assert_eq!(refresh(cookie, "{}").await, 400);
    client.sim.advance(Duration::from_mins(10));
    assert_eq!(client.ask_with("").await.status, 401);
    assert_eq!(refresh(cookie, &csrf).await, 401);
}

#[tokio::test]
async fn the_audit_trail_is_refused_in_the_form_of_the_login_service() {
    let mut client = Client::with(|it| it.rate_limit = hourly(12)).await;
    let good = json!({ "query": question("") }).to_string();
    let url = client.audit_url();
    for (url, body, status) in [
        (url.replace(ACCOUNT, "no-account"), &*good, 400),
        (url.replace(ACCOUNT, "other"), &good, 401),
        (format!("{url}?first=1"), &good, 400),
        (format!("{url}/export"), &good, 404),
        (url.clone(), "{}", 400),
        (url.clone(), "{auditData{element}}", 400),
        (url.clone(), r#"{"query":1}"#, 400),
        (
            url.clone(),
            r#"{"query":"{auditData{element}}","variables":{}}"#,
            400,
        ),
    ] {
        let reply = client.post(url, body).await;
        assert_eq!(refused(&reply).0, status, "{body}");
    }
    assert_eq!(Reply::of(client.http.get(&url)).await.status, 405);
    for (kind, accept, status) in [
        ("application/json; charset=utf-8", "*/*", 200),
        ("text/plain", "application/json", 415),
        ("application/json", "text/csv", 406),
    ] {
        let request = client
            .http
            .post(&url)
            .header("content-type", kind)
            .header("accept", accept);
        let reply = Reply::of(request.bearer_auth(&client.bearer).body(good.clone())).await;
        assert_eq!(reply.status, status);
    }
    client
        .sim
        .faults()
        .next(endpoint::AUDIT, 1, refusal(500, None));
    let error = json!({ "error": {
        "time": "Mar 2, 2026 9:00:00 AM", "message": "Internal server error", "internalCode": 1,
        "responseStatus": "INTERNAL_SERVER_ERROR",
    }});
    assert_eq!(client.ask_with("").await.json(), error);
    client.sim.forbid();
    let forbidden = (403, "Missing privilege for audit trail".to_owned());
    assert_eq!(refused(&client.ask_with("").await), forbidden);
    client.ask_with("").await;
    let limited = client.ask_with("").await;
    assert_eq!(refused(&limited), (429, "Too many requests".to_owned()));
    assert_eq!(limited.header("retry-after"), "");
    client.bearer = "not a token".to_owned();
    assert_eq!(client.ask_with("").await.status, 401);
}

#[tokio::test]
async fn what_is_not_in_the_schema_is_refused() {
    let client = Client::with(|_| {}).await;
    for (query, says) in table(
        r#"
        ,                                             => Invalid Syntax
        {auditData{element}                           => Invalid Syntax
        {auditData{element}}}                         => Invalid Syntax
        auditData{element}                            => Invalid Syntax
        {auditData(first:){element}}                  => Invalid Syntax
        {auditData(){element}}                        => Invalid Syntax
        {auditData(first:01){element}}                => Invalid Syntax
        {auditData(first:1x){element}}                => Invalid Syntax
        {auditData(language:"a\q"){element}}          => Invalid Syntax
        {auditData(language:"a" b"){element}}         => Invalid Syntax
        {auditData{element}} {auditData{element}}     => Invalid Syntax
        mutation{auditData{element}}                  => Invalid Syntax
        query($x:Int){auditData(first:$x){element}}   => Invalid Syntax
        {auditdata{element}}                          => Field auditdata is undefined
        {__schema{types{name}}}                       => Invalid Syntax
        {a:auditData{element}}                        => Invalid Syntax
        {auditData{element} auditData{element}}       => Invalid Syntax
        {auditData}                                   => SubSelectionRequired
        {auditData(first:1)}                          => SubSelectionRequired
        {auditData{actionTypo}}                       => Field actionTypo is undefined @ 'auditData/actionTypo'
        {auditData{actionType}}                       => Field actionType is undefined
        {auditData{element{x}}}                       => Invalid Syntax
        {auditData{e:element}}                        => Invalid Syntax
        {auditData{...on X{element}}}                 => Invalid Syntax
        {auditData(fromData:"2026-03-01"){element}}   => Unknown field argument fromData
        {auditData(first:1,first:2){element}}         => DuplicateArgumentNames
        {auditData(first:"1"){element}}               => 'first'
        {auditData(first:0){element}}                 => 'first'
        {auditData(first:1.5){element}}               => 'first'
        {auditData(first:99999999999){element}}       => 'first'
        {auditData(offset:-1){element}}               => 'offset'
        {auditData(lpa:"true"){element}}              => 'lpa'
        {auditData(automaticUpdates:1){element}}      => 'automaticUpdates'
        {auditData(fromDate:"2026-03-01T00:00:00Z"){element}} => 'fromDate'
        {auditData(fromDate:"2026-02-30"){element}}   => 'fromDate'
        {auditData(toDate:"2026-3-1"){element}}       => 'toDate'
        {auditData(toDate:1772323200){element}}       => 'toDate'
        {auditData(timezone:"Mars/Olympus"){element}} => Unknown time zone 'Mars/Olympus'
        {auditData(timezone:UTC){element}}            => 'timezone'
        {auditData(language:"xx"){element}}           => 'language'
        {auditData(orderBy:"changeTimestamp:ASC"){element}}   => 'orderBy'
        {auditData(orderBy:["changeDate"]){element}}  => Unknown column
        {auditData(orderDirection:["ASC","ASC"]){element}}    => orderDirection
        {auditData(orderDirection:["asc"]){element}}  => orderDirection
        {auditData(users:"a"){element}}               => 'users'
        {auditData(componentTypes:[1]){element}}      => 'componentTypes'"#,
    ) {
        let reply = client.ask(query).await;
        let wrong = reply.at("/errors").to_string();
        assert!(wrong.contains(says), "{query}: {wrong}");
        assert_eq!((reply.status, reply.at("/data")), (200, Value::Null));
    }
    let client = Client::with(|it| {
        it.refusal_status = 400;
        it.refused_timezones = vec!["UTC".to_owned()];
    })
    .await;
    let wrong = "Unknown time zone 'UTC' @ 'auditData'".to_owned();
    let reply = client.ask_with(r#"timezone:"UTC","#).await;
    assert_eq!(refused(&reply), (400, wrong));
    assert_eq!(client.rows(r#"timezone:"Etc/UTC","#).await.len(), 50);
}

#[tokio::test]
async fn the_defaults_hide_cut_and_turn_round() {
    let shares = |it: &mut DatasetSpec| (it.staff_share, it.automatic_share) = (0.3, 0.3);
    let client = Client::new(|it| it.action_type = true, shares).await;
    let query = "{auditData{changeDate originatorIsLpa originator}}";
    let rows = client.ask(query).await.list("/data/auditData");
    let hidden = |row: &&Value| row["originatorIsLpa"] == true || row["originator"] == "System";
    let shown = rows.iter().filter(hidden).count();
    assert_eq!((rows.len(), shown), (50, 0));
    let date = |row: &Value| std::cmp::Reverse(row["changeDate"].to_string());
    assert!(rows.is_sorted_by_key(date));
    // the newest row is on Saturday evening in New York and on Sunday in UTC
    let german = r#"first:500,timezone:"UTC",language:"de-DE","#;
    let all = client.rows(german).await;
    assert_eq!(all.len(), 400);
    assert!(all.iter().filter(hidden).count() > 60);
    let eastern = client.rows("first:500,").await;
    assert_ne!(all[0]["changeDate"], eastern[0]["changeDate"]);
    assert!(all.iter().any(|row| row["objectType"] == "Benutzer"));
    assert!(all.iter().all(|row| row["objectType"] != "Users"));
    let names = ["originatorIsLpa", "objectType", "accountId", "actionType"];
    let query = format!("{{auditData(first:1){{{} objectType}}}}", names.join(" "));
    let row = &client.ask(&query).await.raw_list(&["data", "auditData"])[0];
    assert!(names.map(|name| row.find(name).unwrap()).is_sorted());
    assert_eq!(row.matches("\":").count(), names.len(), "{row}");
}

#[tokio::test]
async fn a_walk_without_ties_in_motion_shows_the_truth_in_any_zone() {
    let client = Client::with(|it| {
        it.ties = Ties::Stable;
        it.largest_page = 150;
    })
    .await;
    for zone in [Tz::UTC, Tz::US__Eastern, Tz::Asia__Kolkata] {
        let arguments = format!(r#"{ASCENDING}timezone:"{}","#, zone.name());
        let rows = client.walk(&arguments, 1).await;
        let truth = client.truth(zone);
        assert_eq!(compare(truth.clone(), rows), (0, 0), "{zone}");
        let distinct: BTreeSet<&String> = truth.iter().collect();
        assert!(truth.len() - distinct.len() >= 5, "true twins");
    }
}

#[tokio::test]
async fn some_rows_cannot_be_read_and_some_pages_are_partial() {
    let client = Client::new(|_| {}, |it| it.poison = 9).await;
    assert_eq!(client.sim.dataset().poison(), 9);
    let rows = client.rows("first:500,").await;
    let of = |wanted: fn(&Value) -> bool| rows.iter().filter(|row| wanted(row)).count();
    assert_eq!((rows.len(), of(Value::is_null)), (409, 3));
    assert_eq!(of(|row| row.is_object() && row["changeDate"].is_null()), 3);
    assert_eq!(of(|row| row["changeDate"] == "0000-00-00 00:00:00.0"), 3);
    client.sim.make_partial(1);
    let partial = client.ask_with("first:500,").await;
    assert_eq!(partial.list("/data/auditData").len(), 204);
    assert_eq!(partial.list("/errors").len(), 1);
    assert_eq!(client.rows("first:500,").await.len(), 409);
    for (rows, size, calls) in [(0, 500, 1), (1, 500, 2), (500, 500, 2), (501, 500, 3)] {
        assert_eq!(calls_needed(rows, size), calls);
    }
    let days = (at(FROM).date_naive(), at(TO).date_naive());
    let data = client.sim.dataset();
    let rows = data.rows_of_days(days.0, days.1, Tz::UTC, ALWAYS);
    assert_eq!(rows, 409);
}

/// Starts a simulator with two busy days of visible rows in pages of at most `largest_page`.
async fn busy(ties: Ties, largest_page: usize) -> Client {
    Client::new(
        |it| {
            (it.token_lifetime, it.page_takes) = (EVER, Duration::from_mins(30));
            (it.ties, it.largest_page) = (ties, largest_page);
        },
        |it| {
            (it.records, it.late_share) = (1_500, 0.05);
            it.to = at("2026-03-03T00:00:00Z");
        },
    )
    .await
}

/// Returns the number of missing rows and of duplicates.
fn missed(client: &Client, pulled: Vec<String>, zone: Tz) -> (usize, usize) {
    client.sim.set_now(at("2026-03-09T00:00:00Z"));
    compare(client.truth(zone), pulled)
}

/// Reads every hour with the provider's defaults, local times read as UTC, and a checkpoint one second after the newest
/// row.
#[tokio::test]
async fn a_naive_puller_loses_rows() {
    let client = busy(Ties::ByPage, 500).await;
    let (mut pulled, mut checkpoint) = (Vec::new(), FROM.replace('T', " "));
    for hour in 1..=72 {
        client.sim.set_now(at(FROM) + TimeDelta::hours(hour));
        let from = &checkpoint[..10];
        let query = format!("{{auditData(fromDate:\"{from}\"){{{ALL}}}}}");
        let reply = client.ask(&query).await;
        let mut newest = checkpoint.clone();
        for raw in reply.raw_list(&["data", "auditData"]) {
            let row: Value = serde_json::from_str(&raw).unwrap();
            let date = row["changeDate"].as_str().unwrap();
            if date < checkpoint.as_str() {
                continue;
            }
            pulled.push(raw);
            let second = at(&format!("{}Z", date[..19].replace(' ', "T"))) + TimeDelta::seconds(1);
            newest = newest.max(second.format("%Y-%m-%d %H:%M:%S").to_string());
        }
        checkpoint = newest;
    }
    let (lost, _) = missed(&client, pulled, Tz::US__Eastern);
    assert!(lost > 200, "{lost} of 1500");
}

/// Requests everything in ascending order, but treats a page that isn't full as the last.
#[tokio::test]
async fn a_puller_that_stops_at_a_short_page_loses_rows() {
    let client = busy(Ties::ByPage, 500).await;
    let arguments = ASCENDING.replace("500", "1000") + r#"timezone:"UTC","#;
    let pulled = client.walk(&arguments, 1_000).await;
    assert_eq!(missed(&client, pulled, Tz::UTC).0, 1_000);
}

/// Reads the newest rows first, so that each arrival pushes rows onto the next page.
#[tokio::test]
async fn a_puller_in_descending_order_doubles_rows() {
    let client = busy(Ties::Stable, 50).await;
    client.sim.set_now(at("2026-03-02T12:00:00Z"));
    let pulled = client.walk(r#"timezone:"UTC","#, 1).await;
    let (_, doubled) = missed(&client, pulled, Tz::UTC);
    assert!(doubled > 50, "{doubled}");
}

/// If rows with equal times change their order, pages that end within a second lose some rows and double others; with a
/// stable order, reading up to the empty page returns everything.
#[tokio::test]
async fn a_careful_puller_must_look_at_ties() {
    for ties in [Ties::Stable, Ties::ByPage, Ties::Shuffled] {
        let client = busy(ties, 20).await;
        let again = [client.raw(ASCENDING).await, client.raw(ASCENDING).await];
        assert_eq!(again[0] == again[1], ties != Ties::Shuffled, "{ties:?}");
        let arguments = format!(r#"{ASCENDING}timezone:"UTC","#);
        let pulled = client.walk(&arguments.replace("500", "20"), 1).await;
        let (lost, doubled) = missed(&client, pulled, Tz::UTC);
        // the pages have as many places as there are rows
        assert_eq!(lost, doubled, "{ties:?}");
        assert_eq!(lost == 0, ties == Ties::Stable, "{ties:?} {lost}");
    }
}
