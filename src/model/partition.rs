//! The columns by which the lake's files are parted.

/// A column that stands in the path of a file (`event_date=2026-11-20`) instead of inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartitionColumn {
    /// The kind of API: `genesys_cloud`.
    Provider,
    /// The connection's name.
    Connection,
    /// Whose log it is.
    AccountId,
    /// The UTC date of the event: `2026-11-20`.
    EventDate,
    /// The UTC month of the event: `2026-11`.
    EventMonth,
    /// The UTC hour of the event: `2026-11-20-08`.
    EventHour,
}

impl PartitionColumn {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Provider,
        Self::Connection,
        Self::AccountId,
        Self::EventDate,
        Self::EventMonth,
        Self::EventHour,
    ];

    /// Its name in jobs.yaml, in paths and in the table.
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

    /// Whether it tells when the event happened, so that only few files can hold an event of a given time.
    pub const fn is_time(self) -> bool {
        matches!(self, Self::EventDate | Self::EventMonth | Self::EventHour)
    }
}
