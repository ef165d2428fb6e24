//! The content of a page, as far as it is compared with the lake.

use std::sync::Arc;

use super::comparison::ProviderEvent;
use crate::lake::quarantine;
use crate::model::Timestamp;
use crate::providers::Adapter;
use crate::run::decode::{ReadPage, ReceivedPage};
use crate::run::identity::{self, Occurrences};
use crate::table::RowError;

/// Parses pages for a comparison.
#[derive(Debug)]
pub(super) struct ComparisonReader(pub(super) Arc<dyn Adapter>);

/// A page's records.
#[derive(Debug, Default)]
pub(super) struct ComparisonPage {
    events: Vec<(String, Timestamp, u128)>,
    /// The quarantine ids of records that can't be parsed.
    pub(super) unreadable: Vec<String>,
    /// When the page was received.
    pub(super) received_at: Timestamp,
}

impl ComparisonPage {
    /// The page's events.
    pub(super) fn events(&self) -> impl ExactSizeIterator<Item = ProviderEvent<'_>> {
        (self.events.iter()).map(|(id, at, content)| ProviderEvent {
            id,
            at: *at,
            content: *content,
        })
    }
}

impl ReadPage for ComparisonReader {
    type Made = ComparisonPage;

    fn read(
        &self,
        received: &ReceivedPage,
        occurrences: &mut Occurrences,
    ) -> Result<ComparisonPage, RowError> {
        let adapter = self.0.as_ref();
        let mut shown = ComparisonPage {
            received_at: received.at,
            ..ComparisonPage::default()
        };
        for read in identity::read_all(adapter, &received.page, &received.ids, occurrences) {
            match read {
                Ok((raw, record)) => shown.events.push((
                    record.event_id.into_owned(),
                    record.event_time,
                    identity::content(adapter, raw),
                )),
                Err((raw, _)) => shown.unreadable.push(quarantine::id_of(raw)),
            }
        }
        Ok(shown)
    }
}
