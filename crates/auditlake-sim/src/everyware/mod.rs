//! A simulator of the audit log of Eurotech Everyware Cloud (REST API v2).
//!
//! One host with one call: `GET /v2/audit`. Each account has its own log, which is only returned to that account's
//! login.

mod body;
mod dataset;
mod demo;
pub mod endpoint;
mod huge;
mod provider;
mod request;
mod settings;
#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]
mod tests;

pub(crate) use self::provider::EverywareProvider;
use crate::{Simulator, lock};

pub use self::dataset::{DatasetSpec, TimeForm};
pub use self::huge::HugeDay;
pub use self::settings::{Dates, Empty, ErrorForm, EverywareSettings, Form, Stray};
pub use crate::{Truth, start};

/// A running simulator of Everyware Cloud.
pub type Everyware = Simulator<EverywareProvider>;

/// The audits of all accounts; each log has the name of its account.
pub type Dataset = crate::Dataset<dataset::Audit>;

impl Everyware {
    /// Returns the URL of the API: scheme, host, port, and `/v2`.
    pub fn base_url(&self) -> String {
        format!("{}/v2", self.url_of(()))
    }

    /// Replaces the settings from the next call on, except the port and the clock.
    pub fn change(&self, change: impl FnOnce(&mut EverywareSettings)) {
        change(&mut lock(&self.provider.settings));
    }
}
