//! A store's settings: its keys and environment variables, and the validation of their values.
//!
//! Pure functions. Every setting is checked before it is passed to a library, as `object_store` ignores some invalid
//! values and panics on others.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;
use url::Url;

use super::azure;

/// The kind of a lake's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// Amazon S3 and compatible stores.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
    /// A folder of this machine.
    Folder,
    /// The memory of this process.
    Memory,
}

impl StoreKind {
    /// Returns the kind of store of a lake's URL.
    pub fn of(url: &str) -> Option<Self> {
        match url.split_once("://")?.0 {
            "s3" => Some(Self::S3),
            "gs" => Some(Self::Gcs),
            "az" => Some(Self::Azure),
            "file" => Some(Self::Folder),
            "memory" => Some(Self::Memory),
            _ => None,
        }
    }

    /// Returns the prefixes of its environment variables, in lower case.
    fn prefix(self) -> Option<&'static str> {
        match self {
            Self::S3 => Some("aws_"),
            Self::Gcs => Some("google_"),
            Self::Azure => Some("azure_"),
            Self::Folder | Self::Memory => None,
        }
    }

    /// Returns the prefix of its URLs.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
            Self::Folder => "file",
            Self::Memory => "memory",
        }
    }

    /// Returns example keys for messages.
    pub fn examples(self) -> &'static str {
        match self {
            Self::S3 => "aws_endpoint, aws_region, aws_allow_http, aws_access_key_id",
            Self::Gcs => "google_service_account, google_application_credentials",
            Self::Azure => "azure_storage_account_name, azure_storage_endpoint, azure_allow_http",
            Self::Folder | Self::Memory => "none",
        }
    }
}

/// The region of an S3 bucket.
pub(super) const REGION: &str = "aws_region";
/// The endpoint of an S3-compatible store.
pub(super) const S3_ENDPOINT: &str = "aws_endpoint";
const ACCESS_KEY_ID: &str = "aws_access_key_id";
const SECRET_ACCESS_KEY: &str = "aws_secret_access_key";
const SESSION_TOKEN: &str = "aws_session_token";
/// The profile of the AWS tools' files.
pub(super) const PROFILE: &str = "aws_profile";
/// The AWS tools' files.
pub(super) const CREDENTIALS_FILE: &str = "aws_shared_credentials_file";
/// The AWS tools' files.
pub(super) const CONFIG_FILE: &str = "aws_config_file";
/// Certificates to trust in addition to the system's.
pub const CA_FILE: &str = "ca_file";
/// The connection string from Azure's portal.
pub(super) const CONNECTION_STRING: &str = "azure_storage_connection_string";

/// The keys of the clouds' own tools that `object_store` doesn't know, with their canonical keys.
const OWN: [(StoreKind, &str, &str); 11] = [
    (StoreKind::S3, "aws_ca_bundle", CA_FILE),
    (StoreKind::S3, "aws_profile", PROFILE),
    (
        StoreKind::S3,
        "aws_shared_credentials_file",
        CREDENTIALS_FILE,
    ),
    (StoreKind::S3, "aws_config_file", CONFIG_FILE),
    (
        StoreKind::Azure,
        "azure_storage_connection_string",
        CONNECTION_STRING,
    ),
    (StoreKind::Azure, "connection_string", CONNECTION_STRING),
    (
        StoreKind::Azure,
        "azure_storage_account",
        "azure_storage_account_name",
    ),
    (
        StoreKind::Azure,
        "azure_storage_key",
        "azure_storage_account_key",
    ),
    (
        StoreKind::Azure,
        "azure_storage_service_endpoint",
        "azure_storage_endpoint",
    ),
    (
        StoreKind::Azure,
        "azure_storage_blob_endpoint",
        "azure_storage_endpoint",
    ),
    (
        StoreKind::Gcs,
        "google_cloud_storage_endpoint",
        "google_base_url",
    ),
];

/// Additional keys for environment variables.
const ALIASES: [&str; 22] = [
    "aws_default_region",
    "aws_endpoint_url",
    "aws_endpoint_url_s3",
    "aws_token",
    "azure_storage_access_key",
    "azure_storage_master_key",
    "azure_storage_sas_token",
    "azure_client_id",
    "azure_client_secret",
    "azure_tenant_id",
    "azure_storage_authority_id",
    "azure_authority_id",
    "azure_authority_host",
    "azure_endpoint",
    "azure_identity_endpoint",
    "azure_allow_http",
    "aws_allow_http",
    "google_allow_http",
    "google_service_account_path",
    "google_bucket_name",
    "aws_bucket_name",
    "aws_endpoint",
];

/// The form of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueForm {
    Flag,
    Length,
    Count,
    FrameSize,
    /// `http://` or `https://`, a host, and optionally a path.
    Url,
    Proxy,
    /// A credential, which is never shown and has to be valid in an HTTP header.
    Credential,
    /// A credential in base64 that decodes to this number of bytes, or to any.
    Base64(Option<usize>),
    /// A service account's JSON.
    AccountJson,
    ConnectionString,
    /// Text that becomes a header.
    Header,
    /// A part of a host name.
    Name,
    /// A local path to certificates in PEM.
    CaFile,
    /// A local path to Google's JSON of one of these types.
    AccountFile(&'static [&'static str]),
    /// A local path to a file that may be created later.
    Path,
    /// A path on a host.
    UrlPath,
    Pem,
    Choice(&'static [&'static str]),
    ConditionalPut,
    CopyIfNotExists,
    /// A key that is part of the lake's URL.
    InUrl,
    Text,
}

impl ValueForm {
    fn is_secret(self) -> bool {
        matches!(
            self,
            Self::Credential
                | Self::Base64(_)
                | Self::AccountJson
                | Self::ConnectionString
                | Self::Proxy
        )
    }
}

/// Returns the canonical name of a key in any case; `None` if the store doesn't know it.
pub fn canonical(store: StoreKind, key: &str) -> Option<String> {
    let key = key.to_ascii_lowercase();
    let own = OWN.iter().find(|(of, own, _)| *of == store && *own == key);
    if let Some((_, _, means)) = own {
        return Some((*means).to_owned());
    }
    Some(match store {
        StoreKind::S3 => match AmazonS3ConfigKey::from_str(&key).ok()? {
            AmazonS3ConfigKey::DefaultRegion => REGION.to_owned(),
            AmazonS3ConfigKey::S3Endpoint => S3_ENDPOINT.to_owned(),
            key => key.as_ref().to_owned(),
        },
        StoreKind::Gcs => GoogleConfigKey::from_str(&key).ok()?.as_ref().to_owned(),
        StoreKind::Azure => AzureConfigKey::from_str(&key).ok()?.as_ref().to_owned(),
        StoreKind::Folder | StoreKind::Memory => return None,
    })
}

/// Returns whether the value of this canonical key is a secret.
pub fn is_secret(key: &str) -> bool {
    form(key).is_secret()
}

/// Returns the form of a canonical key. The keys of all stores and of the HTTP client differ.
fn form(key: &str) -> ValueForm {
    match key {
        "allow_http"
        | "allow_invalid_certificates"
        | "disable_system_certificates"
        | "http1_only"
        | "http2_only"
        | "http2_keep_alive_while_idle"
        | "randomize_addresses"
        | "aws_imdsv1_fallback"
        | "aws_virtual_hosted_style_request"
        | "aws_s3_express"
        | "aws_unsigned_payload"
        | "aws_skip_signature"
        | "aws_disable_tagging"
        | "aws_disable_bulk_delete"
        | "aws_request_payer"
        | "aws_sse_bucket_key_enabled"
        | "azure_storage_use_emulator"
        | "azure_use_fabric_endpoint"
        | "azure_use_azure_cli"
        | "azure_skip_signature"
        | "azure_disable_tagging"
        | "google_skip_signature" => ValueForm::Flag,
        "connect_timeout"
        | "timeout"
        | "read_timeout"
        | "pool_idle_timeout"
        | "http2_keep_alive_interval"
        | "http2_keep_alive_timeout" => ValueForm::Length,
        "pool_max_idle_per_host" => ValueForm::Count,
        "http2_max_frame_size" => ValueForm::FrameSize,
        "proxy_url" => ValueForm::Proxy,
        "proxy_ca_certificate" => ValueForm::Pem,
        "default_content_type" | "user_agent" | "aws_sse_kms_key_id" => ValueForm::Header,
        ACCESS_KEY_ID
        | SECRET_ACCESS_KEY
        | SESSION_TOKEN
        | "azure_storage_client_secret"
        | "azure_storage_sas_key"
        | "azure_storage_token"
        | "azure_fabric_session_token"
        | "google_bearer_token" => ValueForm::Credential,
        "azure_storage_account_key" => ValueForm::Base64(None),
        "aws_sse_customer_key_base64" | "azure_storage_encryption_key" => {
            ValueForm::Base64(Some(32))
        }
        "google_service_account_key" => ValueForm::AccountJson,
        CONNECTION_STRING => ValueForm::ConnectionString,
        REGION
        | "azure_storage_account_name"
        | "azure_storage_client_id"
        | "azure_storage_tenant_id"
        | "azure_object_id" => ValueForm::Name,
        S3_ENDPOINT
        | "aws_metadata_endpoint"
        | "aws_endpoint_url_sts"
        | "aws_container_credentials_full_uri"
        | "azure_storage_authority_host"
        | "azure_storage_endpoint"
        | "azure_msi_endpoint"
        | "azure_fabric_token_service_url"
        | "google_base_url" => ValueForm::Url,
        "aws_container_credentials_relative_uri" => ValueForm::UrlPath,
        CA_FILE => ValueForm::CaFile,
        "google_service_account" => ValueForm::AccountFile(&["service_account"]),
        "google_application_credentials" => {
            ValueForm::AccountFile(&["service_account", "authorized_user"])
        }
        "aws_container_authorization_token_file"
        | "aws_web_identity_token_file"
        | "azure_federated_token_file"
        | CREDENTIALS_FILE
        | CONFIG_FILE => ValueForm::Path,
        "aws_checksum_algorithm" => ValueForm::Choice(&["sha256", "crc64nvme"]),
        "aws_server_side_encryption" => {
            ValueForm::Choice(&["AES256", "aws:kms", "aws:kms:dsse", "sse-c"])
        }
        "azure_credential_type" => ValueForm::Choice(&[
            "auto",
            "bearer_token",
            "access_key",
            "client_secret",
            "workload_identity",
            "sas_token",
            "azure_cli",
            "managed_identity",
        ]),
        "aws_conditional_put" => ValueForm::ConditionalPut,
        "aws_copy_if_not_exists" => ValueForm::CopyIfNotExists,
        "aws_bucket" | "google_bucket" | "azure_container_name" => ValueForm::InUrl,
        _ => ValueForm::Text,
    }
}

/// Validates the value of a canonical key. The error is a predicate: it begins with a verb whose subject is the value,
/// which it doesn't contain.
pub fn check(key: &str, value: &str) -> Result<(), String> {
    let or = |fits: bool, else_: &str| if fits { Ok(()) } else { Err(else_.to_owned()) };
    if value.contains('\0') {
        return Err("holds a NUL character".to_owned());
    }
    match form(key) {
        ValueForm::Flag => or(flag(value).is_some(), "is neither `true` nor `false`"),
        ValueForm::Length => match length(value) {
            None => Err("is not a duration; write a number and its unit, like `30s`, `500ms` or `2m`".to_owned()),
            Some(Duration::ZERO) => Err("is zero, so every request would fail; write at least `1ms`".to_owned()),
            Some(_) => Ok(()),
        },
        ValueForm::Count => or(value.parse::<usize>().is_ok(), "is not a whole number"),
        ValueForm::FrameSize => or(
            value.parse().is_ok_and(|size: u32| (16_384..1 << 24).contains(&size)),
            "is not a whole number from 16384 to 16777215",
        ),
        ValueForm::Url => url(value),
        ValueForm::Proxy => proxy(value),
        ValueForm::Credential | ValueForm::Header => in_header(value),
        ValueForm::Base64(length) => in_header(value).and_then(|()| base64(value, length)),
        ValueForm::AccountJson => account_json(value),
        ValueForm::ConnectionString => connection_string(value).map(drop),
        ValueForm::Name => {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            in_header(value)?;
            or(
                value.chars().all(fits),
                "is not a name; it may hold letters, digits, `-`, `_` and `.`",
            )
        }
        ValueForm::CaFile => match std::fs::read(value) {
            Err(error) => Err(format!("can't be read: {}", file_problem(&error))),
            Ok(pem) => crate::tls::certificates(&pem).map(drop),
        },
        ValueForm::AccountFile(types) => account_file(value, types),
        ValueForm::Path => or(!value.trim().is_empty(), "is not a path"),
        ValueForm::UrlPath => or(
            value.starts_with('/') && value.parse::<http::Uri>().is_ok(),
            "is not the path of a URL; it begins with `/`",
        ),
        ValueForm::Pem => or(
            value.contains("-----BEGIN CERTIFICATE-----")
                && reqwest::Certificate::from_pem_bundle(value.as_bytes())
                    .is_ok_and(|found| !found.is_empty()),
            "is not a certificate in PEM",
        ),
        ValueForm::Choice(choices) => or(
            choices.iter().any(|choice| {
                *choice == value || (key == "aws_checksum_algorithm" && choice.eq_ignore_ascii_case(value))
            }),
            &format!("isn't known; valid: {}", choices.join(", ")),
        ),
        ValueForm::ConditionalPut => match value.trim() {
            "etag" => Ok(()),
            "disabled" => Err(
                "would land rows twice, as exactly-once rests on conditional writes; leave the key out, and use a store \
                 that has them"
                    .to_owned(),
            ),
            _ => Err("isn't known; valid: etag".to_owned()),
        },
        ValueForm::CopyIfNotExists => copy_if_not_exists(value),
        ValueForm::InUrl => or(
            false,
            "isn't read: the lake's `url` names the bucket or container; leave the key out",
        ),
        ValueForm::Text => or(
            !value.chars().any(char::is_control),
            "holds a control character, like a line break",
        ),
    }
}

/// Parses a connection string of Azure into settings by canonical key. The error is a predicate.
fn connection_string(text: &str) -> Result<Vec<(&'static str, String)>, String> {
    let settings = azure::from_connection_string(text)?;
    for (key, value) in &settings {
        check(key, value).map_err(|why| match form(key) {
            ValueForm::Credential | ValueForm::Base64(_) => why,
            _ => azure::FORM.to_owned(),
        })?;
    }
    Ok(settings)
}

/// Parses a flag like `object_store`.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" | "y" => Some(true),
        "0" | "false" | "off" | "no" | "n" => Some(false),
        _ => None,
    }
}

/// Parses a sum of numbers with units, such as `30s`, `1m 30s`, `500ms` or `2 minutes`, like `object_store`.
pub(super) fn length(text: &str) -> Option<Duration> {
    let mut whole = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u32 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let unit = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit_length = match &rest[..unit] {
            "ns" | "nsec" | "nanos" => Duration::from_nanos(1),
            "us" | "usec" | "micros" => Duration::from_micros(1),
            "ms" | "msec" | "millis" => Duration::from_millis(1),
            "s" | "sec" | "secs" | "second" | "seconds" => Duration::from_secs(1),
            "m" | "min" | "mins" | "minute" | "minutes" => Duration::from_mins(1),
            "h" | "hr" | "hrs" | "hour" | "hours" => Duration::from_hours(1),
            "d" | "day" | "days" => Duration::from_hours(24),
            _ => return None,
        };
        whole = whole.checked_add(unit_length.checked_mul(number)?)?;
        rest = rest[unit..].trim_start();
    }
    (whole <= Duration::from_hours(24 * 365)).then_some(whole)
}

/// Validates a text for an HTTP header.
fn in_header(text: &str) -> Result<(), String> {
    let problem = if text.ends_with(['\n', '\r']) {
        "ends with a line break"
    } else if text.contains(['\n', '\r']) {
        "holds a line break"
    } else if text.chars().any(|c| c.is_ascii_control()) {
        "holds a control character"
    } else if !text.is_ascii() {
        "holds a character that isn't ASCII"
    } else if text.trim() != text {
        "begins or ends with a space"
    } else {
        return Ok(());
    };
    Err(format!("{problem}, which can't stand in an HTTP header"))
}

fn url(text: &str) -> Result<(), String> {
    let parsed = Url::parse(text).ok();
    // some stores' clients parse it with a different, stricter library
    let fits = parsed.as_ref().is_some_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && text.parse::<http::Uri>().is_ok()
    });
    if !fits {
        return Err(
            "is not a URL; write `https://host`, with a port or a path if there is one".to_owned(),
        );
    }
    if parsed.is_some_and(|url| !url.username().is_empty() || url.password().is_some()) {
        return Err("holds a user or a password; credentials have keys of their own".to_owned());
    }
    Ok(())
}

fn proxy(text: &str) -> Result<(), String> {
    let form = "is not the URL of a proxy; write `http://host:port`";
    let url = Url::parse(text).map_err(|_| form.to_owned())?;
    if !matches!(url.scheme(), "http" | "https")
        || !url.has_host()
        || reqwest::Proxy::all(text).is_err()
    {
        return Err(form.to_owned());
    }
    Ok(())
}

fn base64(text: &str, length: Option<usize>) -> Result<(), String> {
    let Ok(bytes) = BASE64_STANDARD.decode(text) else {
        return Err("is not base64".to_owned());
    };
    match length {
        Some(length) if length != bytes.len() => {
            Err(format!("has {} bytes in base64, not {length}", bytes.len()))
        }
        _ => Ok(()),
    }
}

fn account_json(text: &str) -> Result<(), String> {
    let form = "is not a service account's JSON, which has `client_email` and `private_key`; the path of a file belongs \
                in `google_service_account`";
    let Ok(serde_json::Value::Object(members)) = serde_json::from_str(text) else {
        return Err(form.to_owned());
    };
    let has = |key| members.get(key).is_some_and(serde_json::Value::is_string);
    if has("client_email") && has("private_key") {
        Ok(())
    } else {
        Err(form.to_owned())
    }
}

fn account_file(path: &str, types: &[&str]) -> Result<(), String> {
    let bytes =
        std::fs::read(path).map_err(|error| format!("can't be read: {}", file_problem(&error)))?;
    let Ok(serde_json::Value::Object(members)) = serde_json::from_slice(&bytes) else {
        return Err("is not the JSON of a Google account".to_owned());
    };
    match members.get("type").and_then(serde_json::Value::as_str) {
        Some(kind) if !types.contains(&kind) => Err(format!(
            "holds credentials of the type `{}`, which isn't supported: give those of a service account, or a token in \
             `google_bearer_token`",
            kind.chars()
                .take(40)
                .flat_map(char::escape_debug)
                .collect::<String>()
        )),
        // those of emulators have no type
        _ => Ok(()),
    }
}

fn copy_if_not_exists(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split(':').map(str::trim).collect();
    let is_header = |name: &str, value: &str| {
        http::HeaderName::from_str(name).is_ok() && http::HeaderValue::from_str(value).is_ok()
    };
    let fits = match parts.as_slice() {
        ["multipart"] => true,
        ["header", name, value] => is_header(name, value),
        ["header-with-status", name, value, status] => {
            is_header(name, value) && http::StatusCode::from_str(status).is_ok()
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err("isn't known; write `multipart`, `header:NAME:VALUE` or `header-with-status:NAME:VALUE:STATUS`".to_owned())
}

fn file_problem(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// The origin of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingOrigin {
    /// A key in `storage_options`.
    Option(String),
    /// An environment variable.
    Variable(String),
    /// A part of another setting, or a file of the cloud's own tools.
    Part(String),
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(key) => write!(f, "`{key}` in `storage_options`"),
            Self::Variable(name) => write!(f, "the environment variable `{name}`"),
            Self::Part(of) => f.write_str(of),
        }
    }
}

/// A value with its origin.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreSetting {
    /// The origin.
    pub origin: SettingOrigin,
    /// The value; possibly a secret.
    pub value: String,
}

impl fmt::Debug for StoreSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreSetting({})", self.origin)
    }
}

/// All settings of a store, by canonical key.
pub type StoreSettings = BTreeMap<String, StoreSetting>;

/// An unusable setting. Its text contains no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The affected setting.
    pub origin: SettingOrigin,
    /// Its value, if that isn't a secret.
    pub shown: Option<String>,
    /// The problem as a predicate.
    pub why: String,
}

impl Unusable {
    fn new(key: &str, setting: &StoreSetting, why: String) -> Self {
        let may_be_shown =
            !is_secret(key) && !matches!(form(key), ValueForm::Url | ValueForm::Text);
        let shown: String = setting
            .value
            .chars()
            .take(120)
            .flat_map(char::escape_debug)
            .collect();
        Self {
            origin: setting.origin.clone(),
            shown: may_be_shown.then_some(shown),
            why,
        }
    }

    /// Returns the affected setting, with its value if that may be shown.
    pub fn subject(&self) -> String {
        match &self.shown {
            Some(shown) => format!("{} (`{shown}`)", self.origin),
            None => self.origin.to_string(),
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.subject(), self.why)
    }
}

/// Returns the environment variables that the store reads, each with its canonical key. Of several with the same key,
/// the last takes precedence.
fn variables(store: StoreKind) -> Vec<(String, String)> {
    let Some(prefix) = store.prefix() else {
        return Vec::new();
    };
    let mut names: Vec<String> = OWN
        .iter()
        .filter(|(of, name, _)| *of == store && name.starts_with(prefix))
        .map(|(_, name, _)| (*name).to_owned())
        .collect();
    names.extend(
        ALIASES
            .iter()
            .filter(|name| name.starts_with(prefix))
            .map(|name| (*name).to_owned()),
    );
    for key in CANONICAL {
        if key.starts_with(prefix) {
            names.push(key.to_owned());
        }
    }
    names.extend(CLIENT.iter().map(|key| format!("{prefix}{key}")));
    let mut known: Vec<(String, String)> = names
        .into_iter()
        .filter_map(|name| Some((name.to_ascii_uppercase(), canonical(store, &name)?)))
        .filter(|(_, key)| form(key) != ValueForm::InUrl) // the lake's URL takes precedence
        .collect();
    // the more specific one takes precedence
    known.sort_by_key(|(name, _)| match name.as_str() {
        "AWS_DEFAULT_REGION" | "AWS_ENDPOINT" => 0,
        "AWS_ENDPOINT_URL_S3" => 2,
        _ => 1,
    });
    known.dedup();
    if store == StoreKind::Gcs {
        known.push((
            "SERVICE_ACCOUNT".to_owned(),
            "google_service_account".to_owned(),
        ));
        known.push((
            "STORAGE_EMULATOR_HOST".to_owned(),
            "google_base_url".to_owned(),
        ));
    }
    if store == StoreKind::S3 {
        known.insert(0, ("AWS_DEFAULT_PROFILE".to_owned(), PROFILE.to_owned()));
    }
    if store == StoreKind::Azure {
        known.push((
            "IDENTITY_ENDPOINT".to_owned(),
            "azure_msi_endpoint".to_owned(),
        ));
    }
    known
}

/// Returns the HTTP client's keys.
const CLIENT: [&str; 20] = [
    "allow_http",
    "allow_invalid_certificates",
    "disable_system_certificates",
    "connect_timeout",
    "default_content_type",
    "http1_only",
    "http2_only",
    "http2_keep_alive_interval",
    "http2_keep_alive_timeout",
    "http2_keep_alive_while_idle",
    "http2_max_frame_size",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "proxy_url",
    "proxy_ca_certificate",
    "proxy_excludes",
    "randomize_addresses",
    "read_timeout",
    "timeout",
    "user_agent",
];

/// Returns the stores' own canonical keys.
const CANONICAL: [&str; 60] = [
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    REGION,
    SESSION_TOKEN,
    "aws_imdsv1_fallback",
    "aws_virtual_hosted_style_request",
    "aws_s3_express",
    "aws_metadata_endpoint",
    "aws_unsigned_payload",
    "aws_checksum_algorithm",
    "aws_container_credentials_relative_uri",
    "aws_container_credentials_full_uri",
    "aws_container_authorization_token_file",
    "aws_web_identity_token_file",
    "aws_role_arn",
    "aws_role_session_name",
    "aws_endpoint_url_sts",
    "aws_skip_signature",
    "aws_copy_if_not_exists",
    "aws_conditional_put",
    "aws_disable_tagging",
    "aws_disable_bulk_delete",
    "aws_request_payer",
    "aws_server_side_encryption",
    "aws_sse_kms_key_id",
    "aws_sse_bucket_key_enabled",
    "aws_sse_customer_key_base64",
    "aws_bucket",
    "google_service_account",
    "google_service_account_key",
    "google_base_url",
    "google_application_credentials",
    "google_bearer_token",
    "google_skip_signature",
    "google_bucket",
    "azure_storage_account_name",
    "azure_storage_account_key",
    "azure_storage_client_id",
    "azure_storage_client_secret",
    "azure_storage_tenant_id",
    "azure_storage_authority_host",
    "azure_storage_sas_key",
    "azure_storage_token",
    "azure_storage_use_emulator",
    "azure_use_fabric_endpoint",
    "azure_storage_endpoint",
    "azure_msi_endpoint",
    "azure_object_id",
    "azure_msi_resource_id",
    "azure_federated_token_file",
    "azure_use_azure_cli",
    "azure_skip_signature",
    "azure_container_name",
    "azure_disable_tagging",
    "azure_fabric_token_service_url",
    "azure_fabric_workload_host",
    "azure_fabric_session_token",
    "azure_fabric_cluster_identifier",
    "azure_credential_type",
    "azure_storage_encryption_key",
];

/// Returns the store's settings in the environment; empty variables count as unset.
pub fn of_environment(
    store: StoreKind,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Vec<(String, StoreSetting)> {
    let set = |(name, key): (String, String)| {
        let value = variable(&name).filter(|value| !value.is_empty())?;
        let value = match name.as_str() {
            // the emulator's tools omit the scheme
            "STORAGE_EMULATOR_HOST" if !value.contains("://") => format!("http://{value}"),
            _ => value,
        };
        Some((
            key,
            StoreSetting {
                origin: SettingOrigin::Variable(name),
                value,
            },
        ))
    };
    variables(store).into_iter().filter_map(set).collect()
}

/// Returns the store's settings: those of the environment, overridden by `options` (by canonical key). All values are
/// checked, and the error lists all problems.
pub fn settings(
    store: StoreKind,
    options: StoreSettings,
    environment: Vec<(String, StoreSetting)>,
) -> Result<StoreSettings, Vec<Unusable>> {
    let mut all: StoreSettings = environment.into_iter().collect();
    if options.contains_key(ACCESS_KEY_ID) {
        // a session token belongs to the key that was issued with it
        all.remove(SESSION_TOKEN);
        if options.contains_key(SECRET_ACCESS_KEY) {
            all.remove(PROFILE);
        }
    }
    all.extend(options);
    let mut wrong: Vec<Unusable> = all
        .iter()
        .filter_map(|(key, setting)| {
            let why = check(key, &setting.value).err()?;
            Some(Unusable::new(key, setting, why))
        })
        .collect();
    if let Some(given) = all.get(CONNECTION_STRING)
        && let Ok(parts) = connection_string(&given.value)
    {
        let origin = SettingOrigin::Part(format!("the connection string in {}", given.origin));
        for (key, value) in parts {
            let setting = StoreSetting {
                origin: origin.clone(),
                value,
            };
            all.entry(key.to_owned()).or_insert(setting);
        }
    }
    wrong.extend(contradictions(store, &all));
    if wrong.is_empty() {
        Ok(all)
    } else {
        Err(wrong)
    }
}

/// Returns the problems of settings that are valid alone but not together.
pub fn contradictions(store: StoreKind, all: &StoreSettings) -> Vec<Unusable> {
    let is_yes = |key: &str| {
        all.get(key)
            .and_then(|setting| flag(&setting.value))
            .unwrap_or(false)
    };
    let mut wrong = Vec::new();
    let mut report = |key: &str, why: String| {
        if let Some(setting) = all.get(key) {
            wrong.push(Unusable::new(key, setting, why));
        }
    };
    let lacks = |key: &str| !all.contains_key(key);
    let plain = |key: &str| {
        all.get(key)
            .is_some_and(|setting| setting.value.to_ascii_lowercase().starts_with("http://"))
    };
    // Google's client allows http without a setting
    if store != StoreKind::Gcs && !is_yes("allow_http") && !is_yes("azure_storage_use_emulator") {
        for key in [S3_ENDPOINT, "azure_storage_endpoint"] {
            if plain(key) {
                report(
                    key,
                    "isn't https, so what is landed would travel in the clear; write `https://`, or set `allow_http: true` \
                     in `storage_options`"
                        .to_owned(),
                );
            }
        }
    }
    for (key, needs) in [
        (ACCESS_KEY_ID, SECRET_ACCESS_KEY),
        (SECRET_ACCESS_KEY, ACCESS_KEY_ID),
        (SESSION_TOKEN, ACCESS_KEY_ID),
        ("aws_web_identity_token_file", "aws_role_arn"),
        ("aws_sse_kms_key_id", "aws_server_side_encryption"),
        ("aws_sse_customer_key_base64", "aws_server_side_encryption"),
    ] {
        // a session token alone may be in the environment for other tools
        let matters = match all.get(key).map(|setting| &setting.origin) {
            Some(SettingOrigin::Variable(_)) => {
                key != SESSION_TOKEN && key != "aws_web_identity_token_file"
            }
            Some(_) => true,
            None => false,
        };
        if matters && lacks(needs) {
            report(key, format!("needs `{needs}` too"));
        }
    }
    let encryption = all
        .get("aws_server_side_encryption")
        .map(|setting| setting.value.as_str());
    if encryption == Some("sse-c") && lacks("aws_sse_customer_key_base64") {
        report(
            "aws_server_side_encryption",
            "needs `aws_sse_customer_key_base64` too".to_owned(),
        );
    }
    for (skip, credentials) in [
        ("aws_skip_signature", ACCESS_KEY_ID),
        ("azure_skip_signature", "azure_storage_account_key"),
        ("azure_skip_signature", "azure_storage_sas_key"),
        ("google_skip_signature", "google_service_account"),
        ("google_skip_signature", "google_service_account_key"),
        ("google_skip_signature", "google_bearer_token"),
    ] {
        let given = all.get(credentials);
        if is_yes(skip)
            && matches!(
                given.map(|given| &given.origin),
                Some(SettingOrigin::Option(_))
            )
        {
            report(
                skip,
                format!(
                    "leaves requests unsigned, so `{credentials}` would never be used; leave out one of them"
                ),
            );
        }
    }
    if !lacks("google_service_account") && !lacks("google_service_account_key") {
        report(
            "google_service_account",
            "and `google_service_account_key` are two accounts; leave out one of them".to_owned(),
        );
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_key_has_one_name_and_a_form() {
        for (prefix, store) in [
            ("aws_", StoreKind::S3),
            ("google_", StoreKind::Gcs),
            ("azure_", StoreKind::Azure),
        ] {
            for key in CANONICAL.iter().filter(|key| key.starts_with(prefix)) {
                assert_eq!(canonical(store, key).as_deref(), Some(*key));
                assert_eq!(canonical(store, &key.to_uppercase()).as_deref(), Some(*key));
                let free = [
                    "aws_role_arn",
                    "aws_role_session_name",
                    "azure_msi_resource_id",
                    "azure_fabric_workload_host",
                    "azure_fabric_cluster_identifier",
                ];
                assert_eq!(form(key) == ValueForm::Text, free.contains(key), "{key}");
            }
            for key in CLIENT {
                assert_eq!(canonical(store, key).as_deref(), Some(key));
                assert_eq!(
                    canonical(store, &format!("{prefix}{key}")).as_deref(),
                    Some(key)
                );
                assert_eq!(
                    form(key) == ValueForm::Text,
                    key == "proxy_excludes",
                    "{key}"
                );
            }
        }
        assert_eq!(
            canonical(StoreKind::S3, "endpoint_url").as_deref(),
            Some(S3_ENDPOINT)
        );
        assert_eq!(canonical(StoreKind::S3, "aws_reigon"), None);
        assert_eq!(canonical(StoreKind::Folder, "timeout"), None);
    }

    #[test]
    fn values_are_read_or_refused_with_the_form() {
        for (key, right, wrong) in [
            (
                "timeout",
                &["30s", "1m 30s", "500 ms", "2 minutes"][..],
                &[
                    "30",
                    "30.5s",
                    "",
                    "s",
                    "1 fortnight",
                    "-1s",
                    "0s",
                    "99999999d",
                    "none",
                ][..],
            ),
            (
                "allow_http",
                &["true", "YES", "0"],
                &["ja", " true", "", "2"],
            ),
            (
                "pool_max_idle_per_host",
                &["0", "10"],
                &["many", "-1", "1.5"],
            ),
            ("http2_max_frame_size", &["16384"], &["1", "16777216"]),
            (
                "aws_endpoint",
                &["http://127.0.0.1:9000", "https://[::1]:9000/x"],
                &[
                    "localhost:9000",
                    "ftp://h",
                    "https://",
                    "http://h?x",
                    "https://h\n",
                    "https://me:pw@h",
                    "https://höst",
                    "http://a b",
                ],
            ),
            (
                "proxy_url",
                &["http://proxy:3128", "http://me:pw@proxy"],
                &["proxy:3128", "socks5://proxy", "http://"],
            ),
            ("aws_checksum_algorithm", &["sha256", "SHA256"], &["md5"]),
            ("aws_conditional_put", &["etag"], &["disabled", "dynamo:x"]),
            (
                "aws_copy_if_not_exists",
                &["multipart", "header: a: b", "header-with-status:a:b:412"],
                &["header", "header:a b:c", "header-with-status:a:b:9999"],
            ),
            (
                "aws_server_side_encryption",
                &["aws:kms"],
                &["kms", "aes256"],
            ),
            (
                "aws_sse_customer_key_base64",
                &["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="],
                &["AAAA", "!"],
            ),
            (
                "aws_region",
                &["eu-central-1", "auto"],
                &["eu central", "eu-central-1\n", "x/y", "é"],
            ),
            ("aws_bucket", &[], &["bucket"]),
            ("azure_credential_type", &["azure_cli"], &["cli"]),
            (
                "google_service_account_key",
                &[r#"{"client_email":"a","private_key":"b"}"#],
                &["{}", "/path/to.json"],
            ),
            ("user_agent", &["audit/1"], &["audit\r\n"]),
            ("google_service_account", &[], &["/no/such.json"]),
        ] {
            for value in right {
                assert_eq!(check(key, value), Ok(()), "{key}: {value:?}");
            }
            for value in wrong {
                assert!(check(key, value).is_err(), "{key}: {value:?}");
            }
        }
    }

    #[test]
    fn a_credential_that_no_header_can_hold_is_refused() {
        for key in [
            ACCESS_KEY_ID,
            SECRET_ACCESS_KEY,
            SESSION_TOKEN,
            "azure_storage_account_key",
            "azure_storage_sas_key",
            "azure_storage_token",
            "google_bearer_token",
        ] {
            assert_eq!(check(key, "AAAABBBB"), Ok(()), "{key}");
            for value in [
                "AAAABBBB\n",
                "AAAABBBB\r",
                "AAAA\nBBBB",
                "AAAA\0BBB",
                "AAAABBBé",
                "AAAA\u{7f}",
                " AAAABBB",
                "AAAABBB ",
            ] {
                assert!(check(key, value).is_err(), "{key}: {value:?}");
                assert!(is_secret(key));
            }
        }
    }

    fn given(key: &str, value: &str) -> (String, StoreSetting) {
        let key = canonical(StoreKind::S3, key).unwrap_or_default();
        let origin = SettingOrigin::Option(key.clone());
        (
            key,
            StoreSetting {
                origin,
                value: value.to_owned(),
            },
        )
    }

    fn read(
        options: &[(&str, &str)],
        variables: &[(&str, &str)],
    ) -> Result<Vec<String>, Vec<String>> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        };
        let options = options
            .iter()
            .map(|(key, value)| given(key, value))
            .collect();
        let environment = of_environment(StoreKind::S3, &variable);
        let shown = |(key, setting): (String, StoreSetting)| format!("{key}={}", setting.value);
        settings(StoreKind::S3, options, environment)
            .map(|all| all.into_iter().map(shown).collect())
            .map_err(|wrong| wrong.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn options_override_the_environment_by_whatever_name() {
        assert_eq!(
            read(
                &[
                    ("default_region", "eu-west-1"),
                    ("endpoint", "https://own"),
                    ("access_key_id", "a"),
                    ("secret_access_key", "b")
                ],
                &[
                    ("AWS_REGION", "us-east-1"),
                    ("AWS_ENDPOINT_URL_S3", "https://other"),
                    ("AWS_SESSION_TOKEN", "t"),
                    ("AWS_PROFILE", "p")
                ],
            ),
            Ok(vec![
                "aws_access_key_id=a".to_owned(),
                "aws_endpoint=https://own".to_owned(),
                "aws_region=eu-west-1".to_owned(),
                "aws_secret_access_key=b".to_owned(),
            ])
        );
        assert_eq!(
            read(
                &[],
                &[
                    ("AWS_DEFAULT_REGION", "d"),
                    ("AWS_REGION", "r"),
                    ("AWS_ENDPOINT_URL", "https://a"),
                    ("AWS_ENDPOINT_URL_S3", "https://b"),
                    ("AWS_BUCKET", "other")
                ]
            ),
            Ok(vec![
                "aws_endpoint=https://b".to_owned(),
                "aws_region=r".to_owned()
            ])
        );
    }

    #[test]
    fn all_that_is_wrong_is_named_by_where_it_stands() {
        let wrong = read(
            &[("timeout", "30"), ("aws_endpoint", "http://h")],
            &[
                ("AWS_ACCESS_KEY_ID", "AKIA\r"),
                ("AWS_CONNECT_TIMEOUT", "5"),
            ],
        );
        assert_eq!(
            wrong.map_err(|wrong| wrong.join("\n")),
            Err([
                "the environment variable `AWS_ACCESS_KEY_ID` ends with a line break, which can't stand in an HTTP header",
                "the environment variable `AWS_CONNECT_TIMEOUT` (`5`) is not a duration; write a number and its unit, like `30s`, `500ms` or `2m`",
                "`timeout` in `storage_options` (`30`) is not a duration; write a number and its unit, like `30s`, `500ms` or `2m`",
                "`aws_endpoint` in `storage_options` isn't https, so what is landed would travel in the clear; write `https://`, or set `allow_http: true` in `storage_options`",
                "the environment variable `AWS_ACCESS_KEY_ID` needs `aws_secret_access_key` too",
            ].join("\n"))
        );
    }

    #[test]
    fn no_key_and_no_value_panics() {
        for key in CANONICAL
            .iter()
            .chain(&CLIENT)
            .chain(&[CONNECTION_STRING, CA_FILE, PROFILE])
        {
            for value in [
                "",
                " ",
                "\0",
                "é",
                "\u{202e}",
                "a=b;c",
                "://",
                "https://[",
                "%",
                "1",
                "99999999999999999999 s",
                ":::",
                "{}",
                "=",
                ";;",
            ] {
                let _ = check(key, value);
            }
        }
    }
}
