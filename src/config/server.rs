//! `server:` the daemon itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use crate::yaml::YamlValue;
use crate::yaml::value::duration;

/// The daemon itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where pages, API, `/metrics`, `/healthz` and `/readyz` are answered.
    pub listen: SocketAddr,
    /// How many daemons share this file; each takes its share of every rate budget.
    pub replicas: NonZeroU32,
    /// How long the daemon has to finish its page after SIGTERM.
    pub shutdown_grace: Duration,
    /// The names by which the daemon's server may be called, beside IP addresses and those of loopback; `*` is any.
    pub allowed_hosts: Vec<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            replicas: NonZeroU32::MIN,
            shutdown_grace: Duration::from_secs(25),
            allowed_hosts: Vec::new(),
        }
    }
}

pub(super) fn read(value: &YamlValue<'_>) -> Option<ServerConfig> {
    let mut fields = value.fields("`server`")?;
    let listen = fields.optional("listen").and_then(|value| {
        value.parse(|text| {
            text.parse().map_err(
                |_| "is no address and port; write `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`",
            )
        })
    });
    let replicas = fields
        .optional("replicas")
        .and_then(|value| value.number(NonZeroU32::MIN..=NonZeroU32::MIN.saturating_add(999)));
    let shutdown_grace = fields.optional("shutdown_grace").and_then(|value| {
        value.parse(|text| duration(text)?.to_std().map_err(|error| error.to_string()))
    });
    let allowed_hosts = fields.optional("allowed_hosts").and_then(|value| {
        let names = value.list()?;
        names.iter().map(|name| name.parse(host_name)).collect()
    });
    fields.finish();
    let default = ServerConfig::default();
    Some(ServerConfig {
        listen: listen.unwrap_or(default.listen),
        replicas: replicas.unwrap_or(default.replicas),
        shutdown_grace: shutdown_grace.unwrap_or(default.shutdown_grace),
        allowed_hosts: allowed_hosts.unwrap_or_default(),
    })
}

/// A host's name as a browser sends it, or `*`.
fn host_name(text: &str) -> Result<String, &'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text == "*" || (!text.is_empty() && text.chars().all(fits)) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("is no host's name; write `auditlake.example.com`, without scheme and port, or `*` for any")
}
