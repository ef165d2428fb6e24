//! LivePerson as one of the providers that the tests of faults take by one measure.

use std::sync::Arc;

use auditlake::model::Range;
use auditlake::sim::{Asked, liveperson};
use chrono::TimeDelta;
use chrono_tz::Tz;
use serde_json::json;

use crate::faults::worlds::{EVER, FROM, NOW, TO, World, clock, member, says};
use crate::support::rig::at;

impl World for liveperson::LivePerson {
    const NAME: &str = "liveperson";
    const DATA: &str = liveperson::endpoint::AUDIT;
    const ASKS: &str = Self::DATA;
    const SIGN_IN: Option<&str> = Some(liveperson::endpoint::TOKEN);

    async fn start(records: usize) -> Self {
        let data = liveperson::Dataset::generate(&liveperson::DatasetSpec {
            records,
            from: at(FROM),
            to: at(TO),
            late_share: 0.0,
            ..liveperson::DatasetSpec::default()
        });
        let settings = liveperson::LivePersonSettings {
            clock: clock(),
            token_lifetime: EVER,
            ties: liveperson::Ties::ByPage,
            ..liveperson::LivePersonSettings::default()
        };
        liveperson::start(settings, Arc::new(data)).await.unwrap()
    }
    fn connection(&self) -> String {
        format!(
            "domain_url: {}\n    account_id: le12345678\n    client_id: sim-client\n    client_secret: sim-secret",
            self.domain_url()
        )
    }
    fn options() -> &'static str {
        ""
    }
    fn truth(&self) -> Vec<(i64, String)> {
        let fields = auditlake::providers::liveperson::FIELDS;
        let truth = self
            .dataset()
            .truth(at(FROM), at(TO), at(NOW), &fields, Tz::UTC);
        let key = |truth: liveperson::Truth<'_>| (truth.event_time_micros, truth.raw);
        truth.into_iter().map(key).collect()
    }
    fn asked(asked: Asked<'_>) -> Option<Range> {
        let body = String::from_utf8_lossy(asked.body).replace('\\', "");
        let day = |name: &str| {
            let (_, rest) = body.split_once(&format!("{name}:\""))?;
            Some(at(rest.get(..10)?))
        };
        Range::new(day("fromDate")?, day("toDate")? + TimeDelta::days(1))
    }
    fn refusal(message: &str) -> String {
        json!({ "error": { "message": message } }).to_string()
    }
    fn page(asked: Asked<'_>, records: &[String]) -> Option<String> {
        if !says(asked.body, "offset:0,") {
            return None;
        }
        let list = records.join(",");
        Some(format!(r#"{{"data":{{"auditData":[{list}]}}}}"#))
    }
    fn record(id: &str, time: &str, more: &str) -> String {
        let (id, time) = (member("element", id), member("changeDate", time));
        format!(r#"{{{id}{time}"objectType":"Users"{more}}}"#)
    }
}
