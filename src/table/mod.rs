//! The table `audit_events`: its columns, its rows, its Parquet files, and reading them back.
//!
//! [`schema`] lists the columns once, in the form of `column`; [`ddl`] describes them for engines, [`rows`] builds
//! them, [`part`] encodes them, [`partition`] determines their folder, [`ids`] reads ids back, and [`canonical`]
//! creates ids for records without one. Only [`ids`] does I/O.

pub mod canonical;
pub(crate) mod column;
pub mod ddl;
pub mod ids;
pub mod part;
pub mod partition;
pub(crate) mod row;
pub mod rows;
pub mod schema;

pub use canonical::{CanonicalError, canonical_hash};
pub use ids::{EventIdHash, RowReadError, StoredIds, StoredRow, read_rows};
pub use part::{EncodedGroup, FinishedPart, Group, PartSpec, PartWriter};
pub use partition::partition_path;
pub use row::RowContext;
pub use rows::{Room, RowBuilder, RowError, pick};
pub use schema::{SCHEMA_VERSION, TABLE_NAME, file_schema};

#[cfg(test)]
mod testing;
