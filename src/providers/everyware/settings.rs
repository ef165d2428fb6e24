//! The settings of Everyware Cloud in jobs.yaml.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use chrono_tz::Tz;

use super::Everyware;
use crate::model::RateLimit;
use crate::providers::{
    Endpoint, ProviderConnection, ProviderOptions, ProviderSpec, Reach, SignIn, StreamSet,
};
use crate::secret::Secret;
use crate::yaml::Fields;
use crate::yaml::keys::{Key, KeyKind};
use crate::yaml::value;

/// Everyware Cloud in the registry.
pub const SPEC: ProviderSpec = ProviderSpec {
    name: "everyware_cloud",
    // No limit is documented; a call is a day, so a year's first load still takes minutes.
    rate_limit: RateLimit::per_seconds(NonZeroU32::new(60).expect("60 isn't 0"), 60),
    account_id: None,
    connection,
    options,
    default_adapter: || Arc::new(Everyware::default()),
    side_queries: None,
    connection_keys: CONNECTION_KEYS,
    options_keys: OPTIONS_KEYS,
};

/// The provider's own hosts, including the sandbox.
const OWN_HOSTS: &str = "everyware-cloud.com";

const BASE_URL: Key = Key::optional("base_url", KeyKind::Url, "the API, up to and including `/v2`; for the sandbox `https://api-sandbox.everyware-cloud.com/v2`").with_default("https://api.everyware-cloud.com/v2");
const USERNAME: Key = Key::required(
    "username",
    KeyKind::Secret,
    "a user with access to the audit log",
);
const PASSWORD: Key = Key::required("password", KeyKind::Secret, "the user's password");
const CHILD_ACCOUNT: Key = Key::optional(
    "child_account",
    KeyKind::Text("text"),
    "the child account to read: the login becomes `username@child_account`",
);
const CONNECTION_KEYS: &[Key] = &[BASE_URL, USERNAME, PASSWORD, CHILD_ACCOUNT];

const ACTION: Key = Key::optional(
    "action",
    KeyKind::Choice(|| Action::ALL.map(Action::as_str).to_vec()),
    "filter by action. Filters are evaluated by the provider, and records must match all of them",
);
const RESULT_CODE: Key = Key::optional("result_code", KeyKind::UpperFlag, "filter by result");
const USER_NAME: Key = Key::optional("user_name", KeyKind::Text("text"), "filter by user");
const TIMEZONE: Key = Key::optional(
    "timezone",
    KeyKind::Text("IANA name"),
    "the time zone of the provider's days; if unknown, an extra day is requested on each side",
)
.described_default("unknown");
const MAX_ROWS: Key = Key::optional("max_rows", KeyKind::Whole, "the number of records at which answers are known to be truncated: a day with that many fails, with advice").described_default("none");
const OPTIONS_KEYS: &[Key] = &[ACTION, RESULT_CODE, USER_NAME, TIMEZONE, MAX_ROWS];

/// The options of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EverywareOptions {
    /// The action of records, if filtered.
    pub action: Option<Action>,
    /// The result of records, if filtered.
    pub result_code: Option<ResultCode>,
    /// The user of records, if filtered.
    pub user_name: Option<String>,
    /// The zone of the provider's days; `None` if unknown.
    pub timezone: Option<Tz>,
    /// The number of records at which an answer may be incomplete.
    pub max_rows: Option<u64>,
}

impl EverywareOptions {
    /// Returns the name and value of each filter.
    pub(super) fn filters(&self) -> Vec<(&'static str, String)> {
        let action = self.action.map(|action| action.as_str().to_owned());
        let result = self.result_code.map(|result| result.as_str().to_owned());
        [
            ("action", action),
            ("resultCode", result),
            ("userName", self.user_name.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }

    /// Returns the set of records that two jobs may both pull. Without a filter, these are all; a user's records are a
    /// part of all records, and therefore not a separate set.
    fn streams(&self) -> StreamSet {
        if self.action.is_none() && self.result_code.is_none() {
            return StreamSet::All;
        }
        let actions = Action::ALL.map(Some).into_iter().chain([None]);
        let pairs = actions.flat_map(|action| ResultCode::ALL.map(|result| (action, result)));
        let names: BTreeSet<String> = pairs
            .filter(|(action, _)| self.action.is_none() || self.action == *action)
            .filter(|(_, result)| self.result_code.is_none_or(|wanted| wanted == *result))
            .map(|(action, result)| {
                let action = action.map_or("other", Action::as_str);
                format!("{action} {}", result.as_str())
            })
            .collect();
        StreamSet::Only(names)
    }
}

/// An action in the provider's filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Someone signed in, or tried to.
    Login,
    /// Something was created.
    Create,
    /// Something was changed.
    Update,
    /// Something was deleted.
    Delete,
}

impl Action {
    const ALL: [Self; 4] = [Self::Login, Self::Create, Self::Update, Self::Delete];

    /// Returns the value in the query and in jobs.yaml.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "LOGIN",
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// A result in the provider's filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultCode {
    /// It succeeded.
    True,
    /// It was refused or failed.
    False,
}

impl ResultCode {
    const ALL: [Self; 2] = [Self::True, Self::False];

    /// Returns the value in the query and in jobs.yaml.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "TRUE",
            Self::False => "FALSE",
        }
    }
}

fn connection(fields: &mut Fields<'_>, reach: &Reach) -> Option<ProviderConnection> {
    let api = fields.get(&BASE_URL);
    let username = fields.get(&USERNAME);
    let password = fields.get(&PASSWORD).and_then(|text| text.credential());
    let child_account = fields.get(&CHILD_ACCOUNT);
    let api = match api {
        Some(url) => url.base_url(reach.allow_http),
        None => BASE_URL.default_value(|text| value::base_url(text, false)),
    };
    let user = username.and_then(|value| {
        let secret = value.credential()?;
        if secret.reveal().is_ok_and(|name| name.contains(':')) {
            value.report("invalid `username`: it contains a `:`, after which HTTP Basic expects the password");
            return None;
        }
        Some(secret)
    });
    let child = match child_account {
        Some(value) => Some(value.parse(account_name)?),
        None => None,
    };
    let (api, user, password) = (api?, user?, password?);
    let user = match child {
        Some(child) => user.then(Secret::text(format!("@{child}"))),
        None => user,
    };
    let mut trusted = vec![OWN_HOSTS.to_owned()];
    trusted.extend(api.host_str().map(str::to_owned));
    trusted.extend(reach.allowed_hosts.iter().cloned());
    Some(ProviderConnection {
        account_id: None,
        // the log is that of the user's account, which only the provider knows
        identity: format!("{api} {}", user.reveal().ok()?),
        endpoint: Endpoint::new(
            api,
            SignIn::Basic {
                username: user,
                password,
            },
            trusted,
        ),
    })
}

/// Validates the part after the `@` of a login.
fn account_name(text: &str) -> Result<String, &'static str> {
    if text.contains(['@', ':']) {
        Err("has an `@` or a `:` in it; write the child account's name alone")
    } else {
        Ok(text.to_owned())
    }
}

fn options(fields: &mut Fields<'_>) -> ProviderOptions {
    let action = fields
        .get(&ACTION)
        .and_then(|action| action.choose(Action::ALL.map(|action| (action.as_str(), action))));
    let result_code = fields.get(&RESULT_CODE).and_then(|result| {
        // YAML written by a program may contain a boolean instead of the word
        result.choose([
            ("TRUE", ResultCode::True),
            ("FALSE", ResultCode::False),
            ("true", ResultCode::True),
            ("false", ResultCode::False),
        ])
    });
    let user_name = fields.get(&USER_NAME).and_then(|name| name.text());
    let timezone = fields.get(&TIMEZONE).and_then(|zone| zone.parse(zone_of));
    let max_rows = fields
        .get(&MAX_ROWS)
        .and_then(|rows| rows.number(1..=1_000_000_000));
    let options = EverywareOptions {
        action,
        result_code,
        user_name,
        timezone,
        max_rows,
    };
    let streams = options.streams();
    ProviderOptions {
        adapter: Arc::new(Everyware { options }),
        streams,
    }
}

fn zone_of(text: &str) -> Result<Tz, &'static str> {
    text.parse().map_err(
        |_| "isn't an IANA time zone; write `UTC` or a name like `Europe/Rome`, or leave it out if you don't know",
    )
}
