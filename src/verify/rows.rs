//! The lake's rows of a job by day.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use object_store::path::Path;

use super::comparison::ProviderEvent;
use crate::lake::LakeError;
use crate::model::{PartitionColumn, Timestamp};
use crate::providers::Adapter;
use crate::run::dedup::files_of;
use crate::run::{Job, RunError, identity};
use crate::table::{StoredRow, partition_path, read_rows};

/// A row as an event for the comparison.
pub(super) fn event_of<'r>(adapter: &dyn Adapter, row: &StoredRow<'r>) -> ProviderEvent<'r> {
    ProviderEvent {
        id: row.event_id,
        at: row.event_time,
        content: identity::content(adapter, row.raw),
    }
}

/// Passes each row of the job in the partitions of these days to `take`.
pub(super) async fn rows_of(
    job: &Job,
    days: impl Iterator<Item = NaiveDate> + Send,
    mut take: impl FnMut(StoredRow<'_>) + Send,
) -> Result<(), RunError> {
    let mut done = HashSet::new();
    for day in days {
        for folder in folders(job, day).await? {
            if !done.insert(folder.clone()) {
                continue; // partitions may be longer than days
            }
            for file in files_of(&job.lake, &job.log, &folder).await? {
                let store = Arc::clone(&job.lake.files);
                read_rows(store, &file.location, file.size, &mut take).await?;
            }
        }
    }
    Ok(())
}

/// Returns the folders of the table that may contain the job's rows of a day: those of all accounts, as records may
/// contain their own account, and of all hours of the day.
async fn folders(job: &Job, day: NaiveDate) -> Result<Vec<Path>, RunError> {
    let midnight = day.and_time(NaiveTime::MIN).and_utc();
    let mut folders = vec![job.lake.layout.table()];
    let mut columns = job.partition_by.as_slice();
    while let [rest @ .., PartitionColumn::EventHour] = columns {
        columns = rest;
    }
    for column in columns {
        let mut below = Vec::new();
        for folder in folders {
            match column {
                PartitionColumn::AccountId => {
                    let found = job.lake.store.list_with_delimiter(Some(&folder)).await;
                    let found = found.map_err(LakeError::at("list", &folder))?;
                    below.extend(found.common_prefixes);
                }
                PartitionColumn::EventHour => {
                    for hour in 0..24 {
                        let at = midnight + TimeDelta::hours(hour);
                        below.push(child(job, &folder, *column, at)?);
                    }
                }
                _ => below.push(child(job, &folder, *column, midnight)?),
            }
        }
        folders = below;
    }
    Ok(folders)
}

fn child(
    job: &Job,
    folder: &Path,
    column: PartitionColumn,
    at: Timestamp,
) -> Result<Path, RunError> {
    let name = partition_path(&[column], job.provider, &job.connection, "", at);
    let path = Path::parse(format!("{folder}/{name}"));
    Ok(path.map_err(|error| LakeError::Unreadable {
        key: name,
        reason: error.to_string(),
    })?)
}
