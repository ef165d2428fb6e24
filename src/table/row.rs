//! The source of a row: a record, and the values that the run adds.

use crate::model::{Record, Timestamp};

/// The values that the run adds to each record.
#[derive(Debug, Clone, Copy)]
pub struct RowContext<'a> {
    /// The kind of provider, as in `jobs.yaml`.
    pub provider: &'a str,
    /// The connection's name.
    pub connection: &'a str,
    /// The account, for records that don't contain it.
    pub account_id: &'a str,
    /// The job's name.
    pub job: &'a str,
    /// When the record was pulled.
    pub ingested_at: Timestamp,
}

impl<'a> RowContext<'a> {
    /// Returns the account in the row's column and path: the record's own, or the connection's.
    pub fn account_id<'r>(&self, record: &'r Record<'_>) -> &'r str
    where
        'a: 'r,
    {
        record.account_id.as_deref().unwrap_or(self.account_id)
    }
}

/// The source of a row's columns.
#[derive(Debug)]
pub(super) struct TableRow<'a> {
    pub(super) record: &'a Record<'a>,
    pub(super) context: &'a RowContext<'a>,
    pub(super) raw: &'a str,
    pub(super) late_by_ms: Option<i64>,
}
