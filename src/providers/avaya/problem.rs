//! The classification of the provider's refusals: problem+json (RFC 7807), whose members may all be missing or null.

use std::fmt::Write as _;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use crate::model::FailureKind;
use crate::providers::answer::{error_text, quoted, refused};
use crate::providers::json::{Object, OneOrMany, ScalarText, shortened};
use crate::providers::{Answer, ErrorInBody, Refusal, RetryHints, TransientFailure};

/// "Too many records within the requested time interval", documented only for the export.
const TOO_MANY_RECORDS: &str = "20007";
/// Codes that aren't about size: a missing value, and a value that doesn't match its pattern.
const NO_MATTER_OF_SIZE: [&str; 2] = ["20002", "20006"];
/// The first pause after an exhausted tenant quota, doubled each time.
const QUOTA_REST: Duration = Duration::from_mins(1);
/// The first pause after a spike limit.
const SPIKE_REST: Duration = Duration::from_secs(1);

/// The provider's retry rules beyond HTTP.
pub(super) const RETRY_HINTS: RetryHints = RetryHints {
    rest,
    token_refused,
    error_in_body: |_| ErrorInBody {
        token_refused: false,
        pause: None,
    },
    rate_headers: None,
};

/// `status` isn't parsed, as it is documented as a number and as text, and also in HTTP.
#[derive(Debug, Default, Deserialize)]
struct AvayaProblem<'a> {
    #[serde(borrow, default)]
    title: ScalarText<'a>,
    #[serde(borrow, default)]
    detail: ScalarText<'a>,
    #[serde(borrow, default)]
    violations: OneOrMany<Object<Violation<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
struct Violation<'a> {
    #[serde(borrow, default)]
    field: ScalarText<'a>,
    #[serde(borrow, default)]
    message: ScalarText<'a>,
    #[serde(borrow, default)]
    code: ScalarText<'a>,
}

impl Violation<'_> {
    /// Returns whether a smaller range may succeed.
    fn is_about_the_size(&self) -> bool {
        self.code.as_deref() == Some(TOO_MANY_RECORDS)
    }

    /// Returns whether another range may succeed.
    fn is_about_the_interval(&self) -> bool {
        let code = self.code.as_deref();
        let field = self.field.as_deref().unwrap_or_default();
        ["interval", "startDate", "endDate"].contains(&field)
            && !code.is_some_and(|code| NO_MATTER_OF_SIZE.contains(&code))
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        // writing to a string doesn't fail
        if let Some(field) = self.field.as_deref() {
            let _ = write!(text, "`{}` ", shortened(field));
        }
        let message = self.message.as_deref().unwrap_or("is refused");
        text.push_str(&shortened(message.trim_end_matches('.')));
        if let Some(code) = self.code.as_deref() {
            let _ = write!(text, " (code {})", shortened(code));
        }
        text
    }
}

/// Classifies any answer other than a 2xx.
pub(super) fn expect_success(answer: &Answer) -> Result<(), Refusal> {
    if answer.status.is_success() {
        return Ok(());
    }
    let body = error_text(answer);
    let problem: Option<AvayaProblem> = serde_json::from_str(&body).ok();
    let text = problem
        .as_ref()
        .and_then(|problem| message(answer.status, problem));
    let text = text.unwrap_or_else(|| quoted(&body));
    let violations = problem.map(|problem| problem.violations.0);
    let violations = violations.unwrap_or_default();
    let any = |is: &dyn Fn(&Violation<'_>) -> bool| {
        let mut violations = violations.iter();
        answer.status == StatusCode::BAD_REQUEST
            && violations.any(|Object(violation)| is(violation))
    };
    Err(match refused(answer.status, &text) {
        Refusal::BadRange { message, .. } if any(&|violation| violation.is_about_the_size()) => {
            Refusal::TooLarge(message)
        }
        Refusal::BadRange { message, .. }
            if any(&|violation| violation.is_about_the_interval()) =>
        {
            Refusal::BadRange {
                kind: FailureKind::Data,
                message,
            }
        }
        refused => refused,
    })
}

/// Returns title, detail and violations as one sentence; `None` without any. A title that only repeats the status is
/// omitted.
fn message(status: StatusCode, problem: &AvayaProblem<'_>) -> Option<String> {
    let reason = status.canonical_reason();
    let title = problem.title.as_deref();
    let mut parts: Vec<String> = [
        title.filter(|title| Some(*title) != reason),
        problem.detail.as_deref(),
    ]
    .into_iter()
    .flatten()
    .map(|text| shortened(text.trim_end_matches('.')).into_owned())
    .collect();
    let violations = &problem.violations.0;
    parts.extend(
        violations
            .iter()
            .map(|Object(violation)| violation.describe()),
    );
    (!parts.is_empty()).then(|| parts.join(": "))
}

/// Returns whether the tenant's quota is exhausted, which lasts minutes, as opposed to a spike limit, which lasts
/// seconds. Both are 429; only the detail distinguishes them.
fn rest(failed: TransientFailure<'_>) -> Duration {
    if failed.status != StatusCode::TOO_MANY_REQUESTS {
        return Duration::ZERO;
    }
    let doublings = failed.times.saturating_sub(1);
    if detail(failed.body).contains("quota") {
        QUOTA_REST * 2_u32.pow(doublings.min(2))
    } else {
        (SPIKE_REST * 2_u32.pow(doublings.min(5))).min(Duration::from_secs(30))
    }
}

/// Returns whether a 401 is about the access token instead of the app key, so that a new token helps.
fn token_refused(body: &[u8]) -> bool {
    let detail = detail(body);
    let names_app_key = ["appkey", "app key", "app-key", "application key"]
        .iter()
        .any(|name| detail.contains(name));
    detail.contains("token") || !names_app_key
}

/// Returns the detail in lower case, or the whole body if it isn't the documented JSON.
fn detail(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let problem: AvayaProblem = serde_json::from_str(&body).unwrap_or_default();
    problem.detail.as_deref().unwrap_or(&body).to_lowercase()
}
