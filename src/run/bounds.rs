//! Why a provider refuses a range's bounds: its size, its age or something else. No provider documents its messages, so
//! the answer comes from requests.

use chrono::TimeDelta;

use super::decode::ReadPage;
use super::error::RunError;
use super::event::{TooOld, WorkerEvent};
use super::feed::FeedError;
use super::oldest::OldestSearch;
use super::plan::Policy;
use super::queue::{QueuedWindow, WindowQueue};
use super::range_pull::{PullEnd, RangePuller};
use crate::model::{FailureKind, Range, Timestamp};
use crate::providers::{Refusal, oldest_in_message};

/// The age below which a refusal as too old isn't believed, unless the provider names that age; the range is retried.
const RECENT: TimeDelta = TimeDelta::days(7);

/// The cause of a refusal of a range's bounds.
pub(super) enum BoundsRefusal {
    ItsSize,
    /// Nothing before this instant is served.
    ItsAge(Timestamp),
    Neither(RunError),
}

/// A refused range, and what is needed to find the cause.
pub(super) struct RefusedRange<'a, R: ReadPage> {
    pub(super) puller: &'a RangePuller<R>,
    pub(super) queue: &'a WindowQueue,
    pub(super) policy: &'a Policy,
    pub(super) window: &'a QueuedWindow,
    pub(super) range: Range,
    pub(super) refusal: &'a Refusal,
}

impl<R: ReadPage> RefusedRange<'_, R> {
    /// Determines the cause. Reports a range that is too old to the sink.
    pub(super) async fn cause(&self) -> Result<BoundsRefusal, PullEnd> {
        let (stream, policy, range) = (&self.window.stream, self.policy, self.range);
        // a range that is too old is refused at once
        let first_page_only = matches!(self.refusal, Refusal::TooOld(_));
        let known = self.queue.oldest(&stream.id);
        if let Some(oldest) = known.filter(|oldest| range.from() < *oldest) {
            return self.is_too_old(oldest).await;
        }
        let least = policy.first_piece(range.from(), range.to(), policy.min_window);
        if let Some(least) = least.filter(|least| *least != range) {
            match self.puller.probe(stream, least, first_page_only).await {
                Ok(()) => return Ok(BoundsRefusal::ItsSize),
                Err(PullEnd::TooLarge(_) | PullEnd::Refused(_)) => {}
                Err(PullEnd::Stopped) => return Err(PullEnd::Stopped),
                Err(PullEnd::Failed(error)) => return Ok(BoundsRefusal::Neither(error)),
            }
        }
        if !self.queue.may_search(&stream.id, range.from()) {
            return Ok(self.unexplained(least));
        }
        let now = self.puller.time.now();
        let end = policy.horizon(now);
        let newest = policy.last_cell(end - policy.min_window);
        let named = oldest_in_message(&self.refusal.to_string(), now);
        let mut search = OldestSearch::new(range.from(), newest, now, policy.grain, &named);
        while let Some(at) = search.next() {
            let Some(least) = policy.first_piece(at, end, policy.min_window) else {
                break;
            };
            match self.puller.probe(stream, least, first_page_only).await {
                Ok(()) | Err(PullEnd::TooLarge(_)) => search.note(at, true),
                Err(PullEnd::Refused(_)) => search.note(at, false),
                Err(PullEnd::Stopped) => return Err(PullEnd::Stopped),
                Err(PullEnd::Failed(error)) => return Ok(BoundsRefusal::Neither(error)),
            }
        }
        match search.oldest() {
            // unless the provider names the age, a single window may be refused because of its content
            Some(oldest)
                if matches!(self.refusal, Refusal::TooOld(_))
                    || oldest - range.from() > policy.window * 2 =>
            {
                self.is_too_old(oldest).await
            }
            Some(_) => Ok(self.unexplained(least)),
            None => {
                self.queue.search_no_more(&stream.id);
                Ok(self.unexplained(least))
            }
        }
    }

    /// Returns the error for a refusal that is neither about size nor about age; `least` was refused, too.
    fn unexplained(&self, least: Option<Range>) -> BoundsRefusal {
        let message = self.refusal.to_string();
        BoundsRefusal::Neither(match self.refusal {
            Refusal::BadRange {
                kind: FailureKind::Data,
                ..
            } => RunError::TooLarge {
                range: least.unwrap_or(self.range),
                source: Refusal::TooLarge(message),
            },
            _ => FeedError::from(Refusal::Failed {
                kind: FailureKind::Config,
                message,
            })
            .into(),
        })
    }

    /// Records that nothing before `oldest` is served: no earlier window is requested.
    async fn is_too_old(&self, oldest: Timestamp) -> Result<BoundsRefusal, PullEnd> {
        let now = self.puller.time.now();
        let ages = oldest_in_message(&self.refusal.to_string(), now);
        let slack = TimeDelta::days(1) + self.policy.grain * 2;
        let is_believed = match ages.iter().max() {
            Some(youngest) => oldest <= *youngest + slack,
            None => oldest <= now - RECENT,
        };
        let stream = self.window.stream.id.clone();
        self.queue.skip_before(&stream, oldest);
        let Some(range) = Range::new(self.range.from(), oldest) else {
            return Ok(BoundsRefusal::ItsAge(oldest));
        };
        let doubt = (!is_believed).then(|| {
            let error = RunError::DoubtfulAge {
                oldest,
                source: self.refusal.clone(),
            };
            let text = crate::telemetry::error_chain(&error);
            self.queue.pass_over(self.window, range, error);
            text
        });
        let work = self.window.task.work;
        self.puller
            .send(WorkerEvent::TooOld(TooOld {
                stream,
                work,
                range,
                doubt,
            }))
            .await?;
        Ok(BoundsRefusal::ItsAge(oldest))
    }
}
