//! `connections`: the accounts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use url::Url;

use super::name::read_name;
use crate::model::{RateLimit, hex};
use crate::providers::{Endpoint, PROVIDERS, ProviderSpec, Reach};
use crate::secret::Secret;
use crate::tls;
use crate::yaml::keys::{Key, KeyKind};
use crate::yaml::value::{flag, host_suffix, rate_limit};
use crate::yaml::{YamlValue, reason};

/// One account on one provider.
#[derive(Debug, Clone)]
pub struct ConnectionConfig {
    /// Its name in the file, and in the table's column `connection`.
    pub name: String,
    /// The provider's name, as in the registry.
    pub provider: &'static str,
    /// The configured value of the column `account_id`. The default is the provider's own id of the account, or the
    /// connection's name.
    pub account_id: Option<String>,
    /// The maximum call rate, for all replicas together.
    pub rate_limit: RateLimit,
    /// The proxy for all calls; its URL may contain credentials.
    pub proxy: Option<Secret>,
    /// A PEM file of certificates to trust in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// Permits calls to the provider without TLS.
    pub allow_http: bool,
    /// The API's URL, and how to sign in.
    pub endpoint: Endpoint,
    /// The API's host, which distinguishes accounts.
    pub host: String,
    /// A hash of the user or client that signs in, or of the configured account.
    pub user: String,
}

/// A connection in the file. Jobs may refer to one that has problems, which are reported once, at the connection.
#[derive(Debug)]
pub(super) struct NamedConnection {
    /// `None` if its provider isn't known.
    pub(super) provider: Option<&'static ProviderSpec>,
    /// `None` if it has problems.
    pub(super) connection: Option<ConnectionIdentity>,
}

#[derive(Debug)]
pub(super) struct ConnectionIdentity {
    pub(super) connection: ConnectionConfig,
    /// Equal for two connections with the same audit log.
    pub(super) identity: String,
}

const PROVIDER: Key = Key::required(
    "provider",
    KeyKind::Choice(|| PROVIDERS.iter().map(|spec| spec.name).collect()),
    "the provider",
);
const ACCOUNT_ID: Key = Key::optional(
    "account_id",
    KeyKind::Text("text"),
    "the value of the column `account_id`; required for `avaya_axp` and `liveperson`, whose calls contain it",
)
.described_default("the provider's own id of the account, or the connection's name");
const RATE_LIMIT: Key = Key::optional(
    "rate_limit",
    KeyKind::Rate,
    "the maximum call rate, for all replicas together",
)
.described_default("the provider's limit");
const PROXY: Key = Key::optional(
    "proxy",
    KeyKind::Secret,
    "`http://host:port` or `http://user:password@host:port`, for all calls; http and https proxies are supported, SOCKS \
     is not",
)
.described_default("the environment's `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`");
const CA_FILE: Key = Key::optional(
    "ca_file",
    KeyKind::Text("path"),
    "a PEM file of certificates to trust in addition to the system's",
);
const ALLOW_HTTP: Key = Key::optional(
    "allow_http",
    KeyKind::Flag,
    "permits calls to the provider without TLS; for tests",
)
.with_default("false");
const ALLOWED_HOSTS: Key = Key::optional(
    "allowed_hosts",
    KeyKind::List(&KeyKind::Text("text")),
    "host suffixes that may receive credentials, in addition to the provider's own; `example.com` includes its \
     subdomains",
)
.with_default("[]");

/// The keys of a connection that all providers share. A provider's own declaration of one takes precedence.
pub(super) const KEYS: &[Key] = &[
    PROVIDER,
    ACCOUNT_ID,
    RATE_LIMIT,
    PROXY,
    CA_FILE,
    ALLOW_HTTP,
    ALLOWED_HOSTS,
];

/// Returns the provider's declaration of `account_id`, or the common one.
fn account_key(provider: &ProviderSpec) -> &Key {
    let mut own = provider.connection_keys.iter();
    own.find(|key| key.name == ACCOUNT_ID.name)
        .unwrap_or(&ACCOUNT_ID)
}

pub(super) fn read_all(value: &YamlValue<'_>) -> BTreeMap<String, NamedConnection> {
    let Some(fields) = value.fields("`connections`") else {
        return BTreeMap::new();
    };
    fields
        .entries()
        .map(|(key, value)| {
            if let Err(why) = read_name(&key.text) {
                fields.report_at(
                    key.at,
                    format!("invalid name of a connection: `{}` {why}", key.text),
                );
            }
            (key.text.clone(), read(&key.text, &value))
        })
        .collect()
}

fn read(name: &str, value: &YamlValue<'_>) -> NamedConnection {
    let unknown = NamedConnection {
        provider: None,
        connection: None,
    };
    let Some(mut fields) = value.fields(format!("connection `{name}`")) else {
        return unknown;
    };
    let provider = fields
        .get(&PROVIDER)
        .and_then(|value| value.choose(PROVIDERS.iter().map(|spec| (spec.name, spec))));
    let account_id = fields.get(provider.map_or(&ACCOUNT_ID, account_key));
    let account_id = match provider.and_then(|spec| spec.account_id) {
        Some(read) => account_id.and_then(|value| value.parse(read)),
        None => account_id.and_then(|value| value.text()),
    };
    let rate_limit = fields
        .get(&RATE_LIMIT)
        .and_then(|value| value.parse(rate_limit));
    let proxy = fields.get(&PROXY).and_then(|value| read_proxy(&value));
    let ca_file = fields.get(&CA_FILE).and_then(|value| {
        value.parse(|path| {
            let pem = std::fs::read(path);
            let pem = pem.map_err(|error| format!("can't be read: {}", reason(&error)))?;
            tls::certificates(&pem)?;
            Ok::<_, String>(PathBuf::from(path))
        })
    });
    let allow_http = fields.get_or_default(&ALLOW_HTTP, flag);
    let allowed_hosts = (fields.get(&ALLOWED_HOSTS)).and_then(|value| value.list());
    let reach = Reach {
        allow_http: allow_http.unwrap_or_default(),
        allowed_hosts: match allowed_hosts {
            Some(hosts) => (hosts.iter())
                .filter_map(|host| host.parse(host_suffix))
                .collect(),
            None => (ALLOWED_HOSTS.default_items(host_suffix)).unwrap_or_default(),
        },
        account_id: account_id.clone(),
    };
    // the other valid keys depend on the provider
    let Some(provider) = provider else {
        fields.finish_open();
        return unknown;
    };
    let own = (provider.connection)(&mut fields, &reach);
    fields.finish();
    let connection = own.map(|own| {
        let (host, user) = own.identity.split_once(' ').unwrap_or(("", &own.identity));
        let (host, user) = (host.to_owned(), hash(user));
        ConnectionIdentity {
            identity: format!("{} {}", provider.name, own.identity),
            connection: ConnectionConfig {
                host,
                user,
                name: name.to_owned(),
                provider: provider.name,
                account_id: account_id.or(own.account_id),
                rate_limit: rate_limit.unwrap_or(provider.rate_limit),
                proxy,
                ca_file,
                allow_http: reach.allow_http,
                endpoint: own.endpoint,
            },
        }
    });
    NamedConnection {
        provider: Some(provider),
        connection,
    }
}

/// Returns a hash for the lake, because the user may be a secret.
fn hash(user: &str) -> String {
    hex(&Sha256::digest(user)[..8])
}

fn read_proxy(value: &YamlValue<'_>) -> Option<Secret> {
    const FORM: &str = "write `http://host:port` or `http://user:password@host:port`";
    let secret = value.credential()?;
    let url = secret.reveal().ok().and_then(|url| Url::parse(&url).ok());
    let url = url.filter(Url::has_host);
    match url.as_ref().map(Url::scheme) {
        Some("http" | "https") => Some(secret),
        Some(scheme @ ("socks4" | "socks4a" | "socks5" | "socks5h")) => {
            value.report(format!(
                "invalid `proxy`: a `{scheme}` proxy isn't supported, only an http or https one; {FORM}"
            ));
            None
        }
        _ => {
            value.report(format!("invalid `proxy`: it isn't a URL; {FORM}"));
            None
        }
    }
}
