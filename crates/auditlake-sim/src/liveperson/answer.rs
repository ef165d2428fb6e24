//! The provider's error bodies.

use serde_json::json;

use crate::answer::Answer;

/// A refusal in the form of the login service, the only documented one.
#[derive(Debug)]
pub(super) struct LoginRefusal {
    status: u16,
    message: String,
    code: u16,
    name: &'static str,
}

impl LoginRefusal {
    fn new(status: u16, code: u16, name: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            code,
            name,
        }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, 13, "BAD_REQUEST", message)
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, 10, "UNAUTHORIZED", "Bad Authentication")
    }

    pub(super) fn forbidden() -> Self {
        let message = "Missing privilege for audit trail";
        Self::new(403, 11, "FORBIDDEN", message)
    }

    /// Returns the provider's body for a status without further details.
    pub(super) fn of_status(status: u16) -> Self {
        let (code, name, message) = match status {
            400 => return Self::bad_request("Bad request"),
            401 => return Self::unauthorized(),
            403 => return Self::forbidden(),
            404 => (14, "NOT_FOUND", "Not found"),
            405 => (15, "METHOD_NOT_ALLOWED", "Method not allowed"),
            406 => (18, "NOT_ACCEPTABLE", "Not acceptable"),
            413 => (16, "REQUEST_ENTITY_TOO_LARGE", "Request entity too large"),
            415 => (17, "UNSUPPORTED_MEDIA_TYPE", "Unsupported media type"),
            429 => (29, "TOO_MANY_REQUESTS", "Too many requests"),
            451 => (30, "UNAVAILABLE_FOR_LEGAL_REASONS", "Account is blocked"),
            503 => (2, "SERVICE_UNAVAILABLE", "Service unavailable"),
            504 => (3, "GATEWAY_TIMEOUT", "Gateway timeout"),
            _ => (1, "INTERNAL_SERVER_ERROR", "Internal server error"),
        };
        Self::new(status, code, name, message)
    }

    pub(super) fn into_answer(self) -> Answer {
        let body = json!({ "error": {
            "time": "Mar 2, 2026 9:00:00 AM",
            "message": self.message,
            "internalCode": self.code,
            "responseStatus": self.name,
        }});
        Answer::json(self.status, body.to_string())
    }
}

/// Returns an error of the sentinel.
pub(super) fn oauth_error(status: u16, error: &str, description: &str) -> Answer {
    let body = json!({ "error": error, "error_description": description });
    Answer::json(status, body.to_string())
}

/// Returns the errors of an invalid query in the form of GraphQL.
pub(super) fn graphql_errors(messages: &[String]) -> Answer {
    let error =
        |message: &String| json!({ "message": message, "locations": [{ "line": 1, "column": 2 }] });
    let errors: Vec<_> = messages.iter().map(error).collect();
    Answer::json(200, json!({ "errors": errors, "data": null }).to_string())
}
