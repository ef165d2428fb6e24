//! The provider's error bodies.

use serde_json::{Map, Value, json};

use crate::answer::Answer;

/// A refusal with the provider's error body.
#[derive(Debug)]
pub(super) struct ApiRefusal {
    pub(super) status: u16,
    code: &'static str,
    message: String,
    more: Map<String, Value>,
}

impl ApiRefusal {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            more: Map::new(),
        }
    }

    fn with(mut self, member: &str, value: Value) -> Self {
        self.more.insert(member.to_owned(), value);
        self
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "bad.request", message)
    }

    pub(super) fn bad_field(field: &str, message: impl Into<String>) -> Self {
        Self::bad_request(message).with(
            "details",
            json!([{ "errorCode": "invalid", "fieldName": field }]),
        )
    }

    /// `why` is empty, or begins with the text that joins it to the message.
    pub(super) fn bad_interval(why: &str) -> Self {
        let message = format!("The interval is invalid{why}");
        Self::bad_request(&message)
            .with("messageWithParams", Value::from(message))
            .with("messageParams", json!({}))
    }

    pub(super) fn service_required() -> Self {
        Self::bad_request("A service name is required for this query").with(
            "details",
            json!([{ "errorCode": "required", "fieldName": "serviceName" }]),
        )
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "bad.credentials", "Invalid login credentials.")
    }

    pub(super) fn forbidden() -> Self {
        let message = concat!(
            "Unable to perform the requested action. ",
            "You are missing the following permission(s): audits:audit:view"
        );
        Self::new(403, "missing.any.permissions", message).with(
            "messageParams",
            json!({ "permissions": "audits:audit:view" }),
        )
    }

    pub(super) fn not_found(entity: Option<&str>) -> Self {
        let refusal = Self::new(404, "not.found", "The requested resource was not found");
        match entity {
            Some(id) => refusal.with("entityId", Value::from(id)),
            None => refusal,
        }
    }

    pub(super) fn not_ready() -> Self {
        Self::bad_request("The query has not succeeded, so there are no results")
    }

    pub(super) fn too_many(seconds: u64) -> Self {
        let message =
            format!("Rate limit exceeded the maximum. Retry the request in [{seconds}] seconds");
        Self::new(429, "too.many.requests.retry.after", message)
    }

    /// Returns a refusal for an exceeded limit, which the provider names only sometimes.
    pub(super) fn naming_limit(self, value: u32) -> Self {
        let limit = json!({ "key": "query.rate.per.minute", "namespace": "audit", "value": value });
        self.with("limit", limit)
    }

    /// Returns the provider's body for a status without further details.
    pub(super) fn of_status(status: u16) -> Self {
        let words = match status {
            400 => "bad.request|The request could not be understood by the server",
            401 => return Self::unauthorized(),
            403 => return Self::forbidden(),
            404 => return Self::not_found(None),
            405 => "method.not.allowed|The method is not allowed for this resource",
            408 => "request.timeout|The request timed out.",
            413 => "request.entity.too.large|The request is over the size limit of 512000 bytes",
            415 => "unsupported.media.type|The content type must be application/json",
            429 => return Self::too_many(1),
            502 => "bad.gateway|The upstream service gave no valid answer.",
            503 => "service.unavailable|Service Unavailable - The server is currently unavailable.",
            504 => "gateway.timeout|The request timed out.",
            _ => {
                "internal.server.error|The server encountered an unexpected condition which prevented it from fulfilling the request."
            }
        };
        let (code, message) = words.split_once('|').unwrap_or((words, ""));
        Self::new(status, code, message)
    }

    pub(super) fn into_answer(self, context: &str) -> Answer {
        let mut body = Map::new();
        body.insert("message".to_owned(), Value::from(self.message));
        body.insert("code".to_owned(), Value::from(self.code));
        body.insert("status".to_owned(), Value::from(self.status));
        body.insert("contextId".to_owned(), Value::from(context));
        body.insert("details".to_owned(), json!([]));
        body.insert("errors".to_owned(), json!([]));
        body.extend(self.more);
        Answer::json(self.status, Value::Object(body).to_string())
    }
}
