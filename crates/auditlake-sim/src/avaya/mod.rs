//! A simulator of the audit search of Avaya Experience Platform (AXP).
//!
//! Like the provider, it has one host with sign-in and six services that share one call. Undocumented behaviour is a
//! setting. Errors of the provider's own examples (links, default page sizes) are reproduced.

mod catalogue;
mod dataset;
mod demo;
pub mod endpoint;
mod page;
mod problem;
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

pub(crate) use self::provider::AvayaProvider;
use crate::{Simulator, lock};

pub use self::dataset::DatasetSpec;
pub use self::settings::{AvayaSettings, DateForms, Links, Pagination, TokenAnswer};
pub use crate::{Bound as DateBound, Ties, Truth, start};

/// A running simulator of AXP.
pub type Avaya = Simulator<AvayaProvider>;

/// The records of all services, with one log for each type of object.
pub type Dataset = crate::Dataset<dataset::AuditRecord>;

impl Avaya {
    /// Returns the URL of the API and of sign-in: scheme, host and port.
    pub fn base_url(&self) -> String {
        self.url_of(())
    }

    /// Returns the number of searches of all services.
    pub fn searches(&self) -> u64 {
        let counters = self.counters();
        let services = catalogue::SERVICES.iter();
        services
            .map(|service| counters.calls(service.endpoint))
            .sum()
    }

    /// Revokes every token issued so far.
    pub fn revoke_tokens(&self) {
        self.provider.tokens.revoke_all();
    }

    /// Replaces the application key.
    pub fn set_app_key(&self, app_key: &str) {
        app_key.clone_into(&mut lock(&self.provider.app_key));
    }

    /// Refuses the next `calls` searches because the tenant's quota is exhausted.
    pub fn exhaust_quota(&self, calls: u32) {
        *lock(&self.provider.quota_refusals) = calls;
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
