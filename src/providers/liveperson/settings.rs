//! The settings of LivePerson in jobs.yaml.

use std::num::NonZeroU32;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use http::StatusCode;
use url::Url;

use super::LivePerson;
use super::answer::error_in_body;
use super::hosts::{CONFIGURATION, LOGIN, PUBLIC_LOOK_UP, SENTINEL, below, looked_up};
use super::query::is_name;
use crate::model::RateLimit;
use crate::providers::{
    Endpoint, ProviderConnection, ProviderOptions, ProviderSpec, Reach, RetryHints, SentIn,
    ServiceHost, SignIn, StreamSet, TransientFailure,
};
use crate::yaml::keys::{Key, KeyKind, one_of};
use crate::yaml::value::{self, flag, whole};
use crate::yaml::{Fields, YamlValue};

/// LivePerson in the registry.
pub const SPEC: ProviderSpec = ProviderSpec {
    name: "liveperson",
    // no limit of the audit trail is documented, but bursts should be avoided
    rate_limit: RateLimit::per_seconds(NonZeroU32::new(60).expect("60 isn't 0"), 60),
    account_id: Some(account_id),
    connection,
    options,
    default_adapter: || Arc::new(LivePerson::new(LivePersonOptions::default())),
    side_queries: None,
    connection_keys: CONNECTION_KEYS,
    options_keys: OPTIONS_KEYS,
};

/// The vendor's hosts.
const OWN_HOSTS: &str = "liveperson.net";
/// The keys of OAuth 1.0, which ended on 2026-05-31.
const OAUTH1_KEYS: [&str; 6] = [
    "app_key",
    "app_secret",
    "access_token",
    "access_token_secret",
    "consumer_key",
    "consumer_secret",
];
const OAUTH1_ENDED: &str = "OAuth 1.0 keys are past their end of life (2026-05-31); use OAuth 2.0 client credentials, `auth: oauth2` with `client_id` and `client_secret`";

const ACCOUNT_ID: Key = Key::required(
    "account_id",
    KeyKind::Text("text"),
    "the account: 1 to 20 letters, digits or `_`",
);
const DOMAIN_URL: Key = Key::optional(
    "domain_url",
    KeyKind::Url,
    "the service that returns the account's hosts; they use its scheme",
)
.with_default(PUBLIC_LOOK_UP);
const BASE_URL: Key = Key::optional(
    "base_url",
    KeyKind::Url,
    "the configuration service, instead of the look-up; with `login_url`",
);
const LOGIN_URL: Key = Key::optional(
    "login_url",
    KeyKind::Url,
    "the sentinel, or the login service with `auth: login`; with `base_url`",
);
const AUTH: Key = Key::optional(
    "auth",
    KeyKind::Choice(|| SignInChoice::CHOICES.map(|(name, _)| name).to_vec()),
    "the sign-in method; OAuth 1.0 keys ended on 2026-05-31",
)
.with_default("oauth2");
const CLIENT_ID: Key = Key::optional(
    "client_id",
    KeyKind::Secret,
    "for `oauth2`: an app installation with the scope for the audit trail",
);
const CLIENT_SECRET: Key = Key::optional(
    "client_secret",
    KeyKind::Secret,
    "for `oauth2`: the app's secret",
);
const USERNAME: Key = Key::optional(
    "username",
    KeyKind::Secret,
    "for `login`: a user with access to the audit trail, without SSO",
);
const PASSWORD: Key = Key::optional(
    "password",
    KeyKind::Secret,
    "for `login`: the user's password",
);
const CONNECTION_KEYS: &[Key] = &[
    ACCOUNT_ID,
    DOMAIN_URL,
    BASE_URL,
    LOGIN_URL,
    AUTH,
    CLIENT_ID,
    CLIENT_SECRET,
    USERNAME,
    PASSWORD,
];

const USERS: Key = Key::optional(
    "users",
    KeyKind::List(&KeyKind::Text("text")),
    "filter by user, evaluated by the provider; all if the list is empty",
)
.with_default("[]");
const COMPONENT_TYPES: Key = Key::optional("component_types", KeyKind::List(&KeyKind::Text("text")), "filter by type of object, such as `ACUserObject`, evaluated by the provider; all if the list is empty").with_default("[]");
const TIMEZONE: Key = Key::optional(
    "timezone",
    KeyKind::Text("IANA name"),
    "the time zone of requested times",
)
.described_default("UTC, under any name that the server accepts");
const LANGUAGE: Key = Key::optional("language", KeyKind::Text("text"), "the language of types and elements. A job that has pulled in one language refuses another, because rows would get other ids").with_default("en-US");
const PAGE_SIZE: Key = Key::optional(
    "page_size",
    KeyKind::Whole,
    "rows requested per page, 1 to 5000; smaller pages are handled",
)
.with_default("500");
const DAYS_IN_TIMEZONE: Key = Key::optional("days_in_timezone", KeyKind::Flag, "whether the provider's days are those of `timezone`; if not, an extra day is requested on each side").with_default("false");
const OPTIONS_KEYS: &[Key] = &[
    USERS,
    COMPONENT_TYPES,
    TIMEZONE,
    LANGUAGE,
    PAGE_SIZE,
    DAYS_IN_TIMEZONE,
];

/// The options of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePersonOptions {
    /// The users whose changes to pull; empty for all.
    pub users: Vec<String>,
    /// The component types to pull; empty for all.
    pub component_types: Vec<String>,
    /// The requested zone of times; `None` for UTC, under a name that the server supports.
    pub timezone: Option<Tz>,
    /// The language of types and elements.
    pub language: String,
    /// The page size.
    pub page_size: u32,
    /// Whether days are those of `timezone`; otherwise their zone is unknown.
    pub days_in_timezone: bool,
}

impl Default for LivePersonOptions {
    fn default() -> Self {
        Self {
            users: Vec::new(),
            component_types: Vec::new(),
            timezone: None,
            language: LANGUAGE.default_value(language_tag).unwrap_or_default(),
            page_size: PAGE_SIZE.default_value(page_size).unwrap_or_default(),
            days_in_timezone: DAYS_IN_TIMEZONE.default_value(flag).unwrap_or_default(),
        }
    }
}

/// The sign-in of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignInChoice {
    OAuth2,
    Login,
    OAuth1,
}

impl SignInChoice {
    const CHOICES: [(&str, Self); 2] = [("oauth2", Self::OAuth2), ("login", Self::Login)];

    /// Returns the required keys, and those of the other sign-in.
    const fn keys(self) -> ([Key; 2], [Key; 2]) {
        let (client, user) = ([CLIENT_ID, CLIENT_SECRET], [USERNAME, PASSWORD]);
        match self {
            Self::OAuth2 | Self::OAuth1 => (client, user),
            Self::Login => (user, client),
        }
    }
}

fn connection(fields: &mut Fields<'_>, reach: &Reach) -> Option<ProviderConnection> {
    let auth = fields.get(&AUTH);
    let domain_url = fields.get(&DOMAIN_URL);
    let base_url = fields.get(&BASE_URL);
    let login_url = fields.get(&LOGIN_URL);
    let keys = [CLIENT_ID, CLIENT_SECRET, USERNAME, PASSWORD];
    let given = keys.map(|key| (key.name, fields.get(&key)));
    let account = reach.account_id.clone();
    let retired = retired_keys(fields);
    let auth = match auth {
        None => AUTH.default_value(one_of(SignInChoice::CHOICES)),
        Some(value) => auth_of(&value),
    };
    let secrets = secrets(fields, auth.filter(|_| !retired), &given);
    let hosts = hosts(fields, reach, domain_url, base_url, login_url)?;
    let (account, auth, [id, secret]) = (account?, auth?, secrets?);
    let sign_in = match auth {
        SignInChoice::OAuth1 => return None,
        SignInChoice::OAuth2 => SignIn::ClientCredentials {
            token_url: hosts.sign_in(
                &account,
                SENTINEL,
                format!("/sentinel/api/v2/account/{account}/app/token"),
            ),
            client_id: id,
            client_secret: secret,
            sent: SentIn::Form,
        },
        SignInChoice::Login => SignIn::Session {
            login: hosts.sign_in(
                &account,
                LOGIN,
                format!("/api/account/{account}/login?v=1.3"),
            ),
            refresh: hosts.sign_in(&account, LOGIN, format!("/api/account/{account}/refresh")),
            username: id,
            password: secret,
        },
    };
    let trusted = std::iter::once(OWN_HOSTS.to_owned())
        .chain(hosts.named())
        .chain(reach.allowed_hosts.iter().cloned());
    Some(ProviderConnection {
        account_id: Some(account.clone()),
        identity: format!("{} {account}", hosts.identity()),
        endpoint: Endpoint {
            api: hosts.api(&account),
            account: Some(account),
            sign_in,
            headers: Vec::new(),
            trusted_hosts: trusted.collect(),
            retry_hints: RetryHints {
                rest,
                error_in_body,
                ..RetryHints::default()
            },
        },
    })
}

/// The vendor's documented pauses: a second after 429, five seconds for a sign-in; after server errors, three retries
/// after 5, 10 and 15 seconds, then increasing pauses.
fn rest(failed: TransientFailure<'_>) -> Duration {
    match failed.status {
        StatusCode::TOO_MANY_REQUESTS if failed.signing_in => Duration::from_secs(5),
        StatusCode::TOO_MANY_REQUESTS => Duration::from_secs(1),
        status if status.is_server_error() => match failed.times {
            0 | 1 => Duration::from_secs(5),
            2 => Duration::from_secs(10),
            3 => Duration::from_secs(15),
            4 => Duration::from_mins(2),
            5 => Duration::from_mins(4),
            _ => Duration::from_mins(8),
        },
        _ => Duration::ZERO,
    }
}

/// Parses the account's id, which is part of every path.
fn account_id(text: &str) -> Result<String, &'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if (1..=20).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("isn't an account id, which has 1 to 20 letters, digits or underscores")
    }
}

/// Reports keys of OAuth 1.0; returns whether there were any.
fn retired_keys(fields: &mut Fields<'_>) -> bool {
    let mut any = false;
    for key in OAUTH1_KEYS {
        if let Some(at) = fields.retired(key) {
            fields.report_at(at, format!("`{key}` is of no use: {OAUTH1_ENDED}"));
            any = true;
        }
    }
    any
}

fn auth_of(value: &YamlValue<'_>) -> Option<SignInChoice> {
    if matches!(
        value.text().as_deref(),
        Some("oauth1" | "oauth1.0" | "oauth")
    ) {
        value.report(OAUTH1_ENDED);
        return Some(SignInChoice::OAuth1);
    }
    value.choose(SignInChoice::CHOICES)
}

/// The two secrets of the sign-in.
fn secrets(
    fields: &mut Fields<'_>,
    auth: Option<SignInChoice>,
    given: &[(&'static str, Option<YamlValue<'_>>)],
) -> Option<[crate::secret::Secret; 2]> {
    let auth = auth.filter(|auth| *auth != SignInChoice::OAuth1)?;
    let (needed, others) = auth.keys();
    let value = |key: &str| {
        let found = given.iter().find(|(name, _)| *name == key);
        found.and_then(|(_, value)| value.as_ref())
    };
    for Key { name: key, .. } in others {
        if let Some(value) = value(key) {
            let (used, with) = match auth {
                SignInChoice::Login => ("oauth2", "login"),
                SignInChoice::OAuth2 | SignInChoice::OAuth1 => ("login", "oauth2"),
            };
            value.report(format!(
                "`{key}` is for `auth: {used}`, and this is `auth: {with}`"
            ));
        }
    }
    let [id, secret] = needed.map(|key| {
        if value(key.name).is_none() {
            fields.lack(&key);
        }
        value(key.name)?.credential()
    });
    Some([id?, secret?])
}

/// The locations of an account's services.
#[derive(Debug)]
enum ServiceHosts {
    /// Determined by the look-up.
    LookedUp(Url),
    /// The base URLs of the audit trail and of sign-in.
    Given(Url, Url),
}

impl ServiceHosts {
    fn api(&self, account: &str) -> ServiceHost {
        match self {
            Self::LookedUp(domain) => looked_up(domain, account, CONFIGURATION, String::new()),
            Self::Given(base, _) => ServiceHost::At(base.clone()),
        }
    }

    fn sign_in(&self, account: &str, service: &'static str, path: String) -> ServiceHost {
        match self {
            Self::LookedUp(domain) => looked_up(domain, account, service, path),
            Self::Given(_, login) => below(login, &path),
        }
    }

    /// Returns the configured hosts.
    fn named(&self) -> Vec<String> {
        let urls = match self {
            Self::LookedUp(domain) => vec![domain],
            Self::Given(base, login) => vec![base, login],
        };
        let mut hosts: Vec<String> = urls
            .into_iter()
            .filter_map(|url| url.host_str().map(str::to_owned))
            .collect();
        hosts.dedup();
        hosts
    }

    /// Returns the identity of the platform.
    fn identity(&self) -> &Url {
        match self {
            Self::LookedUp(url) | Self::Given(url, _) => url,
        }
    }
}

fn hosts(
    fields: &Fields<'_>,
    reach: &Reach,
    domain_url: Option<YamlValue<'_>>,
    base_url: Option<YamlValue<'_>>,
    login_url: Option<YamlValue<'_>>,
) -> Option<ServiceHosts> {
    let name = fields.name();
    let url = |value: YamlValue<'_>| value.base_url(reach.allow_http);
    match (domain_url, base_url, login_url) {
        (None, None, None) => DOMAIN_URL
            .default_value(|text| value::base_url(text, false))
            .map(ServiceHosts::LookedUp),
        (Some(domain), None, None) => url(domain).map(ServiceHosts::LookedUp),
        (None, Some(base), Some(login)) => {
            let (base, login) = (url(base), url(login));
            Some(ServiceHosts::Given(base?, login?))
        }
        (Some(domain), _, _) => {
            domain.report(format!(
                "{name} has a `domain_url` and a `base_url` or `login_url`; keep the one or the other"
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
                "{name} has `{given}` but lacks `{lacking}`; without the look-up both are needed"
            ));
            None
        }
    }
}

fn options(fields: &mut Fields<'_>) -> ProviderOptions {
    let default = LivePersonOptions::default();
    let mut list = |key: &Key, parse: fn(&str) -> Result<String, &'static str>| {
        let items = fields.get(key).and_then(|list| list.list());
        let items = items.into_iter().flatten();
        items
            .filter_map(|item| item.parse(parse))
            .collect::<Vec<String>>()
    };
    let users = list(&USERS, user);
    let component_types = list(&COMPONENT_TYPES, component_type);
    let timezone = fields.get(&TIMEZONE).and_then(|zone| zone.parse(timezone));
    let language = fields.get_or_default(&LANGUAGE, language_tag);
    let page_size = fields.get_or_default(&PAGE_SIZE, page_size);
    let days_in_timezone = fields.get_or_default(&DAYS_IN_TIMEZONE, flag);
    let options = LivePersonOptions {
        users,
        component_types,
        timezone,
        language: language.unwrap_or(default.language),
        page_size: page_size.unwrap_or(default.page_size),
        days_in_timezone: days_in_timezone.unwrap_or(default.days_in_timezone),
    };
    ProviderOptions {
        adapter: Arc::new(LivePerson::new(options)),
        streams: StreamSet::All,
    }
}

fn page_size(text: &str) -> Result<u32, String> {
    whole(text, 1..=5_000)
}

/// Validates a user. Which of a user's names is compared is undocumented; none of them contains characters of the
/// query's syntax.
fn user(text: &str) -> Result<String, &'static str> {
    let odd = |c: char| c.is_control() || matches!(c, '"' | '\\' | '{' | '}' | '[' | ']');
    if text.contains(odd) {
        return Err(
            "isn't a valid user: quotes, backslashes, braces, brackets and control characters are refused",
        );
    }
    Ok(text.to_owned())
}

fn component_type(text: &str) -> Result<String, &'static str> {
    if is_name(text) {
        Ok(text.to_owned())
    } else {
        Err(
            "isn't a component type; write one word of letters, digits and underscores, like `ACUserObject`",
        )
    }
}

fn timezone(text: &str) -> Result<Tz, &'static str> {
    Tz::from_str(text).map_err(
        |_| "isn't an IANA time zone; write `UTC` or a name like `Europe/London`, or leave it out",
    )
}

fn language_tag(text: &str) -> Result<String, &'static str> {
    let part = |part: &str| {
        (1..=8).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    if text.split('-').all(part) {
        Ok(text.to_owned())
    } else {
        Err("isn't a language; write a tag like `en-US`")
    }
}
