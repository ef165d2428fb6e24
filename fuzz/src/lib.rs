//! What is fuzzed. Each target takes any bytes, and panics if the code under test does, or breaks a promise.
//!
//! libFuzzer runs these (`make fuzz`), and `make test` runs them over the corpus that was found
//! (`tests/it/corpus.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use auditlake::config::{self, Config};
use auditlake::cron::CronSchedule;
use auditlake::lake::{Commit, FORMAT};
use auditlake::model::{Range, Timestamp};
use auditlake::providers::{
    Adapter, Answer, Cursor, PROVIDERS, Page, PageRequest, Stream, provider,
};
use auditlake::run::plan::{self, Policy};
use auditlake::table::{PartSpec, PartWriter, RowBuilder, RowContext, RowError, canonical_hash};
use auditlake::yaml::value;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use http::{HeaderMap, StatusCode};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A target: any bytes.
pub type Target = fn(&[u8]);

/// Every target, by the name of its binary and of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("jobs_yaml", jobs_yaml),
    ("answer_genesys", answer_genesys),
    ("answer_avaya", answer_avaya),
    ("answer_liveperson", answer_liveperson),
    ("answer_everyware", answer_everyware),
    ("record", record),
    ("commit", commit),
    ("cursor", cursor),
    ("dates", dates),
];

/// A configuration is read, or every problem in it is reported with its position.
pub fn jobs_yaml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // files that the text names are not what is tested here
    if text.contains("file:") {
        return;
    }
    let environment = |name: &str| {
        name.len()
            .is_multiple_of(2)
            .then(|| format!("value of {name}"))
    };
    if let Err(problems) = Config::parse("jobs.yaml", text, &environment) {
        assert!(!problems.problems.is_empty(), "refused without a reason");
        // YAML has three kinds of line breaks
        let lines = text.split(['\n', '\r']).count() as u64 + 1;
        for problem in &problems.problems {
            assert!(!problem.message.is_empty());
            let Some(at) = problem.at else { continue };
            assert!((1..=lines).contains(&at.line), "{problem:?}");
        }
        let _ = problems.to_string();
    }
}

fn at(second: i64) -> Timestamp {
    DateTime::from_timestamp(second, 0).unwrap_or_default()
}

/// Around the times in the corpus.
fn ask(adapter: &dyn Adapter) -> Option<PageRequest> {
    let listed = adapter.listed_streams().into_iter().next();
    let stream = listed.unwrap_or(Stream::new("Architect"));
    Some(PageRequest::new(
        stream,
        Range::new(at(1_772_323_200), at(1_772_409_600))?,
        at(1_775_000_000),
    ))
}

/// See [`answer`].
pub fn answer_genesys(data: &[u8]) {
    answer("genesys_cloud", data);
}

/// See [`answer`].
pub fn answer_avaya(data: &[u8]) {
    answer("avaya_axp", data);
}

/// See [`answer`].
pub fn answer_liveperson(data: &[u8]) {
    answer("liveperson", data);
}

/// See [`answer`].
pub fn answer_everyware(data: &[u8]) {
    answer("everyware_cloud", data);
}

/// An answer is `status\ncursor\nbody`; no cursor is an empty line. Whatever a provider answers is a page or a refusal;
/// each record of a page can be read, or there is a reason why not.
fn answer(name: &str, data: &[u8]) {
    let mut parts = data.splitn(3, |&byte| byte == b'\n');
    let (Some(status), Some(cursor), Some(body)) = (parts.next(), parts.next(), parts.next())
    else {
        return;
    };
    let status = std::str::from_utf8(status).ok();
    let status = status.and_then(|status| StatusCode::from_bytes(status.as_bytes()).ok());
    let (Some(status), Ok(cursor)) = (status, std::str::from_utf8(cursor)) else {
        return;
    };
    let cursor = (!cursor.is_empty()).then(|| Cursor(cursor.to_owned()));
    let Some(spec) = provider(name) else {
        panic!("no provider {name}")
    };
    let adapter = (spec.default_adapter)();
    let Some(ask) = ask(&*adapter) else { return };
    let answer = Answer {
        status,
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body),
    };
    let _ = adapter.streams(std::slice::from_ref(&answer));
    let side = spec.side_queries;
    if let Some(Ok(entries)) = side.map(|side| side.entries(answer.clone())) {
        records(&entries);
    }
    match adapter.page(&ask, cursor.as_ref(), answer) {
        Ok(page) => {
            for raw in records(&page) {
                check_record(&*adapter, raw);
            }
            if let Some(next) = &page.next {
                assert!(!next.0.is_empty() && !next.0.contains('\n'), "{next:?}");
                let _ = adapter.call(&ask, Some(next));
            }
        }
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
    if status == StatusCode::OK {
        in_pieces(&*adapter, &ask, body);
    }
}

/// The texts of a page's records.
fn records(page: &Page) -> Vec<&str> {
    let mut end = 0;
    let mut texts = Vec::new();
    for span in &page.records {
        assert!(span.start >= end, "records overlap");
        assert!(!span.is_empty(), "a record without a byte");
        end = span.end;
        texts.push(&page.text[span.clone()]);
    }
    texts
}

/// An answer that is taken apart while it arrives has the same records, however it comes in pieces.
fn in_pieces(adapter: &dyn Adapter, ask: &PageRequest, body: &[u8]) {
    let read = |length: usize| -> Option<Result<Vec<String>, String>> {
        let mut splitter = adapter.splitter(ask)?;
        let mut texts = Vec::new();
        for piece in body.chunks(length.max(1)) {
            match splitter.feed(piece) {
                Ok(page) => texts.extend(records(&page).into_iter().map(str::to_owned)),
                Err(refusal) => return Some(Err(refusal.to_string())),
            }
        }
        match splitter.end(true) {
            Ok(page) => texts.extend(records(&page).into_iter().map(str::to_owned)),
            Err(refusal) => return Some(Err(refusal.to_string())),
        }
        Some(Ok(texts))
    };
    let Some(whole) = read(body.len()) else {
        return;
    };
    for length in [1, 2, 7, body.len() / 2] {
        let pieces = read(length);
        assert_eq!(
            pieces.as_ref().map(Result::is_ok),
            Some(whole.is_ok()),
            "in pieces of {length}: {pieces:?}, whole: {whole:?}"
        );
        if whole.is_ok() {
            assert_eq!(pieces.as_ref(), Some(&whole), "in pieces of {length}");
        }
    }
    for raw in whole.unwrap_or_default() {
        check_record(adapter, &raw);
    }
}

fn check_record(adapter: &dyn Adapter, raw: &str) {
    if let Ok(hash) = canonical_hash(&adapter.stable_content(raw)) {
        assert!(!hash.is_empty());
    }
    if let Err(reason) = adapter.record(raw) {
        assert!(!reason.is_empty(), "refused without a reason: {raw}");
    }
}

/// A byte for the provider, then a record: it becomes a row whose `raw` is the text, or there is a reason why not.
pub fn record(data: &[u8]) {
    let Some((&which, raw)) = data.split_first() else {
        return;
    };
    let Ok(raw) = std::str::from_utf8(raw) else {
        return;
    };
    let spec = &PROVIDERS[usize::from(which) % PROVIDERS.len()];
    let adapter: Arc<dyn Adapter> = (spec.default_adapter)();
    check_record(&*adapter, raw);
    let Ok(record) = adapter.record(raw) else {
        return;
    };
    let context = RowContext {
        provider: spec.name,
        connection: "connection",
        account_id: "account",
        job: "job",
        ingested_at: at(1_775_000_000),
    };
    let mut part = PartWriter::new(PartSpec {
        partition_by: Vec::new(),
        job: "job".to_owned(),
        run: "run".to_owned(),
    });
    let mut rows = RowBuilder::new(&[]);
    match rows.push(&record, &context, raw, None) {
        Ok(()) => {}
        Err(RowError::TooLarge { .. }) => return,
        Err(error) => panic!("{error}"),
    }
    match rows.finish() {
        Ok(rows) => part.push(rows),
        Err(error) => panic!("{error}"),
    }
    let file = match part.finish() {
        Ok(Some(file)) => Bytes::from(file.payload),
        other => panic!("no file: {other:?}"),
    };
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build);
    let batches: Vec<_> = match reader {
        Ok(reader) => reader.collect(),
        Err(error) => panic!("{error}"),
    };
    let texts: Vec<String> = (batches.iter().flatten())
        .filter_map(|batch| batch.column_by_name("raw"))
        .map(|column| column.as_string::<i32>().value(0).to_owned())
        .collect();
    assert_eq!(texts, [raw], "the record as it was received");
}

/// An entry of the commit log says the same after it was written and read, and whatever it says of progress, planning
/// ends and gives ranges that are none of them empty.
pub fn commit(data: &[u8]) {
    let Ok(commit) = serde_json::from_slice::<Commit>(data) else {
        return;
    };
    let text = serde_json::to_vec(&commit).unwrap_or_default();
    let again: Option<Commit> = serde_json::from_slice(&text).ok();
    assert_eq!(again.as_ref(), Some(&commit), "format {FORMAT}");
    let policies = [TimeDelta::zero(), TimeDelta::days(1)].map(|grain| Policy {
        start: at(1_772_323_200),
        window: TimeDelta::hours(1),
        min_window: TimeDelta::minutes(1),
        lag: TimeDelta::minutes(2),
        settle: vec![TimeDelta::hours(1), TimeDelta::hours(24)],
        grain,
    });
    let now = at(1_772_500_000);
    for policy in &policies {
        let mut progress: BTreeMap<_, _> = commit.progress.clone();
        for progress in progress.values_mut() {
            for task in plan::due(progress, now, policy).take(50) {
                assert!(task.range.from() < task.range.to());
                plan::finish(progress, task.range, now, policy);
                assert!(progress.coverage.covers(task.range));
            }
            let Some(range) = Range::new(at(1_772_000_000), at(1_772_400_000)) else {
                return;
            };
            for refetch in [false, true] {
                let tasks = plan::backfill(progress, range, refetch, now, policy);
                assert!(
                    tasks
                        .take(50)
                        .all(|task| task.range.from() < task.range.to())
                );
            }
        }
    }
}

/// A byte for the provider, then a cursor from a commit: there is a call for it, or a refusal.
pub fn cursor(data: &[u8]) {
    let Some((&which, text)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let spec = &PROVIDERS[usize::from(which) % PROVIDERS.len()];
    let adapter = (spec.default_adapter)();
    let Some(ask) = ask(&*adapter) else { return };
    let cursor = Cursor(text.to_owned());
    match adapter.call(&ask, Some(&cursor)) {
        Ok(call) => {
            if let Some(body) = &call.body {
                let json: Result<serde_json::Value, _> = serde_json::from_str(body);
                let is_query = body.trim_start().starts_with(['{', '[']);
                assert!(json.is_ok() || !is_query, "a body that is no JSON: {body}");
            }
        }
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
}

/// Times, durations, sizes, rates, hosts and cron expressions are read, or refused with a word; a schedule's next
/// instant is later than the one that was asked about.
pub fn dates(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = config::time(text);
    let _ = value::duration(text);
    let _ = value::size(text);
    let _ = value::rate_limit(text);
    let _ = value::base_url(text, true);
    let _ = value::host_suffix(text);
    let (expression, zone) = text.split_once('\n').unwrap_or((text, "UTC"));
    let Ok(schedule) = expression.parse::<CronSchedule>() else {
        return;
    };
    let schedule = match zone.parse() {
        Ok(zone) => schedule.in_zone(zone),
        Err(_) => schedule,
    };
    let mut instant = at(1_772_323_199);
    for _ in 0..5 {
        let Some(next) = schedule.next_after(instant) else {
            return;
        };
        assert!(next > instant, "{expression}: {next} after {instant}");
        instant = next;
    }
}
