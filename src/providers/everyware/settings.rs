//! The settings of Everyware Cloud in jobs.yaml.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use chrono_tz::Tz;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use url::Url;

use super::Everyware;
use crate::model::RateLimit;
use crate::providers::{
    Endpoint, ProviderConnection, ProviderOptions, ProviderSpec, Reach, SignIn, StreamSet,
};
use crate::secret::Secret;
use crate::yaml::Fields;
use crate::yaml::shape::{SecretText, Text, UrlText, Whole, choice};

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
    connection_schema: |generator: &mut SchemaGenerator| ConnectionShape::json_schema(generator),
    options_schema: |generator: &mut SchemaGenerator| OptionsShape::json_schema(generator),
};

const DEFAULT_BASE_URL: &str = "https://api.everyware-cloud.com/v2";
/// The provider's own hosts, including the sandbox.
const OWN_HOSTS: &str = "everyware-cloud.com";

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
    let base_url = fields.optional("base_url");
    let username = fields.required("username");
    let password = fields
        .required("password")
        .and_then(|text| text.credential());
    let child_account = fields.optional("child_account");
    let api = match base_url {
        Some(url) => url.base_url(reach.allow_http),
        None => Url::parse(DEFAULT_BASE_URL).ok(),
    };
    let user = username.and_then(|value| {
        let secret = value.credential()?;
        if secret.reveal().is_ok_and(|name| name.contains(':')) {
            value.report("invalid `username`: there is a `:` in it, and HTTP Basic takes what follows for the password");
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
        .optional("action")
        .and_then(|action| action.choose(Action::ALL.map(|action| (action.as_str(), action))));
    let result_code = fields.optional("result_code").and_then(|result| {
        // YAML written by a program may contain a boolean instead of the word
        result.choose([
            ("TRUE", ResultCode::True),
            ("FALSE", ResultCode::False),
            ("true", ResultCode::True),
            ("false", ResultCode::False),
        ])
    });
    let user_name = fields.optional("user_name").and_then(|name| name.text());
    let timezone = fields
        .optional("timezone")
        .and_then(|zone| zone.parse(zone_of));
    let max_rows = fields
        .optional("max_rows")
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
        |_| "is no IANA time zone; write `UTC`, `Europe/Rome` or the like, or leave it out if you don't know",
    )
}

/// A connection to Everyware Cloud.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it is there for its schema")]
struct ConnectionShape {
    /// The API's base, up to and with `/v2`; for the sandbox `https://api-sandbox.everyware-cloud.com/v2`.
    #[schemars(extend("default" = DEFAULT_BASE_URL))]
    base_url: Option<UrlText>,
    /// A user who may read the audit log of its account.
    username: SecretText,
    /// That user's password.
    password: SecretText,
    /// The child account whose log is meant: the login becomes `username@child_account`.
    child_account: Option<Text>,
}

/// What an Everyware Cloud job pulls, and how.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it is there for its schema")]
struct OptionsShape {
    /// The only action that records may have; the provider evaluates it.
    #[schemars(default, schema_with = "action_schema")]
    action: Option<()>,
    /// The only result that records may have; the provider evaluates it.
    #[schemars(default, schema_with = "result_schema")]
    result_code: Option<()>,
    /// The only user that records may be of; the provider evaluates it.
    user_name: Option<Text>,
    /// The IANA zone in which the provider's days begin. Unknown without it, so one more day is asked for on each side.
    timezone: Option<Text>,
    /// The number of records from which on an answer is known to hide some; a day that shows as many fails.
    max_rows: Option<Whole>,
}

fn action_schema(_: &mut SchemaGenerator) -> Schema {
    choice(Action::ALL.map(Action::as_str))
}

fn result_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [
        { "enum": ["TRUE", "FALSE", "true", "false"] },
        { "type": "boolean" },
        { "type": "string", "pattern": r"\$\{" },
    ] })
}
