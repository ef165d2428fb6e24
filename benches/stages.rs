//! What a record costs in each stage of its way, one thread, without network and disk: see docs/performance.md.
//!
//! ```text
//! cargo bench --bench stages                              # criterion: wall time of everything
//! cargo bench --bench stages -- genesys_cloud             # of one provider
//! cargo bench --bench stages -- cpu genesys_cloud/        # CPU time, nanoseconds a record; needs Linux
//! cargo bench --bench stages -- run genesys_cloud/read 3  # three times and nothing else, to be looked at from outside
//! ```
//!
//! `benches/bench.py` takes the CPU times for the stage ceilings, and counts instructions of `run` under valgrind.

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use auditlake::lake::{Progress, Work};
use auditlake::model::{PartitionColumn, Range, RangeSet, Record, Timestamp};
use auditlake::providers::liveperson::FIELDS;
use auditlake::providers::{Adapter, Answer, Cursor, Page, PageRequest, Stream, provider};
use auditlake::run::plan::{self, Policy};
use auditlake::sim::{avaya, everyware, liveperson};
use auditlake::table::{EventIdHash, PartSpec, PartWriter, RowBuilder, RowContext, canonical_hash};
use chrono::{DateTime, TimeDelta, Utc};
use criterion::{Criterion, Throughput};
use http::{HeaderMap, StatusCode};

#[path = "../crates/auditlake-sim/servers/audits.rs"]
mod audits;

/// The same as in `src/main.rs`: else the stages would not be those of a run.
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How many records make a page.
const PAGE: usize = 500;
/// Of each provider: what fills row groups, so that encoding is measured as it is done.
const RECORDS: usize = 32_500;
/// To count instructions, fifty times slower.
const FEWER_RECORDS: usize = 2_000;
/// To see that the stages run.
const HARDLY_ANY: usize = 100;
const PARTITION_BY: [PartitionColumn; 2] = [PartitionColumn::Provider, PartitionColumn::EventDate];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A stage with all that it works on.
struct Stage<'a> {
    name: String,
    /// How many records (windows, where it plans) one run of it handles.
    records: u64,
    run: Box<dyn Fn() -> Result<()> + 'a>,
}

/// What one provider shows.
struct Feed {
    provider: &'static str,
    adapter: Arc<dyn Adapter>,
    ask: PageRequest,
    cursor: Option<Cursor>,
    answers: Vec<Answer>,
    raws: Vec<String>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let words: Vec<&str> = words
        .into_iter()
        .filter(|word| *word != "--bench")
        .collect();
    match words.as_slice() {
        ["cpu", prefix] => print_cpu_times(prefix),
        ["run", name, times] => run_only(name, times.parse()?),
        _ => {
            let measures = words.len() < arguments.len();
            let feeds = feeds(if measures { RECORDS } else { HARDLY_ANY })?;
            let mut criterion = Criterion::default().configure_from_args();
            for stage in stages(&feeds)? {
                let (group, name) = stage.name.split_once('/').ok_or("a name without group")?;
                let mut group = criterion.benchmark_group(group);
                group
                    .sample_size(10)
                    .throughput(Throughput::Elements(stage.records));
                group.bench_function(name, |bencher| bencher.iter(|| (stage.run)().is_ok()));
            }
            criterion.final_summary();
            Ok(())
        }
    }
}

/// Prints for each stage whose name begins so how many nanoseconds of CPU a record takes, over a second: the kernel
/// brings a thread's time up to date every few milliseconds only.
#[expect(clippy::print_stdout, reason = "what it prints is for a script")]
fn print_cpu_times(prefix: &str) -> Result<()> {
    let feeds = feeds(RECORDS)?;
    for stage in stages(&feeds)? {
        if stage.name.starts_with(prefix) {
            (stage.run)()?;
            let (began, mut took, mut records) = (cpu_time()?, Duration::ZERO, 0);
            while took < Duration::from_secs(1) {
                (stage.run)()?;
                records += stage.records;
                took = cpu_time()?.saturating_sub(began);
            }
            println!("{} {}", stage.name, took.as_nanos() / u128::from(records));
        }
    }
    Ok(())
}

/// What this thread has had of a CPU.
fn cpu_time() -> Result<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = told.split(' ').next().unwrap_or_default().parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// Prints how many records it was each time.
#[expect(clippy::print_stdout, reason = "what it prints is for a script")]
fn run_only(name: &str, times: u32) -> Result<()> {
    let feeds = feeds(FEWER_RECORDS)?;
    let stages = stages(&feeds)?;
    let stage = stages.iter().find(|stage| stage.name == name);
    let stage = stage.ok_or_else(|| format!("no such stage: `{name}`"))?;
    for _ in 0..times {
        (stage.run)()?;
    }
    println!("{}", stage.records);
    Ok(())
}

fn stages(feeds: &[Feed]) -> Result<Vec<Stage<'_>>> {
    let mut stages = Vec::new();
    for feed in feeds {
        stages_of(feed, &mut stages)?;
    }
    stages.push(first_load()?);
    stages.push(quiet_ticks()?);
    Ok(stages)
}

/// The way of one provider's records.
fn stages_of<'a>(feed: &'a Feed, stages: &mut Vec<Stage<'a>>) -> Result<()> {
    let records: Vec<(Record<'a>, &'a str)> = feed
        .raws
        .iter()
        .map(|raw| Ok((feed.record(raw)?, raw.as_str())))
        .collect::<Result<_>>()?;
    let records = Arc::new(records);
    let count = feed.raws.len() as u64;
    let mut add = |stage: &str, run: Box<dyn Fn() -> Result<()> + 'a>| {
        stages.push(Stage {
            name: format!("{}/{stage}", feed.provider),
            records: count,
            run,
        });
    };

    // parse: pages into records
    add(
        "split",
        Box::new(|| {
            for answer in &feed.answers {
                black_box(feed.page(answer)?);
            }
            Ok(())
        }),
    );
    add(
        "read",
        Box::new(|| {
            for raw in &feed.raws {
                black_box(feed.adapter.record(raw)?);
            }
            Ok(())
        }),
    );

    // dedup: the id or what stands for it, and a set of them
    let of = Arc::clone(&records);
    add(
        "dedup",
        Box::new(move || {
            let mut ids = HashSet::new();
            for (record, raw) in of.iter() {
                let new = if feed.adapter.has_ids() {
                    ids.insert(EventIdHash::of(&record.event_id))
                } else {
                    let hash = canonical_hash(&feed.adapter.stable_content(raw))?;
                    ids.insert(EventIdHash::of(&hash))
                };
                black_box(new);
            }
            Ok(())
        }),
    );

    // build: records into columns, and with encode: into the bytes of a file, with the record as received and without
    let context = RowContext {
        provider: feed.provider,
        connection: "bench",
        account_id: "acme",
        job: "bench",
        ingested_at: Timestamp::default(),
    };
    let of = Arc::clone(&records);
    add(
        "build",
        Box::new(move || {
            for page in of.chunks(PAGE) {
                black_box(rows_of(page, &context)?);
            }
            Ok(())
        }),
    );
    let bare: Vec<(Record<'a>, &str)> = (records.iter())
        .map(|(record, _)| (record.clone(), ""))
        .collect();
    add(
        "build_and_encode_without_raw",
        Box::new(move || encode(&bare, &context)),
    );
    add(
        "build_and_encode",
        Box::new(move || encode(&records, &context)),
    );
    Ok(())
}

/// Makes one file of them.
fn encode(records: &[(Record<'_>, &str)], context: &RowContext<'_>) -> Result<()> {
    let mut part = PartWriter::new(PartSpec {
        partition_by: PARTITION_BY.to_vec(),
        job: "bench".to_owned(),
        run: "bench".to_owned(),
    });
    for page in records.chunks(PAGE) {
        part.push(rows_of(page, context)?);
        while let Some(group) = part.group()? {
            part.add(group.encode()?)?;
        }
    }
    black_box(part.finish()?);
    Ok(())
}

/// The rows of a page, as a run builds them.
fn rows_of(page: &[(Record<'_>, &str)], context: &RowContext<'_>) -> Result<RecordBatch> {
    let mut rows = RowBuilder::new(&PARTITION_BY);
    for (record, raw) in page {
        rows.push(record, context, raw, None)?;
    }
    Ok(rows.finish()?)
}

/// Each of the windows that a stream's first load of a year has, from being due to being done.
fn first_load() -> Result<Stage<'static>> {
    let (policy, year) = (policy(), range(0, 365)?);
    Ok(Stage {
        name: "plan/first_load".to_owned(),
        records: 365 * 24,
        run: Box::new(move || {
            let mut progress = Progress::default();
            for task in plan::due(&Progress::default(), year.to(), &policy) {
                plan::finish(&mut progress, task.range, year.to(), &policy);
            }
            black_box(progress);
            Ok(())
        }),
    })
}

/// What a tick owes a stream that is up to date, a thousand times.
fn quiet_ticks() -> Result<Stage<'static>> {
    let (policy, year) = (policy(), range(0, 365)?);
    let mut unsettled = BTreeMap::new();
    for delay in &policy.settle {
        let last = Range::new(year.to() - *delay, year.to()).ok_or("no settle delay")?;
        unsettled.insert(
            delay.num_seconds().unsigned_abs(),
            RangeSet::from_iter([last]),
        );
    }
    let progress = Progress {
        watermark: Some(year.to()),
        coverage: [year].into_iter().collect(),
        unsettled,
        ..Progress::default()
    };
    let now = year.to() + TimeDelta::minutes(15);
    Ok(Stage {
        name: "plan/quiet_ticks".to_owned(),
        records: 1_000,
        run: Box::new(move || {
            for _ in 0..1_000 {
                let due = plan::due(black_box(&progress), now, &policy);
                black_box(due.filter(|task| task.work == Work::Pull).count());
            }
            Ok(())
        }),
    })
}

fn policy() -> Policy {
    Policy {
        start: day(0),
        window: TimeDelta::hours(1),
        min_window: TimeDelta::minutes(1),
        lag: TimeDelta::zero(),
        settle: vec![TimeDelta::hours(1), TimeDelta::hours(24)],
        grain: TimeDelta::zero(),
    }
}

impl Feed {
    fn page(&self, answer: &Answer) -> Result<Page> {
        let cursor = self.cursor.as_ref();
        Ok(self.adapter.page(&self.ask, cursor, answer.clone())?)
    }

    fn record<'r>(&self, raw: &'r str) -> Result<Record<'r>> {
        let mut record = self.adapter.record(raw)?;
        if record.event_id.is_empty() {
            record.event_id = canonical_hash(&self.adapter.stable_content(raw))?.into();
        }
        Ok(record)
    }
}

/// The number of records of each provider, in pages of its own size.
fn feeds(records: usize) -> Result<Vec<Feed>> {
    let (from, to) = (day(0), day(20));
    let genesys = (0..records).map(|number| {
        let mut text = String::new();
        let slots = audits::record(&mut text, number as u64);
        let mut text = text.into_bytes();
        let serving = audits::Serving {
            number: number as u64,
            round: 0,
            every_us: 1_728_000, // as a million over 20 days
        };
        serving.fill(&mut text, slots);
        String::from_utf8_lossy(&text).into_owned()
    });
    let avaya = avaya::Dataset::generate(&avaya::DatasetSpec {
        records,
        from,
        to,
        twin_share: 0.0,
        ..avaya::DatasetSpec::default()
    });
    let liveperson = liveperson::Dataset::generate(&liveperson::DatasetSpec {
        records,
        from,
        to,
        twin_share: 0.0,
        ..liveperson::DatasetSpec::default()
    });
    let everyware = everyware::Dataset::generate(&everyware::DatasetSpec {
        records,
        from,
        to,
        ..everyware::DatasetSpec::default()
    });
    let (ever, utc) = (DateTime::<Utc>::MAX_UTC, chrono_tz::UTC);
    let avaya = avaya.truth(from, to, ever);
    let avaya = avaya.into_iter().map(|truth| truth.raw.to_owned());
    let liveperson = liveperson.truth(from, to, ever, &FIELDS, utc);
    let liveperson = liveperson.into_iter().map(|truth| truth.raw);
    let everyware = everyware.truth(from, to, ever);
    let everyware = everyware.into_iter().map(|truth| truth.raw.to_owned());

    let results = r#"{"results":{"transaction":"t","cursor":null,"redirect":true}}"#;
    Ok(vec![
        Feed {
            cursor: Some(Cursor(results.to_owned())),
            ..feed("genesys_cloud", genesys, 500, |records| {
                format!(r#"{{"id":"t","pageSize":500,"entities":[{records}]}}"#)
            })?
        },
        feed("avaya_axp", avaya, 50, |records| {
            format!(r#"{{"pagination":{{"pageSize":50}},"auditRecords":[{records}]}}"#)
        })?,
        // fewer than requested: the rows of a full page's last second are left to the next page
        feed("liveperson", liveperson, 499, |records| {
            format!(r#"{{"data":{{"auditData":[{records}]}}}}"#)
        })?,
        feed("everyware_cloud", everyware, 5_000, |records| {
            format!(r#"{{"audit":[{records}]}}"#)
        })?,
    ])
}

fn feed(
    name: &'static str,
    raws: impl Iterator<Item = String>,
    page_size: usize,
    body: impl Fn(&str) -> String,
) -> Result<Feed> {
    let adapter = (provider(name).ok_or("no such provider")?.default_adapter)();
    let raws: Vec<String> = raws.collect();
    let answers = raws.chunks(page_size).map(|page| Answer {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: body(&page.join(",")).into(),
    });
    let feed = Feed {
        provider: name,
        ask: PageRequest::new(Stream::new("bench"), range(0, 20)?, day(30)),
        cursor: None,
        answers: answers.collect(),
        raws,
        adapter,
    };
    Ok(feed)
}

/// Days of 2025, counted from 0.
fn range(from: i64, to: i64) -> Result<Range> {
    Ok(Range::new(day(from), day(to)).ok_or("an empty range")?)
}

fn day(number: i64) -> Timestamp {
    let first = i64::try_from(audits::FIRST_MS).unwrap_or_default();
    DateTime::from_timestamp_millis(first).unwrap_or_default() + TimeDelta::days(number)
}
