//! HTTP Basic authentication: no sign-in, as every call contains the password.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::credentials::{Credentials, sensitive, unfit};
use super::{SignedIn, margin};
use crate::client::error::ClientError;
use crate::client::transport::Transport;
use crate::secret::Redactor;

/// How long a password is used before it is read again.
const LIFE: Duration = Duration::from_mins(1);

/// Returns the header of these credentials.
pub(super) fn sign(
    transport: &Transport,
    credentials: &Credentials,
) -> Result<SignedIn, ClientError> {
    let Credentials {
        user,
        password,
        extra,
    } = credentials;
    if user.contains(':') {
        // RFC 7617: the server would treat the text after it as the start of the password
        return Err(unfit(
            transport,
            "the username holds a colon, which HTTP Basic can't carry",
        ));
    }
    let pair = format!("{user}:{password}");
    let authorization =
        sensitive(&format!("Basic {}", STANDARD.encode(&pair))).ok_or_else(|| {
            unfit(
                transport,
                "the username and password don't fit into a header",
            )
        })?;
    let secrets = [user.as_str(), password.as_str(), pair.as_str()];
    Ok(SignedIn {
        authorization,
        hidden: Redactor::new(secrets.into_iter().chain(extra.texts())).and(&transport.hidden),
        life: LIFE,
        margin: margin(LIFE),
        session: None,
    })
}
