//! A panic inside a run is a failed run, and says nothing of what it stumbled over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use auditlake::clock::Clock;
use auditlake::model::Record;
use auditlake::providers::{Adapter, Answer, Call, Cursor, Page, PageRequest, Refusal, Stream};
use auditlake::run::{self, RunMode, RunOptions};
use auditlake::telemetry::error_chain;
use tokio_util::sync::CancellationToken;

use super::canary::Canaries;
use crate::support::provider::{Event, Provider, at};
use crate::support::rig::lake_in_memory;

/// An adapter that panics over its input until it is switched off.
#[derive(Debug)]
struct Panics {
    inner: Arc<dyn Adapter>,
    secret: String,
    /// In `page`, which a worker calls; otherwise in `call`.
    in_page: bool,
    armed: Arc<AtomicBool>,
}

impl Panics {
    fn maybe(&self, here: bool) {
        assert!(
            !(here && self.armed.load(Ordering::Relaxed)),
            "can't make sense of {}",
            self.secret
        );
    }
}

impl Adapter for Panics {
    fn listed_streams(&self) -> Vec<Stream> {
        self.inner.listed_streams()
    }

    fn call(&self, ask: &PageRequest, cursor: Option<&Cursor>) -> Result<Call, Refusal> {
        self.maybe(!self.in_page);
        self.inner.call(ask, cursor)
    }

    fn page(
        &self,
        ask: &PageRequest,
        cursor: Option<&Cursor>,
        answer: Answer,
    ) -> Result<Page, Refusal> {
        self.maybe(self.in_page);
        self.inner.page(ask, cursor, answer)
    }

    fn record<'a>(&self, raw: &'a str) -> Result<Record<'a>, String> {
        self.inner.record(raw)
    }
}

#[tokio::test]
async fn a_panic_is_a_failed_run_that_quotes_nothing_and_the_next_run_lands_all() {
    for in_page in [true, false] {
        let canaries = Canaries::default();
        let provider = Provider::start(vec![Event::new("one", at(23, 30))]).await;
        let (lake, _) = lake_in_memory().await;
        let mut job = provider.job(lake, 1 << 20);
        let armed = Arc::new(AtomicBool::new(true));
        job.source.adapter = Arc::new(Panics {
            inner: Arc::clone(&job.source.adapter),
            secret: canaries.hatch("what a panic quotes"),
            in_page,
            armed: Arc::clone(&armed),
        });
        let options = RunOptions {
            clock: Clock::AsOf(at(26, 0)),
            ..RunOptions::new(CancellationToken::new())
        };
        let error = run::run(&job, RunMode::Due, &options).await.unwrap_err();
        canaries.output(
            "the error",
            format!("{} {error:?} {error}", error_chain(&error)),
        );
        assert!(error_chain(&error).contains("panicked"), "{error}");
        armed.store(false, Ordering::Relaxed);
        let run::RunOutcome::Ran(report) = run::run(&job, RunMode::Due, &options).await.unwrap()
        else {
            panic!("the panicked run still holds the job");
        };
        assert_eq!((report.totals.counts.new, report.failures.len()), (1, 0));
        canaries.assert_silent("a panic");
    }
}
