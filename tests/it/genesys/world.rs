//! Genesys Cloud as one of the providers that the tests of faults take by one measure.

use auditlake::model::Range;
use auditlake::sim::{Asked, genesys};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::faults::worlds::{EVER, FROM, NOW, TO, World, clock, member};
use crate::support::rig::at;

impl World for genesys::Genesys {
    const NAME: &str = "genesys_cloud";
    const DATA: &str = genesys::endpoint::RESULTS;
    const ASKS: &str = genesys::endpoint::SUBMIT;
    const SIGN_IN: Option<&str> = Some(genesys::endpoint::TOKEN);

    async fn start(records: usize) -> Self {
        let data = genesys::Dataset::generate(&genesys::DatasetSpec {
            records,
            from: at(FROM),
            to: at(TO),
            services: vec!["PeoplePermissions".to_owned()],
            quiet_services: vec![],
            late_share: 0.0,
            ..genesys::DatasetSpec::default()
        });
        let settings = genesys::GenesysSettings {
            clock: clock(),
            running_polls: 0,
            token_lifetime: EVER,
            ..genesys::GenesysSettings::default()
        };
        genesys::start(settings, data).await.unwrap()
    }
    fn connection(&self) -> String {
        format!(
            "base_url: {}\n    login_url: {}\n    client_id: sim-client\n    client_secret: sim-secret",
            self.base_url(),
            self.login_url()
        )
    }
    fn options() -> &'static str {
        "mode: async, services: [PeoplePermissions]"
    }
    fn truth(&self) -> Vec<(i64, String)> {
        let truth = self.dataset().truth(at(FROM), at(TO), at(NOW));
        let key = |truth: &genesys::Truth<'_>| (truth.event_time_micros, truth.raw.to_owned());
        truth.iter().map(key).collect()
    }
    fn asked(asked: Asked<'_>) -> Option<Range> {
        let body: Value = serde_json::from_slice(asked.body).ok()?;
        let (from, to) = body["interval"].as_str()?.split_once('/')?;
        // an extra second is requested
        Range::new(at(from) + TimeDelta::seconds(1), at(to))
    }
    fn refusal(message: &str) -> String {
        json!({ "message": message, "code": "bad.request", "status": 400 }).to_string()
    }
    fn page(asked: Asked<'_>, records: &[String]) -> Option<String> {
        if asked.query.contains("cursor=") {
            return None;
        }
        let list = records.join(",");
        Some(format!(
            r#"{{"id":"q","pageSize":500,"entities":[{list}]}}"#
        ))
    }
    fn record(id: &str, time: &str, more: &str) -> String {
        let (id, time) = (member("id", id), member("eventDate", time));
        format!(r#"{{{id}{time}"action":"Update"{more}}}"#)
    }
}
