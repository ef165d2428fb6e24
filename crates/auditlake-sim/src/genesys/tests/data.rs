//! What the data set holds.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_record_is_json_with_its_own_id_and_the_time_it_is_told_by() {
    let spec = changed(DatasetSpec::default(), |it| {
        (it.awkward_share, it.newlines) = (0.5, true);
    });
    let dataset = Dataset::generate(&spec);
    let truth = dataset.truth(NEVER, ALWAYS, ALWAYS);
    assert_eq!(truth, Dataset::generate(&spec).truth(NEVER, ALWAYS, ALWAYS));
    let other = DatasetSpec { seed: 2, ..spec };
    assert_ne!(
        truth,
        Dataset::generate(&other).truth(NEVER, ALWAYS, ALWAYS)
    );
    let ids: BTreeSet<&str> = truth.iter().map(|record| record.id.as_str()).collect();
    assert_eq!((truth.len(), ids.len()), (other.records, other.records));
    let mut forms = BTreeSet::new();
    for record in &truth {
        let parsed: Value = serde_json::from_str(record.raw).unwrap();
        assert_eq!(parsed["id"], record.id.as_str());
        let shown = parsed["eventDate"].as_str().unwrap();
        assert_eq!(at(shown).timestamp_micros(), record.event_time_micros);
        forms.insert((shown.len(), shown.contains(".000Z")));
        assert!(other.from <= at(shown) && at(shown) < other.to);
    }
    for form in [(20, false), (24, true), (24, false), (27, false)] {
        assert!(forms.contains(&form), "{form:?}");
    }
    let needles = r#"9007199254740993 123456789012345678901234567890.000000000000000010
        \u2028 \ud83d\ude00 👩‍💻 ליין 漢字 \" \/ \u0000 "PARTNER" "PARTIAL" Transmogrify
        RenamedService2027 BrandNewService2027 {"id":""} "initiatingAction":{} "client":null
        "context":null "propertyChanges":null "remoteIp":null"#;
    for needle in needles.split_whitespace().chain(["\u{2028}", "\n", "\t"]) {
        let has = |record: &Truth<'_>| record.raw.contains(needle);
        assert!(truth.iter().any(has), "{needle}");
    }
    let optional = "client userHomeOrgId user message transactionInitiator";
    for member in optional.split(' ') {
        let name = format!("\"{member}\"");
        let having = truth.iter().filter(|record| record.raw.contains(&name));
        assert!((1..truth.len()).contains(&having.count()), "{member}");
    }
    let turned = |record: &Truth<'_>| !record.raw[..10].contains("\"id\"");
    assert!(truth.iter().any(turned));
}

#[tokio::test]
async fn poison_and_misfiled_records_are_served_among_the_rest() {
    let client = Client::new(
        |it| it.empty_page_every = 0,
        |it| {
            (it.poison, it.misfiled) = (60, 200);
        },
    )
    .await;
    let dataset = client.sim.dataset();
    assert_eq!(dataset.truth(NEVER, ALWAYS, ALWAYS).len(), 400);
    let poison = dataset.poison(ALWAYS);
    assert_eq!(poison.len(), 60);
    for bad in &poison {
        let parsed: Value = serde_json::from_str(bad.raw).unwrap();
        let time = parsed
            .get("eventDate")
            .map(|time| time.as_str().and_then(|it| it.parse().ok()));
        let time: Option<Option<chrono::DateTime<chrono::Utc>>> = time;
        let fits = match bad.kind {
            PoisonKind::NoTime => time.is_none() && parsed["id"].is_string(),
            PoisonKind::GarbledTime => time == Some(None),
            PoisonKind::NotAnObject => !parsed.is_object(),
            PoisonKind::NoId => parsed.get("id").is_none() && time.flatten().is_some(),
        };
        assert!(fits, "{bad:?}");
    }
    let (from, to) = ("2026-03-03T00:00:00Z", "2026-03-05T00:00:00Z");
    let found = client.found(&query(SERVICE, from, to)).await;
    let misfiled = found.iter().any(|record| {
        let day = &record["eventDate"].as_str().unwrap_or("2026-03-03")[..10];
        !["2026-03-03", "2026-03-04"].contains(&day)
    });
    assert!(misfiled);
    let id = client.run(&week(SERVICE)).await;
    let page = client.page(&id, "", "pageSize=500&expand=user").await;
    let mine: Vec<_> = poison.iter().filter(|bad| bad.log == SERVICE).collect();
    assert!(mine.len() > 5 && mine.iter().all(|bad| page.text().contains(bad.raw)));
}
