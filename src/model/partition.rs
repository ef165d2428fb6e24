//! The columns by which the lake can be partitioned.

use std::fmt;

/// A column that can be in the path of a file, as `name=value`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum PartitionColumn {
    /// The kind of provider, as in `jobs.yaml`.
    Provider,
    /// The connection's name.
    Connection,
    /// The account.
    AccountId,
    /// The UTC date of the event.
    EventDate,
    /// The UTC month of the event, `2026-11`; only in the path.
    EventMonth,
    /// The UTC hour of the event, `00` to `23`; only in the path.
    EventHour,
}

impl PartitionColumn {
    /// All columns.
    pub const ALL: [Self; 6] = [
        Self::Provider,
        Self::Connection,
        Self::AccountId,
        Self::EventDate,
        Self::EventMonth,
        Self::EventHour,
    ];

    /// Returns whether the column limits the files that can contain an event of a given time. The hour alone doesn't,
    /// as it is the same every day.
    pub const fn is_time(self) -> bool {
        matches!(self, Self::EventDate | Self::EventMonth)
    }

    /// Returns the name in the path, in `jobs.yaml` and in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Connection => "connection",
            Self::AccountId => "account_id",
            Self::EventDate => "event_date",
            Self::EventMonth => "event_month",
            Self::EventHour => "event_hour",
        }
    }
}

impl fmt::Display for PartitionColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
