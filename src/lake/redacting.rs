//! A store whose errors hold no secret: what a store says of a refused request may echo its credentials.

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

/// What in a key's name says that its value is a secret, or as good as one.
const SECRET: [&str; 6] = ["key", "secret", "token", "password", "credential", "sas"];
/// Keys whose values are known to be none, though they are named so: switches, names, and paths of files, which people
/// need to see to find what is wrong.
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
/// Of an XML error these are worth showing. Others hold key ids, tokens, and what was signed.
const SHOWN: [&str; 3] = ["Code", "Message", "RequestId"];

/// What is secret among a store's settings, and in the environment from which it may take others, and `more`.
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
            // a proxy's
            secrets.push(format!("{user}:{password}"));
            secrets.push(
                percent_decode_str(&password)
                    .decode_utf8_lossy()
                    .into_owned(),
            );
            secrets.push(password);
        }
        // a service account's JSON: its key may be told by its lines
        if is_secret && let Ok(serde_json::Value::Object(members)) = serde_json::from_str(&value) {
            let texts = members.into_iter().filter(|(key, _)| key.contains("key"));
            secrets.extend(texts.filter_map(|(_, text)| Some(text.as_str()?.to_owned())));
        }
    }
    Redactor::new(secrets.iter().map(String::as_str))
}

/// The user and the password in a URL, as they stand there.
fn login_of(text: &str) -> Option<(String, String)> {
    let url = Url::parse(text).ok()?;
    let password = url.password().filter(|password| !password.is_empty())?;
    Some((url.username().to_owned(), password.to_owned()))
}

/// A store behind which no error shows what is secret; `hidden` is what no text may show.
pub(super) fn redacting(
    kind: StoreKind,
    store: Arc<dyn ObjectStore>,
    hidden: Redactor,
) -> WrappedStore<ErrorRedactor> {
    WrappedStore::new(store, ErrorRedactor { kind, hidden })
}

/// Redacts errors by the kind of the store that made them.
#[derive(Debug, Clone)]
pub(super) struct ErrorRedactor {
    kind: StoreKind,
    hidden: Redactor,
}

/// A panic in the store's library is an error of its request, and no more.
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

/// What an error says and means, without what is secret; its kind stays.
fn close(redactor: &ErrorRedactor, error: Error) -> Error {
    type Source = Box<dyn std::error::Error + Send + Sync>;
    let told = |source: Source| -> Source {
        let shown = told(&redactor.hidden, source.as_ref());
        Box::new(StoreAnswer::of(redactor.kind, source.as_ref(), shown))
    };
    match error {
        Error::Generic { store, source } => Error::Generic {
            store,
            source: told(source),
        },
        Error::NotFound { path, source } => Error::NotFound {
            path,
            source: told(source),
        },
        Error::NotSupported { source } => Error::NotSupported {
            source: told(source),
        },
        Error::AlreadyExists { path, source } => Error::AlreadyExists {
            path,
            source: told(source),
        },
        Error::Precondition { path, source } => Error::Precondition {
            path,
            source: told(source),
        },
        Error::NotModified { path, source } => Error::NotModified {
            path,
            source: told(source),
        },
        Error::PermissionDenied { path, source } => Error::PermissionDenied {
            path,
            source: told(source),
        },
        Error::Unauthenticated { path, source } => Error::Unauthenticated {
            path,
            source: told(source),
        },
        // these hold a path, a name, or a task's end
        error @ (Error::InvalidPath { .. }
        | Error::JoinError { .. }
        | Error::NotImplemented { .. }
        | Error::UnknownConfigurationKey { .. }) => error,
        // whatever may be added
        error => Error::Generic {
            store: "lake",
            source: told(Box::new(error)),
        },
    }
}

/// An error and its causes as one text.
fn told(hidden: &Redactor, error: &(dyn std::error::Error + 'static)) -> String {
    hidden
        .apply(&in_short(&raw_error_chain(error)))
        .into_owned()
}

/// The text with an XML document in it cut down to what says what is wrong.
fn in_short(text: &str) -> String {
    let begin = text.find("<?xml").or_else(|| text.find("<Error>"));
    let Some(begin) = begin else {
        return text.to_owned();
    };
    let xml = &text[begin..];
    let said: Vec<&str> = SHOWN
        .iter()
        .filter_map(|name| {
            let (_, rest) = xml.split_once(&format!("<{name}>"))?;
            let (said, _) = rest.split_once(&format!("</{name}>"))?;
            Some(said.trim()).filter(|said| !said.is_empty())
        })
        .collect();
    format!("{}{}", &text[..begin], said.join(", "))
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
        let said = "AKIACANARYCANARY canary%2Fsecret%2Bkey in eu-central-1 by me:pass%2Fword1@proxy, pass/word1";
        let error = Error::PermissionDenied {
            path: "a/b".to_owned(),
            source: said.into(),
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
