//! Access to the logs of a lake, and to the table `audit_runs` derived from them, for callers other than a job's runs.

use std::collections::BTreeSet;

use bytes::Bytes;
use chrono::NaiveDate;
use futures_util::TryStreamExt;
use object_store::{ObjectStore, PutPayload};

use super::commit::Commit;
use super::error::LakeError;
use super::layout;
use super::log::read_commit;
use super::open::Lake;
use super::publish;

/// An entry of a log in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The number in its key.
    pub number: u64,
    /// The object's e-tag, which differs for another object under the same key.
    pub e_tag: Option<String>,
}

/// Lists the names of all jobs with a folder in the lake, configured or not. One request per thousand.
pub async fn jobs(lake: &Lake) -> Result<Vec<String>, LakeError> {
    let folder = lake.layout.jobs();
    let listed = lake
        .store
        .list_with_delimiter(Some(&folder))
        .await
        .map_err(LakeError::at("list", &folder))?;
    let names = listed.common_prefixes.iter();
    let mut names: Vec<String> = names
        .filter_map(|job| job.filename().map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// Lists the entries of a job's log from `from` on, in order. One request per thousand.
pub async fn versions(lake: &Lake, job: &str, from: u64) -> Result<Vec<Version>, LakeError> {
    let keys = lake.layout.job(job);
    let folder = keys.commits();
    let listing = match from.checked_sub(1) {
        Some(before) => lake
            .store
            .list_with_offset(Some(&folder), &keys.commit(before)),
        None => lake.store.list(Some(&folder)),
    };
    let mut versions: Vec<Version> = listing
        .try_filter_map(async |object| {
            let number = layout::version_of(&folder, &object.location);
            Ok(number.map(|number| Version {
                number,
                e_tag: object.e_tag,
            }))
        })
        .try_collect()
        .await
        .map_err(LakeError::at("list", &folder))?;
    versions.sort_by_key(|version| version.number);
    Ok(versions)
}

/// Reads a commit; `None` if it doesn't exist or was pruned.
pub async fn commit(lake: &Lake, job: &str, version: u64) -> Result<Option<Commit>, LakeError> {
    read_commit(lake, &lake.layout.job(job), version).await
}

/// Lists the days for which the table `audit_runs` has a file.
pub async fn days_of_runs(lake: &Lake) -> Result<BTreeSet<NaiveDate>, LakeError> {
    let folder = lake.layout.runs_table();
    lake.store
        .list(Some(&folder))
        .try_filter_map(async |object| Ok(lake.layout.date_of_runs(&object.location)))
        .try_collect()
        .await
        .map_err(LakeError::at("list", &folder))
}

/// Reads the file of a day of the table `audit_runs`.
pub async fn read_runs(lake: &Lake, date: NaiveDate) -> Result<Option<Bytes>, LakeError> {
    lake.read_file(&lake.layout.runs_of(date)).await
}

/// Creates the file of a day of the table `audit_runs`; returns `false` if there is one, which stays unchanged.
pub async fn create_runs(
    lake: &Lake,
    date: NaiveDate,
    payload: PutPayload,
) -> Result<bool, LakeError> {
    lake.is_still_there()?;
    let (key, length) = (lake.layout.runs_of(date), payload.content_length() as u64);
    let created = lake.create(&key, payload).await?;
    if created && publish::size(lake, &key).await? != Some(length) {
        // no one has read it, and an unreadable day would block all later ones
        publish::delete(lake, vec![key.clone()]).await?;
        return Err(LakeError::NotWritten {
            key: key.to_string(),
        });
    }
    Ok(created)
}
