//! `lake:` where the events go.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::lake::options::{self, SettingOrigin, StoreKind, StoreSetting, StoreSettings};
use crate::model::PartitionColumn;
use crate::secret::Secret;
use crate::yaml::value::{has_userinfo, size};
use crate::yaml::{Fields, YamlValue};

/// Where the events go, and how their files are cut.
#[derive(Debug, Clone)]
pub struct LakeConfig {
    /// `s3://bucket/prefix`, `gs://`, `az://`, `file:///absolute`, `file://./relative` or `memory://`, in the one form
    /// in which it is shown.
    pub url: String,
    /// What overrides the environment when the store is opened: the store's own keys.
    pub storage_options: BTreeMap<String, Secret>,
    /// Certificates to trust beside the system's, when the store is asked.
    pub ca_file: Option<PathBuf>,
    /// The columns in the path, in its order; at least one of them tells the time.
    pub partition_by: Vec<PartitionColumn>,
    /// How large a file grows, in bytes.
    pub target_file_size: u64,
}

/// How the files are parted unless the file says otherwise.
const PARTITION_BY: [PartitionColumn; 2] = [PartitionColumn::Provider, PartitionColumn::EventDate];
const TARGET_FILE_SIZE: u64 = 128 << 20;
const LEAST_FILE_SIZE: u64 = 1 << 20;
const MOST_FILE_SIZE: u64 = 1 << 30;

pub(super) fn read(value: &YamlValue<'_>) -> Option<LakeConfig> {
    let mut fields = value.fields("`lake`")?;
    let url = fields.required("url").and_then(|url| read_url(&url));
    let storage_options = fields.optional("storage_options");
    let ca_file = fields.optional("ca_file").and_then(|value| {
        value.parse(|path| options::check(options::CA_FILE, path).map(|()| PathBuf::from(path)))
    });
    let partition_by = fields.optional("partition_by");
    let target_file_size = fields.optional("target_file_size");
    let store = url.as_deref().and_then(StoreKind::of);
    let storage_options = match storage_options {
        Some(options) => options.fields("`storage_options`"),
        None => Some(fields.empty("`storage_options`")),
    }
    .map(|options| read_storage_options(&options, store));
    fields.finish();
    let target_file_size = target_file_size.and_then(|value| value.parse(read_size));
    let partition_by = match partition_by {
        Some(value) => read_partition_by(&value),
        None => PARTITION_BY.to_vec(),
    };
    Some(LakeConfig {
        url: url?,
        storage_options: storage_options.unwrap_or_default(),
        ca_file,
        partition_by,
        target_file_size: target_file_size.unwrap_or(TARGET_FILE_SIZE),
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

/// The URL in the one form in which it is shown everywhere: a cloud's with the keys' prefix as it is in the store, a
/// folder's as it was written; neither ends in a slash.
pub(super) fn one_form(url: &str) -> Result<String, String> {
    let forms = "write `s3://bucket/prefix`, `gs://…`, `az://…`, `file:///absolute`, `file://./relative` or `memory://`";
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| format!("is no URL; {forms}"))?;
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
            // what is behind either would be no part of a URL's path for some readers, and is for others
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

/// A prefix as it is in the store: `%20` and the like decoded, as a URL has them.
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
    // what would have to be written as `%25` would be read differently by whoever is shown it
    if decoded.contains(['%', '?', '#', '*', '\\']) {
        return Err("holds a `%`, `?`, `#`, `*` or `\\`, which query engines read differently in a path; name a prefix without".to_owned());
    }
    Ok(decoded.into_owned())
}

/// A bucket's or container's name: it stands in the name of a host, or in a path.
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

/// The options that aren't empty, each of which the store knows and can read.
fn read_storage_options(
    options: &Fields<'_>,
    store: Option<StoreKind>,
) -> BTreeMap<String, Secret> {
    let mut read = BTreeMap::new();
    let Some(store) = store else {
        // which keys are valid is known with a valid URL only
        return read;
    };
    let mut settings = StoreSettings::new();
    let mut places = BTreeMap::new();
    for (key, value) in options.entries() {
        // a URL that is a variable may name a folder today and a bucket tomorrow
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
                    // by itself it was reported where it was read
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

/// An option, and its text now. A secret is read again when the store is opened, and no message shows it.
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

fn read_partition_by(value: &YamlValue<'_>) -> Vec<PartitionColumn> {
    let mut columns = Vec::new();
    let Some(items) = value.list() else {
        return columns;
    };
    let mut complete = true;
    for item in items {
        let column = item.choose(PartitionColumn::ALL.map(|column| (column.as_str(), column)));
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
