//! Opening a lake: the store of its URL, and its layout file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{ClientConfigKey, CredentialProvider};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ObjectStore, ObjectStoreExt, PutMode, PutPayload, PutResult, RetryConfig,
};
use serde::{Deserialize, Serialize};

use super::answer::StoreAnswer;
use super::credentials::{self, Bounded, CredentialSource};
use super::error::{LakeError, answer_in};
use super::folder::Folder;
use super::http::NoRedirects;
use super::layout::Layout;
use super::metered::metered;
use super::options::{self, SettingOrigin, StoreKind, StoreSetting, StoreSettings};
use super::redacting::{self, redacting};
use crate::clock::{BUILT, RemoteClock, real_now};
use crate::clocks::TOLERANCE;
use crate::metrics;
use crate::model::{FailureKind, Timestamp};
use crate::secret::{Redactor, Secret};
use crate::telemetry::{error_chain, raw_error_chain};

/// The timeout of requests to the log. A claim lasts 30 s and is renewed after 15 s, so a request without an answer has
/// to end in time for another attempt.
const ANSWER: &str = "10s";
/// The timeout of file transfers: the largest usual file, 128 MiB, then needs 3.6 Mbit/s. Claims are renewed meanwhile.
const TRANSFER: &str = "5m";

/// The layout that this version writes.
pub(super) const FORMAT: u32 = 1;

/// An open lake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {
    /// The store; all keys are from [`Lake::layout`]. Requests that aren't answered within ten seconds are retried.
    pub store: Arc<dyn ObjectStore>,
    /// The same store for whole files, with a longer timeout.
    pub files: Arc<dyn ObjectStore>,
    /// The keys.
    pub layout: Layout,
    /// The store's clock as shown by its answers. A folder's clock is known only if it differs from the local clock:
    /// usually both are the same clock, which can't confirm itself.
    pub clock: RemoteClock,
    url: String,
    /// The folder, for a lake in a folder.
    folder: Option<PathBuf>,
    /// Whether the lake is for the demo's invented events.
    pub(super) demo: bool,
}

/// `_auditlake/lake.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LakeFile {
    pub(super) format: u32,
    pub(super) partition_by: Vec<String>,
    /// Whether `demo` created it, so that its events are invented.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) demo: bool,
}

impl Lake {
    /// Opens the lake at `url`. Makes no request; creates the folder of a `file://` lake if it doesn't exist.
    ///
    /// Store credentials come from the environment as for the cloud's own tools; `options` (`object_store`'s own keys)
    /// override them. A relative `file://` URL is relative to the working directory.
    pub fn at(url: &str, options: &BTreeMap<String, Secret>) -> Result<Self, LakeError> {
        Self::reach(url, options, None, StorePatience::Long)
    }

    /// Opens the lake at `url`, also trusting the certificates in `ca_file`, with this patience for a failing store.
    pub fn reach(
        url: &str,
        options: &BTreeMap<String, Secret>,
        ca_file: Option<&FsPath>,
        patience: StorePatience,
    ) -> Result<Self, LakeError> {
        let refuse = |reason: String| LakeError::Url {
            url: url.to_owned(),
            reason,
        };
        let scheme = "use s3://, gs://, az://, file:// or memory://";
        let kind = StoreKind::of(url).ok_or_else(|| refuse(scheme.to_owned()))?;
        match kind {
            StoreKind::Folder => Self::in_folder(url),
            StoreKind::Memory => Ok(Self::in_store(
                url,
                Arc::new(InMemory::new()),
                prefix_of(url).map_err(refuse)?,
            )),
            StoreKind::S3 | StoreKind::Gcs | StoreKind::Azure => {
                let mut settings = settings_of(kind, options).map_err(refuse)?;
                let home = std::env::home_dir();
                let source =
                    credentials::find(kind, &mut settings, home.as_deref()).map_err(refuse)?;
                let ca_file = ca_file.map(FsPath::to_owned).or_else(|| {
                    let named = settings.remove(options::CA_FILE);
                    named.map(|setting| setting.value.into())
                });
                let opening = Opening {
                    url,
                    kind,
                    hidden: redacting::hidden(&settings, source.secrets()),
                    settings,
                    source,
                    connector: NoRedirects {
                        ca_file,
                        clock: RemoteClock::default(),
                    },
                    retries: patience.retries(),
                };
                opening.open().map_err(refuse)
            }
        }
    }

    /// Opens a lake in a folder of this machine. The part of the URL after `file://` is its path, used verbatim.
    fn in_folder(url: &str) -> Result<Self, LakeError> {
        let refuse = |reason: String| LakeError::Url {
            url: url.to_owned(),
            reason,
        };
        let path = url.strip_prefix("file://").unwrap_or(url);
        let root = std::path::absolute(path).map_err(|error| refuse(error.to_string()))?;
        let store = match Folder::new(root.clone()) {
            Ok(store) => store,
            Err(error) => {
                let shown = error.to_string();
                let answer = StoreAnswer::of(StoreKind::Folder, &error, shown);
                if answer.verdict.kind == FailureKind::Config {
                    return Err(refuse(answer.to_string()));
                }
                // each request reports the problem until it is solved
                Folder::later(root.clone())
            }
        };
        let store = redacting(StoreKind::Folder, Arc::new(store), Redactor::default());
        Ok(Self {
            folder: Some(root),
            ..Self::in_store(url, Arc::new(store), Path::default())
        })
    }

    /// Creates a lake in an open store, below `root`.
    pub fn in_store(url: &str, store: Arc<dyn ObjectStore>, root: Path) -> Self {
        Self {
            files: Arc::clone(&store),
            store,
            layout: Layout::new(root),
            clock: RemoteClock::default(),
            url: url.to_owned(),
            folder: None,
            demo: false,
        }
    }

    /// Returns the lake as one of the demo's invented events, which is kept apart from other lakes.
    #[must_use]
    pub fn of_demo(self) -> Self {
        Self { demo: true, ..self }
    }

    /// Returns whether `folder` is a lake created by `demo`. Fails if it isn't a lake, or can't be read.
    pub fn is_of_demo(folder: &std::path::Path) -> io::Result<bool> {
        let key = Layout::new(Path::default()).lake_file();
        let bytes = std::fs::read(folder.join(key.as_ref()))?;
        let file: Result<LakeFile, _> = serde_json::from_slice(&bytes);
        Ok(file.is_ok_and(|file| file.demo))
    }

    /// Returns the lake with its requests counted.
    #[must_use]
    pub fn counted(self, metrics: &metrics::StoreMetrics) -> Self {
        let counted = |store| Arc::new(metered(store, metrics.clone()));
        Self {
            store: counted(self.store),
            files: counted(self.files),
            ..self
        }
    }

    /// Returns whether the lake is in a folder of this machine.
    pub(super) fn is_in_a_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// Returns the files in a lake's folder that a crash left partially written below `key`. Their names end in `#` and
    /// a number, and the store doesn't list them.
    pub(super) fn half_written(&self, key: &Path) -> Vec<PathBuf> {
        let entries = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
        let Some(folder) = &self.folder else {
            return Vec::new();
        };
        let files = entries(folder.join(key.as_ref())).flat_map(|run| entries(run.path()));
        files
            .map(|file| file.path())
            .filter(|file| file.to_string_lossy().contains(".staged#"))
            .collect()
    }

    /// Fails if this lake is in a folder that is no longer a lake. Checked before each commit, because missing folders
    /// are created implicitly: a commit would begin a log in an empty folder that claims deleted data as pulled.
    pub(super) fn is_still_there(&self) -> Result<(), LakeError> {
        let is_gone = |folder: &PathBuf| {
            let file = folder.join(self.layout.lake_file().as_ref());
            std::fs::metadata(file).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        if self.folder.as_ref().is_some_and(is_gone) {
            return Err(LakeError::Gone {
                url: self.url.clone(),
            });
        }
        Ok(())
    }

    /// Returns the earlier of the local clock and the store's, if that is known.
    pub fn now(&self) -> Timestamp {
        let local = real_now();
        let store = self.clock.at(Instant::now());
        let store = store.map(|shown| shown.earliest);
        (store.filter(|store| *store >= BUILT)).map_or(local, |store| store.min(local))
    }

    /// Reads the modification time of an object just written in a folder, as another machine with a different clock may
    /// serve the folder.
    pub(super) fn see_clock(&self, key: &Path, sent: Instant) {
        let Some(folder) = &self.folder else { return };
        let written = std::fs::metadata(folder.join(key.as_ref())).and_then(|file| file.modified());
        let Ok(written) = written else { return };
        let written = Timestamp::from(written);
        if (written - real_now()).abs() > TOLERANCE {
            self.clock.note(written, TimeDelta::zero(), sent);
        } else {
            self.clock.forget();
        }
    }

    /// Returns the lake's URL as configured.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns whether there is a lake with this layout. Fails if its layout differs. Only reads.
    pub async fn is_laid_out(&self, partition_by: &[String]) -> Result<bool, LakeError> {
        let key = self.layout.lake_file();
        let Some(bytes) = self.read(&key).await? else {
            return Ok(false);
        };
        let file: LakeFile = from_json(&bytes, &key, FORMAT)?;
        if file.demo != self.demo {
            return Err(LakeError::Demo {
                url: self.url.clone(),
                is_demo: file.demo,
            });
        }
        if file.partition_by == partition_by {
            return Ok(true);
        }
        Err(LakeError::OtherLayout {
            url: self.url.clone(),
            have: file.partition_by.join(", "),
            want: partition_by.join(", "),
        })
    }

    /// Reads an object; `None` if it doesn't exist.
    pub(super) async fn read(&self, key: &Path) -> Result<Option<bytes::Bytes>, LakeError> {
        read_from(&self.store, key).await
    }

    /// Reads a whole file, with a longer timeout; `None` if it doesn't exist.
    pub(super) async fn read_file(&self, key: &Path) -> Result<Option<bytes::Bytes>, LakeError> {
        read_from(&self.files, key).await
    }

    /// Creates an object; returns `false` if it exists.
    pub(super) async fn create(&self, key: &Path, payload: PutPayload) -> Result<bool, LakeError> {
        Ok(self.create_object(key, payload).await?.is_some())
    }

    /// Creates an object and returns the store's answer; `None` if it exists.
    pub(super) async fn create_object(
        &self,
        key: &Path,
        payload: PutPayload,
    ) -> Result<Option<PutResult>, LakeError> {
        match self
            .store
            .put_opts(key, payload, PutMode::Create.into())
            .await
        {
            Ok(put) => Ok(Some(put)),
            // S3's answer while another request for the key is in progress, whose result is unknown
            Err(error @ object_store::Error::AlreadyExists { .. })
                if error.to_string().contains("ConditionalRequestConflict") =>
            {
                Err(LakeError::at("write", key)(error))
            }
            // some stores answer 409 to anything that they can't do now
            Err(error @ object_store::Error::AlreadyExists { .. })
                if answer_in(&error).is_some_and(StoreAnswer::is_other_conflict) =>
            {
                Err(LakeError::at("write", key)(error))
            }
            Err(object_store::Error::AlreadyExists { .. }) => Ok(None),
            Err(error) => Err(LakeError::at("write", key)(error)),
        }
    }
}

async fn read_from(
    store: &Arc<dyn ObjectStore>,
    key: &Path,
) -> Result<Option<bytes::Bytes>, LakeError> {
    let found = match store.get(key).await {
        Err(error @ object_store::Error::NotFound { .. })
            if !answer_in(&error).is_some_and(StoreAnswer::lacks_bucket) =>
        {
            return Ok(None);
        }
        found => found.map_err(LakeError::at("read", key))?,
    };
    Ok(Some(
        found.bytes().await.map_err(LakeError::at("read", key))?,
    ))
}

/// How long requests to a failing store are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorePatience {
    /// Long enough for a store that throttles requests; claims are renewed meanwhile.
    Long,
    /// A few seconds, for a waiting user.
    Brief,
}

impl StorePatience {
    fn retries(self) -> RetryConfig {
        let (max_retries, retry_timeout) = match self {
            Self::Long => (8, Duration::from_mins(1)),
            Self::Brief => (2, Duration::from_secs(10)),
        };
        RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries,
            retry_timeout,
        }
    }
}

/// Returns the store's settings: `given` ones override those of the environment. The error lists all unusable ones.
fn settings_of(kind: StoreKind, given: &BTreeMap<String, Secret>) -> Result<StoreSettings, String> {
    let mut options = StoreSettings::new();
    for (key, value) in given {
        let canonical = options::canonical(kind, key)
            .ok_or_else(|| format!("unknown storage option `{key}`"))?;
        let value = value
            .reveal()
            .map_err(|error| format!("`{key}`: {}", error_chain(&error)))?;
        let origin = SettingOrigin::Option(key.clone());
        options.insert(canonical, StoreSetting { origin, value });
    }
    let variable = |name: &str| {
        // values that aren't Unicode are kept recognisable, so that they are refused instead of ignored
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    };
    let environment = options::of_environment(kind, &variable);
    options::settings(kind, options, environment).map_err(|wrong| {
        let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        wrong.join("; ")
    })
}

/// Returns the prefix of a lake's keys: the part of its URL after the bucket, verbatim.
fn prefix_of(url: &str) -> Result<Path, String> {
    let (_, rest) = url.split_once("://").unwrap_or_default();
    let prefix = rest.split_once('/').map_or("", |(_, prefix)| prefix);
    Path::parse(prefix).map_err(|error| error.to_string())
}

/// A cloud store that is being opened.
struct Opening<'a> {
    url: &'a str,
    kind: StoreKind,
    settings: StoreSettings,
    hidden: Redactor,
    source: CredentialSource,
    connector: NoRedirects,
    retries: RetryConfig,
}

impl Opening<'_> {
    /// Builds the lake with its two stores, which share their credentials.
    fn open(&self) -> Result<Lake, String> {
        crate::tls::install();
        let prefix = prefix_of(self.url)?;
        macro_rules! cloud {
            ($builder:ty, $key:ident, $profile:expr) => {{
                let builder = |time_out: &str, retries: &RetryConfig| {
                    let mut builder = <$builder>::new()
                        .with_url(self.bucket_url())
                        .with_http_connector(self.connector.clone())
                        .with_retry(retries.clone())
                        .with_config($key::Client(ClientConfigKey::Timeout), time_out);
                    for (key, setting) in &self.settings {
                        if let Ok(key) = key.parse::<$key>() {
                            builder = builder.with_config(key, &setting.value);
                        }
                    }
                    builder
                };
                // the error may contain the value of an unusable option
                let hide = |error: object_store::Error| {
                    self.hidden.apply(&raw_error_chain(&error)).into_owned()
                };
                let profile: Option<Arc<dyn CredentialProvider<Credential = _>>> = $profile;
                let provider = match (profile, &self.source) {
                    (Some(profile), _) => profile,
                    (None, CredentialSource::Machine) => {
                        let store = builder(ANSWER, &of_metadata()).build().map_err(hide)?;
                        Arc::clone(store.credentials())
                    }
                    (None, _) => {
                        let store = builder(ANSWER, &self.retries).build().map_err(hide)?;
                        Arc::clone(store.credentials())
                    }
                };
                let looked_for = (self.source == CredentialSource::Machine)
                    .then(|| credentials::looked_for(self.kind));
                let provider = Arc::new(Bounded::new(provider, looked_for));
                let open = |time_out: &str| -> Result<Arc<dyn ObjectStore>, String> {
                    let builder = builder(time_out, &self.retries);
                    let store = builder.with_credentials(provider.clone()).build();
                    let store = Arc::new(store.map_err(hide)?);
                    Ok(Arc::new(redacting(self.kind, store, self.hidden.clone())))
                };
                (open(ANSWER)?, open(TRANSFER)?)
            }};
        }
        let (store, files) = match self.kind {
            StoreKind::S3 => cloud!(
                AmazonS3Builder,
                AmazonS3ConfigKey,
                match &self.source {
                    CredentialSource::Profile(files) => Some(Arc::new(files.clone())),
                    _ => None,
                }
            ),
            StoreKind::Gcs => cloud!(GoogleCloudStorageBuilder, GoogleConfigKey, None),
            _ => cloud!(MicrosoftAzureBuilder, AzureConfigKey, None),
        };
        Ok(Lake {
            files,
            clock: self.connector.clock.clone(),
            ..Lake::in_store(self.url, store, prefix)
        })
    }

    /// Returns the lake's URL without its path, which the store's client doesn't need.
    fn bucket_url(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or_default();
        let bucket = rest.split('/').next().unwrap_or_default();
        format!("{scheme}://{bucket}")
    }
}

/// Returns the retry settings for a metadata service, which is local and asked at most twice.
fn of_metadata() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 1,
        retry_timeout: Duration::from_secs(3),
    }
}

/// Serialises an object as indented JSON with a newline, for human readers.
pub(super) fn to_json<T: Serialize>(value: &T, key: &Path) -> Result<PutPayload, LakeError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| LakeError::Unreadable {
        key: key.to_string(),
        reason: error.to_string(),
    })?;
    text.push(b'\n');
    Ok(text.into())
}

/// Parses an object. Its `format` is checked first, so that a newer one is refused instead of misread.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    key: &Path,
    known: u32,
) -> Result<T, LakeError> {
    #[derive(Deserialize)]
    struct Format {
        format: u64,
    }
    let unreadable = |error: serde_json::Error| LakeError::Unreadable {
        key: key.to_string(),
        reason: error.to_string(),
    };
    let Format { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
    if format > u64::from(known) {
        return Err(LakeError::NewerFormat {
            key: key.to_string(),
            found: format,
            known,
        });
    }
    serde_json::from_slice(bytes).map_err(unreadable)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn layout(columns: &[&str]) -> Vec<String> {
        columns.iter().map(|&column| column.to_owned()).collect()
    }

    #[tokio::test]
    async fn a_lake_keeps_its_layout() {
        let lake = Lake::at("memory:///", &BTreeMap::new()).unwrap();
        lake.prepare(&layout(&["provider", "event_date"]))
            .await
            .unwrap();
        lake.prepare(&layout(&["provider", "event_date"]))
            .await
            .unwrap();
        let error = lake.prepare(&layout(&["event_date"])).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Config);
        assert_eq!(
            error.to_string(),
            "the lake `memory:///` is partitioned by [provider, event_date], jobs.yaml says [event_date]: set \
             `partition_by` back, or give the new layout a new lake `url` and pull again"
        );
    }

    #[tokio::test]
    async fn a_store_that_folds_cases_is_refused_at_start() {
        let lake = Lake::at("memory://", &BTreeMap::new()).unwrap();
        // as if the layout file were also found by this name
        let capitals = lake.layout.lake_file_in_capitals();
        lake.create(&capitals, "{}".into()).await.unwrap();
        let error = lake.prepare(&layout(&["event_date"])).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Config);
        assert!(
            error.to_string().contains("upper and lower case"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_newer_format_and_a_foreign_object_are_recognised() {
        let lake = Lake::at("memory:///", &BTreeMap::new()).unwrap();
        let key = lake.layout.lake_file();
        lake.create(&key, r#"{"format":9,"anything":1}"#.into())
            .await
            .unwrap();
        let error = lake.prepare(&layout(&["event_date"])).await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("has format 9, this auditlake reads up to 1"),
            "{error}"
        );
        lake.store.delete(&key).await.unwrap();
        lake.create(&key, "not json".into()).await.unwrap();
        let error = lake.prepare(&layout(&["event_date"])).await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("not what auditlake writes there"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_quarantine_file_has_the_time_of_a_file() {
        let mut lake = Lake::at("memory:///", &BTreeMap::new()).unwrap();
        let key = lake.layout.job("job").quarantined(uuid::Uuid::nil(), 0);
        lake.create(&key, "in ten seconds".into()).await.unwrap();
        lake.files = Arc::new(InMemory::new());
        lake.files.put(&key, "in time".into()).await.unwrap();
        let found = crate::lake::quarantine::files(&lake, "job").await.unwrap();
        assert_eq!(found[0].read(&lake).await.unwrap(), "in time");
    }

    #[test]
    fn no_settings_and_no_place_make_a_library_panic() {
        let options = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(key, value)| ((*key).to_owned(), Secret::text(*value)))
                .collect::<BTreeMap<_, _>>()
        };
        let keys = options(&[("aws_access_key_id", "a"), ("aws_secret_access_key", "b")]);
        for bucket in ["b c", "é", "..", "[::1]", "b:80", "", "a@b", "%20", "b\\c"] {
            let _ = Lake::at(&format!("s3://{bucket}/x"), &keys);
        }
        for prefix in ["", "/", "/x y", "/..", "//", "/%20", "/é", "/\u{0}"] {
            let _ = Lake::at(&format!("s3://b{prefix}"), &keys);
        }
        for (key, value) in [
            ("aws_endpoint", "localhost:9000"),
            ("aws_endpoint", "http://a b"),
            ("aws_endpoint", "https://höst"),
            ("aws_region", "a b"),
            ("aws_region", "é\n"),
            ("aws_access_key_id", "a\n"),
            ("aws_session_token", "\u{0}"),
            ("timeout", "30"),
        ] {
            let mut all = keys.clone();
            all.insert(key.to_owned(), Secret::text(value));
            let error = Lake::at("s3://bucket/x", &all).unwrap_err();
            assert_eq!(error.kind(), FailureKind::Config);
            assert!(
                error
                    .to_string()
                    .contains(&format!("`{key}` in `storage_options`")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_foreign_scheme_is_refused_with_the_choices() {
        let error = Lake::at("https://example.org/x", &BTreeMap::new()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("use s3://, gs://, az://, file:// or memory://"),
            "{error}"
        );
        let options = BTreeMap::from([("aws_reigon".to_owned(), Secret::text("x"))]);
        let error = Lake::at("s3://bucket/prefix", &options).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("unknown storage option `aws_reigon`"),
            "{error}"
        );
    }
}
