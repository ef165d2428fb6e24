//! Tests of the simulator through its socket, by a client that shares nothing with it.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]

mod access;
mod answers;
mod data;
mod pullers;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use reqwest::redirect::Policy;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Dataset, DatasetSpec, Everyware, EverywareSettings, start};
use crate::Clock;

/// A simulator, and someone who calls it.
struct Client {
    sim: Everyware,
    http: reqwest::Client,
    user: String,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    text: String,
}

impl Reply {
    async fn of(response: reqwest::Response) -> reqwest::Result<Self> {
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        Ok(Self {
            status: response.status().as_u16(),
            headers: headers.collect(),
            text: response.text().await?,
        })
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn message(&self) -> String {
        self.json()["message"].as_str().unwrap().to_owned()
    }

    /// The text of each record, in the order shown.
    fn records(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", self.text);
        let body: BTreeMap<String, Vec<Box<RawValue>>> = serde_json::from_str(&self.text).unwrap();
        body["audit"]
            .iter()
            .map(|raw| raw.get().to_owned())
            .collect()
    }
}

impl Client {
    async fn new(settings: EverywareSettings, spec: &DatasetSpec) -> Self {
        Self::on(settings, Arc::new(Dataset::generate(spec))).await
    }

    async fn on(settings: EverywareSettings, dataset: Arc<Dataset>) -> Self {
        let sim = start(settings, dataset).await.unwrap();
        // the client is built without a TLS provider of its own
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder();
        Self {
            sim,
            http: http.no_proxy().redirect(Policy::none()).build().unwrap(),
            user: "sim-user".to_owned(),
        }
    }

    fn request(&self, query: &str) -> reqwest::RequestBuilder {
        let url = format!("{}/audit{query}", self.sim.base_url());
        self.http
            .get(url)
            .basic_auth(&self.user, Some("sim-secret"))
            .header("accept", "application/json")
    }

    async fn get(&self, query: &str) -> Reply {
        Reply::of(self.request(query).send().await.unwrap())
            .await
            .unwrap()
    }

    /// The records of these days.
    async fn days(&self, first: &str, last: &str) -> Vec<String> {
        self.get(&days(first, last)).await.records()
    }
}

/// `03/01/2026` and the like.
fn days(first: &str, last: &str) -> String {
    let escape = |day: &str| day.replace('/', "%2F");
    format!("?startDate={}&stopDate={}", escape(first), escape(last))
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn small() -> DatasetSpec {
    DatasetSpec {
        records: 600,
        ..DatasetSpec::default()
    }
}

/// All is visible.
fn settled() -> EverywareSettings {
    EverywareSettings {
        clock: Clock::Fixed(at("2026-03-20T00:00:00Z")),
        ..EverywareSettings::default()
    }
}

/// What the data set has between two instants, in the order of its text.
fn texts(client: &Client, from: &str, to: &str) -> Vec<String> {
    let account = client.sim.dataset().accounts()[0];
    let truth = client
        .sim
        .dataset()
        .truth(at(from), at(to), Some(account), client.sim.now());
    sorted(truth.iter().map(|record| record.raw.to_owned()))
}

fn sorted(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<String> = texts.into_iter().collect();
    texts.sort();
    texts
}
