//! The services with the audit search, and the types of objects that each audits.

/// A service.
#[derive(Debug)]
pub(super) struct AvayaService {
    /// The service's name in jobs.yaml, in streams and in the column `service`.
    pub(super) name: &'static str,
    /// The path of its API.
    pub(super) base_path: &'static str,
    /// The types of objects, one per search.
    pub(super) types: &'static [&'static str],
    /// The maximum length of the `ipAddress` filter.
    pub(super) longest_ip: usize,
}

pub(super) static SERVICES: [AvayaService; 6] = [
    AvayaService {
        name: "user",
        base_path: "/api/admin/user/v1",
        types: &[
            "PROFILE",
            "USER",
            "RESOURCE_PARTITION",
            "USERS_DEFAULT_RESOURCE",
        ],
        longest_ip: 15,
    },
    AvayaService {
        name: "account",
        base_path: "/api/admin/account/v1",
        types: &["ACCOUNT"],
        longest_ip: 15,
    },
    AvayaService {
        name: "inventory",
        base_path: "/api/admin/inventory/v1",
        types: &["ELEMENT"],
        longest_ip: 15,
    },
    AvayaService {
        name: "group",
        base_path: "/api/admin/group/v1",
        types: &["GROUP"],
        longest_ip: 15,
    },
    AvayaService {
        name: "match",
        base_path: "/api/admin/match/v1",
        types: &["QUEUE", "ATTRIBUTE"],
        longest_ip: 15,
    },
    AvayaService {
        name: "business_hours",
        base_path: "/api/business-hours/v1",
        types: &["TIMETABLE"],
        longest_ip: 50,
    },
];

/// Returns every service with each of its types.
pub(super) fn searches() -> impl Iterator<Item = (&'static AvayaService, &'static str)> + Clone {
    SERVICES
        .iter()
        .flat_map(|service| service.types.iter().map(move |kind| (service, *kind)))
}

/// Returns the service with this type of object, which a record doesn't contain.
pub(super) fn service_of(kind: &str) -> Option<&'static str> {
    searches()
        .find(|(_, known)| *known == kind)
        .map(|(service, _)| service.name)
}
