//! What is counted of the lake's store.

use std::sync::Arc;

use super::family::{Counter, Metric, MetricRegistry};

/// The families of all kinds of requests.
#[derive(Debug)]
pub(super) struct StoreFamilies {
    requests: Metric<Counter>,
    errors: Metric<Counter>,
}

impl StoreFamilies {
    pub(super) fn enter(all: &mut MetricRegistry) -> Self {
        Self {
            requests: all.counter(
                "auditlake_store_requests_total",
                &["operation"],
                "Requests to the lake's store: `get`, `put`, `list`, `copy`, `delete`.",
            ),
            errors: all.counter(
                "auditlake_store_errors_total",
                &["operation"],
                "Of these, those that failed after all retries. What is absent, or there already, is no failure.",
            ),
        }
    }

    pub(super) fn all(&self) -> StoreMetrics {
        let of = |operation: Operation| {
            let name = [operation.as_str()];
            (self.requests.of(&name), self.errors.of(&name))
        };
        StoreMetrics(Arc::new(Operation::ALL.map(of)))
    }
}

/// A kind of request to the lake's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reads an object, or what is known of it.
    Get,
    /// Writes one.
    Put,
    /// Lists what there is.
    List,
    /// Copies one, or gives it another name.
    Copy,
    /// Deletes some.
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

/// What is counted of the lake's store. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct StoreMetrics(Arc<[(Counter, Counter); 5]>);

impl StoreMetrics {
    /// A request is sent.
    pub fn asked(&self, operation: Operation) {
        self.0[operation as usize].0.inc();
    }

    /// A request failed.
    pub fn failed(&self, operation: Operation) {
        self.0[operation as usize].1.inc();
    }
}
