//! The metrics of the lake's store.

use std::sync::Arc;

use super::families::{Counter, Families};

impl Families {
    pub(super) fn store(&self) -> StoreMetrics {
        let of = |operation: Operation| {
            let name = [operation.as_str()];
            (self.store_requests.of(&name), self.store_errors.of(&name))
        };
        StoreMetrics(Arc::new(Operation::ALL.map(of)))
    }
}

/// A kind of request to the lake's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reads an object or its metadata.
    Get,
    /// Writes an object.
    Put,
    /// Lists objects.
    List,
    /// Copies or renames an object.
    Copy,
    /// Deletes objects.
    Delete,
}

impl Operation {
    const ALL: [Self; 5] = [Self::Get, Self::Put, Self::List, Self::Copy, Self::Delete];

    fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::List => "list",
            Self::Copy => "copy",
            Self::Delete => "delete",
        }
    }
}

/// The metrics of the lake's store. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub struct StoreMetrics(Arc<[(Counter, Counter); 5]>);

impl StoreMetrics {
    /// Records a request.
    pub fn asked(&self, operation: Operation) {
        self.0[operation as usize].0.inc();
    }

    /// Records a failed request.
    pub fn failed(&self, operation: Operation) {
        self.0[operation as usize].1.inc();
    }
}
