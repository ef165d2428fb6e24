//! What isn't auditlake's, in the folders of quarantine and of acknowledgements.

use auditlake::lake::quarantine::{self, FoundLine};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use super::world::{World, open};
use crate::support::provider::{Event, at};
use auditlake::run::LineOutcome;

const QUARANTINE: &str = "_auditlake/jobs/job/quarantine";
const ACKNOWLEDGED: &str = "_auditlake/jobs/job/acknowledged";
const RUN: &str = "01990000-0000-7000-8000-000000000001";

async fn world() -> World {
    let log = vec![
        Event::garbled("bad-1", at(23, 40)),
        Event::garbled("bad-2", at(24, 10)),
    ];
    let world = World::new(log, true).await;
    world.pull(25, false).await;
    assert_eq!(world.counts().await, open(2, 0));
    world
}

async fn put(world: &World, key: &str, content: impl Into<PutPayload>) {
    world
        .store
        .put(&Path::from(key), content.into())
        .await
        .unwrap();
}

async fn content(world: &World, file: &str) -> String {
    let key = Path::from(format!("{QUARANTINE}/{file}"));
    let bytes = world.store.get(&key).await.unwrap().bytes().await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn foreign_and_damaged_lines_are_open_and_are_told_apart_and_never_land() {
    let world = world().await;
    let (place, _) = world.lines().await.swap_remove(0);
    let ours = content(&world, &place.file).await;
    let first = ours.lines().next().unwrap();
    let altered = first.replace("bad-", "BAD-");
    let backwards = first.replace("2026-01-10T23:00:00Z", "2026-02-10T23:00:00Z");
    assert!(altered != first && backwards != first);
    let lines = format!("\nhello\n{altered}\n{backwards}\n{}", &first[..50]);
    put(&world, &format!("{QUARANTINE}/{RUN}-0.jsonl"), lines).await;
    put(
        &world,
        &format!("{QUARANTINE}/{RUN}-1.jsonl"),
        vec![0xff, 0xfe, b'\n'],
    )
    .await;
    put(
        &world,
        &format!("{QUARANTINE}/copy-of-{RUN}.txt"),
        ours.clone(),
    )
    .await;
    put(
        &world,
        &format!("{QUARANTINE}/old/{RUN}-0.jsonl"),
        first.to_owned(),
    )
    .await;

    let mut told = Vec::new();
    quarantine::read(&world.lake(), "job", |found: FoundLine<'_>| {
        if let Err(reason) = &found.line {
            told.push(format!("{}: {reason}", found.place));
        }
    })
    .await
    .unwrap();
    let told = told.join("\n");
    insta::assert_snapshot!(told);
    assert_eq!(world.counts().await, open(2 + 5 + 3, 0));

    // a pull continues, and treats none of them as its own
    world.provider.show_late(true);
    world.pull(27, false).await;
    assert_eq!(world.counts().await, open(2 + 5 + 3, 0));

    let became = world.replay(None).await;
    let landed = became
        .iter()
        .filter(|became| **became == LineOutcome::Landed)
        .count();
    assert_eq!((landed, became.len()), (2, 10), "{became:?}");
    assert_eq!(world.rows().await.len(), 2);
    assert_eq!(world.counts().await, open(8, 2));

    // each of them can be acknowledged all the same
    let lines = world.lines().await;
    world.ack(&lines).await;
    assert_eq!(world.counts().await, open(0, 10));
}

#[tokio::test]
async fn an_acknowledgement_is_of_one_line_and_what_isn_t_ours_acknowledges_nothing() {
    let world = world().await;
    let lines = world.lines().await;
    let (place, id) = &lines[0];
    let line = |file: &str, line: u64, id: &str| {
        format!(
            r#"{{"file":"{file}","line":{line},"id":"{id}","by":"ack","at":"2026-01-11T00:00:00Z"}}"#
        )
    };
    let right = line(&place.file, place.line, id);
    let wrong = [
        line(&place.file, place.line, &lines[1].1),
        line(&place.file, place.line + 7, id),
        line("other.jsonl", place.line, id),
        right.replace("\"ack\"", "\"somebody\""),
        right[..right.len() - 1].to_owned(),
        "hello".to_owned(),
    ];
    put(
        &world,
        &format!("{ACKNOWLEDGED}/{RUN}.jsonl"),
        wrong.join("\n"),
    )
    .await;
    put(&world, &format!("{ACKNOWLEDGED}/notes.txt"), right.clone()).await;
    put(
        &world,
        &format!("{ACKNOWLEDGED}/old/{RUN}.jsonl"),
        right.clone(),
    )
    .await;
    assert_eq!(world.counts().await, open(2, 0));
    // a line that a later version wrote more into is understood
    let more = right.replace("\"by\"", "\"mood\":\"good\",\"by\"");
    let other = RUN.replace('1', "2");
    put(&world, &format!("{ACKNOWLEDGED}/{other}.jsonl"), more).await;
    assert_eq!(world.counts().await, open(1, 1));
    assert_eq!(world.replay(None).await, [LineOutcome::Landed]);
}
