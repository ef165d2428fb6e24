//! Large results.

use std::io::Read as _;
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::json;

use super::super::{Compression, DownloadAddress, DownloadShape};
use super::*;

fn large(shape: DownloadShape, compression: Compression) -> GenesysSettings {
    GenesysSettings {
        large_results_over: Some(20),
        download_shape: shape,
        download_compression: compression,
        empty_page_every: 0,
        ..settled()
    }
}

async fn fetch(client: &Client, url: &str) -> Reply {
    Reply::of(client.http.get(url).send().await.unwrap())
        .await
        .unwrap()
}

fn url_of(reply: &Reply) -> String {
    reply.json()["downloadUrl"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_form_holds_every_record_byte_for_byte() {
    let dataset = Arc::new(Dataset::generate(&small()));
    for shape in [
        DownloadShape::Object,
        DownloadShape::Array,
        DownloadShape::Lines,
    ] {
        for compression in [Compression::None, Compression::Encoded, Compression::File] {
            let client = Client::on(large(shape, compression), Arc::clone(&dataset)).await;
            let id = client.run_query(&week("PeoplePermissions")).await;
            let reply = client
                .page(&id, None, "allowRedirect=true&expand=user")
                .await;
            assert_eq!(reply.status, 302);
            assert_eq!(reply.json()["id"], id);
            assert_eq!(reply.json()["pageSize"], 25);
            let url = url_of(&reply);
            assert_eq!(reply.headers["location"], url);
            let download = fetch(&client, &url).await;
            assert_eq!(download.status, 200);
            let encoded = download.headers.contains_key("content-encoding");
            assert_eq!(encoded, compression == Compression::Encoded);
            let mut text = String::new();
            match compression {
                Compression::None => download.text().clone_into(&mut text),
                _ => {
                    GzDecoder::new(download.body.as_slice())
                        .read_to_string(&mut text)
                        .unwrap();
                }
            }
            let truth = dataset.truth(
                at("2026-03-01T00:00:00Z"),
                at("2026-03-08T00:00:00Z"),
                Some("PeoplePermissions"),
                client.sim.now(),
            );
            let count = match shape {
                DownloadShape::Object => serde_json::from_str::<Value>(&text).unwrap()["entities"]
                    .as_array()
                    .unwrap()
                    .len(),
                DownloadShape::Array => serde_json::from_str::<Vec<Value>>(&text).unwrap().len(),
                _ => text
                    .lines()
                    .filter(|line| serde_json::from_str::<Value>(line).is_ok())
                    .count(),
            };
            assert_eq!(count, truth.len());
            assert!(truth.iter().all(|record| text.contains(record.raw)));
        }
    }
}

#[tokio::test]
async fn without_the_flag_results_come_inline() {
    let client = Client::new(large(DownloadShape::Object, Compression::None), &small()).await;
    let id = client.run_query(&week("PeoplePermissions")).await;
    for flag in ["", "allowRedirect=false"] {
        let reply = client.page(&id, None, flag).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.entities().len(), 25);
    }
    let few = query("Directory", "2026-03-02T00:00:00Z", "2026-03-02T01:00:00Z");
    let few = client.run_query(&few).await;
    assert_eq!(
        client.page(&few, None, "allowRedirect=true").await.status,
        200
    );
}

#[tokio::test]
async fn the_store_refuses_a_second_credential() {
    let client = Client::new(large(DownloadShape::Object, Compression::None), &small()).await;
    let id = client.run_query(&week("PeoplePermissions")).await;
    let url = url_of(&client.page(&id, None, "allowRedirect=true").await);
    assert!(url.starts_with(&client.sim.download_url()));
    assert!(!url.starts_with(&client.sim.base_url()));
    for credential in [format!("Bearer {}", client.token), "Basic eDp5".to_owned()] {
        let request = client.http.get(&url).header("authorization", credential);
        assert_eq!(request.send().await.unwrap().status(), 400);
    }
    assert_eq!(fetch(&client, &url).await.status, 200);
    let unsigned = url.split('?').next().unwrap();
    assert_eq!(fetch(&client, unsigned).await.status, 403);
    assert_eq!(
        fetch(&client, &format!("{}x", url.replace('?', "x?")))
            .await
            .status,
        404
    );
    client.sim.advance(Duration::from_mins(15));
    assert_eq!(fetch(&client, &url).await.status, 403);
}

#[tokio::test]
async fn a_cursor_leads_to_what_one_download_does_not_hold() {
    let settings = GenesysSettings {
        download_records: 30,
        ..large(DownloadShape::Array, Compression::None)
    };
    let client = Client::new(settings, &small()).await;
    let id = client.run_query(&week("PeoplePermissions")).await;
    let (mut found, mut downloads, mut cursor) = (0, 0, None::<String>);
    loop {
        let reply = client
            .page(&id, cursor.as_deref(), "pageSize=500&allowRedirect=true")
            .await;
        if reply.status == 302 {
            let records = fetch(&client, &url_of(&reply))
                .await
                .json()
                .as_array()
                .unwrap()
                .len();
            assert!(records <= 30);
            found += records;
            downloads += 1;
        } else {
            found += reply.entities().len();
        }
        cursor = match reply.json()["cursor"].as_str() {
            Some(next) if !next.is_empty() => Some(next.to_owned()),
            _ => break,
        };
    }
    let now = client.sim.now();
    let (from, to) = (at("2026-03-01T00:00:00Z"), at("2026-03-08T00:00:00Z"));
    let truth = client
        .sim
        .dataset()
        .truth(from, to, Some("PeoplePermissions"), now);
    assert_eq!(found, truth.len());
    assert!(downloads > 2);
}

#[tokio::test]
async fn the_address_may_stand_in_one_place_only() {
    for (address, body, header) in [
        (DownloadAddress::Body, true, false),
        (DownloadAddress::Location, false, true),
        (DownloadAddress::Both, true, true),
    ] {
        let settings = GenesysSettings {
            download_address: address,
            ..large(DownloadShape::Object, Compression::None)
        };
        let client = Client::new(settings, &small()).await;
        let id = client.run_query(&week("PeoplePermissions")).await;
        let reply = client.page(&id, None, "allowRedirect=true").await;
        assert_eq!(reply.json()["downloadUrl"].is_string(), body);
        assert_eq!(reply.headers.contains_key("location"), header);
    }
}

#[tokio::test]
async fn garbage_can_be_had_and_the_pages_are_still_there() {
    let client = Client::new(large(DownloadShape::Garbage, Compression::None), &small()).await;
    let id = client.run_query(&week("PeoplePermissions")).await;
    let url = url_of(&client.page(&id, None, "allowRedirect=true").await);
    let download = fetch(&client, &url).await;
    assert_eq!(download.status, 200);
    assert!(serde_json::from_slice::<Value>(&download.body).is_err());
    assert!(std::str::from_utf8(&download.body).is_err());
    let inline = client.page(&id, None, "").await;
    assert_eq!(inline.json()["pageSize"], json!(25));
    assert_eq!(inline.entities().len(), 25);
}
