//! `jobs`: the pulls, and `defaults` for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::connection::NamedConnection;
use super::name::read_key_name;
use crate::cron::CronSchedule;
use crate::model::Timestamp;
use crate::providers::{Adapter, ProviderOptions, StreamSet};
use crate::yaml::keys::{Key, KeyKind};
use crate::yaml::value::{duration, positive_duration, time};
use crate::yaml::{Fields, Position, YamlValue};

/// One connection pulled on one schedule.
#[derive(Debug, Clone)]
pub struct JobConfig {
    /// Its name, which is for people; unique.
    pub name: String,
    /// The name of its log in the lake, which is part of keys and file names and fills the column `job`; unique. By
    /// default its own name.
    pub log: String,
    /// The name of its connection.
    pub connection: String,
    /// The times at which it is due.
    pub schedule: CronSchedule,
    /// The first event time to pull.
    pub start: Timestamp,
    /// The size in which ranges are pulled and committed.
    pub window: TimeDelta,
    /// The lower limit for halving a window; not larger than `window`.
    pub min_window: TimeDelta,
    /// How far behind the current time a first pull stops.
    pub lag: TimeDelta,
    /// The delays after a range's end at which it is read again for late arrivals; ascending.
    pub settle: Vec<TimeDelta>,
    /// The age at which the watermark is stale; longer than `lag`. `None`: an hour after a run was due that would have
    /// moved it.
    pub max_staleness: Option<TimeDelta>,
    /// The provider's adapter with the job's options.
    pub adapter: Arc<dyn Adapter>,
}

const NAME: Key = Key::required(
    "name",
    KeyKind::Text("text"),
    "up to 64 letters, digits, `_`, `.` and `-`, beginning with a letter or digit; unique, and must not end like a file \
     name, `-<uuid>-<number>`",
);
const CONNECTION: Key = Key::required(
    "connection",
    KeyKind::Text("name"),
    "the connection to pull",
);
const OPTIONS: Key = Key::optional(
    "options",
    KeyKind::Mapping,
    "what to pull, in the provider's own terms",
)
.with_default("{}");
const LOG: Key = Key::optional(
    "log",
    KeyKind::Text("text"),
    "the name of the job's log in the lake, with the rules of `name`; unique",
)
.described_default("the job's `name`");

const SCHEDULE: Key = Key::required_once(
    "schedule",
    KeyKind::Text("cron"),
    "when the job runs; see [schedules](#schedules)",
);
const TIMEZONE: Key = Key::optional(
    "timezone",
    KeyKind::Text("IANA name"),
    "the zone in which `schedule` is read; events are always in UTC",
)
.with_default("UTC");
const START: Key = Key::required_once("start", KeyKind::Time, "the first event time to pull");
const WINDOW: Key = Key::optional(
    "window",
    KeyKind::Duration,
    "the size in which ranges are pulled and committed",
)
.with_default("1h");
const MIN_WINDOW: Key = Key::optional(
    "min_window",
    KeyKind::Duration,
    "lower limit for halving a window that is too large; not larger than `window`",
)
.with_default("1m");
const LAG: Key = Key::optional(
    "lag",
    KeyKind::Duration,
    "how far behind now a first pull stops",
)
.with_default("2m");
const SETTLE: Key = Key::optional(
    "settle",
    KeyKind::List(&KeyKind::Duration),
    "delays after a range's end at which it is read again for late arrivals; `[]`: never",
)
.with_default("[1h, 24h]");
const MAX_STALENESS: Key = Key::optional(
    "max_staleness",
    KeyKind::Duration,
    "the age at which `status --check` reports the watermark as stale; longer than `lag`",
)
.described_default("an hour after a run was due that would have moved the watermark");

/// The keys that only a job can set.
pub(super) const OWN_KEYS: &[Key] = &[NAME, CONNECTION, OPTIONS, LOG];

/// The keys that a job or `defaults` can set.
pub(super) const TIMING_KEYS: [Key; 8] = [
    SCHEDULE,
    TIMEZONE,
    START,
    WINDOW,
    MIN_WINDOW,
    LAG,
    SETTLE,
    MAX_STALENESS,
];

/// The values that a job sets itself or takes from `defaults`.
#[derive(Debug, Clone, Default)]
pub(super) struct Timing {
    schedule: Option<CronSchedule>,
    zone: Option<Tz>,
    start: Option<Timestamp>,
    window: Option<TimeDelta>,
    min_window: Option<TimeDelta>,
    lag: Option<TimeDelta>,
    settle: Option<Vec<TimeDelta>>,
    max_staleness: Option<TimeDelta>,
    /// The required keys that are given, including invalid ones.
    given: BTreeSet<&'static str>,
    /// The position of the last given window.
    windows_at: Option<Position>,
    /// The position of the last given `lag` or `max_staleness`.
    staleness_at: Option<Position>,
}

impl Timing {
    fn read(fields: &mut Fields<'_>) -> Self {
        let [
            schedule,
            zone,
            start,
            window,
            min_window,
            lag,
            settle,
            max_staleness,
        ] = TIMING_KEYS.map(|key| fields.get(&key));
        let given = [(SCHEDULE.name, &schedule), (START.name, &start)];
        let windows_at = [&window, &min_window]
            .into_iter()
            .flatten()
            .map(YamlValue::at);
        let staleness_at = [&lag, &max_staleness]
            .into_iter()
            .flatten()
            .map(YamlValue::at);
        Self {
            given: given
                .into_iter()
                .filter_map(|(key, value)| value.as_ref().map(|_| key))
                .collect(),
            windows_at: windows_at.max(),
            staleness_at: staleness_at.max(),
            schedule: schedule.and_then(|value| value.parse(str::parse)),
            zone: zone.and_then(|value| value.parse(read_zone)),
            start: start.and_then(|value| value.parse(time)),
            window: window.and_then(|value| value.parse(positive_duration)),
            min_window: min_window.and_then(|value| value.parse(positive_duration)),
            lag: lag.and_then(|value| value.parse(duration)),
            settle: settle.and_then(|value| value.list()).map(|items| {
                let delays = items
                    .into_iter()
                    .filter_map(|item| item.parse(positive_duration));
                delays
                    .collect::<BTreeSet<TimeDelta>>()
                    .into_iter()
                    .collect()
            }),
            max_staleness: max_staleness.and_then(|value| value.parse(positive_duration)),
        }
    }

    /// Returns these values, with those of `defaults` for absent ones.
    fn or(self, defaults: &Self) -> Self {
        let defaults = defaults.clone();
        Self {
            schedule: self.schedule.or(defaults.schedule),
            zone: self.zone.or(defaults.zone),
            start: self.start.or(defaults.start),
            window: self.window.or(defaults.window),
            min_window: self.min_window.or(defaults.min_window),
            lag: self.lag.or(defaults.lag),
            settle: self.settle.or(defaults.settle),
            max_staleness: self.max_staleness.or(defaults.max_staleness),
            given: &self.given | &defaults.given,
            windows_at: self.windows_at.or(defaults.windows_at),
            staleness_at: self.staleness_at.or(defaults.staleness_at),
        }
    }
}

pub(super) fn defaults(value: &YamlValue<'_>) -> Timing {
    let Some(mut fields) = value.fields("`defaults`") else {
        return Timing::default();
    };
    let timing = Timing::read(&mut fields);
    fields.finish();
    timing
}

/// The names and streams of the previous jobs.
#[derive(Default)]
struct TakenNames {
    /// The names and their positions.
    names: BTreeMap<String, Position>,
    /// The names of their logs and their positions.
    logs: BTreeMap<String, Position>,
    /// Per audit log: the pulled streams and the job's name.
    streams: Vec<(String, StreamSet, String)>,
}

pub(super) fn read_all(
    value: &YamlValue<'_>,
    defaults: &Timing,
    connections: Option<&BTreeMap<String, NamedConnection>>,
) -> Vec<JobConfig> {
    let Some(items) = value.list() else {
        return Vec::new();
    };
    if items.is_empty() {
        value.report("`jobs` is empty; there is nothing to pull");
    }
    let mut taken = TakenNames::default();
    items
        .iter()
        .filter_map(|item| read(item, defaults, connections, &mut taken))
        .collect()
}

fn read(
    item: &YamlValue<'_>,
    defaults: &Timing,
    connections: Option<&BTreeMap<String, NamedConnection>>,
    taken: &mut TakenNames,
) -> Option<JobConfig> {
    let mut fields = item.fields("a job")?;
    let name = fields.get(&NAME);
    let name = name.and_then(|value| read_job_name(&value, &mut taken.names));
    if let Some(name) = &name {
        fields.rename(format!("job `{name}`"));
    }
    let connection = fields.get(&CONNECTION).and_then(|value| {
        let Some(connections) = connections else {
            return value.text().map(|name| (name, None));
        };
        let choices = connections
            .iter()
            .map(|(name, known)| (name.as_str(), (name, known)));
        let (name, known) = value.choose(choices)?;
        Some((name.clone(), Some(known)))
    });
    let timing = Timing::read(&mut fields).or(defaults);
    let options = fields.get(&OPTIONS);
    let log = match fields.get(&LOG) {
        Some(log) => read_log(&log, &mut taken.logs),
        None => name
            .as_ref()
            .and_then(|name| take_log(name, &fields, &mut taken.logs)),
    };
    for key in [SCHEDULE, START] {
        if !timing.given.contains(key.name) {
            fields.lack(&key);
        }
    }
    let window = (timing.window).or_else(|| WINDOW.default_value(positive_duration));
    let least = || MIN_WINDOW.default_value(positive_duration).min(window);
    let min_window = timing.min_window.or_else(least);
    if min_window > window {
        fields.report_at(
            timing.windows_at.unwrap_or(fields.at()),
            format!(
                "`min_window` of {} is larger than its `window`",
                fields.name()
            ),
        );
    }
    let lag = timing.lag.or_else(|| LAG.default_value(duration));
    if timing.max_staleness.is_some() && timing.max_staleness <= lag {
        fields.report_at(
            timing.staleness_at.unwrap_or(fields.at()),
            format!(
                "`max_staleness` of {} is not longer than its `lag`, so it would always be stale",
                fields.name()
            ),
        );
    }
    let known = connection.as_ref().and_then(|(_, known)| *known);
    let options = read_options(&fields, options.as_ref(), known);
    if let (Some(name), Some(known), Some(options)) = (&name, known, &options) {
        claim_streams(&fields, name, known, &options.streams, &mut taken.streams);
    }
    fields.finish();
    let zone = (timing.zone).or_else(|| TIMEZONE.default_value(read_zone));
    let settle = (timing.settle).or_else(|| SETTLE.default_items(positive_duration));
    Some(JobConfig {
        name: name?,
        log: log?,
        connection: connection?.0,
        schedule: timing.schedule?.in_zone(zone?),
        start: timing.start?,
        window: window?,
        min_window: min_window?,
        lag: lag?,
        settle: settle?,
        max_staleness: timing.max_staleness,
        adapter: options?.adapter,
    })
}

/// Reads a job's options with its provider; `None` if the provider isn't known.
fn read_options(
    job: &Fields<'_>,
    options: Option<&YamlValue<'_>>,
    known: Option<&NamedConnection>,
) -> Option<ProviderOptions> {
    let provider = known?.provider?;
    let name = format!("`options` of {}", job.name());
    let mut fields = match options {
        Some(options) => options.fields(name)?,
        None => job.empty(name),
    };
    let options = (provider.options)(&mut fields);
    fields.finish();
    Some(options)
}

/// Reports streams that another job already pulls, because both jobs would land the same events.
fn claim_streams(
    fields: &Fields<'_>,
    name: &str,
    known: &NamedConnection,
    streams: &StreamSet,
    taken: &mut Vec<(String, StreamSet, String)>,
) {
    let Some(connection) = &known.connection else {
        return;
    };
    let identity = &connection.identity;
    for (other_identity, other_streams, other) in taken.iter() {
        if other_identity == identity
            && let Some(shared) = streams.overlap(other_streams)
        {
            fields.report(format!(
                "job `{name}` pulls what job `{other}` pulls already, {shared} of the same account; let each stream be pulled by one job only, whatever the filters"
            ));
        }
    }
    taken.push((identity.clone(), streams.clone(), name.to_owned()));
}

fn read_job_name(value: &YamlValue<'_>, names: &mut BTreeMap<String, Position>) -> Option<String> {
    let name = value.parse(read_key_name)?;
    if let Some(first) = names.get(&name) {
        let line = first.line;
        value.report(format!(
            "the name `{name}` is taken by the job in line {line}; give each job its own"
        ));
        return None;
    }
    names.insert(name.clone(), value.at());
    Some(name)
}

/// Reads the log of a job that sets one.
fn read_log(value: &YamlValue<'_>, logs: &mut BTreeMap<String, Position>) -> Option<String> {
    let log = value.parse(read_key_name)?;
    if let Some(first) = logs.get(&log) {
        let line = first.line;
        value.report(format!(
            "the log `{log}` is that of the job in line {line}; two jobs can't share a log"
        ));
        return None;
    }
    logs.insert(log.clone(), value.at());
    Some(log)
}

/// Returns the log of a job that doesn't set one.
fn take_log(
    name: &str,
    fields: &Fields<'_>,
    logs: &mut BTreeMap<String, Position>,
) -> Option<String> {
    if let Some(first) = logs.get(name) {
        let line = first.line;
        fields.report(format!(
            "job `{name}` has no `log`, and the log `{name}` is that of the job in line {line}; give it a `log` of its own"
        ));
        return None;
    }
    logs.insert(name.to_owned(), fields.at());
    Some(name.to_owned())
}

fn read_zone(text: &str) -> Result<Tz, &'static str> {
    text.parse()
        .map_err(|_| "isn't an IANA time zone; write `UTC` or a name like `Europe/Berlin`")
}
