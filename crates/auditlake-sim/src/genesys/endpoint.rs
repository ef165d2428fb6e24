//! The names of the endpoints, for counters and faults, and their hosts.

pub use crate::stage::OTHER;

/// Sign-in.
pub const TOKEN: &str = "POST /oauth/token";
/// The mapping of all services.
pub const SERVICES: &str = "GET /api/v2/audits/query/servicemapping";
/// The mapping of the realtime query's services.
pub const REALTIME_SERVICES: &str = "GET /api/v2/audits/query/realtime/servicemapping";
/// Submits a query.
pub const SUBMIT: &str = "POST /api/v2/audits/query";
/// Returns the status of a query.
pub const STATUS: &str = "GET /api/v2/audits/query/{transactionId}";
/// Returns the results of a query.
pub const RESULTS: &str = "GET /api/v2/audits/query/{transactionId}/results";
/// The realtime query.
pub const REALTIME: &str = "POST /api/v2/audits/query/realtime";
/// Returns the audits of the same action.
pub const RELATED: &str = "POST /api/v2/audits/query/realtime/related";
/// A large result.
pub const DOWNLOAD: &str = "GET /download/{name}";
/// A host of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GenesysHost {
    /// The API.
    Api,
    /// The sign-in.
    Login,
    /// The store of large results.
    Downloads,
}

pub(super) const HOSTS: &[(GenesysHost, &[&str])] = &[
    (GenesysHost::Api, API),
    (GenesysHost::Login, &[TOKEN]),
    (GenesysHost::Downloads, &[DOWNLOAD]),
];

const API: &[&str] = &[
    SUBMIT,
    SERVICES,
    REALTIME_SERVICES,
    REALTIME,
    RELATED,
    STATUS,
    RESULTS,
];
