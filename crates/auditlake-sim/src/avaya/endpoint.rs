//! The names of the endpoints, for counters and faults.

pub use crate::stage::OTHER;

/// Sign-in.
pub const TOKEN: &str = "POST /api/auth/v1/{accountId}/protocol/openid-connect/token";
/// The audit search of the User service.
pub const USER: &str = "POST /api/admin/user/v1/accounts/{accountId}/audit-records:search";
/// The audit search of the Match service.
pub const MATCH: &str = "POST /api/admin/match/v1/accounts/{accountId}/audit-records:search";
/// The audit search of the Account service.
pub const ACCOUNT: &str = "POST /api/admin/account/v1/accounts/{accountId}/audit-records:search";
/// The audit search of the Element inventory service.
pub const INVENTORY: &str =
    "POST /api/admin/inventory/v1/accounts/{accountId}/audit-records:search";
/// The audit search of the Group service.
pub const GROUP: &str = "POST /api/admin/group/v1/accounts/{accountId}/audit-records:search";
/// The audit search of the Business hours service.
pub const BUSINESS_HOURS: &str =
    "POST /api/business-hours/v1/accounts/{accountId}/audit-records:search";

pub(super) const ALL: &[&str] = &[
    TOKEN,
    USER,
    MATCH,
    ACCOUNT,
    INVENTORY,
    GROUP,
    BUSINESS_HOURS,
];
