//! Submitted queries: their states, cursors and lifetimes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::Rng as _;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::dataset::RecordPlace;
use super::settings::GenesysSettings;

/// An accepted query.
#[derive(Debug)]
pub(super) struct Transaction {
    /// A number from 0 that selects the variants of this query's answers.
    pub(super) serial: u64,
    pub(super) started_micros: i64,
    pub(super) echo: Map<String, Value>,
    pub(super) rows: Rows,
    submitted: Instant,
    polls: u32,
    succeeded: bool,
    /// The final state, if it isn't success.
    outcome: Option<String>,
    cursors: HashMap<String, IssuedCursor>,
}

/// Results in the order of their pages. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) service: usize,
    pub(super) indexes: Arc<Vec<u32>>,
}

/// A position in the results.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct IssuedCursor {
    pub(super) row: usize,
    pub(super) page: u64,
    ends_micros: i64,
}

/// The reason why a cursor is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadCursor {
    Unknown,
    Expired,
}

/// All queries by id, and the final states of those to come.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    by_id: HashMap<String, Transaction>,
    accepted: u64,
    pub(super) outcomes: VecDeque<String>,
}

impl Rows {
    pub(super) fn places(&self, from: usize, to: usize) -> impl Iterator<Item = RecordPlace> + '_ {
        let service = self.service;
        let end = to.min(self.indexes.len());
        self.indexes[from.min(end)..end]
            .iter()
            .map(move |index| RecordPlace {
                service,
                index: *index,
            })
    }

    pub(super) fn len(&self) -> usize {
        self.indexes.len()
    }
}

impl Transactions {
    /// Accepts a query and removes expired ones.
    pub(super) fn accept(
        &mut self,
        id: String,
        started_micros: i64,
        echo: Map<String, Value>,
        rows: Rows,
        lifetime: Duration,
    ) {
        self.by_id
            .retain(|_, transaction| started_micros < ends(transaction.started_micros, lifetime));
        let transaction = Transaction {
            serial: self.accepted,
            started_micros,
            echo,
            rows,
            submitted: Instant::now(),
            polls: 0,
            succeeded: false,
            outcome: self.outcomes.pop_front(),
            cursors: HashMap::new(),
        };
        self.accepted += 1;
        self.by_id.insert(id, transaction);
    }

    /// Returns a query that hasn't expired.
    pub(super) fn get(
        &mut self,
        id: &str,
        now_micros: i64,
        lifetime: Duration,
    ) -> Option<&mut Transaction> {
        self.by_id
            .get_mut(id)
            .filter(|transaction| now_micros < ends(transaction.started_micros, lifetime))
    }

    pub(super) fn expire_all(&mut self) {
        self.by_id.clear();
    }

    pub(super) fn expire_cursors(&mut self) {
        for cursor in self
            .by_id
            .values_mut()
            .flat_map(|transaction| transaction.cursors.values_mut())
        {
            cursor.ends_micros = i64::MIN;
        }
    }
}

impl Transaction {
    /// Returns the state in the submit's own answer.
    pub(super) fn state_at_submit(&mut self, settings: &GenesysSettings) -> String {
        let at_once = settings.queued_polls == 0
            && settings.running_polls == 0
            && settings.running_time.is_zero();
        if at_once {
            self.finish()
        } else {
            "Queued".to_owned()
        }
    }

    /// Returns the state for a status call; each call counts towards the next state.
    pub(super) fn poll(&mut self, settings: &GenesysSettings) -> String {
        let polls = self.polls;
        self.polls = self.polls.saturating_add(1);
        let busy = settings.queued_polls.saturating_add(settings.running_polls);
        if polls < settings.queued_polls {
            "Queued".to_owned()
        } else if polls < busy || self.submitted.elapsed() < settings.running_time {
            "Running".to_owned()
        } else {
            self.finish()
        }
    }

    /// Returns whether success has been reported, so that results can be requested.
    pub(super) fn has_succeeded(&self) -> bool {
        self.succeeded
    }

    pub(super) fn cursor(
        &self,
        text: Option<&str>,
        now_micros: i64,
    ) -> Result<IssuedCursor, BadCursor> {
        let Some(text) = text else {
            return Ok(IssuedCursor::default());
        };
        match self.cursors.get(text) {
            None => Err(BadCursor::Unknown),
            Some(cursor) if now_micros >= cursor.ends_micros => Err(BadCursor::Expired),
            Some(cursor) => Ok(*cursor),
        }
    }

    /// Returns a new cursor. Its text contains `+`, `/` and `=`, which have to be escaped in a query string.
    pub(super) fn issue(
        &mut self,
        row: usize,
        page: u64,
        now_micros: i64,
        lifetime: Duration,
    ) -> String {
        let mut bytes = [0_u8; 16];
        rand::rng().fill(&mut bytes);
        bytes[..3].copy_from_slice(&[0xfb, 0xf0, 0x3f]);
        let text = STANDARD.encode(bytes);
        let ends_micros = ends(now_micros, lifetime);
        self.cursors.insert(
            text.clone(),
            IssuedCursor {
                row,
                page,
                ends_micros,
            },
        );
        text
    }

    fn finish(&mut self) -> String {
        if let Some(outcome) = &self.outcome {
            return outcome.clone();
        }
        self.succeeded = true;
        "Succeeded".to_owned()
    }
}

pub(super) fn ends(began_micros: i64, lifetime: Duration) -> i64 {
    began_micros.saturating_add(i64::try_from(lifetime.as_micros()).unwrap_or(i64::MAX))
}
