//! Tests of the simulator through its socket, by an independent client.

use std::collections::BTreeSet;

use chrono::{NaiveDate, TimeDelta};
use chrono_tz::Tz;
use reqwest::RequestBuilder;
use serde_json::Value;

use super::*;
use crate::testing::*;
use crate::{Clock, Fault, PoisonKind};

const WORDS: &str = "/message";

/// A simulator and a client.
struct Client {
    sim: Everyware,
    http: reqwest::Client,
    user: String,
}

impl Client {
    /// Starts a simulator with few records, all visible, after a change of its settings.
    async fn new(
        settings: impl FnOnce(&mut EverywareSettings),
        spec: impl FnOnce(&mut DatasetSpec),
    ) -> Self {
        let clock = Clock::Fixed(at("2026-03-20T00:00:00Z"));
        let usual = changed(EverywareSettings::default(), |it| it.clock = clock);
        let few = changed(DatasetSpec::default(), |it| it.records = 600);
        let data = Dataset::generate(&changed(few, spec));
        Self {
            sim: start(changed(usual, settings), data).await.unwrap(),
            http: http(),
            user: "sim-user".to_owned(),
        }
    }

    async fn usual() -> Self {
        Self::new(|_| {}, |_| {}).await
    }

    fn bare(&self, query: &str) -> RequestBuilder {
        let url = format!("{}/audit{query}", self.sim.base_url());
        self.http.get(url)
    }

    fn signed(&self, query: &str) -> RequestBuilder {
        self.bare(query).basic_auth(&self.user, Some("sim-secret"))
    }

    fn json(&self, query: &str) -> RequestBuilder {
        self.signed(query).header("accept", "application/json")
    }

    async fn get(&self, query: &str) -> Reply {
        Reply::of(self.json(query)).await
    }

    async fn records(&self, query: &str) -> Vec<String> {
        self.get(query).await.raw_list(&["audit"])
    }

    async fn count(&self, query: &str) -> usize {
        self.records(query).await.len()
    }

    /// Returns the records of these days, such as `03/01/2026`.
    async fn days(&self, first: &str, last: &str) -> Vec<String> {
        let query = format!("?startDate={first}&stopDate={last}");
        self.records(&query.replace('/', "%2F")).await
    }

    /// Returns the visible records of the data set between two instants.
    fn truth(&self, from: &str, to: &str) -> Vec<String> {
        let now = self.sim.now();
        raws(&self.sim.dataset().truth(at(from), at(to), now))
    }
}

#[tokio::test]
async fn only_the_user_gets_in_and_each_account_shows_its_own_log() {
    let accounts = ["acme", "plant-2"].map(str::to_owned).to_vec();
    let mut client = Client::new(|_| {}, |it| it.accounts = accounts).await;
    for (user, account) in [("sim-user", "acme"), ("sim-user@plant-2", "plant-2")] {
        user.clone_into(&mut client.user);
        let data = client.sim.dataset();
        let truth = raws(&data.truth_of(account, NEVER, ALWAYS, ALWAYS));
        assert_eq!(sorted(client.records("").await), truth);
    }
    for user in ["sim-user@acme", "sim-user@nobody", "other", "other@plant-2"] {
        user.clone_into(&mut client.user);
        let reply = client.get("").await;
        assert_eq!(reply.says(WORDS), "401 Unauthorized");
        assert_ne!(reply.header("www-authenticate"), "");
    }
    let wrong = client.bare("").basic_auth("sim-user", Some("sim-Secret"));
    let bearer = client.bare("").bearer_auth("sim-secret");
    for wrong in [client.bare(""), bearer, wrong] {
        assert_eq!(Reply::of(wrong).await.status, 401);
    }
    let acme = vec!["acme".to_owned()];
    client.sim.change(|it| it.forbidden_accounts = acme);
    "sim-user".clone_into(&mut client.user);
    assert_eq!(client.get("").await.status, 403);
}

#[tokio::test]
async fn what_the_documentation_lacks_is_refused_or_means_nothing_as_set() {
    let client = Client::usual().await;
    for (query, message) in table(
        r#"
        ?startDate=2026-03-01        => 400 Unparseable date: "2026-03-01"
        ?startDate=3%2F1%2F2026      => 400 Unparseable date: "3/1/2026"
        ?startDate=31%2F03%2F2026    => 400 Unparseable date: "31/03/2026"
        ?stopDate=03%2F01%2F26       => 400 Unparseable date: "03/01/26"
        ?stopDate=03%2F01%2F2026%2F  => 400 Unparseable date: "03/01/2026/"
        ?stopDate=                   => 400 Unparseable date: ""
        ?startDate=03/01/2026        => 400 Illegal character in query: /
        ?endDate=03%2F01%2F2026      => 400 Unknown parameter: endDate
        ?username=x                  => 400 Unknown parameter: username
        ?limit=50                    => 400 Unknown parameter: limit
        ?action=login                => 400 Illegal value of action: login
        ?action=IMPORT               => 400 Illegal value of action: IMPORT
        ?resultCode=true             => 400 Illegal value of resultCode: true
        ?userName=a&userName=b       => 400 Duplicate parameter: userName"#,
    ) {
        assert_eq!(client.get(query).await.says(WORDS), message);
    }
    for path in ["s", "/", ".json"] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
    let post = client.http.post(format!("{}/audit", client.sim.base_url()));
    assert_eq!(Reply::of(post).await.status, 405);

    client.sim.change(|it| it.dates = Dates::Lenient);
    client.sim.change(|it| it.stray = Stray::Ignored);
    assert_eq!(client.count("?limit=5&endDate=x").await, 600);
    assert_eq!(client.count("?startDate=2026-03-01").await, 600);
    let day = "?stopDate=03%2F01%2F2026";
    assert!(client.count(day).await < 600);
    client.sim.change(|it| it.dates = Dates::Ignored);
    assert_eq!(client.count(day).await, 600);
}

#[tokio::test]
async fn both_representations_hold_the_records_and_errors_have_three_forms() {
    let client = Client::usual().await;
    let kind = async |accept: &str| {
        let reply = Reply::of(client.signed("").header("accept", accept)).await;
        let kind = reply.header("content-type").replace("application/", "");
        assert_eq!(reply.text().starts_with("<?xml"), kind == "xml");
        format!("{} {kind}", reply.status)
    };
    for (accept, wanted) in table(
        "
        */*                             => 200 xml
        application/xml                 => 200 xml
        application/json; charset=utf-8 => 200 json
        text/csv                        => 406 text/html",
    ) {
        assert_eq!(kind(accept).await, wanted);
    }
    let xml = Reply::of(client.signed("")).await;
    for truth in client.sim.dataset().truth(NEVER, ALWAYS, ALWAYS) {
        let id = format!("<id>{}</id>", truth.id);
        assert_eq!(xml.text().matches(&id).count(), 1);
    }
    client.sim.change(|it| it.default_form = Form::Json);
    assert_eq!(kind("*/*").await, "200 json");
    let bean = r#"<?xml version="1.0" encoding="UTF-8"?><errorBean>"#;
    for (form, begins) in [
        (ErrorForm::Bean, r#"{"message":"Unknown parameter: x"}"#),
        (ErrorForm::Html, "<html>"),
        (ErrorForm::Xml, bean),
    ] {
        client.sim.change(|it| it.errors = form);
        let reply = client.get("?x=1").await;
        assert_eq!(reply.status, 400);
        assert!(reply.text().starts_with(begins), "{form:?}");
    }
}

#[tokio::test]
async fn calls_are_counted_limited_and_made_to_fail() {
    let client = Client::new(|it| it.rate_limit = hourly(3), |_| {}).await;
    let sim = &client.sim;
    sim.faults()
        .next(endpoint::AUDIT, 1, refusal(503, Some("7")));
    let failed = client.get("").await;
    assert_eq!((failed.status, failed.header("retry-after")), (503, "7"));
    for status in [200, 200, 200, 429] {
        assert_eq!(client.get("?action=LOGIN").await.status, status);
    }
    assert_eq!(sim.counters().calls(endpoint::AUDIT), 5);
    assert_eq!(sim.counters().rate_limited(), 1);
}

#[tokio::test]
async fn a_day_holds_both_its_ends_in_the_servers_zone() {
    let mut found = BTreeSet::new();
    for (zone, hour) in [
        (Tz::UTC, "02T00"),
        (Tz::America__New_York, "02T05"),
        (Tz::Pacific__Kiritimati, "01T10"),
    ] {
        let client = Client::new(|it| it.timezone = zone, |_| {}).await;
        let from = format!("2026-03-{hour}:00:00Z");
        let to = (at(&from) + TimeDelta::days(2)).to_rfc3339();
        let shown = sorted(client.days("03/02/2026", "03/03/2026").await);
        assert_eq!(shown, client.truth(&from, &to), "{zone}");
        found.insert(shown);
        let from = client.count("?startDate=03%2F04%2F2026").await;
        let to = client.count("?stopDate=03%2F03%2F2026").await;
        assert_eq!(from + to, 600, "one end alone leaves the other open");
        assert_eq!(client.days("03/05/2026", "03/02/2026").await, [""; 0]);
    }
    assert_eq!(found.len(), 3);
}

#[tokio::test]
async fn order_changes_and_poison_is_served_as_it_is() {
    let client = Client::new(|_| {}, |it| it.poison = 12).await;
    let (first, second) = (client.records("").await, client.records("").await);
    assert_ne!(first, second);
    let data = client.sim.dataset();
    let (poison, truth) = (data.poison(ALWAYS), data.truth(NEVER, ALWAYS, ALWAYS));
    let poisoned = poison.iter().map(|one| one.raw.to_owned());
    let served = || raws(&truth).into_iter().chain(poisoned.clone());
    assert_eq!(compare(served(), first), (0, 0));
    assert_eq!(compare(served(), second), (0, 0));
    let of = |kind| poison.iter().filter(|one| one.kind == kind).count();
    assert_eq!(of(PoisonKind::NoTime), 2);
    assert_eq!(of(PoisonKind::GarbledTime), 4);
    assert_eq!(of(PoisonKind::NotAnObject), 6);
}

#[tokio::test]
async fn bodies_go_out_in_pieces_never_end_or_are_cut() {
    let huge = HugeDay {
        day: NaiveDate::from_ymd_opt(2026, 3, 3).unwrap(),
        records: 1_234,
        padding: 100,
    };
    let pieces = vec![1, 7, 4_096];
    let set = |it: &mut EverywareSettings| (it.pieces, it.huge_day) = (pieces, Some(huge));
    let client = Client::new(set, |_| {}).await;
    let usual = client.truth("2026-03-04T00:00:00Z", "2026-03-05T00:00:00Z");
    let shown = client.days("03/04/2026", "03/04/2026").await;
    assert_eq!(sorted(shown), usual);
    let beside = client.truth("2026-03-03T00:00:00Z", "2026-03-04T00:00:00Z");
    let huge = (0..1_234).map(|number| huge.record(number).2);
    let shown = client.days("03/03/2026", "03/03/2026").await;
    assert_eq!(compare(beside.into_iter().chain(huge), shown), (0, 0));
    for query in ["?startDate=03%2F03%2F2026", "?startDate=03%2F04%2F2026"] {
        client.sim.faults().next_any(1, Fault::CutBody);
        let reply = Reply::unless_broken(client.json(query)).await;
        assert!(reply.is_err());
    }
}

/// Returns how many records of three busy days a puller misses, and how many it stores twice. Every `every` hours,
/// until two days after the last record, it requests the days from `back` days ago to `on` days ahead from a server in
/// New York, and keeps the ids that `keep` selects.
async fn pulled(
    every: usize,
    (back, on): (i64, i64),
    mut keep: impl FnMut(&[u64]) -> Vec<u64>,
) -> (usize, usize) {
    let from = at("2026-03-02T00:00:00Z");
    let busy = |it: &mut DatasetSpec| {
        (it.records, it.late_share) = (3_000, 0.05);
        (it.from, it.to) = (from, from + TimeDelta::days(3));
    };
    let client = Client::new(|it| it.timezone = Tz::America__New_York, busy).await;
    let mut pulled = Vec::new();
    for hour in (0..120).step_by(every).skip(1) {
        let now = from + TimeDelta::hours(hour);
        client.sim.set_now(now);
        let day = |by| (now + TimeDelta::days(by)).format("%m/%d/%Y").to_string();
        let records = client.days(&day(-back), &day(on)).await;
        let record = |raw: &String| serde_json::from_str::<Value>(raw).unwrap();
        let ids = records
            .iter()
            .map(|raw| record(raw)["id"].as_u64().unwrap());
        pulled.extend(keep(&ids.collect::<Vec<u64>>()));
    }
    let truth = client.sim.dataset().truth(NEVER, ALWAYS, ALWAYS);
    let truth = truth.into_iter().map(|truth| truth.id);
    compare(truth, pulled.iter().map(u64::to_string))
}

#[tokio::test]
async fn a_puller_that_takes_only_greater_ids_loses_records() {
    let mut greatest = 0;
    let (lost, doubled) = pulled(1, (1, 1), |ids| {
        let new = ids.iter().copied().filter(|id| *id > greatest);
        let new: Vec<u64> = new.collect();
        greatest = new.iter().copied().max().unwrap_or(greatest);
        new
    })
    .await;
    assert!(lost > 1_000 && doubled == 0, "{lost} {doubled}");
}

#[tokio::test]
async fn a_puller_that_forgets_that_both_ends_belong_to_a_day_doubles() {
    let (_, doubled) = pulled(24, (2, -1), <[u64]>::to_vec).await;
    assert!(doubled > 1_000, "{doubled}");
}

#[tokio::test]
async fn a_puller_without_an_overlap_misses_what_is_yesterday_over_there() {
    let (lost, doubled) = pulled(24, (1, -1), <[u64]>::to_vec).await;
    assert!(lost > 300 && doubled == 0, "{lost} {doubled}");
}

#[tokio::test]
async fn a_puller_that_reads_ids_as_doubles_takes_some_for_others() {
    let mut held = BTreeSet::new();
    #[expect(clippy::cast_precision_loss, reason = "the mistake that this shows")]
    let mut is_new = |id: u64| held.insert((id as f64).to_bits());
    let (lost, _) = pulled(6, (8, 1), |ids| {
        ids.iter().copied().filter(|id| is_new(*id)).collect()
    })
    .await;
    assert!(lost > 500, "{lost}");
}

#[tokio::test]
async fn a_careful_puller_gets_everything_once() {
    let mut held = BTreeSet::new();
    let pulled = pulled(6, (8, 1), |ids| {
        ids.iter().copied().filter(|id| held.insert(*id)).collect()
    });
    assert_eq!(pulled.await, (0, 0));
}
