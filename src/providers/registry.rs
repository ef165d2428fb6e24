//! The registry of providers. A new provider needs a module next to this one, and a line here.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Adapter, Endpoint, SideQueries, avaya, everyware, genesys, liveperson};
use crate::model::RateLimit;
use crate::yaml::Fields;
use crate::yaml::keys::Key;

/// All providers, in the order in which messages list them.
pub static PROVIDERS: &[ProviderSpec] = &[
    genesys::SPEC,
    avaya::SPEC,
    liveperson::SPEC,
    everyware::SPEC,
];

/// The description of a provider for the configuration.
#[derive(Debug)]
pub struct ProviderSpec {
    /// The provider's name in jobs.yaml and in the lake.
    pub name: &'static str,
    /// The default rate budget of a connection.
    pub rate_limit: RateLimit,
    /// Parses the account's id, if the provider's calls contain it. `connection_keys` then declares `account_id` as
    /// required.
    pub account_id: Option<ReadAccount>,
    /// Reads the provider's own keys of a connection.
    ///
    /// Reads all of its keys in any case, because messages list the keys that were read as the valid ones.
    pub connection: fn(&mut Fields<'_>, &Reach) -> Option<ProviderConnection>,
    /// Reads a job's `options`, also all keys in any case. Each of them is optional.
    pub options: fn(&mut Fields<'_>) -> ProviderOptions,
    /// Creates the adapter of a job without options.
    pub default_adapter: fn() -> Arc<dyn Adapter>,
    /// The provider's queries other than its feed, if any.
    pub side_queries: Option<&'static dyn SideQueries>,
    /// The provider's own keys of a connection, and `account_id` if its calls contain it.
    pub connection_keys: &'static [Key],
    /// The keys of a job's `options`.
    pub options_keys: &'static [Key],
}

/// Parses an account's id. The error is a predicate of the text.
pub type ReadAccount = fn(&str) -> Result<String, &'static str>;

/// The permitted targets of a connection, from the keys common to all providers.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Whether `http://` is permitted.
    pub allow_http: bool,
    /// The suffixes of hosts that may receive credentials, in addition to the provider's own.
    pub allowed_hosts: Vec<String>,
    /// The account's id, if the file has a valid one.
    pub account_id: Option<String>,
}

/// A provider's settings of a connection.
#[derive(Debug)]
pub struct ProviderConnection {
    /// The API's URL, and how to sign in.
    pub endpoint: Endpoint,
    /// The provider's own id of the account, if configured.
    pub account_id: Option<String>,
    /// Equal for two connections with the same audit log; not kept, as it may contain a secret.
    pub identity: String,
}

/// A provider's settings of a job.
#[derive(Debug)]
pub struct ProviderOptions {
    /// The adapter with the options.
    pub adapter: Arc<dyn Adapter>,
    /// The streams that it pulls.
    pub streams: StreamSet,
}

/// The streams that a job pulls, as far as its options determine them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamSet {
    /// All streams of the provider.
    All,
    /// The streams with these names.
    Only(BTreeSet<String>),
}

impl StreamSet {
    /// Returns a description of the streams that both sets may contain; `None` if there are none.
    pub fn overlap(&self, other: &Self) -> Option<String> {
        let shared: Vec<&str> = match (self, other) {
            (Self::All, Self::All) => return Some("all streams".to_owned()),
            (Self::All, Self::Only(names)) | (Self::Only(names), Self::All) => {
                names.iter().map(String::as_str).collect()
            }
            (Self::Only(ours), Self::Only(theirs)) => {
                ours.intersection(theirs).map(String::as_str).collect()
            }
        };
        (!shared.is_empty()).then(|| format!("`{}`", shared.join("`, `")))
    }
}

/// Returns the provider with that name.
pub fn provider(name: &str) -> Option<&'static ProviderSpec> {
    PROVIDERS.iter().find(|spec| spec.name == name)
}
