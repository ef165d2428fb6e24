//! The provider's error bodies: problem+json.

use serde_json::{Value, json};

use crate::answer::Answer;

const DOCS: &str =
    "https://developers.avayacloud.com/avaya-experience-platform/docs/error-handling";

/// A required member is null or missing.
pub(super) const NULL: u32 = 20_002;
/// A value is too long or too short, or a number is out of bounds. The real code is unpublished.
pub(super) const SIZE: u32 = 20_003;
/// A value doesn't match its pattern.
pub(super) const PATTERN: u32 = 20_006;
/// There are too many records.
pub(super) const TOO_MANY: u32 = 20_007;

/// A refusal with the provider's error body.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: u16,
    anchor: &'static str,
    title: &'static str,
    detail: String,
    violations: Vec<Value>,
}

impl Problem {
    /// Returns the provider's body for a status without further details.
    pub(super) fn of_status(status: u16) -> Self {
        let words = match status {
            400 => "bad-request|Bad Request|The payload could not be parsed.",
            401 => return Self::access_token(),
            403 => "forbidden|Forbidden|The caller lacks permission for this account or resource.",
            404 => {
                "resource-not-found|Resource Not Found|No method for this path, or a referenced resource does not exist."
            }
            405 => "method-not-allowed|Method Not Allowed|The method is not allowed for this path.",
            406 => "not-acceptable|Not Acceptable|The answer can only be application/json.",
            413 => "payload-too-large|Payload Too Large|The request is too large.",
            415 => {
                "unsupported-media-type|Unsupported Media Type|The content type is not supported."
            }
            429 => return Self::spike(),
            502..=504 => "server-error|Server Error|The service did not answer in time.",
            _ => "server-error|Server Error|An internal server error was encountered.",
        };
        let mut words = words.split('|');
        let mut next = || words.next().unwrap_or_default();
        Self::new(status, next(), next(), next())
    }

    fn new(
        status: u16,
        anchor: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            anchor,
            title,
            detail: detail.into(),
            violations: Vec::new(),
        }
    }

    pub(super) fn malformed() -> Self {
        Self::of_status(400)
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, "bad-request", "Bad Request", detail)
    }

    pub(super) fn violation(field: &str, message: impl Into<String>, code: u32) -> Self {
        let detail = "The request is well formed but breaks a validation rule.";
        let mut problem = Self::new(400, "constraint-violation", "Constraint Violation", detail);
        let violation = json!({ "field": field, "message": message.into(), "code": code });
        problem.violations.push(violation);
        problem
    }

    pub(super) fn null(field: &str) -> Self {
        Self::violation(field, "must not be null", NULL)
    }

    pub(super) fn pattern(field: &str, pattern: &str) -> Self {
        Self::violation(field, format!("must match \"{pattern}\""), PATTERN)
    }

    pub(super) fn too_many() -> Self {
        let message = "Too many records within the requested time interval.";
        Self::violation("interval", message, TOO_MANY)
    }

    fn unauthorized(what: &str) -> Self {
        let detail = format!("Missing or invalid credentials({what})");
        Self::new(401, "unauthorized", "Unauthorized", detail)
    }

    pub(super) fn access_token() -> Self {
        Self::unauthorized("Access-Token")
    }

    pub(super) fn app_key() -> Self {
        Self::unauthorized("Appkey")
    }

    pub(super) fn client() -> Self {
        Self::unauthorized("Client")
    }

    fn exhausted(detail: &str) -> Self {
        Self::new(429, "too-many-requests", "Too Many Requests", detail)
    }

    pub(super) fn spike() -> Self {
        Self::exhausted("Spike limit has been exhausted")
    }

    pub(super) fn quota() -> Self {
        Self::exhausted("Tenant Quota has been exhausted")
    }

    pub(super) fn into_answer(self) -> Answer {
        let mut body = json!({
            "type": format!("{DOCS}#{}", self.anchor),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        });
        if !self.violations.is_empty() {
            body["violations"] = Value::Array(self.violations);
        }
        Answer::typed(self.status, "application/problem+json", body.to_string())
    }
}
