//! The table `audit_events`: its columns, its rows, its Parquet files, and what is read back from them.
//!
//! [`schema`] lists the columns once, in the form of `column`; [`ddl`] shows them to engines, [`rows`] builds them, [`part`] encodes them,
//! [`partition`] says in which folder they lie, [`ids`] reads the ids back, [`canonical`] makes ids where the
//! provider has none. Nothing here does I/O but [`ids`].

pub mod canonical;
pub(crate) mod column;
pub mod ddl;
pub mod ids;
pub mod part;
pub mod partition;
pub mod rows;
pub mod schema;

pub use canonical::{CanonicalError, canonical_hash};
pub use ids::{EventIdHash, RowReadError, StoredIds, StoredRow, read_rows};
pub use part::{EncodedGroup, FinishedPart, Group, PartSpec, PartWriter};
pub use partition::partition_path;
pub use rows::{Room, RowBuilder, RowContext, RowError, pick};
pub use schema::{SCHEMA_VERSION, TABLE_NAME, file_schema};

#[cfg(test)]
mod testing;
