//! One audit event, as an adapter reads it out of the provider's JSON.

use std::borrow::Cow;

use super::Timestamp;

/// One row of `audit_events` but for what the run itself adds (account, connection, job, `ingested_at`, `late_by_ms`).
///
/// It borrows from the page's text wherever the JSON needed no unescaping. An empty string from a provider that means
/// "nothing" is `None` here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// The provider's id. Empty where it gave none: the pipeline then puts a hash of the record, true twins numbered.
    pub event_id: Cow<'a, str>,
    /// When it happened.
    pub event_time: Timestamp,
    /// The account whose log this is, where the record says so.
    pub account_id: Option<Cow<'a, str>>,
    /// The provider's own verb.
    pub action: Option<Cow<'a, str>>,
    /// The verb, normalised.
    pub activity: Activity,
    /// How it ended, normalised.
    pub outcome: Outcome,
    /// Why it ended so, as text.
    pub outcome_reason: Option<Cow<'a, str>>,
    /// The part of the provider that was touched.
    pub service: Option<Cow<'a, str>>,
    /// The type of what was touched.
    pub entity_type: Option<Cow<'a, str>>,
    /// The id of what was touched.
    pub entity_id: Option<Cow<'a, str>>,
    /// The name of what was touched.
    pub entity_name: Option<Cow<'a, str>>,
    /// Who did it: id.
    pub actor_id: Option<Cow<'a, str>>,
    /// Who did it: display name.
    pub actor_name: Option<Cow<'a, str>>,
    /// Who did it: login name.
    pub actor_login: Option<Cow<'a, str>>,
    /// Who did it: `user`, `client`, `system` or `vendor`.
    pub actor_type: Option<&'static str>,
    /// The API client or application key that was used.
    pub client_id: Option<Cow<'a, str>>,
    /// The browser or program that was used.
    pub user_agent: Option<Cow<'a, str>>,
    /// The session it belongs to.
    pub session_id: Option<Cow<'a, str>>,
    /// What ties the audits of one user action together.
    pub transaction_id: Option<Cow<'a, str>>,
    /// Where it came from; empty, never absent.
    pub client_ips: Vec<Cow<'a, str>>,
    /// Human text.
    pub message: Option<Cow<'a, str>>,
    /// What changed; empty, never absent.
    pub changes: Vec<PropertyChange<'a>>,
    /// The provider's remaining context, keys unique; empty, never absent.
    pub attributes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl Record<'_> {
    /// An event of which nothing but its time is known.
    pub fn at(event_time: Timestamp) -> Self {
        Self {
            event_id: Cow::default(),
            event_time,
            account_id: None,
            action: None,
            activity: Activity::Other,
            outcome: Outcome::Unknown,
            outcome_reason: None,
            service: None,
            entity_type: None,
            entity_id: None,
            entity_name: None,
            actor_id: None,
            actor_name: None,
            actor_login: None,
            actor_type: None,
            client_id: None,
            user_agent: None,
            session_id: None,
            transaction_id: None,
            client_ips: Vec::new(),
            message: None,
            changes: Vec::new(),
            attributes: Vec::new(),
        }
    }
}

/// One property that changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PropertyChange<'a> {
    /// The property's name or path.
    pub property: Option<Cow<'a, str>>,
    /// The type of the entity that changed, where it isn't the record's.
    pub entity_type: Option<Cow<'a, str>>,
    /// The id of the entity that changed, where it isn't the record's.
    pub entity_id: Option<Cow<'a, str>>,
    /// Values before.
    pub old_values: Vec<Cow<'a, str>>,
    /// Values after.
    pub new_values: Vec<Cow<'a, str>>,
}

/// The normalised verb (column `activity`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Something new exists.
    Create,
    /// Something was looked at or exported.
    Read,
    /// Something changed.
    Update,
    /// Something is gone.
    Delete,
    /// Somebody signed in, or tried to.
    Login,
    /// Somebody signed out.
    Logout,
    /// Something was switched on.
    Enable,
    /// Something was switched off.
    Disable,
    /// Any other verb; `action` has it.
    Other,
}

impl Activity {
    /// As it stands in the column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Login => "login",
            Self::Logout => "logout",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Other => "other",
        }
    }
}

/// The normalised outcome (column `outcome`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused or failed.
    Failure,
    /// It was done with a warning.
    Warning,
    /// The provider doesn't say, or says something unknown.
    Unknown,
}

impl Outcome {
    /// As it stands in the column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
        }
    }
}
