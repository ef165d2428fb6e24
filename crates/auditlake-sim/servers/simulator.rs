//! The simulators as a process of their own, for trying and testing the worker against them:
//!
//! ```text
//! cargo run --release --package auditlake-sim --bin simulator -- 200000 7   # 200,000 audits of the 7 days before 2026-03-08
//! ```
//!
//! Genesys Cloud holds this many audits, each of the other providers a fifth of it. A third argument delays each answer by
//! as many milliseconds; a fourth is the instant before which the audits lie, 2026-03-08 by default. Prints the environment
//! that jobs.yaml needs, and serves until it is ended. The present stands still two days after the last audit. A line of
//! standard input such as `2026-03-05T00:10:00Z` makes that instant the present and is answered by
//! `# now 2026-03-05T00:10:00Z`; records that arrive later are not shown yet. The line `503 4`, answered by `# 503 4`, makes
//! Genesys Cloud refuse its next four calls with a 503.

#![expect(clippy::print_stdout, reason = "what it prints is for a shell")]

use std::error::Error;
use std::time::Duration;

use auditlake_sim::{Fault, Providers, ProvidersSpec};
use chrono::{DateTime, TimeDelta, Utc};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let records = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let days = arguments.next().map_or(Ok(7), |text| text.parse())?;
    let latency = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let to = arguments.next();
    let to: DateTime<Utc> = to.as_deref().unwrap_or("2026-03-08T00:00:00Z").parse()?;
    let from = to - TimeDelta::days(days);
    let providers = Providers::start(ProvidersSpec {
        records,
        from,
        to,
        now: to + TimeDelta::days(2),
        latency: Duration::from_millis(latency),
    })
    .await?;
    for (name, value) in providers.environment() {
        println!("export {name}={value}");
    }
    println!("export AUDITLAKE_START={}", from.date_naive());
    let _serving = tokio::task::spawn_blocking(move || follow(providers)).await??;
    std::future::pending().await
}

/// Does as standard input says, until that ends.
fn follow(providers: Providers) -> Result<Providers, Box<dyn Error + Send + Sync>> {
    for line in std::io::stdin().lines() {
        let line = line?;
        if let Some(times) = line.strip_prefix("503 ") {
            let refused = Fault::Status {
                status: 503,
                retry_after: None,
            };
            let times = times.parse()?;
            if let Some(first) = providers.all().first() {
                first.faults().next_any(times, refused);
            }
            println!("# {line}");
            continue;
        }
        let now: DateTime<Utc> = line.parse()?;
        providers.set_now(now);
        println!("# now {line}");
    }
    Ok(providers)
}
