//! The six services, what each of them audits, and where they differ.

/// One service that has the audit search.
#[derive(Debug)]
pub(super) struct Service {
    /// Its name in the data set.
    pub(super) name: &'static str,
    pub(super) base_path: &'static str,
    pub(super) types: &'static [&'static str],
    /// Without `orderBy`; what the group service does is not known.
    pub(super) ascending_by_default: bool,
    /// The longest `orderBy`.
    pub(super) longest_order: usize,
    /// The longest `ipAddress` filter.
    pub(super) longest_ip: usize,
    /// What happens to its objects.
    pub(super) events: &'static [&'static str],
    /// Whether records may show the object's earlier state.
    pub(super) shows_previous: bool,
}

const EVENTS: &[&str] = &["CREATED", "UPDATED", "UPDATED", "UPDATED", "DELETED"];

pub(super) static SERVICES: [Service; 6] = [
    Service {
        name: "user",
        base_path: "/api/admin/user/v1",
        types: &[
            "USER",
            "PROFILE",
            "RESOURCE_PARTITION",
            "USERS_DEFAULT_RESOURCE",
        ],
        ascending_by_default: true,
        longest_order: 23,
        longest_ip: 15,
        events: EVENTS,
        shows_previous: true,
    },
    Service {
        name: "match",
        base_path: "/api/admin/match/v1",
        types: &["QUEUE", "ATTRIBUTE"],
        ascending_by_default: true,
        longest_order: 255,
        longest_ip: 15,
        events: EVENTS,
        shows_previous: false,
    },
    Service {
        name: "account",
        base_path: "/api/admin/account/v1",
        types: &["ACCOUNT"],
        ascending_by_default: false,
        longest_order: 255,
        longest_ip: 15,
        events: &["UPDATED", "ENABLED", "DISABLED"],
        shows_previous: false,
    },
    Service {
        name: "inventory",
        base_path: "/api/admin/inventory/v1",
        types: &["ELEMENT"],
        ascending_by_default: false,
        longest_order: 255,
        longest_ip: 15,
        events: EVENTS,
        shows_previous: false,
    },
    Service {
        name: "group",
        base_path: "/api/admin/group/v1",
        types: &["GROUP"],
        ascending_by_default: false,
        longest_order: 255,
        longest_ip: 15,
        events: EVENTS,
        shows_previous: false,
    },
    Service {
        name: "business_hours",
        base_path: "/api/business-hours/v1",
        types: &["TIMETABLE"],
        ascending_by_default: false,
        longest_order: 255,
        longest_ip: 50,
        events: EVENTS,
        shows_previous: false,
    },
];

/// Every service with each of its types.
pub(super) fn logs() -> impl Iterator<Item = (&'static Service, &'static str)> {
    SERVICES
        .iter()
        .flat_map(|service| service.types.iter().map(move |kind| (service, *kind)))
}
