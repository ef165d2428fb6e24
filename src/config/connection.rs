//! `connections:` the accounts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use url::Url;

use super::job::read_name;
use crate::model::{RateLimit, hex};
use crate::providers::{Endpoint, PROVIDERS, ProviderSpec, Reach};
use crate::secret::Secret;
use crate::tls;
use crate::yaml::value::{host_suffix, rate_limit};
use crate::yaml::{YamlValue, reason};

/// One account on one provider.
#[derive(Debug, Clone)]
pub struct ConnectionConfig {
    /// Its name in the file, and in the table's column `connection`.
    pub name: String,
    /// The provider's name, as in the registry.
    pub provider: &'static str,
    /// What the column `account_id` shows, as far as the file tells; else it is the provider's own id of the account,
    /// else the connection's name.
    pub account_id: Option<String>,
    /// How often the provider may be called, by all replicas together.
    pub rate_limit: RateLimit,
    /// The proxy that all calls go through; the URL may hold credentials.
    pub proxy: Option<Secret>,
    /// A PEM file of certificates to trust beside the usual ones.
    pub ca_file: Option<PathBuf>,
    /// Whether the provider's hosts may be called without TLS.
    pub allow_http: bool,
    /// Where the API is, and how to sign in.
    pub endpoint: Endpoint,
    /// Where the API is, for telling accounts apart.
    pub host: String,
    /// A hash of who signs in there, or of the account that is named.
    pub user: String,
}

/// A connection that the file names. Jobs may refer to one that has problems: those are told once, where they are.
#[derive(Debug)]
pub(super) struct NamedConnection {
    /// Nothing if its provider isn't known.
    pub(super) provider: Option<&'static ProviderSpec>,
    /// Nothing if it has problems.
    pub(super) connection: Option<ConnectionIdentity>,
}

#[derive(Debug)]
pub(super) struct ConnectionIdentity {
    pub(super) connection: ConnectionConfig,
    /// Equal for two connections that see the same audit log.
    pub(super) identity: String,
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
        .required("provider")
        .and_then(|value| value.choose(PROVIDERS.iter().map(|spec| (spec.name, spec))));
    let account_id = match provider.and_then(|spec| spec.account_id) {
        Some(read) => (fields.required("account_id")).and_then(|value| value.parse(read)),
        None => fields.optional("account_id").and_then(|value| value.text()),
    };
    let rate_limit = fields
        .optional("rate_limit")
        .and_then(|value| value.parse(rate_limit));
    let proxy = fields
        .optional("proxy")
        .and_then(|value| read_proxy(&value));
    let ca_file = fields.optional("ca_file").and_then(|value| {
        value.parse(|path| {
            let pem = std::fs::read(path);
            let pem = pem.map_err(|error| format!("can't be read: {}", reason(&error)))?;
            tls::certificates(&pem)?;
            Ok::<_, String>(PathBuf::from(path))
        })
    });
    let allow_http = fields.optional("allow_http").and_then(|value| value.flag());
    let allowed_hosts = fields
        .optional("allowed_hosts")
        .and_then(|value| value.list());
    let reach = Reach {
        allow_http: allow_http.unwrap_or(false),
        allowed_hosts: allowed_hosts
            .into_iter()
            .flatten()
            .filter_map(|host| host.parse(host_suffix))
            .collect(),
        account_id: account_id.clone(),
    };
    // Without a provider, nobody knows which of its other keys are valid.
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

/// Whoever signs in may be a secret, so only a hash of it stands in the lake.
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
            value.report(format!("invalid `proxy`: it is no URL; {FORM}"));
            None
        }
    }
}
