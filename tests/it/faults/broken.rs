//! One record that isn't JSON: it waits in quarantine with its bytes, and all others of its page land.

use std::time::Duration;

use auditlake::clock::Clock;
use auditlake::run::{self, RunOptions, RunOutcome};
use auditlake::sim::{Fault, avaya, everyware, genesys, liveperson};
use tokio_util::sync::CancellationToken;

use super::worlds::*;
use crate::support::rig::{Rig, at, exceeding, lake_in_memory, range};

/// Makes a good record one that isn't JSON, and says how.
type Break = (&'static str, fn(&str) -> String);

/// The record with a member behind the others, as it is written.
fn with(record: &str, member: &str) -> String {
    format!("{},{member}}}", record.strip_suffix('}').unwrap())
}

const BREAKS: &[Break] = &[
    ("a trailing comma", |raw| with(raw, "")),
    ("a comma too many", |raw| raw.replacen(',', ",,", 1)),
    ("a comma too few", |raw| raw.replacen(',', " ", 1)),
    ("a colon too few", |raw| raw.replacen(':', " ", 1)),
    ("a line end in a text", |raw| {
        with(raw, "\"x\":\"two\nlines\"")
    }),
    ("control characters", |raw| {
        with(raw, "\"x\":\"\u{0}\u{7}\u{1b}[2J\t\"")
    }),
    ("NaN", |raw| with(raw, r#""x":NaN"#)),
    ("Infinity", |raw| with(raw, r#""x":[-Infinity,Infinity]"#)),
    ("undefined", |raw| with(raw, r#""x":undefined"#)),
    ("numbers of other languages", |raw| {
        with(raw, r#""x":[01,+1,.5,1.,0x1F]"#)
    }),
    ("words of other languages", |raw| {
        with(raw, r#""x":[None,True,nil]"#)
    }),
    ("an unknown escape", |raw| with(raw, r#""x":"C:\x""#)),
    ("half an escape", |raw| with(raw, r#""x":"\u12""#)),
    ("a path of Windows", |raw| with(raw, r#""x":"C:\","y":"z""#)),
    ("apostrophes", |raw| raw.replace('"', "'")),
    ("apostrophes around brackets", |raw| {
        with(&raw.replace('"', "'"), "'x':'}],{ 5\" it\\'s'")
    }),
    ("names without quotes", |raw| with(raw, r"x:1")),
    ("quotes in a text", |raw| {
        with(raw, r#""x":"a "quoted" word""#)
    }),
    ("one quote in a text", |raw| with(raw, r#""x":"a 5" disk""#)),
    ("a quote before a comma", |raw| {
        with(raw, r#""x":"5", large","y":1"#)
    }),
    ("comments", |raw| {
        with(raw, "\"x\":1 /* \"}, { */, // ]\n\"y\":2")
    }),
    ("a bracket too few", |raw| with(raw, r#""x":[1,{"a":2}"#)),
    ("a brace too few", |raw| with(raw, r#""x":{"a":[1]"#)),
    ("a brace too many", |raw| format!("{raw}}}")),
    ("no closing brace", |raw| {
        raw.strip_suffix('}').unwrap().to_owned()
    }),
    ("a bracket that nobody opened", |raw| with(raw, r#""x":1]"#)),
    ("a bracket too many in a list", |raw| {
        with(raw, r#""x":[1]],"y":2"#)
    }),
    ("a bracket and a brace too many", |raw| format!("{raw}]}}")),
    ("braces too many inside", |raw| {
        with(raw, r#""x":1}},"y":2"#)
    }),
    ("one brace too many inside", |raw| {
        with(raw, r#""x":1},"y":2"#)
    }),
    ("a list without its end", |raw| with(raw, r#""x":[1,2"#)),
    ("a quote that isn't closed", |raw| with(raw, r#""x":"C:"#)),
    ("a quote that isn't opened", |raw| with(raw, r#""x":C:""#)),
    ("a byte order mark inside", |raw| {
        with(raw, "\u{feff}\"x\":1")
    }),
    ("what follows a call", |raw| format!("{raw});")),
    ("half a record", |raw| {
        raw[..raw.len() / 2].trim_end().to_owned()
    }),
    ("a page of another server", |_| {
        "<html><p>503</p></html>".to_owned()
    }),
    ("a word", |_| "oops".to_owned()),
    ("not a number", |_| "NaN".to_owned()),
];

/// Where the records come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// The provider's usual answer.
    Page,
    /// The realtime query of Genesys Cloud.
    Realtime,
    /// A download of Genesys Cloud: an object, a list, or one record a line.
    Download(&'static str),
}

fn endpoint<W: World>(from: From) -> &'static str {
    match from {
        From::Page => W::DATA,
        From::Realtime => genesys::endpoint::REALTIME,
        From::Download(_) => genesys::endpoint::DOWNLOAD,
    }
}

fn answer<W: World>(from: From, records: Vec<String>) -> Fault {
    Fault::rewritten(move |asked, answer| {
        let list = records.join(",");
        let total = records.len();
        let body = match from {
            From::Page => W::page(asked, &records),
            From::Realtime => Some(format!(
                r#"{{"pageSize":100,"pageNumber":1,"entities":[{list}],"pageCount":1,"total":{total}}}"#
            )),
            From::Download("object") => Some(format!(r#"{{"entities":[{list}],"id":"q"}}"#)),
            From::Download("list") => Some(format!("[{list}]")),
            From::Download(_) => Some(format!("{}\n", records.join("\n"))),
        };
        if let Some(body) = body {
            answer.body = body.into_bytes();
        }
    })
}

async fn rig_for<W: World>(from: From, sim: W) -> Rig<W> {
    let yaml = yaml(&sim, "1000000/s", "window: 1d");
    let yaml = match from {
        From::Realtime => yaml.replace("mode: async", "mode: realtime"),
        From::Page | From::Download(_) => yaml,
    };
    let mut rig = Rig::of(sim, &yaml).await;
    rig.job.source.client = client(&yaml, impatient());
    rig
}

fn time<W: World>() -> &'static str {
    match W::NAME {
        "liveperson" => r#""2026-03-01 10:00:00.0""#,
        "everyware_cloud" => "1772359200000",
        _ => r#""2026-03-01T10:00:00Z""#,
    }
}

fn record<W: World>(number: usize) -> String {
    let more = r#","list":[{"a":"x, {y}]"},{"b":[1]}],"last":"z""#;
    W::record(&format!("\"r{number}\""), time::<W>(), more)
}

/// A day of six records is pulled twice, the second time to confirm it: five land, one waits, byte for byte.
async fn costs_itself<W: World>(rig: &mut Rig<W>, from: From, how: &str, records: Vec<String>) {
    let (lake, partition_by) = lake_in_memory().await;
    (rig.job.lake, rig.job.partition_by) = (lake, partition_by);
    let sent = records.clone();
    rig.sim.faults().clear();
    let fault = answer::<W>(from, records);
    rig.sim.faults().always(endpoint::<W>(from), fault);
    let name = format!("{}, {from:?}, {how}", W::NAME);
    let ended = attempt(rig, at(NOW)).await;
    assert_eq!(ended.message, "", "{name}: {sent:?}");
    let counts = ended.report.unwrap().totals.counts;
    assert_eq!(
        [
            counts.fetched,
            counts.new,
            counts.quarantined,
            counts.outside
        ],
        [6, 5, 1, 0],
        "{name}"
    );
    rig.backfill(range(FROM, TO), true, at(NOW)).await;
    let mut found: Vec<String> = rig.rows().await.into_iter().map(|row| row.raw).collect();
    assert_eq!(found.len(), 5, "{name}");
    let lines = rig.quarantine().await;
    assert_eq!(lines.len(), 1, "{name}");
    found.push(lines[0]["raw"].as_str().unwrap().to_owned());
    assert!(!lines[0]["reason"].as_str().unwrap().is_empty());
    assert!(
        exceeding(&sorted(found), &sorted(sent)).is_empty(),
        "{name}"
    );
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

async fn each_costs_itself<W: World>(from: From, sim: W) {
    let mut rig = rig_for(from, sim).await;
    let mut tried = 0;
    for (how, break_it) in BREAKS {
        let places: &[usize] = match from {
            From::Download(_) => &[2],
            From::Page | From::Realtime => &[0, 2, 5],
        };
        for &place in places {
            let mut records: Vec<String> = (0..6).map(record::<W>).collect();
            records[place] = break_it(&records[place]);
            // at the end of the list, half a record looks like a page that was cut short
            if place == 5 && *how == "half a record" {
                continue;
            }
            costs_itself(&mut rig, from, how, records).await;
            tried += 1;
        }
    }
    println!(
        "tried: a broken record, {} {from:?}: {tried}, each 5 landed and 1 quarantined",
        W::NAME
    );
    finds_nothing(&rig).await;
}

/// What waits in quarantine is what is unreadable, and nothing is missing; a replay says why it stays there.
async fn finds_nothing<W: World>(rig: &Rig<W>) {
    let options = RunOptions {
        clock: Clock::AsOf(at(NOW)),
        ..RunOptions::new(CancellationToken::new())
    };
    let verification = auditlake::verify::verify(&rig.job, range(FROM, TO), &options)
        .await
        .unwrap();
    assert!(
        !verification.is_partial() && !verification.found_something(),
        "{verification:?}"
    );
    assert_eq!(verification.total().shown, 5);
    let replayed = run::replay(&rig.job, None, &options).await.unwrap();
    let RunOutcome::Ran(replayed) = replayed else {
        panic!("nobody else runs this job")
    };
    assert_eq!(replayed.lines.len(), 1);
    assert!(
        matches!(&replayed.lines[0].became, run::LineOutcome::Unreadable(reason) if !reason.is_empty()),
        "{replayed:?}"
    );
    assert_eq!(rig.rows().await.len(), 5);
}

/// A provider with records of its own, whose large results are downloads.
async fn genesys_cloud(large_results_over: Option<usize>) -> genesys::Genesys {
    let data = genesys::Dataset::generate(&genesys::DatasetSpec {
        records: 60,
        from: at(FROM),
        to: at(TO),
        services: vec!["PeoplePermissions".to_owned()],
        late_share: 0.0,
        ..genesys::DatasetSpec::default()
    });
    let settings = genesys::GenesysSettings {
        clock: auditlake::sim::Clock::Fixed(at(FROM)),
        running_polls: 0,
        large_results_over,
        realtime_longest_interval: Duration::from_hours(48),
        token_lifetime: Duration::from_hours(24 * 365),
        ..genesys::GenesysSettings::default()
    };
    genesys::start(settings, data).await.unwrap()
}

#[tokio::test]
async fn a_broken_record_of_a_genesys_cloud_query_costs_itself() {
    each_costs_itself(From::Page, genesys_cloud(None).await).await;
}

#[tokio::test]
async fn a_broken_record_of_a_genesys_cloud_realtime_query_costs_itself() {
    each_costs_itself(From::Realtime, genesys_cloud(None).await).await;
}

#[tokio::test]
async fn a_broken_record_of_a_genesys_cloud_download_costs_itself() {
    for form in ["object", "list", "lines"] {
        each_costs_itself(From::Download(form), genesys_cloud(Some(10)).await).await;
    }
}

#[tokio::test]
async fn a_broken_record_of_avaya_axp_costs_itself() {
    each_costs_itself(From::Page, <avaya::Avaya as World>::start(0).await).await;
}

#[tokio::test]
async fn a_broken_record_of_live_person_costs_itself() {
    each_costs_itself(
        From::Page,
        <liveperson::LivePerson as World>::start(0).await,
    )
    .await;
}

#[tokio::test]
async fn a_broken_record_of_everyware_cloud_costs_itself() {
    each_costs_itself(From::Page, <everyware::Everyware as World>::start(0).await).await;
}

/// A page that was cut short, with or without a broken record in it, is never accepted as complete.
async fn never_passes_cut<W: World>() {
    let mut rig = rig_for(From::Page, W::start(0).await).await;
    for (how, break_it) in [BREAKS[6], BREAKS[18], BREAKS[22], BREAKS[24]] {
        let mut records: Vec<String> = (0..6).map(record::<W>).collect();
        records[2] = break_it(&records[2]);
        // some thirty places, none of them behind the list
        for cut in 1..30 {
            let (lake, partition_by) = lake_in_memory().await;
            (rig.job.lake, rig.job.partition_by) = (lake, partition_by);
            rig.sim.faults().clear();
            let all = records.clone();
            let fault = Fault::rewritten(move |asked, answer| {
                if let Some(page) = W::page(asked, &all) {
                    let end = page.rfind("\"last\"").unwrap();
                    answer.body = page.into_bytes();
                    answer.body.truncate(end * cut / 29);
                }
            });
            rig.sim.faults().always(W::DATA, fault);
            renew(&mut rig, impatient());
            let ended = attempt(&rig, at(NOW)).await;
            assert!(
                !ended.kinds.is_empty(),
                "{how}, cut at {cut} of 29: taken for whole"
            );
            let progress = rig.newest().await.progress;
            let is_empty = progress.values().all(|stream| stream.coverage.is_empty());
            assert!(is_empty, "{how}, cut at {cut} of 29");
        }
    }
}

every_provider!(async fn never_passes_cut);

/// Several of them on one page affect only themselves, too, also where records have no ids and are counted.
async fn several_cost_themselves<W: World>() {
    let mut rig = rig_for(From::Page, W::start(0).await).await;
    let (lake, partition_by) = lake_in_memory().await;
    (rig.job.lake, rig.job.partition_by) = (lake, partition_by);
    let mut sent = Vec::new();
    for (number, (how, break_it)) in BREAKS.iter().enumerate() {
        if *how != "half a record" {
            sent.push(record::<W>(2 * number));
            sent.push(break_it(&record::<W>(2 * number + 1)));
        }
    }
    // equal ones are as many as they are
    sent.push(record::<W>(1_000));
    sent.push("oops".to_owned());
    sent.push(record::<W>(1_001));
    feed(&rig.sim, sent.clone());
    let report = rig.tick(at(NOW)).await;
    let mut found: Vec<String> = rig.rows().await.into_iter().map(|row| row.raw).collect();
    let lines = rig.quarantine().await;
    found.extend(
        lines
            .iter()
            .map(|line| line["raw"].as_str().unwrap().to_owned()),
    );
    assert_eq!(sorted(found), sorted(sent.clone()));
    let counts = report.totals.counts;
    assert_eq!(counts.fetched, sent.len() as u64);
    assert_eq!(counts.quarantined, lines.len() as u64);
    assert_eq!(counts.new + counts.quarantined, counts.fetched);
}

every_provider!(async fn several_cost_themselves);
