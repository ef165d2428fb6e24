//! `lake:` where the events go.

use std::collections::BTreeMap;
use std::str::FromStr;

use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;

use crate::model::PartitionColumn;
use crate::secret::Secret;
use crate::yaml::value::{has_userinfo, size};
use crate::yaml::{Fields, Value};

/// Where the events go, and how their files are cut.
#[derive(Debug, Clone)]
pub struct Lake {
    /// `s3://bucket/prefix`, `gs://`, `az://`, `file:///absolute`, `file://./relative` or `memory://`, as given and
    /// expanded.
    pub url: String,
    /// What overrides the environment when the store is opened: the store's own keys.
    pub storage_options: BTreeMap<String, Secret>,
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

pub(super) fn read(value: &Value<'_>) -> Option<Lake> {
    let mut fields = value.fields("`lake`")?;
    let url = fields.required("url").and_then(|url| read_url(&url));
    let storage_options = fields.optional("storage_options");
    let partition_by = fields.optional("partition_by");
    let target_file_size = fields.optional("target_file_size");
    fields.finish();
    let storage_options = storage_options
        .and_then(|options| options.fields("`storage_options`"))
        .map(|options| read_storage_options(&options, url.as_deref()));
    let target_file_size = target_file_size.and_then(|value| value.parse(read_size));
    let partition_by = match partition_by {
        Some(value) => read_partition_by(&value),
        None => PARTITION_BY.to_vec(),
    };
    Some(Lake {
        url: url?,
        storage_options: storage_options.unwrap_or_default(),
        partition_by,
        target_file_size: target_file_size.unwrap_or(TARGET_FILE_SIZE),
    })
}

fn read_url(value: &Value<'_>) -> Option<String> {
    if has_userinfo(&value.text()?) {
        value.report(
            "the lake's `url` holds a user or a password; give credentials in `storage_options` or the environment",
        );
        return None;
    }
    value.parse(|url| {
        let forms = "write `s3://bucket/prefix`, `gs://…`, `az://…`, `file:///absolute`, `file://./relative` or `memory://`";
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| format!("is no URL; {forms}"))?;
        let fits = match scheme {
            "s3" | "gs" | "az" => !rest.starts_with('/') && !rest.is_empty(),
            "file" => ["/", "./", "../"].iter().any(|start| rest.starts_with(start)),
            "memory" => true,
            _ => return Err(format!("has a scheme that no store has; {forms}")),
        };
        if !fits || rest.contains(['?', '#']) || rest.chars().any(char::is_control) {
            return Err(format!("names no place in a store; {forms}"));
        }
        Ok(url.to_owned())
    })
}

/// The options that aren't empty; a key that the store doesn't know is a problem, as it would do nothing.
fn read_storage_options(options: &Fields<'_>, url: Option<&str>) -> BTreeMap<String, Secret> {
    let scheme = url
        .and_then(|url| url.split_once("://"))
        .map(|(scheme, _)| scheme);
    let known = |key: &str| match scheme {
        Some("s3") => AmazonS3ConfigKey::from_str(key).is_ok(),
        Some("gs") => GoogleConfigKey::from_str(key).is_ok(),
        Some("az") => AzureConfigKey::from_str(key).is_ok(),
        _ => true,
    };
    let mut read = BTreeMap::new();
    for (key, value) in options.entries() {
        if !known(&key.text) {
            let scheme = scheme.unwrap_or_default();
            options.report_at(
                key.at,
                format!(
                    "unknown key `{}` in `storage_options` of a lake at `{scheme}://`; valid are the keys that object_store has for it, like {}",
                    key.text,
                    match scheme {
                        "s3" => "aws_endpoint, aws_region, aws_allow_http, aws_access_key_id",
                        "gs" => "google_service_account, google_application_credentials",
                        _ => "azure_storage_account_name, azure_storage_endpoint, azure_allow_http",
                    }
                ),
            );
        } else if let Some(secret) = value.secret() {
            read.insert(key.text.clone(), secret);
        }
    }
    read
}

fn read_partition_by(value: &Value<'_>) -> Vec<PartitionColumn> {
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
