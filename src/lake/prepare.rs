//! Preparing a lake for its first claim: its layout file, and the proof that its store supports create-if-absent.

use super::error::LakeError;
use super::open::{FORMAT, Lake, LakeFile, to_json};
use super::probe;

impl Lake {
    /// Ensures that the lake has the layout `partition_by`, which a new lake gets, and that its store refuses to create
    /// an object that exists or is being created. Required before the first claim.
    pub async fn prepare(&self, partition_by: &[String]) -> Result<(), LakeError> {
        let key = self.layout.lake_file();
        if !self.is_laid_out(partition_by).await? {
            let file = LakeFile {
                format: FORMAT,
                partition_by: partition_by.to_vec(),
                demo: self.demo,
            };
            self.create(&key, to_json(&file, &key)?).await?;
            if !self.is_laid_out(partition_by).await? {
                return Err(LakeError::Unreadable {
                    key: key.to_string(),
                    reason: "it can't be read back".into(),
                });
            }
        }
        // writes the existing content again, so that a store that ignores the condition is detected without harm
        let have = self.read(&key).await?.unwrap_or_default();
        if self.create(&key, have.into()).await? {
            return Err(LakeError::NoConditionalCreate {
                url: self.url().to_owned(),
            });
        }
        if self
            .read(&self.layout.lake_file_in_capitals())
            .await?
            .is_some()
        {
            return Err(LakeError::FoldsCase {
                url: self.url().to_owned(),
            });
        }
        // sequential requests don't detect a store that first checks and then writes
        probe::race_once(self).await
    }
}
