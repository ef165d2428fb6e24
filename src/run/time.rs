//! The time of a run: its clocks, and which of them are trusted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::feed::Feed;
use super::future;
use super::job::{Job, RunOptions};
use super::plan::Policy;
use crate::clock::{BUILT, Clock, RemoteClock, real_now};
use crate::clocks::{ClockOwner, ClockReadings, JudgedTime, TOLERANCE, judge};
use crate::lake::{JobLog, Progress};
use crate::model::{Range, Timestamp};
use crate::providers::{PageRequest, Stream};
use crate::telemetry::error_chain;

/// The timeout of a request that only determines the API's time.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// Returns the current time: the earliest of the trusted clocks. Requests a page from the provider if its API's clock
/// is unknown. Logs the clocks that are wrong.
pub async fn now(job: &Job, stop: &CancellationToken) -> Timestamp {
    let time = Time::of(job, Clock::System);
    // a failure is reported by the caller that needs the answer
    let streams = job.source.streams(stop).await.unwrap_or_default();
    if time.api.at(Instant::now()).is_none() {
        let once = job.source.once();
        let asked = time.ask_the_api(&job.policy, &once, &streams, stop);
        if tokio::time::timeout(HEARD_WITHIN, asked).await.is_err() {
            tracing::debug!("the API doesn't answer in time: its clock stays unknown for now");
        }
    }
    time.warn(&job.name);
    time.now()
}

/// The clocks of a run. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Time {
    clock: Clock,
    store: RemoteClock,
    api: RemoteClock,
}

/// A past moment, whose time is determined again when more clocks are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The local clock.
    local: Timestamp,
    instant: Instant,
}

/// The log's entries for a scheduled run that has completed its plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct CompletedPlan {
    /// The run's "now" when it planned.
    pub(super) planned_at: Timestamp,
    /// This machine's clock at that time, if it was wrong.
    pub(super) planned_by: Option<Timestamp>,
}

impl Time {
    pub(crate) fn of(job: &Job, clock: Clock) -> Self {
        Self {
            clock,
            store: job.lake.clock.clone(),
            api: job.source.client.clock(),
        }
    }

    pub(super) fn moment() -> Moment {
        Moment {
            local: real_now(),
            instant: Instant::now(),
        }
    }

    /// Returns the trusted time now. With `--as-of`, that time.
    pub(super) fn judged(&self) -> JudgedTime {
        self.judged_at(Self::moment())
    }

    /// Returns the trusted time of a moment, by the clocks known now.
    pub(super) fn judged_at(&self, moment: Moment) -> JudgedTime {
        match self.clock {
            Clock::System => self.really_at(moment),
            Clock::AsOf(now) => JudgedTime {
                now,
                agreed: None,
                skews: Vec::new(),
            },
        }
    }

    fn really_at(&self, Moment { local, instant }: Moment) -> JudgedTime {
        let readings = ClockReadings {
            local,
            store: self.store.at(instant),
            api: self.api.at(instant),
        };
        judge(&readings, BUILT)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.judged().now
    }

    /// Returns the instant up to which an answer to a request of `asked_at` is complete: its `Date`, if that is earlier
    /// and its clock is trusted.
    pub(super) fn answered(&self, asked_at: Timestamp, date: Option<Timestamp>) -> Timestamp {
        match date {
            Some(date) if date >= BUILT && self.judged().believes(ClockOwner::Api) => {
                asked_at.min(date)
            }
            _ => asked_at,
        }
    }

    /// Returns the real time of receipt now, independent of the run's "now" in planning.
    pub(super) fn received(&self) -> Timestamp {
        match self.clock {
            Clock::System => self.now(),
            Clock::AsOf(_) => real_now(),
        }
    }

    /// Returns the log's entries for the last plan, whose "now" was `now` at this moment. The next tick is counted from
    /// there, so clocks that agree make no difference.
    pub(super) fn completed_plan(&self, moment: Moment, now: Timestamp) -> CompletedPlan {
        let (planned_at, planned_by) = match self.clock {
            Clock::AsOf(_) => (now, None),
            Clock::System if (moment.local - now).abs() <= TOLERANCE => (moment.local, None),
            Clock::System => (now, Some(moment.local)),
        };
        CompletedPlan {
            planned_at,
            planned_by,
        }
    }

    /// Returns the instant after which entries of the log are void, if it has entries in the future: a clock that was
    /// ahead wrote them, and two other clocks agree on an earlier time. With a single other clock, it is unknown which
    /// one is wrong.
    ///
    /// If no other clock is known yet, requests a page from the provider for the `Date` of its answer.
    pub(super) async fn limit(
        &self,
        log: &JobLog,
        job: &Job,
        progress: &BTreeMap<String, Progress>,
        source: &Feed,
        streams: &[Stream],
        options: &RunOptions,
    ) -> Option<Timestamp> {
        let planned_at = log.newest().await.planned_at;
        let latest = future::latest(progress, planned_at)?;
        if self.clock != Clock::System || latest <= self.now() + TOLERANCE {
            return None;
        }
        if self.judged().agreed.is_none() && self.api.at(Instant::now()).is_none() {
            let stop = &options.stop;
            self.ask_the_api(&job.policy, source, streams, stop).await;
        }
        let Some(agreed) = self.judged().agreed else {
            tracing::warn!(
                %latest,
                "the log contains a time in the future, and no two clocks agree on the current time, so its entries are kept"
            );
            return None;
        };
        (latest > agreed).then(|| {
            tracing::warn!(
                %latest,
                now = %agreed,
                "the log contains a time in the future: those entries are void, and planned again"
            );
            agreed
        })
    }

    /// Requests the start of the smallest window before now, only for the API's clock.
    async fn ask_the_api(
        &self,
        policy: &Policy,
        source: &Feed,
        streams: &[Stream],
        stop: &CancellationToken,
    ) {
        let now = self.now();
        let to = policy.horizon(now);
        let range = Range::new(to - policy.min_window, to);
        let (Some(stream), Some(range)) = (streams.first(), range) else {
            return;
        };
        let ask = PageRequest::new(stream.clone(), range, now);
        if let Err(error) = source.read(&ask, None).next(stop).await {
            tracing::debug!(error = error_chain(&error), "the API's clock can't be read");
        }
    }

    /// Records the differences of the clocks for the log, if they can be compared.
    pub(super) async fn note(&self, log: &JobLog) {
        let in_a_folder = log.is_in_a_folder();
        let judged = self.judged();
        if self.clock != Clock::System {
            return;
        }
        let now = Instant::now();
        let known = [
            (ClockOwner::Local, true),
            // a folder's clock is checked with each claim
            (
                ClockOwner::Store,
                in_a_folder || self.store.at(now).is_some(),
            ),
            (ClockOwner::Api, self.api.at(now).is_some()),
        ];
        let known: Vec<ClockOwner> = known
            .into_iter()
            .filter_map(|(whose, is_known)| is_known.then_some(whose))
            .collect();
        log.note_clocks(judged.skews, &known, judged.now).await;
    }

    /// Logs the clocks that are wrong.
    pub(super) fn warn(&self, job: &str) {
        for skew in self.judged().skews {
            tracing::warn!(job, ahead_seconds = skew.ahead_seconds, "{skew}");
        }
    }
}
