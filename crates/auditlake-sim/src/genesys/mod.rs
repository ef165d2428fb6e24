//! A simulator of the Genesys Cloud audit API.
//!
//! Three hosts, as the provider has them: the API, the sign-in, and the store of large results. Each is a port of the
//! loopback address, so that a client which mixes them up, or takes its token along to the store, is found out.

mod answer;
mod catalogue;
mod dataset;
mod demo;
mod downloads;
pub mod endpoint;
mod page;
mod provider;
mod record;
mod request;
mod settings;
#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]
mod tests;
mod transactions;

use self::endpoint::GenesysHost;
pub(crate) use self::provider::GenesysProvider;
use crate::{Simulator, lock};

pub use self::dataset::DatasetSpec;
pub use self::settings::{Compression, DownloadAddress, DownloadShape, GenesysSettings, Totals};
pub use crate::{Bound as IntervalBound, PoisonKind, Truth, start};

/// A running simulator of Genesys Cloud.
pub type Genesys = Simulator<GenesysProvider>;

/// The audits of all services, those without records last.
pub type Dataset = crate::Dataset<dataset::ServiceAudit>;

impl Genesys {
    /// Where the API is: scheme, host and port.
    pub fn base_url(&self) -> String {
        self.url_of(GenesysHost::Api)
    }

    /// Where the sign-in is: scheme, host and port; the token's path is `/oauth/token`.
    pub fn login_url(&self) -> String {
        self.url_of(GenesysHost::Login)
    }

    /// Where downloads are: scheme, host and port.
    pub fn download_url(&self) -> String {
        self.url_of(GenesysHost::Downloads)
    }

    /// Makes every token that was issued so far invalid.
    pub fn revoke_tokens(&self) {
        self.provider.tokens.revoke_all();
    }

    /// Forgets every query that was submitted so far.
    pub fn expire_transactions(&self) {
        lock(&self.provider.transactions).expire_all();
    }

    /// Makes every cursor that was issued so far invalid; the queries stay.
    pub fn expire_cursors(&self) {
        lock(&self.provider.transactions).expire_cursors();
    }

    /// Makes the next `times` queries end in this state (`Failed`, `Cancelled`, or one unheard of) rather than in success.
    pub fn end_next_queries_as(&self, state: &str, times: usize) {
        let states = std::iter::repeat_n(state.to_owned(), times);
        lock(&self.provider.transactions).outcomes.extend(states);
    }

    /// Takes the permission for a service away.
    pub fn forbid_service(&self, service: &str) {
        lock(&self.provider.forbidden).insert(service.to_owned());
    }

    /// Gives the permission for a service back.
    pub fn allow_service(&self, service: &str) {
        lock(&self.provider.forbidden).remove(service);
    }
}
