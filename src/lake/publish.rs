//! From staging to the keys that users query. Every step may be repeated.

use futures_util::{TryStreamExt, stream};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::commit::CommittedFile;
use super::error::LakeError;
use super::open::Lake;

/// How many copies, deletes or reads of one run are under way at a time.
pub(super) const AT_A_TIME: usize = 8;

/// Copies each staged file, on the server's side, to its final key, then deletes the staged one.
///
/// Copy before delete, so that a crash in between leaves both, never neither. The final key carries run and number, so
/// that what is there already is the same file. A staged file that is gone while its final key exists is done.
pub(super) async fn publish(lake: &Lake, files: &[CommittedFile]) -> Result<(), LakeError> {
    stream::iter(files.iter().map(Ok))
        .try_for_each_concurrent(AT_A_TIME, |file| publish_one(lake, file))
        .await
}

/// A key that a commit names.
pub(super) fn key_of(text: &str) -> Result<Path, LakeError> {
    Path::parse(text).map_err(|error| LakeError::Unreadable {
        key: text.to_owned(),
        reason: error.to_string(),
    })
}

async fn publish_one(lake: &Lake, file: &CommittedFile) -> Result<(), LakeError> {
    let (staged, key) = (key_of(&file.staged)?, key_of(&file.key)?);
    if !exists(lake, &key).await? {
        // on a local disk a plain copy goes by a temporary file in the table's folder, where a crash would leave it for
        // whoever reads all that lies there
        let copied = if lake.is_in_a_folder() {
            lake.files.copy_if_not_exists(&staged, &key).await
        } else {
            lake.files.copy(&staged, &key).await
        };
        match copied {
            Ok(()) | Err(object_store::Error::AlreadyExists { .. }) => {}
            // unless a rival was faster
            Err(object_store::Error::NotFound { .. }) if exists(lake, &key).await? => {}
            Err(object_store::Error::NotFound { .. }) => {
                return Err(LakeError::FileVanished {
                    staged: file.staged.clone(),
                    key: file.key.clone(),
                });
            }
            Err(error) => return Err(LakeError::at("copy", &staged)(error)),
        }
    }
    delete(lake, &staged).await
}

/// Whether there is an object.
pub(super) async fn exists(lake: &Lake, key: &Path) -> Result<bool, LakeError> {
    match lake.store.head(key).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(LakeError::at("read", key)(error)),
    }
}

/// Deletes an object; one that is gone already is fine.
pub(super) async fn delete(lake: &Lake, key: &Path) -> Result<(), LakeError> {
    match lake.store.delete(key).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(LakeError::at("delete", key)(error)),
    }
}
