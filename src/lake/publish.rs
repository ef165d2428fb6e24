//! From staging to the keys that users query. Every step may be repeated.

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::commit::CommittedFile;
use super::error::LakeError;
use super::open::Lake;

/// How many copies, deletes or reads of one run are under way at a time.
pub(super) const AT_A_TIME: usize = 8;

/// Copies each staged file, on the server's side, to its final key, then deletes the staged ones; of files that an earlier
/// run committed, and may have published.
///
/// Copy before delete, so that a crash in between leaves both, never neither. The final key carries run and number, so
/// that what is there already is the same file, and is left as it is. A staged file that is gone while its final key
/// exists is done.
pub(super) async fn publish(lake: &Lake, files: &[CommittedFile]) -> Result<(), LakeError> {
    let publish_one = async |file: &CommittedFile| {
        if exists(lake, &key_of(&file.key)?).await? {
            return Ok(());
        }
        copy(lake, file).await
    };
    stream::iter(files.iter().map(Ok))
        .try_for_each_concurrent(AT_A_TIME, publish_one)
        .await?;
    delete_staged(lake, files).await
}

/// The same for files of this run's own commit, while the job is its own: nobody has published them yet, so no final key
/// is looked for first.
pub(super) async fn publish_new(lake: &Lake, files: &[CommittedFile]) -> Result<(), LakeError> {
    stream::iter(files.iter().map(Ok))
        .try_for_each_concurrent(AT_A_TIME, async |file| copy(lake, file).await)
        .await?;
    delete_staged(lake, files).await
}

/// A key that a commit names.
pub(super) fn key_of(text: &str) -> Result<Path, LakeError> {
    Path::parse(text).map_err(|error| LakeError::Unreadable {
        key: text.to_owned(),
        reason: error.to_string(),
    })
}

async fn copy(lake: &Lake, file: &CommittedFile) -> Result<(), LakeError> {
    let (staged, key) = (key_of(&file.staged)?, key_of(&file.key)?);
    // on a local disk a plain copy goes by a temporary file in the table's folder, where a crash would leave it for
    // whoever reads all that lies there
    let copied = if lake.is_in_a_folder() {
        lake.files.copy_if_not_exists(&staged, &key).await
    } else {
        lake.files.copy(&staged, &key).await
    };
    match copied {
        Ok(()) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
        // unless a rival was faster
        Err(object_store::Error::NotFound { .. }) if exists(lake, &key).await? => Ok(()),
        Err(object_store::Error::NotFound { .. }) => Err(LakeError::FileVanished {
            staged: file.staged.clone(),
            key: file.key.clone(),
        }),
        Err(error) => Err(LakeError::at("copy", &staged)(error)),
    }
}

async fn delete_staged(lake: &Lake, files: &[CommittedFile]) -> Result<(), LakeError> {
    let staged: Result<Vec<Path>, LakeError> =
        files.iter().map(|file| key_of(&file.staged)).collect();
    delete(lake, staged?).await
}

/// Whether there is an object.
pub(super) async fn exists(lake: &Lake, key: &Path) -> Result<bool, LakeError> {
    match lake.store.head(key).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(LakeError::at("read", key)(error)),
    }
}

/// Deletes objects, up to a thousand in one request where the store can; one that is gone already is fine.
pub(super) async fn delete(lake: &Lake, keys: Vec<Path>) -> Result<(), LakeError> {
    let Some(first) = keys.first().cloned() else {
        return Ok(());
    };
    let mut deleted = (lake.store).delete_stream(stream::iter(keys.into_iter().map(Ok)).boxed());
    while let Some(result) = deleted.next().await {
        match result {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(LakeError::at("delete", &first)(error)),
        }
    }
    Ok(())
}
