//! Avaya AXP as one of the providers that the tests of faults take by one measure.

use auditlake::model::Range;
use auditlake::sim::{Asked, avaya};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::faults::worlds::{EVER, FROM, NOW, TO, World, clock, member};
use crate::support::rig::at;

impl World for avaya::Avaya {
    const NAME: &str = "avaya_axp";
    const DATA: &str = avaya::endpoint::MATCH;
    const ASKS: &str = Self::DATA;
    const SIGN_IN: Option<&str> = Some(avaya::endpoint::TOKEN);

    async fn start(records: usize) -> Self {
        let data = avaya::Dataset::generate(&avaya::DatasetSpec {
            records,
            from: at(FROM),
            to: at(TO),
            types: vec!["QUEUE".to_owned()],
            late_share: 0.0,
            ..avaya::DatasetSpec::default()
        });
        let settings = avaya::AvayaSettings {
            clock: clock(),
            token_lifetime: EVER,
            ..avaya::AvayaSettings::default()
        };
        avaya::start(settings, data).await.unwrap()
    }
    fn connection(&self) -> String {
        format!(
            "base_url: {}\n    account_id: ABCDEF\n    app_key: sim-app-key\n    client_id: sim-client\n    client_secret: sim-secret",
            self.base_url()
        )
    }
    fn options() -> &'static str {
        "services: [match], types: [QUEUE]"
    }
    fn truth(&self) -> Vec<(i64, String)> {
        let truth = self.dataset().truth(at(FROM), at(TO), at(NOW));
        let key = |truth: &avaya::Truth<'_>| (truth.event_time_micros, truth.raw.to_owned());
        truth.iter().map(key).collect()
    }
    fn asked(asked: Asked<'_>) -> Option<Range> {
        let body: Value = serde_json::from_slice(asked.body).ok()?;
        let (from, to) = (body["startDate"].as_str()?, body["endDate"].as_str()?);
        Range::new(at(from) + TimeDelta::seconds(1), at(to))
    }
    fn refusal(message: &str) -> String {
        json!({ "title": "Bad Request", "detail": message, "status": 400 }).to_string()
    }
    fn page(asked: Asked<'_>, records: &[String]) -> Option<String> {
        if !asked.query.contains("pageNumber=1&") {
            return None;
        }
        let (list, total) = (records.join(","), records.len());
        Some(format!(
            r#"{{"pagination":{{"pageNumber":1,"pageSize":50,"total":{total}}},"auditRecords":[{list}]}}"#
        ))
    }
    fn record(id: &str, time: &str, more: &str) -> String {
        let (id, time) = (member("author", id), member("date", time));
        format!(r#"{{{id}{time}"event":"UPDATED","type":"QUEUE"{more}}}"#)
    }
}
