//! Publishing: from staging to the keys that users query. Every step is idempotent.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::commit::CommittedFile;
use super::error::LakeError;
use super::layout::JobLayout;
use super::open::Lake;

/// The number of concurrent copies, deletions or reads of a run.
pub(super) const AT_A_TIME: usize = 8;

/// The waits for a copy to appear completely before it is made again, thirteen seconds in total. A copy that the store
/// reports as pending is waited for in `http.rs`, for up to a minute.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(9),
];

/// Publishes files that an earlier run committed and may already have published: copies each staged file to its final
/// key on the server's side, verifies the copy, and then deletes the staged files. Returns the files that can't be
/// published because no complete copy is left; their remains are moved aside.
///
/// Files are copied before they are deleted, so that a crash in between leaves both copies. The final key contains run
/// and number, so an object of the committed size there is the same file and is kept. An object of another size is
/// copied again. See docs/decisions/0003-look-before-deleting.md.
pub(super) async fn publish_recovered<'a>(
    lake: &Lake,
    keys: &JobLayout,
    files: &'a [CommittedFile],
) -> Result<Vec<&'a CommittedFile>, LakeError> {
    let publish_one = async |file: &CommittedFile| {
        if is_published(lake, file).await? {
            return Ok(false);
        }
        match copy(lake, file).await {
            Ok(()) => Ok(false),
            Err(LakeError::FileVanished { .. } | LakeError::FileDamaged { .. }) => {
                move_remains(lake, keys, file).await?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    };
    let lost: Vec<bool> = stream::iter(0..files.len())
        .map(|n| publish_one(&files[n]))
        .buffered(AT_A_TIME)
        .try_collect()
        .await?;
    delete_staged(lake, files).await?;
    let lost = files.iter().zip(lost).filter(|(_, lost)| *lost);
    Ok(lost.map(|(file, _)| file).collect())
}

/// Publishes the files of this run's own commit while the run holds the job: no one has published them yet, so the
/// final keys aren't checked first. A file that can't be published is an error, from which the next run recovers.
pub(super) async fn publish_new(lake: &Lake, files: &[CommittedFile]) -> Result<(), LakeError> {
    stream::iter(files.iter().map(Ok))
        .try_for_each_concurrent(AT_A_TIME, async |file| copy(lake, file).await)
        .await?;
    delete_staged(lake, files).await
}

/// Returns whether the object at the file's final key has the committed size.
pub(super) async fn is_published(lake: &Lake, file: &CommittedFile) -> Result<bool, LakeError> {
    Ok(size(lake, &key_of(&file.key)?).await? == Some(file.bytes))
}

/// Parses a key in a commit.
pub(super) fn key_of(text: &str) -> Result<Path, LakeError> {
    Path::parse(text).map_err(|error| LakeError::Unreadable {
        key: text.to_owned(),
        reason: error.to_string(),
    })
}

/// Copies a staged file and returns when the copy is complete.
///
/// The store's answer alone proves nothing: some stores answer 200 with an error in the body, or before the copy
/// exists.
async fn copy(lake: &Lake, file: &CommittedFile) -> Result<(), LakeError> {
    let (staged, key) = (key_of(&file.staged)?, key_of(&file.key)?);
    let mut found = None;
    for pause in PAUSES {
        // on a local disk, a plain copy uses a temporary file in the table's folder, which a crash would leave for
        // readers of the whole folder
        let copied = if lake.is_in_a_folder() {
            lake.files.copy_if_not_exists(&staged, &key).await
        } else {
            lake.files.copy(&staged, &key).await
        };
        match copied {
            // an existing copy, or one in progress, is verified like any other
            Ok(())
            | Err(
                object_store::Error::NotFound { .. } | object_store::Error::AlreadyExists { .. },
            ) => {}
            Err(error) => {
                // only its answer may have been lost
                if matches!(size(lake, &key).await, Ok(Some(found)) if found == file.bytes) {
                    return Ok(());
                }
                return Err(LakeError::at("copy", &staged)(error));
            }
        }
        found = size(lake, &key).await?;
        if found == Some(file.bytes) {
            return Ok(());
        }
        if size(lake, &staged).await? != Some(file.bytes) {
            // a rival may have published it between the two checks
            found = size(lake, &key).await?;
            return if found == Some(file.bytes) {
                Ok(())
            } else {
                Err(lost(file, found))
            };
        }
        tokio::time::sleep(pause).await;
        found = size(lake, &key).await?;
        if found == Some(file.bytes) {
            return Ok(());
        }
        if lake.is_in_a_folder() && found.is_some() {
            delete(lake, vec![key.clone()]).await?; // a link doesn't replace it, and the staged file is complete
        }
    }
    Err(LakeError::NotCopied {
        staged: file.staged.clone(),
        key: file.key.clone(),
        found: match found {
            None => "isn't there".to_owned(),
            Some(found) => format!("has {found} bytes instead of {}", file.bytes),
        },
    })
}

/// Returns the error for a file without any complete copy; `found` is the size of the object at its final key.
fn lost(file: &CommittedFile, found: Option<u64>) -> LakeError {
    let (staged, key) = (file.staged.clone(), file.key.clone());
    match found {
        None => LakeError::FileVanished { staged, key },
        Some(found) => LakeError::FileDamaged {
            key,
            bytes: file.bytes,
            found,
        },
    }
}

/// Moves the remains of a file out of the table, where they indicate the damage until an operator deletes them. Reads
/// and writes the object, so as not to rely on the store's copies.
async fn move_remains(
    lake: &Lake,
    keys: &JobLayout,
    file: &CommittedFile,
) -> Result<(), LakeError> {
    let (staged, key) = (key_of(&file.staged)?, key_of(&file.key)?);
    let aside = keys.damaged(&key);
    let rest = match lake.read_file(&key).await? {
        Some(rest) => rest,
        None => lake.read_file(&staged).await?.unwrap_or_default(),
    };
    tracing::warn!(
        file = %key, bytes = file.bytes, left = rest.len(), aside = %aside,
        "a committed file is lost: its remains are moved aside, and its ranges are pulled again"
    );
    let length = rest.len() as u64;
    // an existing one was moved aside by an interrupted run
    if lake.create(&aside, rest.into()).await? && size(lake, &aside).await? != Some(length) {
        return Err(LakeError::NotWritten {
            key: aside.to_string(),
        });
    }
    delete(lake, vec![key.clone()]).await?;
    if size(lake, &key).await?.is_some() {
        return Err(LakeError::NotDeleted {
            key: key.to_string(),
        });
    }
    Ok(())
}

/// Returns the keys of a job's damaged files that were moved aside and not yet deleted.
pub async fn damaged(lake: &Lake, job: &str) -> Result<Vec<String>, LakeError> {
    let folder = lake.layout.job(job).damaged_files();
    let listing = lake.store.list(Some(&folder));
    let mut keys: Vec<String> = listing
        .map_ok(|object| object.location.to_string())
        .try_collect()
        .await
        .map_err(LakeError::at("list", &folder))?;
    keys.sort();
    Ok(keys)
}

async fn delete_staged(lake: &Lake, files: &[CommittedFile]) -> Result<(), LakeError> {
    let staged: Result<Vec<Path>, LakeError> =
        files.iter().map(|file| key_of(&file.staged)).collect();
    delete(lake, staged?).await
}

/// Returns the object's size; `None` if it doesn't exist.
pub(super) async fn size(lake: &Lake, key: &Path) -> Result<Option<u64>, LakeError> {
    match lake.store.head(key).await {
        Ok(meta) => Ok(Some(meta.size)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(LakeError::at("read", key)(error)),
    }
}

/// Deletes objects, up to a thousand per request if the store supports it. Missing objects are ignored.
pub(super) async fn delete(lake: &Lake, keys: Vec<Path>) -> Result<(), LakeError> {
    let Some(first) = keys.first().cloned() else {
        return Ok(());
    };
    let mut deleted = (lake.store).delete_stream(stream::iter(keys.into_iter().map(Ok)).boxed());
    let delete = async {
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    // `object_store` panics if S3 answers with an error for a key that wasn't in the request
    let deleted = AssertUnwindSafe(delete).catch_unwind().await;
    deleted
        .unwrap_or_else(|_| {
            Err(object_store::Error::Generic {
                store: "lake",
                source: "the answer names an object that wasn't to be deleted".into(),
            })
        })
        .map_err(LakeError::at("delete", &first))
}
