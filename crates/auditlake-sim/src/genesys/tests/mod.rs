//! Tests of the simulator through its sockets, by a client that shares nothing with it.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]

mod access;
mod data;
mod downloads;
mod faulty;
mod pullers;
mod queries;
mod realtime;
mod requests;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use super::{Dataset, DatasetSpec, Genesys, GenesysSettings, start};
use crate::Clock;

const QUERY: &str = "/api/v2/audits/query";
const REALTIME: &str = "/api/v2/audits/query/realtime";
const FORM: &str = "application/x-www-form-urlencoded";

/// A simulator, and someone signed in to it.
struct Client {
    sim: Genesys,
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
    async fn of(response: reqwest::Response) -> reqwest::Result<Self> {
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let headers = headers.collect();
        let body = response.bytes().await?.to_vec();
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn message(&self) -> String {
        self.json()["message"].as_str().unwrap().to_owned()
    }

    fn entities(&self) -> Vec<Value> {
        self.json()["entities"].as_array().unwrap().clone()
    }
}

impl Client {
    async fn new(settings: GenesysSettings, spec: &DatasetSpec) -> Self {
        Self::on(settings, Arc::new(Dataset::generate(spec))).await
    }

    async fn on(settings: GenesysSettings, dataset: Arc<Dataset>) -> Self {
        let sim = start(settings, dataset).await.unwrap();
        // the client is built without a TLS provider of its own
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder();
        let http = http.no_proxy().redirect(Policy::none()).build().unwrap();
        let mut client = Self {
            sim,
            http,
            token: String::new(),
        };
        client.sign_in().await;
        client
    }

    async fn sign_in(&mut self) {
        let reply = self
            .token(
                "sim-client:sim-secret",
                FORM,
                "grant_type=client_credentials",
            )
            .await;
        self.token = reply.json()["access_token"].as_str().unwrap().to_owned();
    }

    async fn token(&self, credentials: &str, content_type: &str, body: &str) -> Reply {
        let request = self
            .http
            .post(format!("{}/oauth/token", self.sim.login_url()));
        let basic = format!("Basic {}", STANDARD.encode(credentials));
        let request = request
            .header("authorization", basic)
            .header("content-type", content_type);
        Reply::of(request.body(body.to_owned()).send().await.unwrap())
            .await
            .unwrap()
    }

    fn request(&self, method: &str, path: &str, body: Option<String>) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.sim.base_url());
        let request = self
            .http
            .request(method.parse().unwrap(), url)
            .bearer_auth(&self.token);
        match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(body),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Reply {
        Reply::of(self.request("GET", path, None).send().await.unwrap())
            .await
            .unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        let request = self.request("POST", path, Some(body.to_string()));
        Reply::of(request.send().await.unwrap()).await.unwrap()
    }

    /// Submits a query and polls until it has succeeded; its id.
    async fn run_query(&self, body: &Value) -> String {
        let submitted = self.post(QUERY, body).await;
        assert_eq!(submitted.status, 202, "{}", submitted.text());
        let id = submitted.json()["id"].as_str().unwrap().to_owned();
        while self.get(&format!("{QUERY}/{id}")).await.json()["state"] != "Succeeded" {}
        id
    }

    async fn page(&self, id: &str, cursor: Option<&str>, more: &str) -> Reply {
        let cursor = cursor
            .map(|cursor| format!("cursor={}&", escape(cursor)))
            .unwrap_or_default();
        self.get(&format!("{QUERY}/{id}/results?{cursor}{more}"))
            .await
    }
}

fn escape(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
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
    query(service, "2026-03-01T00:00:00Z", "2026-03-08T00:00:00Z")
}

fn small() -> DatasetSpec {
    DatasetSpec {
        records: 400,
        ..DatasetSpec::default()
    }
}

/// All is visible, and the week lies within reach of the realtime query.
fn settled() -> GenesysSettings {
    GenesysSettings {
        clock: Clock::Fixed(at("2026-03-09T00:00:00Z")),
        ..GenesysSettings::default()
    }
}
