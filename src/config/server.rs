//! `server`: the settings of the daemon.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::yaml::Fields;
use crate::yaml::keys::{Key, KeyKind};
use crate::yaml::value::{duration, whole};

/// The settings of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// The address for pages, API, `/metrics`, `/healthz` and `/readyz`.
    pub listen: SocketAddr,
    /// The number of daemons that share this file; each takes its share of every rate budget.
    pub replicas: NonZeroU32,
    /// Time for the daemon to finish its current pages after SIGTERM.
    pub shutdown_grace: Duration,
    /// The accepted host names, in addition to IP addresses and `localhost`; `*` accepts any.
    pub allowed_hosts: Vec<String>,
}

const LISTEN: Key = Key::optional(
    "listen",
    KeyKind::Text("address and port"),
    "the address for pages, API, `/metrics`, `/healthz` and `/readyz`; `0.0.0.0:8080` in a container. Anyone who can reach \
     it can read all of them",
)
.with_default("127.0.0.1:8080");
const ALLOWED_HOSTS: Key = Key::optional(
    "allowed_hosts",
    KeyKind::List(&KeyKind::Text("text")),
    "the accepted host names, without scheme and port; IP addresses and `localhost` are always accepted, and any other \
     name gets 421, except on `/healthz` and `/readyz`. This prevents web pages from reading the server through a \
     visitor's browser (DNS rebinding). `[\"*\"]` if a proxy enforces this",
)
.with_default("[]");
const REPLICAS: Key = Key::optional(
    "replicas",
    KeyKind::Whole,
    "the number of daemons that share this file (up to 1000); each takes its share of every rate budget",
)
.with_default("1");
const SHUTDOWN_GRACE: Key = Key::optional(
    "shutdown_grace",
    KeyKind::Duration,
    "time for the daemon to finish its current pages after SIGTERM",
)
.with_default("25s");

/// The keys of `server`.
pub(super) const KEYS: &[Key] = &[LISTEN, ALLOWED_HOSTS, REPLICAS, SHUTDOWN_GRACE];

pub(super) fn read(mut fields: Fields<'_>) -> Option<ServerConfig> {
    let listen = fields.get_or_default(&LISTEN, address);
    let replicas = fields.get_or_default(&REPLICAS, |text| {
        whole(text, NonZeroU32::MIN..=NonZeroU32::MIN.saturating_add(999))
    });
    let shutdown_grace = fields.get_or_default(&SHUTDOWN_GRACE, |text| {
        duration(text)?.to_std().map_err(|error| error.to_string())
    });
    let allowed_hosts = fields.get(&ALLOWED_HOSTS).and_then(|value| {
        let names = value.list()?;
        names.iter().map(|name| name.parse(host_name)).collect()
    });
    fields.finish();
    Some(ServerConfig {
        listen: listen?,
        replicas: replicas?,
        shutdown_grace: shutdown_grace?,
        allowed_hosts: allowed_hosts.or_else(|| ALLOWED_HOSTS.default_items(host_name))?,
    })
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(
        |_| "isn't an address and port; write `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`",
    )
}

/// Parses a host name as browsers send it, or `*`.
fn host_name(text: &str) -> Result<String, &'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text == "*" || (!text.is_empty() && text.chars().all(fits)) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("isn't a host name; write `auditlake.example.com`, without scheme and port, or `*` for any")
}
