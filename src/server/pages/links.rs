//! The URLs of pages.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

/// The characters that aren't escaped in a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Returns the URL of a job's page.
pub(super) fn job(name: &str) -> String {
    format!("/jobs/{}", utf8_percent_encode(name, SEGMENT))
}

/// Returns the URL of a run's page.
pub(super) fn run(run: Uuid) -> String {
    format!("/runs/{run}")
}
