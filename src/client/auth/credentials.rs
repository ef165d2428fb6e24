//! The credentials of a sign-in, with secrets revealed.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::client::error::ClientError;
use crate::client::transport::Transport;

/// Credentials revealed for a sign-in.
pub(super) struct Credentials {
    /// The user, or the client's id.
    pub(super) user: String,
    /// The user's password, or the client's secret.
    pub(super) password: String,
    pub(super) extra: Extra,
}

/// Returns the endpoint's own headers, revealed.
#[derive(Clone, Default)]
pub(super) struct Extra(pub(super) Vec<(HeaderName, String)>);

impl Extra {
    pub(super) fn headers(&self, transport: &Transport) -> Result<HeaderMap, ClientError> {
        self.0
            .iter()
            .map(|(name, text)| {
                let value = sensitive(text).ok_or_else(|| {
                    unfit(
                        transport,
                        &format!("the header `{name}` can't hold its value"),
                    )
                })?;
                Ok((name.clone(), value))
            })
            .collect()
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, text)| text.as_str())
    }
}

pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Returns the error for secrets that can't be sent.
pub(super) fn unfit(transport: &Transport, problem: &str) -> ClientError {
    transport.settings(problem.to_owned())
}
