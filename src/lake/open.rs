//! Opens a lake: the store behind its URL, its layout file, and proof that the store keeps create-if-absent.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientConfigKey, ObjectStore, ObjectStoreExt, ObjectStoreScheme, PutMode,
    PutPayload, PutResult, RetryConfig,
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::closed::{self, Closed};
use super::counted::Counted;
use super::error::LakeError;
use super::http::NoRedirects;
use super::layout::Layout;
use crate::metrics;
use crate::secret::Secret;

/// How long a request of the log may take before it is sent again: a claim lasts 30 s and is renewed after 15, so an
/// answer that never comes must be given up in time for another attempt.
const ANSWER: &str = "10s";
/// How long a file may be on its way: the largest that is usual, 128 MiB, needs 3.6 Mbit/s then. Claims are renewed
/// meanwhile.
const TRANSFER: &str = "5m";

/// The layout that this version writes.
const FORMAT: u32 = 1;

/// An open lake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {
    /// The store; every key below [`Lake::layout`]. What doesn't answer a request within ten seconds is asked again.
    pub store: Arc<dyn ObjectStore>,
    /// The same store for whole files, which may take longer on their way.
    pub files: Arc<dyn ObjectStore>,
    /// The keys.
    pub layout: Layout,
    url: String,
    /// Of a lake in a folder: the folder.
    folder: Option<PathBuf>,
}

/// `_auditlake/lake.json`.
#[derive(Debug, Serialize, Deserialize)]
struct LakeFile {
    format: u32,
    partition_by: Vec<String>,
}

impl Lake {
    /// The lake behind `url`. Makes no request; the folder of a `file://` lake is made if it isn't there.
    ///
    /// Store credentials come from the environment as the cloud's own tools have them; `options` (`object_store`'s own
    /// keys) override. A relative `file://` URL counts from the working directory.
    pub fn at(url: &str, options: &BTreeMap<String, Secret>) -> Result<Self, LakeError> {
        Self::open(url, options, &retries())
    }

    /// The same for somebody who waits: a store that fails is given up after some seconds.
    pub fn at_briefly(url: &str, options: &BTreeMap<String, Secret>) -> Result<Self, LakeError> {
        let few = RetryConfig {
            max_retries: 2,
            retry_timeout: Duration::from_secs(10),
            ..retries()
        };
        Self::open(url, options, &few)
    }

    fn open(
        url: &str,
        options: &BTreeMap<String, Secret>,
        retries: &RetryConfig,
    ) -> Result<Self, LakeError> {
        let refuse = |reason: String| LakeError::Url {
            url: url.to_owned(),
            reason,
        };
        let mut settings = BTreeMap::new();
        for (key, value) in options {
            let value = value
                .reveal()
                .map_err(|error| refuse(format!("`{key}`: {error}")))?;
            settings.insert(key.to_ascii_lowercase(), value);
        }
        let url_of = |text: &str| Url::parse(text).map_err(|error| refuse(error.to_string()));

        if let Some(folder) = url.strip_prefix("file://") {
            let folder = std::path::absolute(folder).map_err(|error| refuse(error.to_string()))?;
            std::fs::create_dir_all(&folder).map_err(|error| refuse(error.to_string()))?;
            let store = LocalFileSystem::new_with_prefix(&folder)
                .map_err(|error| refuse(error.to_string()))?
                .with_automatic_cleanup(true) // a run's staging folder goes with its last file
                .with_fsync(true); // a commit that was answered survives a power cut
            return Ok(Self {
                folder: Some(folder),
                ..Self::in_store(url, Arc::new(store), Path::default())
            });
        }

        let parsed = url_of(url)?;
        let hidden = closed::hidden(&settings);
        let (scheme, path) =
            ObjectStoreScheme::parse(&parsed).map_err(|error| refuse(error.to_string()))?;
        crate::tls::install();
        let open = |time_out: &str| {
            macro_rules! cloud {
                ($builder:ty, $key:ident) => {{
                    let mut builder = <$builder>::from_env()
                        .with_url(url)
                        .with_http_connector(NoRedirects)
                        .with_retry(retries.clone())
                        .with_config($key::Client(ClientConfigKey::Timeout), time_out);
                    for (key, value) in &settings {
                        let key = key
                            .parse()
                            .map_err(|_| refuse(format!("unknown storage option `{key}`")))?;
                        builder = builder.with_config(key, value);
                    }
                    // an option that can't be used may be told with its value
                    let hide = |said: String| refuse(hidden.apply(&said).into_owned());
                    let store = builder.build().map_err(|error| hide(error.to_string()))?;
                    Arc::new(Closed::new(Arc::new(store), hidden.clone()))
                }};
            }
            let store: Arc<dyn ObjectStore> = match scheme {
                ObjectStoreScheme::Memory => Arc::new(InMemory::new()),
                ObjectStoreScheme::AmazonS3 => cloud!(AmazonS3Builder, AmazonS3ConfigKey),
                ObjectStoreScheme::GoogleCloudStorage => {
                    cloud!(GoogleCloudStorageBuilder, GoogleConfigKey)
                }
                ObjectStoreScheme::MicrosoftAzure => cloud!(MicrosoftAzureBuilder, AzureConfigKey),
                _ => {
                    return Err(refuse(
                        "use s3://, gs://, az://, file:// or memory://".into(),
                    ));
                }
            };
            Ok(store)
        };
        let mut lake = Self::in_store(url, open(ANSWER)?, path);
        if scheme != ObjectStoreScheme::Memory {
            lake.files = open(TRANSFER)?;
        }
        Ok(lake)
    }

    /// A lake in a store that is already open, below `root`.
    pub fn in_store(url: &str, store: Arc<dyn ObjectStore>, root: Path) -> Self {
        Self {
            files: Arc::clone(&store),
            store,
            layout: Layout::new(root),
            url: url.to_owned(),
            folder: None,
        }
    }

    /// The same lake, whose requests are counted from now on.
    #[must_use]
    pub fn counted(self, metrics: &metrics::Store) -> Self {
        let counted = |store| Arc::new(Counted::new(store, metrics.clone()));
        Self {
            store: counted(self.store),
            files: counted(self.files),
            ..self
        }
    }

    /// Whether it lies in a folder of this machine.
    pub(super) fn is_in_a_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// In a folder, files that a crash left half written below `key`: their names end in `#` and a number, and the store
    /// doesn't show them.
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

    /// An error if this lake lies in a folder, and what lies there now isn't a lake any more. Looked at before each
    /// commit, as the folders that one needs are made by the way: it would begin a log in an empty place, and say there
    /// that what is gone has been pulled.
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

    /// The lake's URL, as configured.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes sure that the lake is laid out as `partition_by` says (a new lake becomes so), and that its store refuses
    /// to create an object that exists. Both are needed before the first claim.
    pub async fn prepare(&self, partition_by: &[String]) -> Result<(), LakeError> {
        let key = self.layout.lake_file();
        if !self.is_laid_out(partition_by).await? {
            let file = LakeFile {
                format: FORMAT,
                partition_by: partition_by.to_vec(),
            };
            self.create(&key, to_json(&file, &key)?).await?;
            if !self.is_laid_out(partition_by).await? {
                return Err(LakeError::Unreadable {
                    key: key.to_string(),
                    reason: "it can't be read back".into(),
                });
            }
        }
        // what is there is written again as it is: a store that ignores the condition does no harm, and is found out
        let have = self.read(&key).await?.unwrap_or_default();
        if self.create(&key, have.into()).await? {
            return Err(LakeError::NoConditionalCreate {
                url: self.url.clone(),
            });
        }
        Ok(())
    }

    /// Whether there is a lake, laid out so; an error if it is laid out otherwise. Only reads.
    pub async fn is_laid_out(&self, partition_by: &[String]) -> Result<bool, LakeError> {
        let key = self.layout.lake_file();
        let Some(bytes) = self.read(&key).await? else {
            return Ok(false);
        };
        let file: LakeFile = from_json(&bytes, &key, FORMAT)?;
        if file.partition_by == partition_by {
            return Ok(true);
        }
        Err(LakeError::OtherLayout {
            url: self.url.clone(),
            have: file.partition_by.join(", "),
            want: partition_by.join(", "),
        })
    }

    /// The object's bytes, or nothing if there is none.
    pub(super) async fn read(&self, key: &Path) -> Result<Option<bytes::Bytes>, LakeError> {
        read_from(&self.store, key).await
    }

    /// The same of a whole file, which may take longer on its way.
    pub(super) async fn read_file(&self, key: &Path) -> Result<Option<bytes::Bytes>, LakeError> {
        read_from(&self.files, key).await
    }

    /// Creates the object; `false` if there is one already.
    pub(super) async fn create(&self, key: &Path, payload: PutPayload) -> Result<bool, LakeError> {
        Ok(self.create_object(key, payload).await?.is_some())
    }

    /// The same, with what the store says of the new object; nothing if there is one already.
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
            // S3 says so while another request for the key is under way; whether there will be an object is open
            Err(error @ object_store::Error::AlreadyExists { .. })
                if error.to_string().contains("ConditionalRequestConflict") =>
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
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        found => found.map_err(LakeError::at("read", key))?,
    };
    Ok(Some(
        found.bytes().await.map_err(LakeError::at("read", key))?,
    ))
}

/// Long enough for a store that slows us down; claims are renewed meanwhile.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 8,
        retry_timeout: Duration::from_mins(1),
    }
}

/// An object of ours as JSON text with a newline: people read these.
pub(super) fn to_json<T: Serialize>(value: &T, key: &Path) -> Result<PutPayload, LakeError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| LakeError::Unreadable {
        key: key.to_string(),
        reason: error.to_string(),
    })?;
    text.push(b'\n');
    Ok(text.into())
}

/// Reads an object of ours; its `format` is looked at first, so that a newer one is recognised, never guessed at.
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
        assert_eq!(error.kind(), crate::model::Kind::Config);
        assert_eq!(
            error.to_string(),
            "the lake `memory:///` is partitioned by [provider, event_date], jobs.yaml says [event_date]: set \
             `partition_by` back, or give the new layout a new lake `url` and pull again"
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
