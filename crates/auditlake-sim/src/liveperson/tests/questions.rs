//! What a question may say, and what its answer holds.

use super::*;
use crate::liveperson::{ListForm, TotalCount, UserKey};

#[tokio::test]
async fn what_is_not_in_the_schema_is_refused() {
    let client = Client::new(settled(), &small()).await;
    for (query, says) in [
        ("", "Invalid Syntax"),
        ("{auditData{element}", "Invalid Syntax"),
        ("{auditData{element}}}", "Invalid Syntax"),
        ("auditData{element}", "Invalid Syntax"),
        ("{auditData(first:){element}}", "Invalid Syntax"),
        (r#"{auditData(language:"a" b"){element}}"#, "Invalid Syntax"),
        (
            "{auditData{element}} {auditData{element}}",
            "exactly one query",
        ),
        ("mutation{auditData{element}}", "mutations"),
        ("query($x:Int){auditData(first:$x){element}}", "variables"),
        ("{auditdata{element}}", "Field auditdata is undefined"),
        ("{__schema{types{name}}}", "Field __schema is undefined"),
        ("{a:auditData{element}}", "alias"),
        (
            "{auditData{element} auditData{element}}",
            "exactly one field",
        ),
        ("{auditData}", "SubSelectionRequired"),
        ("{auditData(first:1)}", "SubSelectionRequired"),
        (
            "{auditData{actionTypo}}",
            "Field actionTypo is undefined @ 'auditData/actionTypo'",
        ),
        ("{auditData{actionType}}", "Field actionType is undefined"),
        ("{auditData{element{x}}}", "element takes neither"),
        ("{auditData{e:element}}", "element takes neither"),
        ("{auditData{...on X{element}}}", "fragments"),
        (
            "{auditData(fromData:\"2026-03-01\"){element}}",
            "UnknownArgument: Unknown field argument fromData",
        ),
        (
            "{auditData(first:1,first:2){element}}",
            "DuplicateArgumentNames",
        ),
        ("{auditData(first:\"1\"){element}}", "'first'"),
        ("{auditData(first:0){element}}", "'first'"),
        ("{auditData(first:1.5){element}}", "'first'"),
        ("{auditData(first:99999999999){element}}", "'first'"),
        ("{auditData(offset:-1){element}}", "'offset'"),
        ("{auditData(lpa:\"true\"){element}}", "'lpa'"),
        (
            "{auditData(automaticUpdates:1){element}}",
            "'automaticUpdates'",
        ),
        (
            "{auditData(fromDate:\"2026-03-01T00:00:00Z\"){element}}",
            "'fromDate'",
        ),
        (
            "{auditData(fromDate:\"2026-02-30\"){element}}",
            "'fromDate'",
        ),
        ("{auditData(toDate:\"2026-3-1\"){element}}", "'toDate'"),
        ("{auditData(toDate:1772323200){element}}", "'toDate'"),
        (
            "{auditData(timezone:\"Mars/Olympus\"){element}}",
            "Unknown time zone 'Mars/Olympus'",
        ),
        ("{auditData(timezone:UTC){element}}", "'timezone'"),
        ("{auditData(language:\"xx\"){element}}", "'language'"),
        (
            "{auditData(orderBy:\"changeTimestamp:ASC\"){element}}",
            "'orderBy'",
        ),
        (
            "{auditData(orderBy:[\"changeDate\"]){element}}",
            "Unknown column",
        ),
        (
            "{auditData(orderDirection:[\"ASC\",\"ASC\"]){element}}",
            "orderDirection",
        ),
        (
            "{auditData(orderDirection:[\"asc\"]){element}}",
            "orderDirection",
        ),
        ("{auditData(users:\"a\"){element}}", "'users'"),
        (
            "{auditData(componentTypes:[1]){element}}",
            "'componentTypes'",
        ),
    ] {
        let wrong = client.ask(query).await.wrong();
        assert!(wrong.contains(says), "{query}: {wrong}");
    }
}

#[tokio::test]
async fn lists_are_taken_in_one_form_only() {
    let strings =
        r#"orderBy:["changeTimestamp"],orderDirection:["ASC"],componentTypes:["ACUserObject"],"#;
    let words = "orderBy:[changeTimestamp],orderDirection:[ASC],componentTypes:[ACUserObject],";
    let mixed =
        r#"orderBy:[changeTimestamp],orderDirection:[ASC],componentTypes:["ACUserObject"],"#;
    for (form, good) in [
        (ListForm::Strings, strings),
        (ListForm::Words, words),
        (ListForm::OrderWords, mixed),
    ] {
        let settings = LivePersonSettings {
            list_form: form,
            ..settled()
        };
        let client = Client::new(settings, &small()).await;
        for arguments in [strings, words, mixed] {
            let reply = client.ask_with(arguments).await;
            let taken = reply.json().get("errors").is_none();
            assert_eq!(taken, arguments == good, "{form:?} {arguments}");
        }
    }
}

#[tokio::test]
async fn a_refusal_may_come_as_400_and_a_zone_may_be_refused() {
    let settings = LivePersonSettings {
        refusal_status: 400,
        refused_timezones: vec!["UTC".to_owned()],
        ..settled()
    };
    let client = Client::new(settings, &small()).await;
    let expected = (400, "Unknown time zone 'UTC' @ 'auditData'".to_owned());
    let reply = client.ask_with(r#"timezone:"UTC","#).await;
    assert_eq!(reply.refusal(), expected);
    let reply = client.ask_with(r#"timezone:"Etc/UTC","#).await;
    assert_eq!(reply.rows().len(), 50);
}

#[tokio::test]
async fn the_defaults_hide_cut_and_turn_round() {
    let spec = DatasetSpec {
        staff_share: 0.3,
        automatic_share: 0.3,
        ..small()
    };
    let client = Client::new(settled(), &spec).await;
    let rows = client
        .ask("{auditData{changeDate originatorIsLpa originator}}")
        .await
        .rows();
    assert_eq!(rows.len(), 50);
    assert!(rows.iter().all(|row| row["originatorIsLpa"] == false));
    assert!(rows.iter().all(|row| row["originator"] != "System"));
    let dates: Vec<&str> = rows
        .iter()
        .map(|row| row["changeDate"].as_str().unwrap())
        .collect();
    assert!(dates.is_sorted_by(|a, b| a >= b));
    // the newest row is of Saturday evening in New York, of Sunday in UTC
    let all = client.ask_with(r#"first:500,timezone:"UTC","#).await.rows();
    assert_eq!(all.len(), 400);
    let hidden = all.iter().filter(|row| row["originatorIsLpa"] == true);
    assert!(hidden.count() > 30);
    let hidden = all.iter().filter(|row| row["originator"] == "System");
    assert!(hidden.count() > 30);
    let eastern = client.ask_with("first:500,").await.rows();
    assert_ne!(all[0]["changeDate"], eastern[0]["changeDate"]);
}

#[tokio::test]
async fn only_what_is_selected_is_shown_and_in_that_order() {
    let settings = LivePersonSettings {
        action_type: true,
        ..settled()
    };
    let client = Client::new(settings, &small()).await;
    let reply = client
        .ask("{auditData(first:1){originatorIsLpa objectType accountId objectType actionType}}")
        .await;
    let row = &reply.raw_rows()[0];
    let fields = ["originatorIsLpa", "objectType", "accountId", "actionType"];
    let places: Vec<usize> = fields.iter().map(|name| row.find(name).unwrap()).collect();
    assert!(places.is_sorted(), "{row}");
    assert_eq!(reply.rows()[0].as_object().unwrap().len(), fields.len());
}

#[tokio::test]
async fn a_page_is_cut_without_a_word_and_counted_in_either_way() {
    for (count, counted) in [
        (TotalCount::Page, Some("120")),
        (TotalCount::All, Some("400")),
        (TotalCount::LeftOut, None),
    ] {
        let settings = LivePersonSettings {
            largest_page: 120,
            total_count: count,
            ..settled()
        };
        let client = Client::new(settings, &small()).await;
        let reply = client.ask_with("first:5000,").await;
        assert_eq!(reply.rows().len(), 120);
        assert_eq!(
            reply.headers.get("x-total-count").map(String::as_str),
            counted
        );
        let last = client.ask_with("first:5000,offset:360,").await;
        assert_eq!(last.rows().len(), 40);
        let beyond = client.ask_with("first:5000,offset:400,").await;
        assert!(beyond.rows().is_empty());
    }
}

#[tokio::test]
async fn filters_are_evaluated() {
    for (key, field, user) in [
        (UserKey::Login, "originatorLoginName", "user7@example.com"),
        (UserKey::Id, "originatorUserId", "3705300007"),
    ] {
        let settings = LivePersonSettings {
            user_key: key,
            ..settled()
        };
        let spec = DatasetSpec {
            rows: 2_000,
            awkward_share: 0.0,
            ..DatasetSpec::default()
        };
        let client = Client::new(settings, &spec).await;
        let rows = client
            .ask_with(&format!(r#"first:500,users:["{user}","nobody"],"#))
            .await
            .rows();
        assert!(!rows.is_empty());
        assert!(rows.iter().all(|row| row[field] == user), "{field}");
        let rows = client
            .ask_with(r#"first:500,componentTypes:["ACUserObject","ACSkillObject"],"#)
            .await
            .rows();
        let of = |kind: &str| rows.iter().filter(|row| row["objectType"] == kind).count();
        assert!(of("Users") > 0 && of("Skills") > 0);
        assert_eq!(of("Users") + of("Skills"), rows.len());
        let none = client.ask_with(r#"componentTypes:["ACNothing"],"#).await;
        assert!(none.rows().is_empty());
    }
}
