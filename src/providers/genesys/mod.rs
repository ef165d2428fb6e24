//! Genesys Cloud: the Audit API.

mod settings;

pub use settings::{Filter, FilterProperty, Mode, Options, SPEC};

use super::{Adapter, Answer, Ask, Call, Cursor, Page, Refusal, Stream};
use crate::model::{Range, Record};

/// The adapter of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesys {
    /// What the job pulls, and how.
    pub options: Options,
}

// REPLACED AT MERGE: the adapter is written on another branch; this only lets the configuration build one.
impl Adapter for Genesys {
    fn stream_calls(&self) -> Vec<Call> {
        unreachable!("the adapter comes with its own branch")
    }

    fn streams(&self, _: &[Answer]) -> Result<Vec<Stream>, Refusal> {
        unreachable!("the adapter comes with its own branch")
    }

    fn asked(&self, _: Range) -> Range {
        unreachable!("the adapter comes with its own branch")
    }

    fn call(&self, _: &Ask, _: Option<&Cursor>) -> Result<Call, Refusal> {
        unreachable!("the adapter comes with its own branch")
    }

    fn page(&self, _: &Ask, _: Option<&Cursor>, _: Answer) -> Result<Page, Refusal> {
        unreachable!("the adapter comes with its own branch")
    }

    fn record<'a>(&self, _: &'a str) -> Result<Record<'a>, String> {
        unreachable!("the adapter comes with its own branch")
    }
}
