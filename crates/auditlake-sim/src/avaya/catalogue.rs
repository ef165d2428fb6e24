//! The six services, the types of objects that each audits, and their differences.

use super::endpoint;

/// A service with an audit search.
#[derive(Debug)]
pub(super) struct Service {
    /// The service's name in the data set.
    pub(super) name: &'static str,
    /// The endpoint of its audit search.
    pub(super) endpoint: &'static str,
    pub(super) types: &'static [&'static str],
    /// The order without `orderBy`; undocumented for the group service.
    pub(super) ascending_by_default: bool,
    /// The maximum length of `orderBy`.
    pub(super) longest_order: usize,
    /// The maximum length of the `ipAddress` filter.
    pub(super) longest_ip: usize,
    /// The events of its objects.
    pub(super) events: &'static [&'static str],
    /// Whether records may contain the object's earlier state.
    pub(super) shows_previous: bool,
}

const EVENTS: &[&str] = &["CREATED", "UPDATED", "UPDATED", "UPDATED", "DELETED"];

const fn service(
    name: &'static str,
    endpoint: &'static str,
    types: &'static [&'static str],
) -> Service {
    Service {
        name,
        endpoint,
        types,
        ascending_by_default: false,
        longest_order: 255,
        longest_ip: 15,
        events: EVENTS,
        shows_previous: false,
    }
}

const USER_TYPES: &[&str] = &[
    "USER",
    "PROFILE",
    "RESOURCE_PARTITION",
    "USERS_DEFAULT_RESOURCE",
];

pub(super) static SERVICES: [Service; 6] = [
    Service {
        ascending_by_default: true,
        longest_order: 23,
        shows_previous: true,
        ..service("user", endpoint::USER, USER_TYPES)
    },
    Service {
        ascending_by_default: true,
        ..service("match", endpoint::MATCH, &["QUEUE", "ATTRIBUTE"])
    },
    Service {
        events: &["UPDATED", "ENABLED", "DISABLED"],
        ..service("account", endpoint::ACCOUNT, &["ACCOUNT"])
    },
    service("inventory", endpoint::INVENTORY, &["ELEMENT"]),
    service("group", endpoint::GROUP, &["GROUP"]),
    Service {
        longest_ip: 50,
        ..service("business_hours", endpoint::BUSINESS_HOURS, &["TIMETABLE"])
    },
];

/// Returns every service with each of its types.
pub(super) fn logs() -> impl Iterator<Item = (&'static Service, &'static str)> {
    SERVICES
        .iter()
        .flat_map(|service| service.types.iter().map(move |kind| (service, *kind)))
}
