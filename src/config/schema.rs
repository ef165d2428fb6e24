//! The JSON Schema of jobs.yaml: what editors offer and check while one writes. A test holds it to what the readers
//! ask for.

use std::collections::BTreeMap;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::model::PartitionColumn;
use crate::providers::PROVIDERS;
use crate::yaml::shape::{
    DurationText, Flag, RateText, SecretText, SizeText, Text, TimeText, Whole, choices,
};

/// The JSON Schema of jobs.yaml.
///
/// Every object takes keys that begin with `x-`, and no other unknown ones. A connection is checked by its provider;
/// a job's options by all of them, as the schema can't follow the connection's name.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft07()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator();
    let mut schema = File::json_schema(&mut generator).to_value();
    let common = shape::<ConnectionShape>(&mut generator);
    let connections = PROVIDERS.iter().map(|spec| {
        let mut one = (spec.connection_schema)(&mut generator).to_value();
        merge(&mut one, &common);
        one["properties"]["provider"]["const"] = json!(spec.name);
        one
    });
    let connections: Vec<Value> = connections.collect();
    schema["properties"]["connections"]["additionalProperties"] = json!({ "oneOf": connections });
    let options = PROVIDERS
        .iter()
        .map(|spec| (spec.options_schema)(&mut generator).to_value());
    let options: Vec<Value> = options.collect();
    let options_schema = &mut schema["properties"]["jobs"]["items"]["properties"]["options"];
    *options_schema = json!({
        "description": options_schema["description"],
        "anyOf": options,
    });
    let defaults = shape::<TimingShape>(&mut generator);
    merge(&mut schema["properties"]["jobs"]["items"], &defaults);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("auditlake's jobs.yaml");
    close(&mut schema);
    schema
}

fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).to_value()
}

/// Adds the keys of `common`, and which of them are required, to those of `object`.
fn merge(object: &mut Value, common: &Value) {
    if let (Some(Value::Object(keys)), Some(Value::Object(more))) =
        (object.get_mut("properties"), common.get("properties"))
    {
        keys.extend(more.clone());
    }
    let required = [common.get("required"), object.get("required")];
    let required: Vec<Value> = required
        .into_iter()
        .flatten()
        .filter_map(Value::as_array)
        .flatten()
        .cloned()
        .collect();
    if !required.is_empty() {
        object["required"] = Value::Array(required);
    }
}

/// Refuses unknown keys in every object that lists its own, but for those that begin with `x-`; puts descriptions on
/// one line.
fn close(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Object(keys) => {
            keys.values_mut().for_each(close);
            if keys.get("default").is_some_and(Value::is_null) {
                keys.remove("default");
            }
            if let Some(Value::String(text)) = keys.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            if keys.get("properties").is_some_and(Value::is_object)
                || keys
                    .get("additionalProperties")
                    .is_some_and(Value::is_object)
            {
                let extension: Map<String, Value> =
                    [("^x-".to_owned(), json!(true))].into_iter().collect();
                keys.insert("patternProperties".to_owned(), Value::Object(extension));
                keys.entry("additionalProperties").or_insert(json!(false));
            }
        }
        _ => {}
    }
}

/// What auditlake pulls, and where to.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is there for its schema")]
struct File {
    /// Where the events go.
    lake: LakeShape,
    /// The daemon itself.
    server: Option<ServerShape>,
    /// For every job that doesn't say otherwise.
    defaults: Option<TimingShape>,
    /// The accounts, by name.
    connections: BTreeMap<String, ConnectionShape>,
    /// What is pulled.
    #[schemars(length(min = 1))]
    jobs: Vec<JobShape>,
}

/// Where the events go, and how their files are cut.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    clippy::zero_sized_map_values,
    reason = "it is there for its schema"
)]
struct LakeShape {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `file:///absolute`, `file://./relative` or
    /// `memory://`.
    url: Text,
    /// The keys of `object_store` for this store (`aws_endpoint`, `aws_region`, ...); they override the environment.
    #[schemars(extend("default" = {}))]
    storage_options: Option<BTreeMap<String, SecretText>>,
    /// Certificates (PEM) to trust beside the system's, when the store is asked.
    ca_file: Option<Text>,
    /// The columns in the path of a file, in its order; at least one of `event_date`, `event_month`, `event_hour`.
    #[schemars(default, schema_with = "partition_by", extend("default" = ["provider", "event_date"]))]
    partition_by: Option<()>,
    /// How large a file grows, 1MiB to 1GiB.
    #[schemars(extend("default" = "128MiB"))]
    target_file_size: Option<SizeText>,
}

/// The daemon itself.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is there for its schema")]
struct ServerShape {
    /// The address and port where pages, API, `/metrics`, `/healthz` and `/readyz` are answered.
    #[schemars(extend("default" = "127.0.0.1:8080"))]
    listen: Option<Text>,
    /// How many daemons share this file; each takes its share of every rate budget.
    #[schemars(extend("default" = 1))]
    replicas: Option<Whole>,
    /// How long the daemon has to finish its page after SIGTERM.
    #[schemars(extend("default" = "25s"))]
    shutdown_grace: Option<DurationText>,
    /// The names by which the server may be called, beside IP addresses and those of loopback; `*` is any.
    allowed_hosts: Option<Vec<Text>>,
}

/// When and how a job pulls.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is there for its schema")]
struct TimingShape {
    /// A cron expression of 5 or 6 fields (the first of 6 is the second), or @hourly, @daily, @midnight, @weekly,
    /// @monthly, @yearly.
    schedule: Option<Text>,
    /// The IANA time zone in which `schedule` is read.
    #[schemars(extend("default" = "UTC"))]
    timezone: Option<Text>,
    /// The first instant to pull: a UTC date or an RFC 3339 time.
    start: Option<TimeText>,
    /// The size in which ranges are pulled and committed: `90s`, `15m`, `1h`, `1d`, `1h30m`.
    #[schemars(extend("default" = "1h"))]
    window: Option<DurationText>,
    /// The least to which a window that proves too large is halved.
    #[schemars(extend("default" = "1m"))]
    min_window: Option<DurationText>,
    /// How far behind now a first pull stops.
    #[schemars(extend("default" = "2m"))]
    lag: Option<DurationText>,
    /// How long after its end a range is read again for late arrivals. None means never.
    #[schemars(extend("default" = ["1h", "24h"]))]
    settle: Option<Vec<DurationText>>,
    /// How old the watermark may get before `status --check` calls the job stale; longer than `lag`. Default: an hour
    /// after a run was due that would have moved it.
    max_staleness: Option<DurationText>,
}

/// One connection pulled on one schedule. `schedule` and `start` are required here or in `defaults`.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    clippy::zero_sized_map_values,
    reason = "it is there for its schema"
)]
struct JobShape {
    /// Its name: up to 64 letters, digits, `_`, `.` and `-`.
    name: Text,
    /// The name of its log in the lake, which keys, files and the column `job` carry, so that `name` may change. Default:
    /// the job's name.
    log: Option<Text>,
    /// The name of the connection that it pulls.
    connection: Text,
    /// What to pull, in the provider's own words.
    options: Option<BTreeMap<String, Text>>,
}

/// One account on one provider: the keys that all providers share.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is there for its schema")]
struct ConnectionShape {
    /// The kind of API.
    provider: Text,
    /// What the column `account_id` shows. Default: the provider's own id of the account, else the connection's name.
    account_id: Option<Text>,
    /// How often the provider may be called, by all replicas together: `300/min`, `10/s`, `5000/h`. Default: what the
    /// provider grants.
    rate_limit: Option<RateText>,
    /// The proxy that all calls go through.
    proxy: Option<SecretText>,
    /// A PEM file of certificates to trust beside the usual ones.
    ca_file: Option<Text>,
    /// Whether the provider's hosts may be called without TLS. For tests only.
    #[schemars(extend("default" = false))]
    allow_http: Option<Flag>,
    /// Host suffixes that credentials may go to, beyond the provider's own.
    #[schemars(extend("default" = []))]
    allowed_hosts: Option<Vec<Text>>,
}

fn partition_by(_: &mut SchemaGenerator) -> schemars::Schema {
    choices(PartitionColumn::ALL.map(PartitionColumn::as_str))
}
