//! A simulator of LivePerson's audit trail.
//!
//! Like the provider, it has four hosts: the look-up, the sentinel (OAuth 2.0), the login service, and the
//! configuration service with the audit trail. Each has a port of its own on the loopback address. A client may only
//! know the look-up beforehand.

mod answer;
mod dataset;
mod demo;
pub mod endpoint;
mod graphql;
mod provider;
mod question;
mod row;
mod settings;
mod signed_in;
#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect"
)]
mod tests;

use std::sync::atomic::Ordering;

use self::endpoint::LivePersonHost;
use self::provider::CONFIGURATION;
pub(crate) use self::provider::LivePersonProvider;
use crate::{SimError, Simulator, lock};

pub use self::dataset::{DatasetSpec, calls_needed};
pub use self::settings::{
    DayZone, ListForm, LivePersonSettings, LookUpForm, Order, TotalCount, UserKey,
};
pub use crate::{Ties, start};

/// A running simulator of LivePerson.
pub type LivePerson = Simulator<LivePersonProvider>;

/// The rows of one account, whose id is the name of the only log.
pub type Dataset = crate::Dataset<row::Row>;

/// A row as it should arrive.
pub type Truth<'a> = crate::Truth<'a, String>;

impl LivePerson {
    /// Returns the URL of the look-up: scheme, host and port.
    pub fn domain_url(&self) -> String {
        self.url_of(LivePersonHost::LookUp)
    }

    /// Returns the URL of the sentinel: scheme, host and port.
    pub fn sentinel_url(&self) -> String {
        self.url_of(LivePersonHost::Sentinel)
    }

    /// Returns the URL of the login service: scheme, host and port.
    pub fn login_url(&self) -> String {
        self.url_of(LivePersonHost::Login)
    }

    /// Returns the current URL of the configuration service: scheme, host and port.
    pub fn configuration_url(&self) -> String {
        self.url_of(LivePersonHost::Configuration)
    }

    /// Revokes every token and every session.
    pub fn sign_all_out(&self) {
        self.provider.signed_in.sign_all_out();
    }

    /// Moves the configuration service to another port. Afterwards the old port is free, and connections to it are
    /// refused.
    pub async fn move_configuration(&self) -> Result<(), SimError> {
        let announce = |url: String| {
            let mut hosts = lock(&self.provider.hosts);
            for service in CONFIGURATION {
                hosts.insert(service, provider::host(&url));
            }
        };
        self.move_host(LivePersonHost::Configuration, announce)
            .await
    }

    /// Makes the look-up of a service fail with this status; 200 ends that.
    pub fn fail_look_up(&self, service: &str, status: u16) {
        let mut failing = lock(&self.provider.failing);
        if status == 200 {
            failing.remove(service);
        } else {
            failing.insert(service.to_owned(), status);
        }
    }

    /// Makes the look-up return a foreign host for a service.
    pub fn name_host(&self, service: &str, host: &str) {
        let mut hosts = lock(&self.provider.hosts);
        if let Some(named) = hosts.get_mut(service) {
            host.clone_into(named);
        }
    }

    /// Revokes the privilege for the audit trail.
    pub fn forbid(&self) {
        self.provider.forbidden.store(true, Ordering::Relaxed);
    }

    /// Makes the next pages return half of their rows together with errors.
    pub fn make_partial(&self, pages: u32) {
        self.provider.partial.store(pages, Ordering::Relaxed);
    }
}
