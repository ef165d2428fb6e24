//! From staging to the keys that users query. Every step may be repeated.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::commit::CommittedFile;
use super::error::LakeError;
use super::layout::JobLayout;
use super::open::Lake;

/// How many copies, deletes or reads of one run are under way at a time.
pub(super) const AT_A_TIME: usize = 8;

/// How long to wait for a copy to appear, or to be whole, before it is made again. Thirteen seconds together: a copy that
/// the store calls pending is waited for in `http.rs`, up to a minute.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(9),
];

/// Copies each staged file, on the server's side, to its final key, looks whether it arrived, and then deletes the staged
/// ones; of files that an earlier run committed, and may have published. Returns those that can't be published, because
/// no whole copy of them is left; what is left is put aside.
///
/// Copy before delete, so that a crash in between leaves both, never neither. The final key carries run and number, so
/// an object of the committed size there is the same file, and is left as it is. One of another size is copied again.
pub(super) async fn publish<'a>(
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
                put_aside(lake, keys, file).await?;
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

/// The same for files of this run's own commit, while the job is its own: nobody has published them yet, so no final key
/// is looked at first. A file that can't be published is an error; the next run recovers from it.
pub(super) async fn publish_new(lake: &Lake, files: &[CommittedFile]) -> Result<(), LakeError> {
    stream::iter(files.iter().map(Ok))
        .try_for_each_concurrent(AT_A_TIME, async |file| copy(lake, file).await)
        .await?;
    delete_staged(lake, files).await
}

/// Whether the object at the file's final key has the size that its commit says.
pub(super) async fn is_published(lake: &Lake, file: &CommittedFile) -> Result<bool, LakeError> {
    Ok(size(lake, &key_of(&file.key)?).await? == Some(file.bytes))
}

/// A key that a commit names.
pub(super) fn key_of(text: &str) -> Result<Path, LakeError> {
    Path::parse(text).map_err(|error| LakeError::Unreadable {
        key: text.to_owned(),
        reason: error.to_string(),
    })
}

/// Copies one staged file and returns once the copy is there, whole.
///
/// A store's answer alone proves nothing: some answer 200 with an error in the body, or before the copy is made.
async fn copy(lake: &Lake, file: &CommittedFile) -> Result<(), LakeError> {
    let (staged, key) = (key_of(&file.staged)?, key_of(&file.key)?);
    let mut found = None;
    for pause in PAUSES {
        // on a local disk a plain copy goes by a temporary file in the table's folder, where a crash would leave it for
        // whoever reads all that lies there
        let copied = if lake.is_in_a_folder() {
            lake.files.copy_if_not_exists(&staged, &key).await
        } else {
            lake.files.copy(&staged, &key).await
        };
        match copied {
            // what is there already, or is being copied, is looked at like any other copy
            Ok(())
            | Err(
                object_store::Error::NotFound { .. } | object_store::Error::AlreadyExists { .. },
            ) => {}
            Err(error) => {
                // its answer may be all that was lost
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
            // a rival may have published it between the two looks
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
            delete(lake, vec![key.clone()]).await?; // a link isn't made over it, and the staged file is whole
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

/// No whole copy of the file is left; `found` is the size of what lies at its final key.
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

/// Moves what is left of a file out of the table, to where it marks the damage until somebody deletes it. By reading and
/// writing it: nothing here relies on the store's copies.
async fn put_aside(lake: &Lake, keys: &JobLayout, file: &CommittedFile) -> Result<(), LakeError> {
    let (staged, key) = (key_of(&file.staged)?, key_of(&file.key)?);
    let aside = keys.damaged(&key);
    let rest = match lake.read_file(&key).await? {
        Some(rest) => rest,
        None => lake.read_file(&staged).await?.unwrap_or_default(),
    };
    tracing::warn!(
        file = %key, bytes = file.bytes, left = rest.len(), aside = %aside,
        "a committed file is lost: what is left of it is put aside, and its ranges are pulled again"
    );
    let length = rest.len() as u64;
    // one that is there already was put aside by a run that got no further
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

/// The keys of a job's damaged files that were put aside, until somebody deletes them.
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

/// The object's size; nothing if there is none.
pub(super) async fn size(lake: &Lake, key: &Path) -> Result<Option<u64>, LakeError> {
    match lake.store.head(key).await {
        Ok(meta) => Ok(Some(meta.size)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(LakeError::at("read", key)(error)),
    }
}

/// Deletes objects, up to a thousand in one request where the store can; one that is gone already is fine.
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
    // `object_store` panics if S3 answers with an error for a key that it wasn't asked to delete
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
