//! `health`: checks whether the daemon is alive.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;

use super::report::{CommandError, Out};
use crate::config::ConfigSource;
use crate::telemetry::error_chain;

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// The daemon's address; by default the configured one
    #[arg(long, env = "AUDITLAKE_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

pub(super) async fn run(
    source: &ConfigSource,
    args: &HealthArgs,
    out: &mut Out,
) -> Result<u8, CommandError> {
    let listen = match args.listen {
        Some(listen) => listen,
        None => super::load(source)?.server.listen,
    };
    let address = reachable(listen);
    let failed = |reason: String| {
        CommandError::run(format!("the daemon at `{address}` isn't healthy: {reason}"))
    };
    crate::tls::install();
    let answer = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(3))
        .build()
        .map_err(|error| failed(error_chain(&error)))?
        .get(format!("http://{address}/healthz"))
        .send()
        .await
        .map_err(|error| failed(error_chain(&error.without_url())))?;
    if !answer.status().is_success() {
        return Err(failed(format!("it answered {}", answer.status())));
    }
    out.line(format_args!("ok"));
    Ok(0)
}

/// Returns the address to request: loopback for a daemon that listens on all addresses.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
