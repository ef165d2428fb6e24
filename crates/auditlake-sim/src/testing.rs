//! Helpers for the tests of all simulators: an independent client, and counts of lost records.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::RequestBuilder;
use reqwest::redirect::Policy;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{Fault, RateLimit, Truth};

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
/// The week of the default data sets.
pub(crate) const FROM: &str = "2026-03-01T00:00:00Z";
pub(crate) const TO: &str = "2026-03-08T00:00:00Z";
pub(crate) const EVER: Duration = Duration::from_hours(24 * 365);
/// An instant at which all records are visible.
pub(crate) const ALWAYS: DateTime<Utc> = DateTime::<Utc>::MAX_UTC;
pub(crate) const NEVER: DateTime<Utc> = DateTime::<Utc>::MIN_UTC;

/// Returns the default settings or specification with a change applied.
pub(crate) fn changed<T>(mut value: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut value);
    value
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        Self::unless_broken(request).await.unwrap()
    }

    pub(crate) async fn unless_broken(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap().to_owned();
        let headers = response.headers().iter();
        Ok(Self {
            status: response.status().as_u16(),
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            body: response.bytes().await?.to_vec(),
        })
    }

    /// Returns a header; empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns a part of the body by JSON pointer; null if it is missing.
    pub(crate) fn at(&self, pointer: &str) -> Value {
        self.json().pointer(pointer).cloned().unwrap_or_default()
    }

    pub(crate) fn text_at(&self, pointer: &str) -> String {
        self.at(pointer).as_str().unwrap_or_default().to_owned()
    }

    /// Returns the status and the text of a part of the body.
    pub(crate) fn says(&self, pointer: &str) -> String {
        format!("{} {}", self.status, self.text_at(pointer))
    }

    pub(crate) fn list(&self, pointer: &str) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text());
        self.at(pointer).as_array().unwrap().clone()
    }

    /// Returns the members of a list, byte for byte.
    pub(crate) fn raw_list(&self, path: &[&str]) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", self.text());
        let mut text = self.text().to_owned();
        for name in path {
            let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&text).unwrap();
            text = members[*name].get().to_owned();
        }
        let list: Vec<Box<RawValue>> = serde_json::from_str(&text).unwrap();
        list.iter().map(|raw| raw.get().to_owned()).collect()
    }
}

/// Returns a client that follows no redirects and uses no proxy.
pub(crate) fn http() -> reqwest::Client {
    // the client is built without a TLS provider of its own
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy();
    client.redirect(Policy::none()).build().unwrap()
}

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(crate) fn raws(truth: &[Truth<'_>]) -> Vec<String> {
    sorted(truth.iter().map(|truth| truth.raw.to_owned()))
}

pub(crate) fn sorted(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<String> = texts.into_iter().collect();
    texts.sort();
    texts
}

/// Returns how many of the expected texts are missing and how many occur too often.
pub(crate) fn compare(
    truth: impl IntoIterator<Item = String>,
    pulled: impl IntoIterator<Item = String>,
) -> (usize, usize) {
    let mut counts = BTreeMap::<String, isize>::new();
    truth
        .into_iter()
        .for_each(|text| *counts.entry(text).or_default() += 1);
    pulled
        .into_iter()
        .for_each(|text| *counts.entry(text).or_default() -= 1);
    let sum = |sign: isize| {
        let counts = counts.values().filter(|count| count.signum() == sign);
        counts.map(|count| count.unsigned_abs()).sum()
    };
    (sum(1), sum(-1))
}

/// Parses the lines of a table of two columns separated by `=>`; an empty cell is `None`.
pub(crate) fn table(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| {
        let (left, right) = line.split_once("=>").unwrap();
        (left.trim(), right.trim())
    })
}

/// Returns a limit of `calls` per hour.
pub(crate) fn hourly(calls: u32) -> RateLimit {
    RateLimit {
        calls,
        per: Duration::from_hours(1),
    }
}

pub(crate) fn refusal(status: u16, retry_after: Option<&str>) -> Fault {
    let retry_after = retry_after.map(str::to_owned);
    Fault::Status {
        status,
        retry_after,
    }
}
