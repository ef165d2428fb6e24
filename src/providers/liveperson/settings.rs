//! The settings of LivePerson in jobs.yaml.

use std::num::NonZeroU32;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use url::Url;

use super::LivePerson;
use super::answer::said_in_body;
use super::hosts::{CONFIGURATION, LOGIN, PUBLIC_LOOK_UP, SENTINEL, below, looked_up};
use super::query::is_name;
use crate::model::RateLimit;
use crate::providers::{
    Endpoint, ProviderConnection, ProviderOptions, ProviderSpec, Reach, RetryHints, SentIn,
    ServiceHost, SignIn, StreamSet, TransientFailure,
};
use crate::yaml::shape::{Flag, SecretText, Text, UrlText, Whole, choice};
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
    connection_schema: |generator: &mut SchemaGenerator| ConnectionShape::json_schema(generator),
    options_schema: |generator: &mut SchemaGenerator| OptionsShape::json_schema(generator),
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
            language: "en-US".to_owned(),
            page_size: 500,
            days_in_timezone: false,
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
    const fn keys(self) -> ([&'static str; 2], [&'static str; 2]) {
        let (client, user) = (["client_id", "client_secret"], ["username", "password"]);
        match self {
            Self::OAuth2 | Self::OAuth1 => (client, user),
            Self::Login => (user, client),
        }
    }
}

fn connection(fields: &mut Fields<'_>, reach: &Reach) -> Option<ProviderConnection> {
    let auth = fields.optional("auth");
    let domain_url = fields.optional("domain_url");
    let base_url = fields.optional("base_url");
    let login_url = fields.optional("login_url");
    let keys = ["client_id", "client_secret", "username", "password"];
    let given = keys.map(|key| (key, fields.optional(key)));
    let account = reach.account_id.clone();
    let retired = retired_keys(fields);
    let auth = match auth {
        None => Some(SignInChoice::OAuth2),
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
            manners: RetryHints {
                rest,
                said: said_in_body,
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

/// The account's id, which is part of every path.
fn account_id(text: &str) -> Result<String, &'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if (1..=20).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("is no account's id: 1 to 20 letters, digits or underscores")
    }
}

/// Reports keys of OAuth 1.0; returns whether there were any.
fn retired_keys(fields: &mut Fields<'_>) -> bool {
    let present = OAUTH1_KEYS.map(|known| {
        let found = fields.entries().find(|(key, _)| key.text == known);
        found.map(|(key, _)| (known, key.at))
    });
    let mut any = false;
    for (key, at) in present.into_iter().flatten() {
        // only read if present, so that no message lists it as valid
        fields.optional(key);
        fields.report_at(at, format!("`{key}` is of no use: {OAUTH1_ENDED}"));
        any = true;
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
    for key in others {
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
        if value(key).is_none() {
            fields.lack(key);
        }
        value(key)?.credential()
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
        (None, None, None) => Url::parse(PUBLIC_LOOK_UP).ok().map(ServiceHosts::LookedUp),
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
    let mut list = |key: &'static str, parse: fn(&str) -> Result<String, &'static str>| {
        let items = fields.optional(key).and_then(|list| list.list());
        let items = items.into_iter().flatten();
        items
            .filter_map(|item| item.parse(parse))
            .collect::<Vec<String>>()
    };
    let users = list("users", user);
    let component_types = list("component_types", component_type);
    let timezone = fields
        .optional("timezone")
        .and_then(|zone| zone.parse(timezone));
    let language = fields
        .optional("language")
        .and_then(|language| language.parse(language_tag));
    let page_size = fields
        .optional("page_size")
        .and_then(|size| size.number(1..=5_000));
    let days_in_timezone = fields
        .optional("days_in_timezone")
        .and_then(|flag| flag.flag());
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

/// Validates a user. Which of a user's names is compared is undocumented; none of them contains characters of the
/// query's syntax.
fn user(text: &str) -> Result<String, &'static str> {
    let odd = |c: char| c.is_control() || matches!(c, '"' | '\\' | '{' | '}' | '[' | ']');
    if text.contains(odd) {
        return Err(
            "is no user: quotes, backslashes, braces, brackets and control characters are refused",
        );
    }
    Ok(text.to_owned())
}

fn component_type(text: &str) -> Result<String, &'static str> {
    if is_name(text) {
        Ok(text.to_owned())
    } else {
        Err(
            "is no component type; write one word of letters, digits and underscores, like `ACUserObject`",
        )
    }
}

fn timezone(text: &str) -> Result<Tz, &'static str> {
    Tz::from_str(text).map_err(
        |_| "is no IANA time zone; write `UTC` or a name like `Europe/London`, or leave it out",
    )
}

fn language_tag(text: &str) -> Result<String, &'static str> {
    let part = |part: &str| {
        (1..=8).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    if text.split('-').all(part) {
        Ok(text.to_owned())
    } else {
        Err("is no language; write `en-US` or the like")
    }
}

/// A connection to LivePerson Conversational Cloud. Its `account_id` is the account's own.
#[derive(JsonSchema)]
#[schemars(inline, extend("required" = ["account_id"]))]
#[expect(dead_code, reason = "it is there for its schema")]
struct ConnectionShape {
    /// Where the account's hosts are looked up.
    #[schemars(extend("default" = "https://api.liveperson.net"))]
    domain_url: Option<UrlText>,
    /// The base of the configuration service, instead of looking it up; together with `login_url`.
    base_url: Option<UrlText>,
    /// The base of sign-in: of the sentinel, or of the login service with `auth: login`.
    login_url: Option<UrlText>,
    /// How to sign in: OAuth 2.0 client credentials, or a user's login.
    #[schemars(default, schema_with = "auth_schema", extend("default" = "oauth2"))]
    auth: Option<()>,
    /// With `auth: oauth2`: the id of an app installation with the scope for the audit trail.
    client_id: Option<SecretText>,
    /// With `auth: oauth2`: that app's secret.
    client_secret: Option<SecretText>,
    /// With `auth: login`: the login name of a user who may see the audit trail.
    username: Option<SecretText>,
    /// With `auth: login`: that user's password.
    password: Option<SecretText>,
}

/// What a LivePerson job pulls, and how.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it is there for its schema")]
struct OptionsShape {
    /// Whose changes to pull; the provider evaluates it. None means everybody's.
    #[schemars(extend("default" = []))]
    users: Option<Vec<Text>>,
    /// What kinds of things' changes to pull, like `ACUserObject`. None means all.
    #[schemars(extend("default" = []))]
    component_types: Option<Vec<Text>>,
    /// The IANA zone that times are asked in. Left out, it is UTC, under whichever name the server knows it.
    timezone: Option<Text>,
    /// The language of types and elements. A change of it makes other rows of those that are read again.
    #[schemars(extend("default" = "en-US"))]
    language: Option<Text>,
    /// The page size.
    #[schemars(extend("default" = 500))]
    page_size: Option<Whole>,
    /// Whether the provider's day filters go by `timezone` and take in the last day: then no day more is asked for on
    /// each side.
    #[schemars(extend("default" = false))]
    days_in_timezone: Option<Flag>,
}

fn auth_schema(_: &mut SchemaGenerator) -> Schema {
    choice(SignInChoice::CHOICES.map(|(name, _)| name))
}
