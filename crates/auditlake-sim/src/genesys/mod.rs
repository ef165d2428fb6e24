//! A simulator of the Genesys Cloud audit API.
//!
//! Like the provider, it has three hosts: the API, the sign-in, and the store of large results. Each has a port of its
//! own on the loopback address, so that a client that confuses them, or sends its token to the store, is noticed.

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

/// The audits of all services; services without records come last.
pub type Dataset = crate::Dataset<dataset::ServiceAudit>;

impl Genesys {
    /// Returns the URL of the API: scheme, host and port.
    pub fn base_url(&self) -> String {
        self.url_of(GenesysHost::Api)
    }

    /// Returns the URL of the sign-in: scheme, host and port. Tokens are at `/oauth/token`.
    pub fn login_url(&self) -> String {
        self.url_of(GenesysHost::Login)
    }

    /// Returns the URL of downloads: scheme, host and port.
    pub fn download_url(&self) -> String {
        self.url_of(GenesysHost::Downloads)
    }

    /// Revokes every token issued so far.
    pub fn revoke_tokens(&self) {
        self.provider.tokens.revoke_all();
    }

    /// Removes every query submitted so far.
    pub fn expire_transactions(&self) {
        lock(&self.provider.transactions).expire_all();
    }

    /// Invalidates every cursor issued so far; the queries stay.
    pub fn expire_cursors(&self) {
        lock(&self.provider.transactions).expire_cursors();
    }

    /// Makes the next `times` queries end in this state (`Failed`, `Cancelled`, or an unknown one) instead of in
    /// success.
    pub fn end_next_queries_as(&self, state: &str, times: usize) {
        let states = std::iter::repeat_n(state.to_owned(), times);
        lock(&self.provider.transactions).outcomes.extend(states);
    }

    /// Revokes the permission for a service.
    pub fn forbid_service(&self, service: &str) {
        lock(&self.provider.forbidden).insert(service.to_owned());
    }

    /// Restores the permission for a service.
    pub fn allow_service(&self, service: &str) {
        lock(&self.provider.forbidden).remove(service);
    }
}
