//! A simulator of the audit search of Avaya Experience Platform (AXP).
//!
//! One host, as the provider has it: the sign-in, and six services that share one call. Everything that nobody knows of
//! the provider is a setting, and everything that its own examples get wrong (links, default page sizes) is wrong here.

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

/// The records of all services, a log for each type of object.
pub type Dataset = crate::Dataset<dataset::AuditRecord>;

impl Avaya {
    /// Where the API is, sign-in included: scheme, host and port.
    pub fn base_url(&self) -> String {
        self.url_of(())
    }

    /// How often any service was searched.
    pub fn searches(&self) -> u64 {
        let counters = self.counters();
        let services = catalogue::SERVICES.iter();
        services
            .map(|service| counters.calls(service.endpoint))
            .sum()
    }

    /// Makes every token that was issued so far invalid.
    pub fn revoke_tokens(&self) {
        self.provider.tokens.revoke_all();
    }

    /// Replaces the application key that calls must show.
    pub fn set_app_key(&self, app_key: &str) {
        app_key.clone_into(&mut lock(&self.provider.app_key));
    }

    /// Refuses the next `calls` searches because the tenant's quota is used up.
    pub fn exhaust_quota(&self, calls: u32) {
        *lock(&self.provider.quota_refusals) = calls;
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
