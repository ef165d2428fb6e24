//! A store whose errors contain no secrets: the message of a refused request may repeat its credentials.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryFutureExt};
use object_store::{
    Error, MultipartUpload, ObjectStore, PutPayload, PutResult, Result, UploadPart,
};
use percent_encoding::percent_decode_str;
use url::Url;

use super::answer::StoreAnswer;
use super::options::{self, StoreKind, StoreSettings};
use super::wrapped::{StoreHooks, WrappedStore};
use crate::metrics::Operation;
use crate::secret::Redactor;
use crate::telemetry::raw_error_chain;

/// The parts of key names that mark secret values.
const SECRET: [&str; 6] = ["key", "secret", "token", "password", "credential", "sas"];
/// The keys whose values aren't secret in spite of their names: switches, names and file paths, which users need to see
/// to solve problems.
const PLAIN: [&str; 8] = [
    "skip_signature",
    "disable_tagging",
    "bucket_key_enabled",
    "credential_type",
    "_file",
    "application_credentials",
    "credentials_relative_uri",
    "fabric_token_service_url",
];
/// The elements of an XML error that are shown. Others contain key ids, tokens, and signed text.
const SHOWN: [&str; 3] = ["Code", "Message", "RequestId"];

/// Returns a redactor for the secrets in a store's settings, in the environment, and in `more`.
pub(super) fn hidden(settings: &StoreSettings, more: Vec<String>) -> Redactor {
    let environment = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(key, _)| {
            let stores = ["AWS_", "AZURE_", "GOOGLE_"];
            stores.iter().any(|store| key.starts_with(store))
        });
    let all = settings
        .iter()
        .map(|(key, setting)| (key.clone(), setting.value.clone()));
    let mut secrets = more;
    for (key, value) in all.chain(environment) {
        let key = key.to_ascii_lowercase();
        let is_named_so = SECRET.iter().any(|part| key.contains(part))
            && !PLAIN.iter().any(|part| key.contains(part));
        let is_secret = is_named_so || options::is_secret(&key) && key != "proxy_url";
        if is_secret && value.len() >= 4 {
            secrets.push(value.clone());
        } else if let Some((user, password)) = login_of(&value) {
            // a proxy's credentials
            secrets.push(format!("{user}:{password}"));
            secrets.push(
                percent_decode_str(&password)
                    .decode_utf8_lossy()
                    .into_owned(),
            );
            secrets.push(password);
        }
        // a service account's JSON: single lines of its key may be shown
        if is_secret && let Ok(serde_json::Value::Object(members)) = serde_json::from_str(&value) {
            let texts = members.into_iter().filter(|(key, _)| key.contains("key"));
            secrets.extend(texts.filter_map(|(_, text)| Some(text.as_str()?.to_owned())));
        }
    }
    Redactor::new(secrets.iter().map(String::as_str))
}

/// Returns the user and the password in a URL, verbatim.
fn login_of(text: &str) -> Option<(String, String)> {
    let url = Url::parse(text).ok()?;
    let password = url.password().filter(|password| !password.is_empty())?;
    Some((url.username().to_owned(), password.to_owned()))
}

/// Wraps a store so that no error contains the secrets of `hidden`.
pub(super) fn redacting(
    kind: StoreKind,
    store: Arc<dyn ObjectStore>,
    hidden: Redactor,
) -> WrappedStore<ErrorRedactor> {
    WrappedStore::new(store, ErrorRedactor { kind, hidden })
}

/// Redacts and classifies the errors of a kind of store.
#[derive(Debug, Clone)]
pub(super) struct ErrorRedactor {
    kind: StoreKind,
    hidden: Redactor,
}

/// Turns a panic in the store's library into an error of the request.
impl StoreHooks for ErrorRedactor {
    async fn request<T: Send>(
        &self,
        _: Operation,
        request: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        match AssertUnwindSafe(request).catch_unwind().await {
            Ok(done) => done.map_err(|error| close(self, error)),
            Err(_) => Err(close(self, panicked())),
        }
    }

    fn stream<T: Send + 'static>(
        &self,
        _: Operation,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let redactor = self.clone();
        AssertUnwindSafe(stream)
            .catch_unwind()
            .map(move |item| {
                let item = item.unwrap_or_else(|_| Err(panicked()));
                item.map_err(|error| close(&redactor, error))
            })
            .boxed()
    }

    fn body(&self, body: BoxStream<'static, Result<Bytes>>) -> BoxStream<'static, Result<Bytes>> {
        self.stream(Operation::Get, body)
    }

    fn upload(&self, upload: Box<dyn MultipartUpload>) -> Box<dyn MultipartUpload> {
        let redactor = self.clone();
        Box::new(RedactingUpload { upload, redactor })
    }
}

fn panicked() -> Error {
    Error::Generic {
        store: "lake",
        source: "the store's client panicked: one of its settings or credentials is of a form that it doesn't expect".into(),
    }
}

/// Redacts and classifies an error; its variant stays the same.
fn close(redactor: &ErrorRedactor, error: Error) -> Error {
    type Source = Box<dyn std::error::Error + Send + Sync>;
    let redacted = |source: Source| -> Source {
        let shown = redacted(&redactor.hidden, source.as_ref());
        Box::new(StoreAnswer::of(redactor.kind, source.as_ref(), shown))
    };
    match error {
        Error::Generic { store, source } => Error::Generic {
            store,
            source: redacted(source),
        },
        Error::NotFound { path, source } => Error::NotFound {
            path,
            source: redacted(source),
        },
        Error::NotSupported { source } => Error::NotSupported {
            source: redacted(source),
        },
        Error::AlreadyExists { path, source } => Error::AlreadyExists {
            path,
            source: redacted(source),
        },
        Error::Precondition { path, source } => Error::Precondition {
            path,
            source: redacted(source),
        },
        Error::NotModified { path, source } => Error::NotModified {
            path,
            source: redacted(source),
        },
        Error::PermissionDenied { path, source } => Error::PermissionDenied {
            path,
            source: redacted(source),
        },
        Error::Unauthenticated { path, source } => Error::Unauthenticated {
            path,
            source: redacted(source),
        },
        // these contain a path, a name, or the end of a task
        error @ (Error::InvalidPath { .. }
        | Error::JoinError { .. }
        | Error::NotImplemented { .. }
        | Error::UnknownConfigurationKey { .. }) => error,
        // variants that may be added
        error => Error::Generic {
            store: "lake",
            source: redacted(Box::new(error)),
        },
    }
}

/// Returns an error and its causes as one text.
fn redacted(hidden: &Redactor, error: &(dyn std::error::Error + 'static)) -> String {
    hidden
        .apply(&in_short(&raw_error_chain(error)))
        .into_owned()
}

/// Reduces an XML document in a text to the elements that describe the problem.
fn in_short(text: &str) -> String {
    let begin = text.find("<?xml").or_else(|| text.find("<Error>"));
    let Some(begin) = begin else {
        return text.to_owned();
    };
    let xml = &text[begin..];
    let message: Vec<&str> = SHOWN
        .iter()
        .filter_map(|name| {
            let (_, rest) = xml.split_once(&format!("<{name}>"))?;
            let (message, _) = rest.split_once(&format!("</{name}>"))?;
            Some(message.trim()).filter(|message| !message.is_empty())
        })
        .collect();
    format!("{}{}", &text[..begin], message.join(", "))
}

#[derive(Debug)]
struct RedactingUpload {
    upload: Box<dyn MultipartUpload>,
    redactor: ErrorRedactor,
}

#[async_trait]
impl MultipartUpload for RedactingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let redactor = self.redactor.clone();
        let put = self.upload.put_part(data);
        Box::pin(put.map_err(move |error| close(&redactor, error)))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let completed = self.upload.complete().await;
        completed.map_err(|error| close(&self.redactor, error))
    }

    async fn abort(&mut self) -> Result<()> {
        let aborted = self.upload.abort().await;
        aborted.map_err(|error| close(&self.redactor, error))
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::{SettingOrigin, StoreSetting};
    use super::*;

    #[test]
    fn what_a_store_says_is_cut_down_to_what_is_wrong() {
        let body = "Error performing PUT http://x/y in 1s - Server returned non-2xx status code: 403 Forbidden: \
                    <?xml version=\"1.0\"?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.\
                    </Message><Token-0>FwoGZXIvYXdzEJr</Token-0><RequestId>R1</RequestId></Error>";
        assert_eq!(
            in_short(body),
            "Error performing PUT http://x/y in 1s - Server returned non-2xx status code: 403 Forbidden: ExpiredToken, \
             The provided token has expired., R1"
        );
        assert_eq!(in_short("plain <b>text"), "plain <b>text");
        assert_eq!(in_short("403: <Error>garbled"), "403: ");
    }

    #[test]
    fn an_errors_kind_stays_and_its_secrets_go() {
        let options = [
            ("aws_access_key_id", "AKIACANARYCANARY"),
            ("aws_secret_access_key", "canary/secret+key"),
            ("aws_region", "eu-central-1"),
            ("proxy_url", "http://me:pass%2Fword1@proxy:1"),
        ];
        let settings = options.map(|(key, value)| {
            let (origin, value) = (SettingOrigin::Option(key.to_owned()), value.to_owned());
            (key.to_owned(), StoreSetting { origin, value })
        });
        let hidden = hidden(&StoreSettings::from(settings), Vec::new());
        let message = "AKIACANARYCANARY canary%2Fsecret%2Bkey in eu-central-1 by me:pass%2Fword1@proxy, pass/word1";
        let error = Error::PermissionDenied {
            path: "a/b".to_owned(),
            source: message.into(),
        };
        let kind = StoreKind::S3;
        let closed = close(&ErrorRedactor { kind, hidden }, error);
        assert!(matches!(&closed, Error::PermissionDenied { path, .. } if path == "a/b"));
        let text = closed.to_string();
        assert!(
            text.ends_with("[redacted] [redacted] in eu-central-1 by [redacted]@proxy, [redacted]"),
            "{text}"
        );
    }
}
