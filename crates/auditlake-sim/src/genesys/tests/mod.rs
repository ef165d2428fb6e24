//! Tests of the simulator through its sockets, by a client that shares nothing with it.

mod access;
mod data;
mod faults;
mod pullers;
mod queries;
mod realtime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::Clock;
use crate::testing::*;

const QUERY: &str = "/api/v2/audits/query";
const REALTIME: &str = "/api/v2/audits/query/realtime";
const SERVICE: &str = "PeoplePermissions";
const GRANT: &str = "grant_type=client_credentials";

/// A simulator, and someone signed in to it.
struct Client {
    sim: Genesys,
    http: reqwest::Client,
    token: String,
}

impl Client {
    /// A data set with few records, all visible and within reach of the realtime query, except for the given changes.
    async fn new(
        settings: impl FnOnce(&mut GenesysSettings),
        spec: impl FnOnce(&mut DatasetSpec),
    ) -> Self {
        let clock = Clock::Fixed(at("2026-03-09T00:00:00Z"));
        let usual = changed(GenesysSettings::default(), |it| it.clock = clock);
        let few = changed(DatasetSpec::default(), |it| it.records = 400);
        let data = Dataset::generate(&changed(few, spec));
        let mut client = Self {
            sim: start(changed(usual, settings), data).await.unwrap(),
            http: http(),
            token: String::new(),
        };
        client.sign_in().await;
        client
    }

    async fn with(settings: impl FnOnce(&mut GenesysSettings)) -> Self {
        Self::new(settings, |_| {}).await
    }

    async fn usual() -> Self {
        Self::with(|_| {}).await
    }

    async fn sign_in(&mut self) {
        let reply = self.token("sim-client:sim-secret", FORM, GRANT).await;
        self.token = reply.text_at("/access_token");
    }

    async fn token(&self, credentials: &str, kind: &str, body: &str) -> Reply {
        let request = self
            .http
            .post(format!("{}/oauth/token", self.sim.login_url()));
        let basic = format!("Basic {}", STANDARD.encode(credentials));
        let request = request
            .header("authorization", basic)
            .header("content-type", kind);
        Reply::of(request.body(body.to_owned())).await
    }

    fn request(&self, method: &str, path: &str, body: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.sim.base_url());
        let request = self.http.request(method.parse().unwrap(), url);
        let request = request.bearer_auth(&self.token).body(body.to_owned());
        request.header("content-type", "application/json")
    }

    async fn get(&self, path: &str) -> Reply {
        Reply::of(self.request("GET", path, "")).await
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        Reply::of(self.request("POST", path, &body.to_string())).await
    }

    async fn services(&self) -> Reply {
        self.get(&format!("{QUERY}/servicemapping")).await
    }

    async fn state(&self, id: &str) -> String {
        self.get(&format!("{QUERY}/{id}")).await.text_at("/state")
    }

    /// Submits a query and polls until it has succeeded; its id.
    async fn run(&self, body: &Value) -> String {
        let submitted = self.post(QUERY, body).await;
        assert_eq!(submitted.status, 202, "{}", submitted.text());
        let id = submitted.text_at("/id");
        while self.state(&id).await != "Succeeded" {}
        id
    }

    async fn page(&self, id: &str, cursor: &str, more: &str) -> Reply {
        let escaped = percent_encoding::NON_ALPHANUMERIC;
        let cursor = percent_encoding::utf8_percent_encode(cursor, escaped);
        let path = match cursor.to_string() {
            none if none.is_empty() => format!("{QUERY}/{id}/results?{more}"),
            cursor => format!("{QUERY}/{id}/results?cursor={cursor}&{more}"),
        };
        self.get(&path).await
    }

    /// All pages of a query, the last one last.
    async fn pages(&self, id: &str, more: &str) -> Vec<Reply> {
        let mut pages = vec![self.page(id, "", more).await];
        loop {
            match pages[pages.len() - 1].text_at("/cursor") {
                cursor if cursor.is_empty() => return pages,
                cursor => pages.push(self.page(id, &cursor, more).await),
            }
        }
    }

    /// All records of a query.
    async fn found(&self, body: &Value) -> Vec<Value> {
        let id = self.run(body).await;
        let pages = self.pages(&id, "pageSize=500").await;
        pages
            .iter()
            .flat_map(|page| page.list("/entities"))
            .collect()
    }

    /// What one service has shown of the week until now, byte for byte.
    fn truth(&self, service: &str) -> Vec<String> {
        let dataset = self.sim.dataset();
        raws(&dataset.truth_of(service, at(FROM), at(TO), self.sim.now()))
    }
}

/// A query of a service in ascending order.
fn query(service: &str, from: &str, to: &str) -> Value {
    json!({
        "interval": format!("{from}/{to}"),
        "serviceName": service,
        "sort": [{ "name": "Timestamp", "sortOrder": "ascending" }],
    })
}

/// The whole week of the default data set.
fn week(service: &str) -> Value {
    query(service, FROM, TO)
}

fn day(service: &str) -> Value {
    query(service, "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z")
}

fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}
