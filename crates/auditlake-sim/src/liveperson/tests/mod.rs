//! Tests of the simulator through its sockets, by a client that shares nothing with it.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]

mod access;
mod data;
mod pullers;
mod questions;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use super::{Dataset, DatasetSpec, LivePerson, LivePersonSettings, start};
use crate::Clock;

const ACCOUNT: &str = "le12345678";
const FORM: &str = "application/x-www-form-urlencoded";
/// All fields, in an order of the client's own.
const ALL: &[&str] = &[
    "changeDate",
    "accountId",
    "objectType",
    "objectName",
    "element",
    "oldValue",
    "newValue",
    "originator",
    "originatorLoginName",
    "originatorUserId",
    "originatorUserAgent",
    "originatorAuthType",
    "originatorIsLpa",
];

/// A simulator, and an app signed in to it.
struct Client {
    sim: LivePerson,
    http: reqwest::Client,
    bearer: String,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    text: String,
}

impl Reply {
    async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let headers = headers.collect();
        let text = response.text().await.unwrap();
        Self {
            status,
            headers,
            text,
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn rows(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text);
        let json = self.json();
        assert!(json.get("errors").is_none(), "{}", self.text);
        json["data"]["auditData"].as_array().unwrap().clone()
    }

    /// The rows, byte for byte.
    fn raw_rows(&self) -> Vec<String> {
        #[derive(serde::Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            data: Data<'a>,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data<'a> {
            #[serde(borrow)]
            audit_data: Vec<&'a serde_json::value::RawValue>,
        }
        let body: Body = serde_json::from_str(&self.text).unwrap();
        let rows = body.data.audit_data.iter();
        rows.map(|row| row.get().to_owned()).collect()
    }

    /// What the form of GraphQL says is wrong.
    fn wrong(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text);
        let json = self.json();
        assert_eq!(json.get("data"), Some(&Value::Null), "{}", self.text);
        let errors = json["errors"].as_array().unwrap().clone();
        let messages = errors
            .iter()
            .map(|error| error["message"].as_str().unwrap());
        messages.collect::<Vec<_>>().join("; ")
    }

    /// What the form of the login service says is wrong.
    fn refusal(&self) -> (u16, String) {
        let message = self.json()["error"]["message"].as_str().unwrap().to_owned();
        (self.status, message)
    }
}

impl Client {
    async fn new(settings: LivePersonSettings, spec: &DatasetSpec) -> Self {
        let sim = start(settings, Arc::new(Dataset::generate(spec)))
            .await
            .unwrap();
        // the client is built without a TLS provider of its own
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder();
        let http = http.no_proxy().redirect(Policy::none()).build().unwrap();
        let mut client = Self {
            sim,
            http,
            bearer: String::new(),
        };
        client.sign_in().await;
        client
    }

    async fn sign_in(&mut self) {
        let reply = self
            .token("client_id=sim-client&client_secret=sim-secret&grant_type=client_credentials")
            .await;
        self.bearer = reply.json()["access_token"].as_str().unwrap().to_owned();
    }

    async fn token(&self, form: &str) -> Reply {
        let path = format!("/sentinel/api/v2/account/{ACCOUNT}/app/token");
        let url = format!("{}{path}", self.sim.sentinel_url());
        let request = self.http.post(url).header("content-type", FORM);
        Reply::of(request.body(form.to_owned())).await
    }

    async fn get(&self, url: String) -> Reply {
        Reply::of(self.http.get(url)).await
    }

    async fn post_json(&self, url: String, body: String) -> Reply {
        let request = self
            .http
            .post(url)
            .header("content-type", "application/json");
        Reply::of(request.bearer_auth(&self.bearer).body(body)).await
    }

    fn audit_url(&self) -> String {
        let base = self.sim.configuration_url();
        format!("{base}/api/account/{ACCOUNT}/configuration/metadata/audit")
    }

    async fn ask(&self, query: &str) -> Reply {
        self.post_json(self.audit_url(), json!({ "query": query }).to_string())
            .await
    }

    /// Rows with all fields and nothing hidden.
    async fn ask_with(&self, arguments: &str) -> Reply {
        self.ask(&question(arguments)).await
    }
}

fn question(arguments: &str) -> String {
    format!(
        "{{auditData({arguments} lpa:true, automaticUpdates:true){{{}}}}}",
        ALL.join(" ")
    )
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn small() -> DatasetSpec {
    DatasetSpec {
        rows: 400,
        ..DatasetSpec::default()
    }
}

/// All is visible.
fn settled() -> LivePersonSettings {
    LivePersonSettings {
        clock: Clock::Fixed(at("2026-03-09T00:00:00Z")),
        ..LivePersonSettings::default()
    }
}
