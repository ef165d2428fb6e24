//! The task that maintains the table `audit_runs` of a lake, a few minutes after midnight and at the start.

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use tokio_util::sync::CancellationToken;

use super::materialize::{self, BuildError, MARGIN};
use crate::clock::real_now;
use crate::lake::Lake;
use crate::model::Timestamp;
use crate::telemetry::error_chain;
use crate::timer::WakeTimer;

/// The period in seconds over which replicas are spread, so that usually only one reads the logs and the others find
/// the file.
const SPREAD_S: i64 = 600;
/// The pause before a failed day is retried, doubled each time up to the second value.
const PAUSE: (TimeDelta, TimeDelta) = (TimeDelta::minutes(10), TimeDelta::hours(1));
/// The age in days at which an unwritten day is about to be lost, as logs are kept for 30 days.
const MAX_AGE_DAYS: i64 = 25;

/// Writes each day's file after the end of the day, until `stop` is cancelled. Failures are logged and retried.
pub async fn keep(lake: Lake, alarm: WakeTimer, stop: CancellationToken) {
    let spread = TimeDelta::seconds(rand::random_range(0..SPREAD_S));
    let mut failures = 0;
    loop {
        let built = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            built = materialize::build(&lake, lake.now()) => built,
        };
        let now = real_now();
        let next = match built {
            Ok(_) => {
                failures = 0;
                after_midnight(now, spread)
            }
            Err(error) => {
                let pause = (PAUSE.0 * 2_i32.pow(failures)).min(PAUSE.1);
                failures = (failures + 1).min(8);
                tracing::warn!(
                    error = error_chain(&error),
                    again_in_s = pause.num_seconds(),
                    "the table audit_runs can't be brought up to date yet"
                );
                now + pause
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = alarm.wait_until(next) => {}
        }
    }
}

/// Returns the first instant after `now` at which a day's file is due.
fn after_midnight(now: Timestamp, spread: TimeDelta) -> Timestamp {
    let of = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc() + MARGIN + spread;
    let today = of(now.date_naive());
    if today > now {
        today
    } else {
        of(materialize::following(now.date_naive()))
    }
}

/// Returns the time of the oldest commit that isn't in any file of the table, if its log is about to be pruned. One
/// request while the table is recent; otherwise one for its newest file and a few per job.
pub async fn about_to_be_lost(
    lake: &Lake,
    now: Timestamp,
) -> Result<Option<Timestamp>, BuildError> {
    let newest = materialize::newest_day(lake, now).await?;
    let max_age = TimeDelta::days(MAX_AGE_DAYS);
    if newest.is_some_and(|newest| now.date_naive() - newest < max_age) {
        return Ok(None);
    }
    let oldest = materialize::oldest_unwritten(lake, newest, now).await?;
    Ok(oldest.filter(|at| now - at > max_age))
}
