//! Which providers there are. Adding one is a file beside this one, and a line here.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::{Schema, SchemaGenerator};

use super::{Adapter, Endpoint, SideQueries, avaya, everyware, genesys, liveperson};
use crate::model::RateLimit;
use crate::yaml::Fields;

/// All providers, in the order in which messages list them.
pub static PROVIDERS: &[ProviderSpec] = &[
    genesys::SPEC,
    avaya::SPEC,
    liveperson::SPEC,
    everyware::SPEC,
];

/// What the configuration needs to know of a provider.
#[derive(Debug)]
pub struct ProviderSpec {
    /// Its name in jobs.yaml and in the lake.
    pub name: &'static str,
    /// The rate budget of a connection that names none.
    pub rate_limit: RateLimit,
    /// Reads the account's id, where the provider's calls name it: then the key is required.
    pub account_id: Option<ReadAccount>,
    /// Reads the keys of a connection that are the provider's own.
    ///
    /// Asks for all of its keys whatever it finds, so that the keys it asks for are the valid ones.
    pub connection: fn(&mut Fields<'_>, &Reach) -> Option<ProviderConnection>,
    /// Reads a job's `options`, with the same duty. Each of them may be left out.
    pub options: fn(&mut Fields<'_>) -> ProviderOptions,
    /// The adapter of a job without options.
    pub default_adapter: fn() -> Arc<dyn Adapter>,
    /// What the provider can be asked besides its feed, if anything.
    pub side_queries: Option<&'static dyn SideQueries>,
    /// The schema of what `connection` reads: an object.
    pub connection_schema: fn(&mut SchemaGenerator) -> Schema,
    /// The schema of what `options` reads: an object.
    pub options_schema: fn(&mut SchemaGenerator) -> Schema,
}

/// Reads an account's id. The error's subject is the text: `is no account's id, ...`.
pub type ReadAccount = fn(&str) -> Result<String, &'static str>;

/// How far a connection may reach, from the keys that all providers share.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Whether `http://` will do.
    pub allow_http: bool,
    /// Host suffixes that credentials may go to, beyond the provider's own.
    pub allowed_hosts: Vec<String>,
    /// The account's id, as far as the file gives one that will do.
    pub account_id: Option<String>,
}

/// What a provider made of its keys of a connection.
#[derive(Debug)]
pub struct ProviderConnection {
    /// Where the API is, and how to sign in.
    pub endpoint: Endpoint,
    /// The provider's own id of the account, as far as the configuration tells.
    pub account_id: Option<String>,
    /// Equal for two connections that see the same audit log; not kept, as it may hold a secret.
    pub identity: String,
}

/// What a provider made of a job's options.
#[derive(Debug)]
pub struct ProviderOptions {
    /// The adapter, with the options inside.
    pub adapter: Arc<dyn Adapter>,
    /// Which streams it pulls.
    pub streams: StreamSet,
}

/// The streams that a job pulls, as far as its options tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamSet {
    /// All that the provider has.
    All,
    /// Those with these names.
    Only(BTreeSet<String>),
}

impl StreamSet {
    /// What both sets may have in common, in words; nothing if they can't have anything in common.
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

/// The provider of that name.
pub fn provider(name: &str) -> Option<&'static ProviderSpec> {
    PROVIDERS.iter().find(|spec| spec.name == name)
}
