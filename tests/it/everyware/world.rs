//! Everyware Cloud as one of the providers that the tests of faults take by one measure.

use auditlake::model::Range;
use auditlake::sim::{Asked, everyware};
use chrono::TimeDelta;
use serde_json::json;

use crate::faults::worlds::{FROM, NOW, TO, World, clock, member};
use crate::support::rig::at;

impl World for everyware::Everyware {
    const NAME: &str = "everyware_cloud";
    const DATA: &str = everyware::endpoint::AUDIT;
    const ASKS: &str = Self::DATA;
    const SIGN_IN: Option<&str> = None;

    async fn start(records: usize) -> Self {
        let data = everyware::Dataset::generate(&everyware::DatasetSpec {
            records,
            from: at(FROM),
            to: at(TO),
            late_share: 0.0,
            ..everyware::DatasetSpec::default()
        });
        let settings = everyware::EverywareSettings {
            clock: clock(),
            pieces: vec![1_000, 1, 37, 4_096],
            ..everyware::EverywareSettings::default()
        };
        everyware::start(settings, data).await.unwrap()
    }
    fn connection(&self) -> String {
        format!(
            "base_url: {}\n    account_id: acme\n    username: sim-user\n    password: sim-secret",
            self.base_url()
        )
    }
    fn options() -> &'static str {
        ""
    }
    fn truth(&self) -> Vec<(i64, String)> {
        let truth = self.dataset().truth(at(FROM), at(TO), at(NOW));
        let key = |truth: &everyware::Truth<'_>| (truth.event_time_micros, truth.raw.to_owned());
        truth.iter().map(key).collect()
    }
    fn asked(asked: Asked<'_>) -> Option<Range> {
        let day = |name: &str| {
            let (_, rest) = asked.query.split_once(&format!("{name}="))?;
            let day = rest.split('&').next()?.replace("%2F", "/");
            let mut parts = day.split('/');
            let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
            Some(at(&format!("{year}-{month}-{day}")))
        };
        Range::new(day("startDate")?, day("stopDate")? + TimeDelta::days(1))
    }
    fn refusal(message: &str) -> String {
        json!({ "message": message }).to_string()
    }
    fn page(_: Asked<'_>, records: &[String]) -> Option<String> {
        Some(format!(r#"{{"audit":[{}]}}"#, records.join(",")))
    }
    fn record(id: &str, time: &str, more: &str) -> String {
        let (id, time) = (member("id", id), member("occurredOn", time));
        format!(r#"{{{id}{time}"eventType":"UPDATE"{more}}}"#)
    }
}
