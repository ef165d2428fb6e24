//! The settings of Avaya Experience Platform in jobs.yaml.

use std::num::NonZeroU32;
use std::sync::Arc;

use url::Url;

use super::Avaya;
use super::catalogue::{SERVICES, searches};
use super::problem::RETRY_HINTS;
use crate::model::RateLimit;
use crate::providers::{
    Endpoint, ProviderConnection, ProviderOptions, ProviderSpec, Reach, SentIn, ServiceHost,
    SignIn, StreamSet,
};
use crate::yaml::keys::{Key, KeyKind};
use crate::yaml::{Fields, YamlValue};

/// AXP in the registry.
pub const SPEC: ProviderSpec = ProviderSpec {
    name: "avaya_axp",
    // No limit is documented. A call per second leaves room for other users of the account.
    rate_limit: RateLimit::per_seconds(NonZeroU32::new(60).expect("60 isn't 0"), 60),
    account_id: Some(account_id),
    connection,
    options,
    default_adapter: || Arc::new(Avaya::default()),
    side_queries: None,
    connection_keys: CONNECTION_KEYS,
    options_keys: OPTIONS_KEYS,
};

/// The common suffix of the platform's hosts.
const DOMAIN: &str = "avayacloud.com";
/// The maximum length of `author` and `searchKeyword`.
const LONGEST_TEXT: usize = 255;
/// The events for which a search can filter. The Account service returns two more, for which it can't.
const EVENTS: [&str; 3] = ["CREATED", "UPDATED", "DELETED"];

const ACCOUNT_ID: Key = Key::required("account_id", KeyKind::Text("six letters"), "the account");
const REGION: Key = Key::optional(
    "region",
    KeyKind::Text("text"),
    "the host name before `.api.avayacloud.com`: `na`, `eu` or another one",
);
const BASE_URL: Key = Key::optional(
    "base_url",
    KeyKind::Url,
    "instead of `region`, for any other host; sign-in is below it, too",
);
const APP_KEY: Key = Key::required(
    "app_key",
    KeyKind::Secret,
    "the application key, sent with every call",
);
const CLIENT_ID: Key = Key::required(
    "client_id",
    KeyKind::Secret,
    "a client of that account with the role Account Administrator",
);
const CLIENT_SECRET: Key = Key::required("client_secret", KeyKind::Secret, "the client's secret");
const CONNECTION_KEYS: &[Key] = &[
    ACCOUNT_ID,
    REGION,
    BASE_URL,
    APP_KEY,
    CLIENT_ID,
    CLIENT_SECRET,
];

const SERVICES_KEY: Key = Key::optional(
    "services",
    KeyKind::List(&KeyKind::Choice(|| {
        SERVICES.iter().map(|service| service.name).collect()
    })),
    "the services to pull; all if the list is empty",
)
.with_default("[]");
const TYPES: Key = Key::optional(
    "types",
    KeyKind::List(&KeyKind::Choice(|| {
        searches().map(|(_, kind)| kind).collect()
    })),
    "the types of objects to pull, each of them a stream; all if the list is empty",
)
.with_default("[]");
const EVENT: Key = Key::optional(
    "event",
    KeyKind::Choice(|| EVENTS.to_vec()),
    "filter by verb. Filters are evaluated by the provider, and records must match all of them",
);
const AUTHOR: Key = Key::optional(
    "author",
    KeyKind::Text("text"),
    "filter by author: a login, or an application's id",
);
const IP_ADDRESS: Key = Key::optional(
    "ip_address",
    KeyKind::Text("text"),
    "filter by IP address: at most 15 characters, or 50 if only `business_hours` is pulled",
);
const SEARCH_KEYWORD: Key = Key::optional(
    "search_keyword",
    KeyKind::Text("text"),
    "filter by a text in any field except the date",
);
const OPTIONS_KEYS: &[Key] = &[
    SERVICES_KEY,
    TYPES,
    EVENT,
    AUTHOR,
    IP_ADDRESS,
    SEARCH_KEYWORD,
];

/// The options of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AvayaOptions {
    /// The services to pull; empty for all.
    pub services: Vec<&'static str>,
    /// The types of objects to pull; empty for all of the services.
    pub types: Vec<&'static str>,
    /// The filters.
    pub filters: Filters,
}

impl AvayaOptions {
    pub(super) fn takes(&self, service: &str, kind: &str) -> bool {
        let names = |list: &[&str], name: &str| list.is_empty() || list.contains(&name);
        names(&self.services, service) && names(&self.types, kind)
    }
}

/// The filters, all of which records have to match; evaluated by the provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    /// The verb.
    pub event: Option<String>,
    /// The author: a login, or an application's id.
    pub author: Option<String>,
    /// The IP address.
    pub ip_address: Option<String>,
    /// A text in any field except the date.
    pub search_keyword: Option<String>,
}

impl Filters {
    /// Returns the filters that are set, by their names in the API.
    pub(super) fn members(&self) -> Vec<(&'static str, &str)> {
        [
            ("event", &self.event),
            ("author", &self.author),
            ("ipAddress", &self.ip_address),
            ("searchKeyword", &self.search_keyword),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .collect()
    }
}

fn connection(fields: &mut Fields<'_>, reach: &Reach) -> Option<ProviderConnection> {
    let region = fields.get(&REGION);
    let base_url = fields.get(&BASE_URL);
    let app_key = fields.get(&APP_KEY).and_then(|key| key.header());
    let client_id = fields.get(&CLIENT_ID).and_then(|id| id.credential());
    let client_secret = fields
        .get(&CLIENT_SECRET)
        .and_then(|secret| secret.credential());
    let account = reach.account_id.clone();
    let api = api(fields, reach, region, base_url);
    let (api, account) = (api?, account?);
    let (app_key, client_id, client_secret) = (app_key?, client_id?, client_secret?);
    let mut token_url = api.clone();
    token_url.set_path(&format!(
        "{}/api/auth/v1/{account}/protocol/openid-connect/token",
        api.path().trim_end_matches('/')
    ));
    let host = api.host_str()?.to_owned();
    let own = if is_own(&host) {
        DOMAIN.to_owned()
    } else {
        host
    };
    let trusted = std::iter::once(own).chain(reach.allowed_hosts.iter().cloned());
    let sign_in = SignIn::ClientCredentials {
        token_url: ServiceHost::At(token_url),
        client_id,
        client_secret,
        sent: SentIn::Form,
    };
    Some(ProviderConnection {
        account_id: Some(account.clone()),
        identity: format!("{api} {account}"),
        endpoint: Endpoint {
            account: Some(account),
            headers: vec![("appkey", app_key)],
            retry_hints: RETRY_HINTS,
            ..Endpoint::new(api, sign_in, trusted.collect())
        },
    })
}

fn is_own(host: &str) -> bool {
    host.strip_suffix(DOMAIN)
        .is_some_and(|rest| rest.ends_with('.'))
}

/// Returns the API's base URL: of a region, or a custom one.
fn api(
    fields: &Fields<'_>,
    reach: &Reach,
    region: Option<YamlValue<'_>>,
    base_url: Option<YamlValue<'_>>,
) -> Option<Url> {
    let name = fields.name();
    match (region, base_url) {
        (Some(region), None) => region.parse(of_region),
        (None, Some(base_url)) => base_url.base_url(reach.allow_http),
        (Some(region), Some(_)) => {
            region.report(format!(
                "{name} has a `region` and a `base_url`; keep the one or the other"
            ));
            None
        }
        (None, None) => {
            fields.report(format!(
                "{name} lacks the key `region` (or `base_url`, for any other host)"
            ));
            None
        }
    }
}

/// Returns the base URL of a region's API. The list of regions isn't fully documented.
fn of_region(text: &str) -> Result<Url, &'static str> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let host = format!("https://{text}.api.{DOMAIN}");
    Some(host)
        .filter(|_| text.chars().all(fits) && !text.starts_with('-') && !text.ends_with('-'))
        .and_then(|host| Url::parse(&host).ok())
        .ok_or(
            "isn't a region; write the host name before `.api.avayacloud.com`, like `na` or `eu`",
        )
}

/// Parses the account's id, which is part of every path.
fn account_id(text: &str) -> Result<String, &'static str> {
    if text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        Ok(text.to_owned())
    } else {
        Err("isn't an account id, which has exactly six letters, like `ABCDEF`")
    }
}

fn options(fields: &mut Fields<'_>) -> ProviderOptions {
    let services = names(
        fields.get(&SERVICES_KEY),
        &SERVICES.iter().map(|service| service.name),
    );
    let types = fields.get(&TYPES);
    let listed = names(types.clone(), &searches().map(|(_, kind)| kind));
    let event = fields
        .get(&EVENT)
        .and_then(|event| event.choose(EVENTS.map(|name| (name, name))));
    let author = fields.get(&AUTHOR).and_then(|text| text.parse(author));
    let ip = fields.get(&IP_ADDRESS);
    let keyword = fields
        .get(&SEARCH_KEYWORD)
        .and_then(|text| text.parse(|text| at_most(text, LONGEST_TEXT)));
    let mut options = AvayaOptions {
        services,
        types: listed,
        filters: Filters {
            event: event.map(str::to_owned),
            author,
            ip_address: None,
            search_keyword: keyword,
        },
    };
    if let Some(types) = types {
        report_stray_types(&types, &options);
    }
    options.filters.ip_address = ip.and_then(|ip| ip.parse(|text| ip_address(text, &options)));
    let all = options.services.is_empty() && options.types.is_empty();
    let streams = if all {
        StreamSet::All
    } else {
        let taken = searches().filter(|(service, kind)| options.takes(service.name, kind));
        StreamSet::Only(
            taken
                .map(|(service, kind)| format!("{}/{kind}", service.name))
                .collect(),
        )
    };
    ProviderOptions {
        adapter: Arc::new(Avaya { options }),
        streams,
    }
}

/// Returns the choices in a list, each once.
fn names(
    list: Option<YamlValue<'_>>,
    choices: &(impl Iterator<Item = &'static str> + Clone),
) -> Vec<&'static str> {
    let items = list.and_then(|list| list.list()).unwrap_or_default();
    let mut names = Vec::new();
    for item in items {
        let name = item.choose(choices.clone().map(|name| (name, name)));
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

/// Reports types that none of the services audits, because they would silently pull nothing.
fn report_stray_types(types: &YamlValue<'_>, options: &AvayaOptions) {
    for kind in &options.types {
        let owner = searches().find(|(_, known)| known == kind);
        if let Some((service, _)) = owner
            && !options.takes(service.name, kind)
        {
            types.report(format!(
                "`types` has `{kind}`, but `services` lacks `{}`, whose type it is",
                service.name
            ));
        }
    }
}

fn author(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "@._-".contains(c);
    if !text.chars().all(fits) {
        return Err(
            "isn't a valid author filter, which has only letters, digits and `@._-`".to_owned(),
        );
    }
    at_most(text, LONGEST_TEXT)
}

/// Validates an IP address, whose length is limited by each of the selected services.
fn ip_address(text: &str, options: &AvayaOptions) -> Result<String, String> {
    let asked = SERVICES.iter().filter(|service| {
        service
            .types
            .iter()
            .any(|kind| options.takes(service.name, kind))
    });
    let longest = asked.map(|service| service.longest_ip).min().unwrap_or(0);
    at_most(text, longest).map_err(|why| match longest {
        15 => format!("{why}, so only `business_hours` can be searched for IPv6"),
        _ => why,
    })
}

fn at_most(text: &str, longest: usize) -> Result<String, String> {
    let length = text.chars().count();
    if length > longest {
        return Err(format!(
            "is too long: {length} characters, of which the provider takes {longest}"
        ));
    }
    Ok(text.to_owned())
}
