//! The Genesys Cloud simulator as a process of its own, for trying and measuring the worker against it:
//!
//! ```text
//! cargo run --release --example simulator -- 200000 7     # so many records over so many days before 2026-03-08
//! ```
//!
//! Prints the environment that jobs.yaml needs, and serves until it is ended.

#![expect(clippy::print_stdout, reason = "what it prints is for a shell")]

use std::error::Error;
use std::time::Duration;

use auditlake::sim::{Clock, genesys};
use chrono::{DateTime, TimeDelta};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let records = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let days = arguments.next().map_or(Ok(7), |text| text.parse())?;
    let latency = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let to = DateTime::from_timestamp(1_772_928_000, 0).unwrap_or_default(); // 2026-03-08T00:00:00Z
    let from = to - TimeDelta::days(days);
    let spec = genesys::DatasetSpec {
        records,
        from,
        to,
        ..genesys::DatasetSpec::default()
    };
    let settings = genesys::GenesysSettings {
        clock: Clock::Fixed(to + TimeDelta::days(2)),
        running_polls: 0,
        latency: Duration::from_millis(latency),
        ..genesys::GenesysSettings::default()
    };
    let (id, secret) = (settings.client_id.clone(), settings.client_secret.clone());
    let simulator = genesys::start(settings, genesys::Dataset::generate(&spec)).await?;
    println!("export GENESYS_API_URL={}", simulator.base_url());
    println!("export GENESYS_LOGIN_URL={}", simulator.login_url());
    println!(
        "export GENESYS_CLIENT_ID={id} GENESYS_CLIENT_SECRET={secret} GENESYS_ALLOW_HTTP=true"
    );
    println!(
        "export GENESYS_RATE_LIMIT=1000000/min GENESYS_START={}",
        from.date_naive()
    );
    std::future::pending().await
}
