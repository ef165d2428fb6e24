//! Tests of the simulator through its socket, by a client that shares nothing with it.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]

mod access;
mod data;
mod pages;
mod pullers;
mod requests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{Avaya, AvayaSettings, Dataset, DatasetSpec, start};
use crate::Clock;

const USER: &str = "/api/admin/user/v1";
const FORM: &str = "application/x-www-form-urlencoded";
const TOKEN: &str = "/api/auth/v1/ABCDEF/protocol/openid-connect/token";
const SIGN_IN: &str = "grant_type=client_credentials&client_id=sim-client&client_secret=sim-secret";
const FROM: &str = "2026-03-01T00:00:00Z";
const TO: &str = "2026-03-08T00:00:00Z";

/// A simulator, and someone signed in to it.
struct Client {
    sim: Avaya,
    http: reqwest::Client,
    token: String,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Reply {
    async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let headers = headers.collect();
        let body = response.bytes().await.unwrap().to_vec();
        Self {
            status,
            headers,
            body,
        }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The status, the first violation's field and code, else the detail.
    fn problem(&self) -> String {
        let body = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(body["status"], self.status);
        match body["violations"][0].as_object() {
            Some(violation) => format!(
                "{} {} {}",
                self.status, violation["field"], violation["code"]
            ),
            None => format!("{} {}", self.status, body["detail"].as_str().unwrap()),
        }
    }

    fn records(&self) -> Vec<Value> {
        self.json()["auditRecords"].as_array().unwrap().clone()
    }

    /// Each record's own text.
    fn texts(&self) -> Vec<String> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page<'a> {
            #[serde(borrow)]
            audit_records: Vec<&'a serde_json::value::RawValue>,
        }
        let page: Page = serde_json::from_slice(&self.body).unwrap();
        page.audit_records
            .iter()
            .map(|record| record.get().to_owned())
            .collect()
    }
}

impl Client {
    async fn new(settings: AvayaSettings, spec: &DatasetSpec) -> Self {
        Self::on(settings, Arc::new(Dataset::generate(spec))).await
    }

    async fn on(settings: AvayaSettings, dataset: Arc<Dataset>) -> Self {
        let sim = start(settings, dataset).await.unwrap();
        // the client is built without a TLS provider of its own
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut client = Self {
            sim,
            http,
            token: String::new(),
        };
        client.sign_in().await;
        client
    }

    async fn sign_in(&mut self) {
        let request = self.request(TOKEN, FORM, SIGN_IN.to_owned());
        let reply = Reply::of(request.header("appkey", "sim-app-key")).await;
        self.token = reply.json()["access_token"].as_str().unwrap().to_owned();
    }

    fn request(&self, path: &str, content_type: &str, body: String) -> reqwest::RequestBuilder {
        // taken as it is: no part of it is escaped again
        self.http
            .post(format!("{}{path}", self.sim.base_url()))
            .header("content-type", content_type)
            .body(body)
    }

    fn signed(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.request(path, "application/json", body.to_string())
            .bearer_auth(&self.token)
            .header("appkey", "sim-app-key")
    }

    /// A search below a base path, with the given query.
    async fn search(&self, base: &str, query: &str, body: &Value) -> Reply {
        let path = format!("{base}/accounts/ABCDEF/audit-records:search{query}");
        Reply::of(self.signed(&path, body)).await
    }

    async fn users(&self, query: &str) -> Reply {
        self.search(USER, query, &week("USER")).await
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The whole week of the default data set.
fn week(kind: &str) -> Value {
    json!({ "startDate": FROM, "endDate": TO, "type": kind })
}

fn small() -> DatasetSpec {
    DatasetSpec {
        records: 600,
        ..DatasetSpec::default()
    }
}

/// All is visible.
fn settled() -> AvayaSettings {
    AvayaSettings {
        clock: Clock::Fixed(at("2026-03-09T00:00:00Z")),
        token_lifetime: Duration::from_hours(24 * 365),
        ..AvayaSettings::default()
    }
}
