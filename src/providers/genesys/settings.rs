//! The settings of Genesys Cloud in jobs.yaml.

use std::num::NonZeroU32;
use std::sync::Arc;

use url::Url;

use super::Genesys;
use super::call::RATE_HEADERS;
use super::side_queries::AuditCatalogue;
use crate::model::RateLimit;
use crate::providers::{
    Endpoint, ProviderConnection, ProviderOptions, ProviderSpec, Reach, RetryHints, SentIn,
    ServiceHost, SignIn, StreamSet,
};
use crate::yaml::keys::{Key, KeyKind, one_of};
use crate::yaml::value::whole;
use crate::yaml::{Fields, YamlValue};

/// Genesys Cloud in the registry.
pub const SPEC: ProviderSpec = ProviderSpec {
    name: "genesys_cloud",
    // The platform's limit for each client-credentials token.
    rate_limit: RateLimit::per_seconds(NonZeroU32::new(300).expect("300 isn't 0"), 60),
    account_id: None,
    connection,
    options,
    default_adapter: || Arc::new(Genesys::default()),
    side_queries: Some(&AuditCatalogue),
    connection_keys: CONNECTION_KEYS,
    options_keys: OPTIONS_KEYS,
};

/// The regions and their domains: the API is at `api.`, sign-in at `login.` below them.
const REGIONS: [(&str, &str); 18] = [
    ("us-east-1", "mypurecloud.com"),
    ("us-east-2", "use2.us-gov-pure.cloud"),
    ("us-west-2", "usw2.pure.cloud"),
    ("ca-central-1", "cac1.pure.cloud"),
    ("mx-central-1", "mxc1.pure.cloud"),
    ("sa-east-1", "sae1.pure.cloud"),
    ("eu-west-1", "mypurecloud.ie"),
    ("eu-west-2", "euw2.pure.cloud"),
    ("eu-central-1", "mypurecloud.de"),
    ("eu-central-2", "euc2.pure.cloud"),
    ("eusc-de-east-1", "edee1.eusc-pure.cloud"),
    ("me-central-1", "mec1.pure.cloud"),
    ("ap-south-1", "aps1.pure.cloud"),
    ("ap-southeast-1", "apse1.pure.cloud"),
    ("ap-southeast-2", "mypurecloud.com.au"),
    ("ap-northeast-1", "mypurecloud.jp"),
    ("ap-northeast-2", "apne2.pure.cloud"),
    ("ap-northeast-3", "apne3.pure.cloud"),
];

const REGION: Key = Key::optional(
    "region",
    KeyKind::Choice(|| REGIONS.map(|(name, _)| name).to_vec()),
    "the region of the organisation",
);
const BASE_URL: Key = Key::optional(
    "base_url",
    KeyKind::Url,
    "the API, for any other host; with `login_url`, instead of `region`",
);
const LOGIN_URL: Key = Key::optional(
    "login_url",
    KeyKind::Url,
    "the base of sign-in, which is at `login_url` + `/oauth/token`; with `base_url`",
);
const CLIENT_ID: Key = Key::required(
    "client_id",
    KeyKind::Secret,
    "an OAuth client with the grant Client Credentials, whose role has `audits:audit:view`",
);
const CLIENT_SECRET: Key = Key::required("client_secret", KeyKind::Secret, "the client's secret");
const CONNECTION_KEYS: &[Key] = &[REGION, BASE_URL, LOGIN_URL, CLIENT_ID, CLIENT_SECRET];

const MODE: Key = Key::optional("mode", KeyKind::Choice(|| Mode::CHOICES.map(|(name, _)| name).to_vec()), "query jobs (`async`: any age, all services), the realtime query (`realtime`: recent days, fewer services), or whichever takes fewer calls and returns everything").with_default("auto");
const SERVICES: Key = Key::optional(
    "services",
    KeyKind::List(&KeyKind::Text("text")),
    "the services to pull, which `auditlake services` lists; all if the list is empty",
)
.with_default("[]");
const FILTERS: Key = Key::optional("filters", KeyKind::List(&KeyKind::Block(FILTER_KEYS)), "`{ property: …, value: … }`; records must match all of them. `property` is `UserId`, `TrusteeOrganizationId`, `ClientId`, `Action`, `EntityType` or `EntityId`").with_default("[]");
const REALTIME_DAYS: Key = Key::optional(
    "realtime_days",
    KeyKind::Whole,
    "reach of the realtime query in days, 1 to 365",
)
.with_default("14");
const REALTIME_PAGE_SIZE: Key = Key::optional(
    "realtime_page_size",
    KeyKind::Whole,
    "records requested per page of the realtime query",
)
.with_default("500");
const OPTIONS_KEYS: &[Key] = &[MODE, SERVICES, FILTERS, REALTIME_DAYS, REALTIME_PAGE_SIZE];

const PROPERTY: Key = Key::required(
    "property",
    KeyKind::Choice(|| FilterProperty::ALL.map(FilterProperty::as_str).to_vec()),
    "the property to compare",
);
const VALUE: Key = Key::required(
    "value",
    KeyKind::Text("text"),
    "the value that it must equal",
);
const FILTER_KEYS: &[Key] = &[PROPERTY, VALUE];

/// The options of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenesysOptions {
    /// How the log is read.
    pub mode: Mode,
    /// The services to pull; empty for all of the account.
    pub services: Vec<String>,
    /// The filters, all of which records have to match.
    pub filters: Vec<Filter>,
    /// The reach of the realtime query in days.
    pub realtime_days: u32,
    /// The page size of the realtime query.
    pub realtime_page_size: u32,
}

impl Default for GenesysOptions {
    fn default() -> Self {
        Self {
            mode: MODE
                .default_value(one_of(Mode::CHOICES))
                .unwrap_or(Mode::Auto),
            services: Vec::new(),
            filters: Vec::new(),
            realtime_days: REALTIME_DAYS.default_value(days).unwrap_or_default(),
            realtime_page_size: (REALTIME_PAGE_SIZE.default_value(page_size)).unwrap_or_default(),
        }
    }
}

/// How the log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Query jobs only: any age, all services.
    Async,
    /// The realtime query only: recent days, fewer services.
    Realtime,
    /// The mode with fewer calls among those that return everything.
    Auto,
}

impl Mode {
    const CHOICES: [(&str, Self); 3] = [
        ("auto", Self::Auto),
        ("async", Self::Async),
        ("realtime", Self::Realtime),
    ];
}

/// A filter on records, evaluated by the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The property.
    pub property: FilterProperty,
    /// The value.
    pub value: String,
}

/// The property of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FilterProperty {
    /// The acting user's id.
    UserId,
    /// The trustee organisation that acts for this one.
    TrusteeOrganizationId,
    /// The OAuth client's id.
    ClientId,
    /// The action.
    Action,
    /// The type of the affected entity.
    EntityType,
    /// The id of the affected entity.
    EntityId,
}

impl FilterProperty {
    const ALL: [Self; 6] = [
        Self::UserId,
        Self::TrusteeOrganizationId,
        Self::ClientId,
        Self::Action,
        Self::EntityType,
        Self::EntityId,
    ];

    /// Returns the name in the API and in jobs.yaml.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserId => "UserId",
            Self::TrusteeOrganizationId => "TrusteeOrganizationId",
            Self::ClientId => "ClientId",
            Self::Action => "Action",
            Self::EntityType => "EntityType",
            Self::EntityId => "EntityId",
        }
    }
}

fn connection(fields: &mut Fields<'_>, reach: &Reach) -> Option<ProviderConnection> {
    let region = fields.get(&REGION);
    let base_url = fields.get(&BASE_URL);
    let login_url = fields.get(&LOGIN_URL);
    let client_id = fields.get(&CLIENT_ID).and_then(|id| id.credential());
    let client_secret = fields
        .get(&CLIENT_SECRET)
        .and_then(|secret| secret.credential());
    let (api, mut token_url, own_hosts) = hosts(fields, reach, region, base_url, login_url)?;
    let path = format!("{}/oauth/token", token_url.path().trim_end_matches('/'));
    token_url.set_path(&path);
    let (client_id, client_secret) = (client_id?, client_secret?);
    Some(ProviderConnection {
        account_id: None,
        identity: format!("{api} {}", client_id.reveal().ok()?),
        endpoint: Endpoint {
            retry_hints: RetryHints {
                rate_headers: Some(RATE_HEADERS),
                ..RetryHints::default()
            },
            ..Endpoint::new(
                api,
                SignIn::ClientCredentials {
                    token_url: ServiceHost::At(token_url),
                    client_id,
                    client_secret,
                    sent: SentIn::Header,
                },
                own_hosts
                    .into_iter()
                    .chain(reach.allowed_hosts.iter().cloned())
                    .collect(),
            )
        },
    })
}

/// Returns the base URLs of the API and of sign-in, and the provider's own host suffixes.
fn hosts(
    fields: &Fields<'_>,
    reach: &Reach,
    region: Option<YamlValue<'_>>,
    base_url: Option<YamlValue<'_>>,
    login_url: Option<YamlValue<'_>>,
) -> Option<(Url, Url, Vec<String>)> {
    let name = fields.name();
    let url = |value: YamlValue<'_>| value.base_url(reach.allow_http);
    match (region, base_url, login_url) {
        (Some(region), None, None) => {
            let domain = region.choose(REGIONS)?;
            let host = |name: &str| Url::parse(&format!("https://{name}.{domain}")).ok();
            Some((host("api")?, host("login")?, vec![domain.to_owned()]))
        }
        (None, Some(base_url), Some(login_url)) => {
            let (base_url, login_url) = (url(base_url), url(login_url));
            let (base_url, login_url) = (base_url?, login_url?);
            let mut hosts: Vec<String> = [&base_url, &login_url]
                .iter()
                .filter_map(|url| url.host_str().map(str::to_owned))
                .collect();
            hosts.dedup();
            Some((base_url, login_url, hosts))
        }
        (Some(region), _, _) => {
            region.report(format!(
                "{name} has a `region` and a `base_url` or `login_url`; keep the one or the other"
            ));
            None
        }
        (None, None, None) => {
            fields.report(format!(
                "{name} lacks the key `region` (or `base_url` and `login_url`, for any other host)"
            ));
            None
        }
        (None, given, _) => {
            let (given, lacking) = if given.is_some() {
                ("base_url", "login_url")
            } else {
                ("login_url", "base_url")
            };
            fields.report(format!(
                "{name} has `{given}` but lacks `{lacking}`; without a `region` both are needed"
            ));
            None
        }
    }
}

fn options(fields: &mut Fields<'_>) -> ProviderOptions {
    let default = GenesysOptions::default();
    let mode = fields
        .get(&MODE)
        .and_then(|mode| mode.choose(Mode::CHOICES));
    let services = fields.get(&SERVICES).and_then(|list| list.list());
    let services: Vec<String> = services
        .into_iter()
        .flatten()
        .filter_map(|service| service.parse(service_name))
        .collect();
    let filters = fields.get(&FILTERS).and_then(|list| list.list());
    let filters = filters
        .into_iter()
        .flatten()
        .filter_map(|item| filter(&item));
    let filters = filters.collect();
    let realtime_days = fields.get_or_default(&REALTIME_DAYS, days);
    let realtime_page_size = fields.get_or_default(&REALTIME_PAGE_SIZE, page_size);
    let streams = if services.is_empty() {
        StreamSet::All
    } else {
        StreamSet::Only(services.iter().cloned().collect())
    };
    let options = GenesysOptions {
        mode: mode.unwrap_or(default.mode),
        services,
        filters,
        realtime_days: realtime_days.unwrap_or(default.realtime_days),
        realtime_page_size: realtime_page_size.unwrap_or(default.realtime_page_size),
    };
    ProviderOptions {
        adapter: Arc::new(Genesys::new(options)),
        streams,
    }
}

fn days(text: &str) -> Result<u32, String> {
    whole(text, 1..=365)
}

fn page_size(text: &str) -> Result<u32, String> {
    whole(text, 1..=10_000)
}

/// Validates a service: the set is open, but names are plain words.
fn service_name(text: &str) -> Result<String, &'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("isn't the name of a service; `auditlake services` lists those of a connection")
    }
}

fn filter(item: &YamlValue<'_>) -> Option<Filter> {
    let mut fields = item.fields("a filter")?;
    let property = fields.get(&PROPERTY).and_then(|property| {
        property.choose(FilterProperty::ALL.map(|property| (property.as_str(), property)))
    });
    let value = fields.get(&VALUE).and_then(|value| value.text());
    fields.finish();
    Some(Filter {
        property: property?,
        value: value?,
    })
}
