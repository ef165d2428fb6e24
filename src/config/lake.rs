//! `lake`: the destination of the events.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::lake::options::{self, SettingOrigin, StoreKind, StoreSetting, StoreSettings};
use crate::model::PartitionColumn;
use crate::secret::Secret;
use crate::yaml::keys::{Key, KeyKind, one_of};
use crate::yaml::value::{has_userinfo, size};
use crate::yaml::{Fields, YamlValue};

/// The destination of the events, and the layout of their files.
#[derive(Debug, Clone)]
pub struct LakeConfig {
    /// `s3://bucket/prefix`, `gs://`, `az://`, `file:///absolute`, `file://./relative` or `memory://`, normalised as by
    /// [`super::lake_url`].
    pub url: String,
    /// Settings of the store that override the environment, by the store's own keys.
    pub storage_options: BTreeMap<String, Secret>,
    /// Certificates to trust for the store in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// The columns in a file's path, in its order; at least one of them is a time.
    pub partition_by: Vec<PartitionColumn>,
    /// The total size of a run's open files at which they are committed, in bytes.
    pub target_file_size: u64,
}

const URL: Key = Key::required(
    "url",
    KeyKind::Text("text"),
    "`s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `file:///absolute`, `file://./relative` (to the \
     working directory), `memory://` (lost when the process exits). Without credentials. See [URLs](#urls)",
);
const STORAGE_OPTIONS: Key = Key::optional(
    "storage_options",
    KeyKind::Mapping,
    "store settings that override the environment: the keys of object_store, such as `aws_endpoint` and `aws_region`",
)
.with_default("{}");
const CA_FILE: Key = Key::optional(
    options::CA_FILE,
    KeyKind::Text("path"),
    "certificates (PEM) to trust for the store in addition to the system's; without it `AWS_CA_BUNDLE`, for S3",
);
const PARTITION_BY: Key = Key::optional(
    "partition_by",
    KeyKind::List(&KeyKind::Choice(|| {
        PartitionColumn::ALL.map(PartitionColumn::as_str).to_vec()
    })),
    "the columns in a file's path, in its order. `event_date` or `event_month` is required: without either, \
     de-duplication would read every file of a job",
)
.with_default("[provider, event_date]");
const TARGET_FILE_SIZE: Key = Key::optional(
    "target_file_size",
    KeyKind::Size,
    "total size of a run's open files at which they are committed; 1MiB to 1GiB. Rows waiting to be compressed (up to 16 \
     MiB per file) count uncompressed, so small targets yield much smaller files",
)
.with_default("128MiB");

/// The keys of `lake`.
pub(super) const KEYS: &[Key] = &[
    URL,
    STORAGE_OPTIONS,
    CA_FILE,
    PARTITION_BY,
    TARGET_FILE_SIZE,
];

const LEAST_FILE_SIZE: u64 = 1 << 20;
const MOST_FILE_SIZE: u64 = 1 << 30;

pub(super) fn read(value: &YamlValue<'_>) -> Option<LakeConfig> {
    let mut fields = value.fields("`lake`")?;
    let url = fields.get(&URL).and_then(|url| read_url(&url));
    let storage_options = fields.get(&STORAGE_OPTIONS);
    let ca_file = fields.get(&CA_FILE).and_then(|value| {
        value.parse(|path| options::check(options::CA_FILE, path).map(|()| PathBuf::from(path)))
    });
    let partition_by = fields.get(&PARTITION_BY);
    let target_file_size = fields.get_or_default(&TARGET_FILE_SIZE, read_size);
    let store = url.as_deref().and_then(StoreKind::of);
    let storage_options = match storage_options {
        Some(options) => options.fields("`storage_options`"),
        None => Some(fields.empty("`storage_options`")),
    }
    .map(|options| read_storage_options(&options, store));
    fields.finish();
    let partition_by = match partition_by {
        Some(value) => Some(read_partition_by(&value)),
        None => PARTITION_BY.default_items(one_of(partition_columns())),
    };
    Some(LakeConfig {
        url: url?,
        storage_options: storage_options.unwrap_or_default(),
        ca_file,
        partition_by: partition_by?,
        target_file_size: target_file_size?,
    })
}

fn read_url(value: &YamlValue<'_>) -> Option<String> {
    if has_userinfo(&value.text()?) {
        value.report(
            "the lake's `url` holds a user or a password; give credentials in `storage_options` or the environment",
        );
        return None;
    }
    value.parse(one_form)
}

/// Normalises a URL. The prefix in a bucket is decoded, and a folder's path is kept as written; neither ends in a
/// slash. The error is a predicate of the URL.
pub(super) fn one_form(url: &str) -> Result<String, String> {
    let forms = "write `s3://bucket/prefix`, `gs://…`, `az://…`, `file:///absolute`, `file://./relative` or `memory://`";
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| format!("isn't a URL; {forms}"))?;
    if rest.chars().any(char::is_control) {
        return Err(format!("names no place in a store; {forms}"));
    }
    match scheme {
        "s3" | "gs" | "az" => {
            if rest.starts_with('/') || rest.is_empty() || rest.contains(['?', '#']) {
                return Err(format!("names no place in a store; {forms}"));
            }
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = read_prefix(prefix)?;
            read_bucket(scheme, bucket)?;
            Ok(match prefix.as_str() {
                "" => format!("{scheme}://{bucket}"),
                prefix => format!("{scheme}://{bucket}/{prefix}"),
            })
        }
        "file" => {
            if rest.starts_with('~') {
                return Err(
                    "holds a `~`, which nobody expands here; write the path itself, or `${HOME}`"
                        .to_owned(),
                );
            }
            if !["/", "./", "../"]
                .iter()
                .any(|start| rest.starts_with(start))
                && rest != "."
                && rest != ".."
            {
                return Err(format!("names no place in a store; {forms}"));
            }
            // some readers treat what follows either as part of the path, and others don't
            if rest.contains(['?', '#']) {
                return Err("holds a `?` or `#`, which query engines read differently in a path; name a folder without".to_owned());
            }
            let path = rest.trim_end_matches('/');
            let path = if path.is_empty() { "/" } else { path };
            Ok(format!("file://{path}"))
        }
        "memory" => Ok(url.to_owned()),
        _ => Err(format!("has a scheme that no store has; {forms}")),
    }
}

/// Returns a prefix as it is in the store: percent-encoding is decoded.
fn read_prefix(text: &str) -> Result<String, String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let text = text.strip_suffix('/').unwrap_or(text);
    let decoded = percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| "holds `%` and digits that aren't UTF-8".to_owned())?;
    if text.is_empty() {
        return Ok(String::new());
    }
    for part in decoded.split('/') {
        match part {
            "" => {
                return Err(
                    "holds `//`, an empty part that no key can have; write a single `/`".to_owned(),
                );
            }
            "." | ".." => {
                return Err(format!(
                    "holds the part `{part}`, which stands for itself in a store and for something else everywhere else; \
                     name the prefix itself"
                ));
            }
            _ => {}
        }
    }
    if decoded.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    // these would have to be percent-encoded in a URL, which readers handle differently
    if decoded.contains(['%', '?', '#', '*', '\\']) {
        return Err("holds a `%`, `?`, `#`, `*` or `\\`, which query engines read differently in a path; name a prefix without".to_owned());
    }
    Ok(decoded.into_owned())
}

/// Validates the name of a bucket or container, which becomes part of a host name or path.
fn read_bucket(scheme: &str, name: &str) -> Result<(), String> {
    let what = if scheme == "az" {
        "container"
    } else {
        "bucket"
    };
    let fits = |c: char| match scheme {
        "az" => c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '$'),
        _ => c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'),
    };
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '$');
    if name.chars().all(fits) && ends(name.chars().next()) && ends(name.chars().next_back()) {
        return Ok(());
    }
    let allowed = match scheme {
        "az" => "small letters, digits and `-`",
        _ => "letters, digits, `-`, `_` and `.`",
    };
    Err(format!(
        "names the {what} `{name}`, and no {what} has such a name: it may hold {allowed}; an endpoint belongs in \
         `storage_options`"
    ))
}

/// Returns the options that have a value. Reports those that the store doesn't support or can't read.
fn read_storage_options(
    options: &Fields<'_>,
    store: Option<StoreKind>,
) -> BTreeMap<String, Secret> {
    let mut read = BTreeMap::new();
    let Some(store) = store else {
        // the valid keys depend on the URL
        return read;
    };
    let mut settings = StoreSettings::new();
    let mut places = BTreeMap::new();
    for (key, value) in options.entries() {
        // a URL may be a variable that is sometimes a folder and sometimes a bucket
        let stores: &[StoreKind] = match store {
            StoreKind::Folder | StoreKind::Memory => {
                &[StoreKind::S3, StoreKind::Gcs, StoreKind::Azure]
            }
            _ => &[store],
        };
        let known = |store: &StoreKind| options::canonical(*store, &key.text);
        let Some(canonical) = stores.iter().find_map(known) else {
            let like = stores
                .iter()
                .map(|store| store.examples())
                .collect::<Vec<_>>();
            options.report_at(
                key.at,
                format!(
                    "unknown key `{}` in `storage_options` of a lake at `{}://`; valid are the keys that object_store has \
                     for it, like {}",
                    key.text,
                    store.scheme(),
                    like.join(", ")
                ),
            );
            continue;
        };
        let Some((secret, text)) = read_option(&value, &canonical) else {
            continue;
        };
        let origin = SettingOrigin::Option(key.text.clone());
        if let Some(before) = settings.insert(
            canonical.clone(),
            StoreSetting {
                origin,
                value: text,
            },
        ) {
            options.report_at(
                key.at,
                format!(
                    "{} is the same setting as `{}`; keep one of them",
                    before.origin, key.text
                ),
            );
        }
        places.insert(key.text.clone(), value.at());
        read.insert(key.text.clone(), secret);
    }
    let variable = |name: &str| options.environment(name);
    let environment = options::of_environment(store, &variable);
    if let Err(wrong) = options::settings(store, settings, environment) {
        for unusable in wrong {
            let why = &unusable.why;
            match &unusable.origin {
                SettingOrigin::Option(key) => {
                    // an option that is invalid on its own was reported when it was read
                    if let Some(at) = places.get(key) {
                        options.report_at(*at, format!("`{key}` {why}"));
                    }
                }
                _ => options.report(format!(
                    "{}, which the lake's store reads, {why}",
                    unusable.subject()
                )),
            }
        }
    }
    read
}

/// Returns an option and its current text. A secret is read again when the store is opened, and no message shows it.
fn read_option(value: &YamlValue<'_>, canonical: &str) -> Option<(Secret, String)> {
    if options::is_secret(canonical) {
        let secret = value.secret()?;
        let text = secret.reveal().ok()?; // `secret` has just read it
        if let Err(why) = options::check(canonical, &text) {
            value.report(format!("invalid `{}`: its value {why}", value.key()));
            return None;
        }
        return Some((secret, text));
    }
    let text = value.parse(|text| options::check(canonical, text).map(|()| text.to_owned()))?;
    Some((Secret::text(&text), text))
}

fn partition_columns() -> [(&'static str, PartitionColumn); 6] {
    PartitionColumn::ALL.map(|column| (column.as_str(), column))
}

fn read_partition_by(value: &YamlValue<'_>) -> Vec<PartitionColumn> {
    let mut columns = Vec::new();
    let Some(items) = value.list() else {
        return columns;
    };
    let mut complete = true;
    for item in items {
        let column = item.choose(partition_columns());
        complete &= column.is_some();
        let Some(column) = column else { continue };
        if columns.contains(&column) {
            item.report(format!("`partition_by` names `{}` twice", column.as_str()));
        } else {
            columns.push(column);
        }
    }
    if complete && !columns.iter().any(|column| column.is_time()) {
        value.report(
            "`partition_by` needs event_date or event_month: without either, every file of a job would be read to find out which events the lake already has",
        );
    }
    columns
}

fn read_size(text: &str) -> Result<u64, String> {
    let size = size(text)?;
    if (LEAST_FILE_SIZE..=MOST_FILE_SIZE).contains(&size) {
        Ok(size)
    } else {
        Err("is out of bounds; write a size from `1MiB` to `1GiB`".to_owned())
    }
}
