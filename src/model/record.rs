//! An audit event, as parsed by an adapter from the provider's JSON.

use std::borrow::Cow;

use super::{Category, Timestamp};

/// A row of `audit_events`, without the columns that the run adds (account, connection, job, `ingested_at`,
/// `late_by_ms`).
///
/// Borrows from the page's text where the JSON needs no unescaping. An empty string that means "no value" is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// The provider's id. Empty if there is none: the run then uses a hash of the record, with equal records numbered.
    pub event_id: Cow<'a, str>,
    /// When it happened.
    pub event_time: Timestamp,
    /// The account, if the record contains it.
    pub account_id: Option<Cow<'a, str>>,
    /// The provider's own verb.
    pub action: Option<Cow<'a, str>>,
    /// The normalised verb.
    pub activity: Activity,
    /// The normalised outcome.
    pub outcome: Outcome,
    /// The reason for the outcome, as text.
    pub outcome_reason: Option<Cow<'a, str>>,
    /// The affected part of the provider.
    pub service: Option<Cow<'a, str>>,
    /// The type of the affected entity.
    pub entity_type: Option<Cow<'a, str>>,
    /// The id of the affected entity.
    pub entity_id: Option<Cow<'a, str>>,
    /// The name of the affected entity.
    pub entity_name: Option<Cow<'a, str>>,
    /// The actor's id.
    pub actor_id: Option<Cow<'a, str>>,
    /// The actor's display name.
    pub actor_name: Option<Cow<'a, str>>,
    /// The actor's login name.
    pub actor_login: Option<Cow<'a, str>>,
    /// The kind of actor: `user`, `client`, `system` or `vendor`.
    pub actor_type: Option<&'static str>,
    /// The API client or application key.
    pub client_id: Option<Cow<'a, str>>,
    /// The browser or program.
    pub user_agent: Option<Cow<'a, str>>,
    /// The session.
    pub session_id: Option<Cow<'a, str>>,
    /// The id common to the audits of one user action.
    pub transaction_id: Option<Cow<'a, str>>,
    /// The source addresses; empty if there are none.
    pub client_ips: Vec<Cow<'a, str>>,
    /// A text for people.
    pub message: Option<Cow<'a, str>>,
    /// The changed properties; empty if there are none.
    pub changes: Vec<PropertyChange<'a>>,
    /// The provider's remaining context with unique keys; empty if there is none.
    pub attributes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl Record<'_> {
    /// Returns an event without any values except its time.
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

    /// Returns the actor as one text: the login name, else the display name, else the id.
    pub fn actor(&self) -> Option<&str> {
        self.actor_texts().next()
    }

    /// Returns the actor's e-mail address, if the login name, display name or id is one.
    pub fn actor_email(&self) -> Option<&str> {
        (self.actor_texts().map(str::trim)).find(|text| is_email(text))
    }

    /// Returns what the record says of the actor, the best name first.
    fn actor_texts(&self) -> impl Iterator<Item = &str> {
        let texts = [&self.actor_login, &self.actor_name, &self.actor_id];
        texts.into_iter().filter_map(|text| text.as_deref())
    }

    /// Returns the kind of the event.
    pub fn category(&self) -> Category {
        Category::of(self)
    }
}

/// Returns whether the text has the form `name@host.domain`, without spaces.
fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else {
        return false;
    };
    let has_domain = host.split_once('.').is_some_and(|(host, domain)| {
        !host.is_empty() && !domain.is_empty() && !domain.ends_with('.')
    });
    let is_plain =
        |letter: char| !letter.is_whitespace() && !matches!(letter, '<' | '>' | ',' | '/' | ':');
    !name.is_empty() && has_domain && text.chars().all(is_plain)
}

/// A changed property.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PropertyChange<'a> {
    /// The property's name or path.
    pub property: Option<Cow<'a, str>>,
    /// The type of the changed entity, if it isn't the record's.
    pub entity_type: Option<Cow<'a, str>>,
    /// The id of the changed entity, if it isn't the record's.
    pub entity_id: Option<Cow<'a, str>>,
    /// The values before the change.
    pub old_values: Vec<Cow<'a, str>>,
    /// The values after the change.
    pub new_values: Vec<Cow<'a, str>>,
}

/// The normalised verb (column `activity`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Something was created.
    Create,
    /// Something was viewed or exported.
    Read,
    /// Something was changed.
    Update,
    /// Something was deleted.
    Delete,
    /// Someone signed in, or tried to.
    Login,
    /// Someone signed out.
    Logout,
    /// Something was enabled.
    Enable,
    /// Something was disabled.
    Disable,
    /// Any other verb, which is in `action`.
    Other,
}

impl Activity {
    /// Returns the value of the column.
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
    /// The action succeeded.
    Success,
    /// The action was refused or failed.
    Failure,
    /// The action succeeded with a warning.
    Warning,
    /// The provider's value is missing or unknown.
    Unknown,
}

impl Outcome {
    /// Returns the value of the column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn the_actor_is_one_text_and_may_be_an_address() {
        for (login, name, id, actor, email) in [
            (
                Some("a@x.org"),
                Some("Ann"),
                Some("7"),
                Some("a@x.org"),
                Some("a@x.org"),
            ),
            (
                Some("ann"),
                Some("ann@x.org"),
                None,
                Some("ann"),
                Some("ann@x.org"),
            ),
            (None, Some("Ann Bee"), Some("7"), Some("Ann Bee"), None),
            (None, None, Some("7"), Some("7"), None),
            (
                None,
                Some("Ann <ann@x.org>"),
                None,
                Some("Ann <ann@x.org>"),
                None,
            ),
            (
                Some("ann@localhost"),
                None,
                None,
                Some("ann@localhost"),
                None,
            ),
            (Some("@x.org"), None, None, Some("@x.org"), None),
            (None, None, None, None, None),
        ] {
            let record = Record {
                actor_login: login.map(Into::into),
                actor_name: name.map(Into::into),
                actor_id: id.map(Into::into),
                ..Record::at(DateTime::UNIX_EPOCH)
            };
            assert_eq!((record.actor(), record.actor_email()), (actor, email));
        }
    }
}
