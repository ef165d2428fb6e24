//! The language is part of a row's text, and the text is all that tells rows apart.

use std::sync::Arc;

use auditlake::clock::Clock;
use auditlake::providers::liveperson::{LivePerson, LivePersonOptions};
use auditlake::run::{self, RunMode, RunOptions};
use auditlake::sim::liveperson::LivePersonSettings;
use chrono_tz::Tz;
use tokio_util::sync::CancellationToken;

use super::support::{Rig, at, three_days};

#[tokio::test]
async fn another_language_is_refused_before_it_doubles_what_is_read_again() {
    let mut rig = Rig::new(&three_days(), LivePersonSettings::default()).await;
    rig.tick(at("2026-03-06")).await;
    let english = Arc::clone(&rig.job.source.adapter);
    rig.job.source.adapter = Arc::new(LivePerson::new(LivePersonOptions {
        language: "de-DE".to_owned(),
        ..LivePersonOptions::default()
    }));
    let now = at("2026-03-07");
    rig.sim.set_now(now);
    let options = RunOptions {
        clock: Clock::AsOf(now),
        ..RunOptions::new(CancellationToken::new())
    };
    let error = run::run(&rig.job, RunMode::Due, &options)
        .await
        .unwrap_err();
    assert_eq!(error.kind().to_string(), "config");
    insta::assert_snapshot!(error, @"the job's records were read with `language: en-US`, but would now be read with `language: de-DE`, so re-read records would be there twice; restore the old value, or use a new job with a `start` of its own");
    rig.job.source.adapter = english;
    rig.tick(now).await;
    rig.assert_holds(rig.truth("2026-03-01", "2026-03-04", Tz::UTC))
        .await;
}
