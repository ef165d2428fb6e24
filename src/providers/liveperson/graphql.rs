//! The classification of GraphQL errors. In GraphQL, the status is always 200, so only the errors describe a failure.
//!
//! GraphQL only defines `message`, `locations` and `path`. The kind of an error is in `extensions`, with different
//! names: Apollo and most others have a `code`, GraphQL Java a `classification`, `AppSync` an `errorType` next to the
//! message, and others the HTTP status. Without these, the message decides.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::FailureKind;
use crate::providers::answer::quoted;
use crate::providers::json::{Object, ScalarText, shortened};

/// The number of messages of an answer that are shown.
const MESSAGES: usize = 3;

/// The errors of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GraphqlErrors {
    /// Classifies the errors together. `None` if all of them mean that the query isn't valid, so that another form may
    /// be.
    pub(super) kind: Option<FailureKind>,
    /// Returns whether an error refuses the token and none requests a pause.
    pub(super) token_refused: bool,
    /// Returns the longest requested pause.
    pub(super) pause: Option<Duration>,
    /// Returns the first messages.
    pub(super) message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GraphqlError<'a> {
    #[serde(borrow)]
    message: ScalarText<'a>,
    #[serde(borrow)]
    error_type: ScalarText<'a>,
    #[serde(borrow, rename = "type")]
    kind: ScalarText<'a>,
    #[serde(borrow)]
    code: ScalarText<'a>,
    #[serde(borrow)]
    status: ScalarText<'a>,
    #[serde(borrow)]
    extensions: Object<Extensions<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Extensions<'a> {
    #[serde(borrow)]
    code: ScalarText<'a>,
    #[serde(borrow)]
    classification: Word<'a>,
    #[serde(borrow)]
    error_type: ScalarText<'a>,
    #[serde(borrow, rename = "type")]
    kind: ScalarText<'a>,
    #[serde(borrow)]
    status: ScalarText<'a>,
    #[serde(borrow)]
    status_code: ScalarText<'a>,
    #[serde(borrow)]
    retry_after: ScalarText<'a>,
    #[serde(borrow, rename = "retry_after")]
    retry_after_in_snake_case: ScalarText<'a>,
    #[serde(borrow)]
    retry_after_seconds: ScalarText<'a>,
    #[serde(borrow)]
    retry_after_ms: ScalarText<'a>,
    #[serde(borrow)]
    http: Object<Http<'a>>,
    #[serde(borrow)]
    response: Object<Http<'a>>,
}

/// A word, or an object with the word as its `type`.
#[derive(Debug, Default)]
struct Word<'a>(ScalarText<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Typed<'a> {
            #[serde(borrow, rename = "type")]
            kind: ScalarText<'a>,
        }
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let word = if raw.starts_with('{') {
            serde_json::from_str(raw).map(|typed: Typed| typed.kind)
        } else {
            serde_json::from_str(raw)
        };
        Ok(Self(word.unwrap_or_default()))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Http<'a> {
    #[serde(borrow)]
    status: ScalarText<'a>,
    #[serde(borrow)]
    status_code: ScalarText<'a>,
}

/// The meaning of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// The query isn't valid.
    Invalid,
    Is(FailureKind),
    /// The token is refused; a new one may help.
    OfToken,
    Unknown,
}

/// Parses an answer's `errors` in any form; `None` if there are none.
pub(super) fn errors(errors: &str) -> Option<GraphqlErrors> {
    if errors == "null" {
        return None;
    }
    let list: Vec<&RawValue> = match errors.as_bytes().first() {
        Some(b'[') => serde_json::from_str(errors).unwrap_or_default(),
        _ => vec![serde_json::from_str(errors).ok()?],
    };
    let read: Vec<ClassifiedError> = (list.iter()).map(|raw| raw.get()).map(read).collect();
    if read.is_empty() {
        return None;
    }
    let mut messages: Vec<String> = read
        .iter()
        .filter_map(|error| error.message.clone())
        .collect();
    messages.dedup();
    let more = messages.len().saturating_sub(MESSAGES);
    messages.truncate(MESSAGES);
    if more > 0 {
        messages.push(format!("and {more} more"));
    }
    let message = if messages.is_empty() {
        quoted(errors)
    } else {
        messages.join("; ")
    };
    let kind = together(&read.iter().map(|error| error.means));
    let of_token = read.iter().any(|error| error.means == Means::OfToken);
    Some(GraphqlErrors {
        kind,
        token_refused: of_token && kind == Some(FailureKind::Auth),
        pause: read.iter().filter_map(|error| error.pause).max(),
        message,
    })
}

/// Ordered by precedence: pauses first, then failures that need an action; unknown errors are transient.
fn together(all: &(impl Iterator<Item = Means> + Clone)) -> Option<FailureKind> {
    let has = |kind| all.clone().any(|means| means == Means::Is(kind));
    if all.clone().all(|means| means == Means::Invalid) {
        None
    } else if has(FailureKind::RateLimited) {
        Some(FailureKind::RateLimited)
    } else if has(FailureKind::Auth) || all.clone().any(|means| means == Means::OfToken) {
        Some(FailureKind::Auth)
    } else {
        Some(FailureKind::Transient)
    }
}

/// Classifies an error.
#[derive(Debug)]
struct ClassifiedError {
    means: Means,
    pause: Option<Duration>,
    message: Option<String>,
}

fn read(raw: &str) -> ClassifiedError {
    if !raw.starts_with('{') {
        let text: ScalarText = serde_json::from_str(raw).unwrap_or_default();
        let message = text.as_deref().unwrap_or_default();
        let text = (!message.is_empty()).then(|| shortened(message).into_owned());
        return ClassifiedError {
            means: by_message(message),
            pause: None,
            message: text,
        };
    }
    let error: GraphqlError = serde_json::from_str(raw).unwrap_or_default();
    let Extensions {
        code,
        classification,
        error_type,
        kind,
        status,
        status_code,
        retry_after,
        retry_after_in_snake_case,
        retry_after_seconds,
        retry_after_ms,
        http,
        response,
    } = error.extensions.0;
    let statuses = [
        &http.0.status,
        &http.0.status_code,
        &response.0.status,
        &response.0.status_code,
        &status_code,
        &status,
        &code,
        &error.status,
        &error.code,
    ];
    let words = [
        &code,
        &classification.0,
        &error_type,
        &kind,
        &status,
        &error.code,
        &error.error_type,
        &error.kind,
        &error.status,
    ];
    let text = |text: &'_ &ScalarText<'_>| text.as_deref().map(str::to_owned);
    let message = error.message.as_deref().unwrap_or_default();
    let means = (statuses.iter().filter_map(text).map(|it| by_status(&it)))
        .chain(words.iter().filter_map(text).map(|it| by_word(&it)))
        .chain([by_message(message)])
        .find(|means| *means != Means::Unknown)
        .unwrap_or(Means::Unknown);
    let text = (!message.is_empty()).then(|| {
        let code = code.as_deref().or(classification.0.as_deref());
        match code {
            Some(code) => format!("{} (`{}`)", shortened(message), shortened(code)),
            None => shortened(message).into_owned(),
        }
    });
    let seconds = [
        &retry_after,
        &retry_after_in_snake_case,
        &retry_after_seconds,
    ];
    let pauses = seconds.iter().map(|text| pause(text, 1.0));
    ClassifiedError {
        means,
        pause: pauses
            .chain([pause(&retry_after_ms, 0.001)])
            .flatten()
            .max(),
        message: text,
    }
}

/// Parses a number of units with this many seconds each.
fn pause(text: &ScalarText<'_>, unit: f64) -> Option<Duration> {
    let number: f64 = text.as_deref()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(number * unit).ok()
}

fn by_status(status: &str) -> Means {
    match status.parse::<u16>() {
        Ok(400 | 422) => Means::Invalid,
        Ok(401) => Means::OfToken,
        Ok(403) => Means::Is(FailureKind::Auth),
        Ok(429) => Means::Is(FailureKind::RateLimited),
        Ok(408 | 500..=599) => Means::Is(FailureKind::Transient),
        _ => Means::Unknown,
    }
}

/// Classifies a word in any case, with or without underscores.
fn by_word(word: &str) -> Means {
    let letters = word.chars().filter(char::is_ascii_alphanumeric);
    let word: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    let has = |parts: &[&str]| parts.iter().any(|part| word.contains(part));
    if has(&[
        "throttl",
        "ratelimit",
        "toomanyrequests",
        "quota",
        "limitexceeded",
        "toocostly",
        "maxcost",
    ]) {
        Means::Is(FailureKind::RateLimited)
    } else if has(&[
        "unauthenticated",
        "unauthorized",
        "unauthorised",
        "tokenexpired",
        "expiredtoken",
        "invalidtoken",
        "tokeninvalid",
        "invalidcredential",
        "notauthenticated",
        "authenticationerror",
        "authenticationfailed",
        "authenticationrequired",
        "sessionexpired",
    ]) {
        Means::OfToken
    } else if has(&["forbidden", "accessdenied", "permission", "notauthorized"]) {
        Means::Is(FailureKind::Auth)
    } else if has(&[
        "validation",
        "parsefailed",
        "parseerror",
        "invalidsyntax",
        "syntaxerror",
        "baduserinput",
        "badrequest",
        "undefinedfield",
        "argumentliteralsincompatible",
        "argumentnotaccepted",
        "invalidargument",
    ]) {
        Means::Invalid
    } else if has(&[
        "internal",
        "unavailable",
        "timeout",
        "timedout",
        "deadlineexceeded",
        "datafetching",
        "executionaborted",
        "downstream",
        "badgateway",
        "servererror",
    ]) {
        Means::Is(FailureKind::Transient)
    } else {
        Means::Unknown
    }
}

/// Classifies a message. Validation errors have the phrases of GraphQL's own validation, or name an argument whose form
/// differs between dialects.
fn by_message(message: &str) -> Means {
    let message = message.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    let mut words = message.split(|letter: char| !letter.is_ascii_alphanumeric());
    if words.any(|word| word == "429")
        || has(&[
            "rate limit",
            "rate-limit",
            "ratelimit",
            "throttl",
            "too many requests",
            "quota",
            "slow down",
        ])
    {
        Means::Is(FailureKind::RateLimited)
    } else if has(&[
        "unauthenticated",
        "not authenticated",
        "unauthorized",
        "unauthorised",
        "bad authentication",
        "authentication failed",
        "authentication required",
        "token expired",
        "token has expired",
        "expired token",
        "token is expired",
        "invalid token",
        "session expired",
        "session has expired",
    ]) {
        Means::OfToken
    } else if has(&[
        "not authorized",
        "not authorised",
        "forbidden",
        "access denied",
        "permission",
        "privilege",
    ]) {
        Means::Is(FailureKind::Auth)
    } else if has(&[
        "validation error",
        "validation failed",
        "cannot query field",
        "unknown argument",
        "unknown field",
        "unknown type",
        "unknown directive",
        "unknown fragment",
        "syntax error",
        "invalid syntax",
        "parse error",
        "cannot represent",
        "expected type",
        "expected value",
        "does not exist in",
        "is undefined",
        "is not defined",
        "undefined field",
        "wrongtype",
        "invalid value",
        "is not valid",
        "not a valid",
        "must have a selection",
        "timezone",
        "time zone",
        "time-zone",
        "zone id",
        "zone-id",
        "orderby",
        "orderdirection",
        "componenttypes",
    ]) {
        Means::Invalid
    } else {
        Means::Unknown
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn kind(list: &str) -> Option<FailureKind> {
        errors(list).unwrap().kind
    }

    #[test]
    fn no_errors_are_none() {
        for list in ["null", "[]", "[ ]"] {
            assert_eq!(errors(list), None, "{list}");
        }
    }

    #[test]
    fn only_validation_errors_ask_for_other_words() {
        for list in [
            r#"[{"message":"Validation error of type UnknownArgument: Unknown field argument x @ 'auditData'"}]"#,
            r#"[{"message":"Cannot query field \"x\" on type \"Row\"."}]"#,
            r#"[{"message":"Unknown argument \"lpa\" on field \"Query.auditData\"."}]"#,
            r#"[{"message":"Enum \"Order\" cannot represent non-enum value: \"ASC\".","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]"#,
            r#"[{"message":"Syntax Error: Unexpected Name","extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]"#,
            r#"[{"message":"no","extensions":{"classification":"ValidationError"}}]"#,
            r#"[{"message":"no","extensions":{"classification":{"type":"InvalidSyntax"}}}]"#,
            r#"[{"message":"no","errorType":"BAD_REQUEST"}]"#,
            r#"[{"message":"no","extensions":{"http":{"status":400}}}]"#,
            r#"[{"message":"Exception while fetching data (/auditData) : Unknown time-zone ID: Etc/UTC"}]"#,
            r#"["Syntax error at line 1"]"#,
            r#"{"message":"Cannot query field x"}"#,
        ] {
            assert_eq!(kind(list), None, "{list}");
        }
    }

    #[test]
    fn other_errors_are_what_they_say() {
        use FailureKind::{Auth, RateLimited, Transient};
        for (list, expected) in [
            (
                r#"[{"message":"no","extensions":{"code":"THROTTLED"}}]"#,
                RateLimited,
            ),
            (
                r#"[{"message":"no","extensions":{"code":"RATE_LIMITED","retryAfter":30}}]"#,
                RateLimited,
            ),
            (
                r#"[{"message":"no","extensions":{"code":429}}]"#,
                RateLimited,
            ),
            (
                r#"[{"message":"no","extensions":{"code":"429"}}]"#,
                RateLimited,
            ),
            (
                r#"[{"message":"no","extensions":{"http":{"status":429}}}]"#,
                RateLimited,
            ),
            (
                r#"[{"message":"no","type":"MAX_COST_EXCEEDED"}]"#,
                RateLimited,
            ),
            (r#"[{"message":"API rate limit exceeded"}]"#, RateLimited),
            (
                r#"[{"message":"Too many requests, slow down"}]"#,
                RateLimited,
            ),
            (r#"["throttled"]"#, RateLimited),
            (r#"{"message":"Rate limit reached"}"#, RateLimited),
            (r#""rate limit""#, RateLimited),
            (
                r#"[{"message":"no","extensions":{"code":"UNAUTHENTICATED"}}]"#,
                Auth,
            ),
            (
                r#"[{"message":"no","extensions":{"code":"FORBIDDEN"}}]"#,
                Auth,
            ),
            (r#"[{"message":"no","extensions":{"code":401}}]"#, Auth),
            (
                r#"[{"message":"Not authorized to access auditData"}]"#,
                Auth,
            ),
            (r#"[{"message":"Missing privilege for audit trail"}]"#, Auth),
            (
                r#"[{"message":"no","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]"#,
                Transient,
            ),
            (
                r#"[{"message":"no","extensions":{"classification":"DataFetchingException"}}]"#,
                Transient,
            ),
            (
                r#"[{"message":"Service Unavailable","extensions":{"code":"503"}}]"#,
                Transient,
            ),
            (
                r#"[{"message":"Exception while fetching data (/auditData) : Connection reset"}]"#,
                Transient,
            ),
            (r#"[{"message":"oops"}]"#, Transient),
            (r#"[{"code":17}]"#, Transient),
            ("[17]", Transient),
            ("17", Transient),
            ("true", Transient),
            ("{}", Transient),
            ("[{}]", Transient),
            ("[null]", Transient),
            (r#""""#, Transient),
            ("[[]]", Transient),
            // an unknown argument among several errors doesn't decide
            (
                r#"[{"message":"Unknown argument \"x\""},{"message":"oops"}]"#,
                Transient,
            ),
            (
                r#"[{"message":"oops"},{"extensions":{"code":"THROTTLED"}}]"#,
                RateLimited,
            ),
            (
                r#"[{"extensions":{"code":"FORBIDDEN"}},{"extensions":{"code":"THROTTLED"}}]"#,
                RateLimited,
            ),
            (
                r#"[{"message":"oops"},{"extensions":{"code":"FORBIDDEN"}},null]"#,
                Auth,
            ),
            // the code takes precedence over the message
            (
                r#"[{"message":"Unknown argument in downstream call","extensions":{"code":"SERVICE_UNAVAILABLE"}}]"#,
                Transient,
            ),
        ] {
            assert_eq!(kind(list), Some(expected), "{list}");
        }
    }

    #[test]
    fn the_longest_pause_counts() {
        let pause = |list: &str| errors(list).unwrap().pause.map(|pause| pause.as_millis());
        for (list, millis) in [
            (r#"[{"extensions":{"retryAfter":30}}]"#, Some(30_000)),
            (
                r#"[{"extensions":{"retryAfter":"1.5"}},{"extensions":{"retry_after":2}}]"#,
                Some(2_000),
            ),
            (r#"[{"extensions":{"retryAfterMs":250}}]"#, Some(250)),
            (
                r#"[{"extensions":{"retryAfterSeconds":7}},"x"]"#,
                Some(7_000),
            ),
            (r#"[{"extensions":{"retryAfter":-1}}]"#, None),
            (r#"[{"extensions":{"retryAfter":"soon"}}]"#, None),
            (r#"[{"extensions":{"retryAfter":1e300}}]"#, None),
            (r#"[{"message":"x"}]"#, None),
        ] {
            assert_eq!(pause(list), millis, "{list}");
        }
    }

    #[test]
    fn what_is_said_is_the_first_messages() {
        let message = |list: &str| errors(list).unwrap().message;
        assert_eq!(
            message(
                r#"[{"message":"a","extensions":{"code":"X"}},{"message":"b"},"c",{"message":"d"},{"message":"e"}]"#
            ),
            "a (`X`); b; c; and 2 more"
        );
        assert_eq!(message(r#"[{"code":1}]"#), r#"`[{"code":1}]`"#);
    }
}
