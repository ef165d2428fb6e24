//! A store whose errors hold no secret: what a store says of a refused request may echo its credentials.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryFutureExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};
use percent_encoding::percent_decode_str;
use url::Url;

use crate::secret::Hidden;

/// What in a key's name says that its value is a secret, or as good as one.
const SECRET: [&str; 6] = ["key", "secret", "token", "password", "credential", "sas"];
/// Keys whose values are known to be none, though they are named so.
const PLAIN: [&str; 3] = ["skip_signature", "disable_tagging", "bucket_key_enabled"];
/// Of an XML error these are worth showing. Others hold key ids, tokens, and what was signed.
const SHOWN: [&str; 3] = ["Code", "Message", "RequestId"];

/// What is secret among a store's options, and in the environment from which it takes others.
pub(super) fn hidden(options: &BTreeMap<String, String>) -> Hidden {
    let environment = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(key, _)| {
            let stores = ["AWS_", "AZURE_", "GOOGLE_"];
            stores.iter().any(|store| key.starts_with(store))
        });
    let all = options
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()));
    let mut secrets = Vec::new();
    for (key, value) in all.chain(environment) {
        let key = key.to_ascii_lowercase();
        let is_secret = SECRET.iter().any(|part| key.contains(part))
            && !PLAIN.iter().any(|part| key.contains(part));
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
    Hidden::new(secrets.iter().map(String::as_str))
}

/// The user and the password in a URL, as they stand there.
fn login_of(text: &str) -> Option<(String, String)> {
    let url = Url::parse(text).ok()?;
    let password = url.password().filter(|password| !password.is_empty())?;
    Some((url.username().to_owned(), password.to_owned()))
}

/// A store behind which errors are closed.
#[derive(Debug, Clone)]
pub(super) struct Closed {
    store: Arc<dyn ObjectStore>,
    hidden: Hidden,
}

impl Closed {
    pub(super) fn new(store: Arc<dyn ObjectStore>, hidden: Hidden) -> Self {
        Self { store, hidden }
    }

    fn close(&self, error: Error) -> Error {
        close(&self.hidden, error)
    }
}

/// What an error says, without what is secret; its kind stays.
fn close(hidden: &Hidden, error: Error) -> Error {
    type Source = Box<dyn std::error::Error + Send + Sync>;
    let told = |source: Source| -> Source { told(hidden, source.as_ref()).into() };
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
fn told(hidden: &Hidden, error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    hidden.apply(&in_short(&text)).into_owned()
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

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

/// Every method is passed on: the store's own ways of doing them are the fast ones.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Closed {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let put = self.store.put_opts(location, payload, options).await;
        put.map_err(|error| self.close(error))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begun = self.store.put_multipart_opts(location, options).await;
        let upload = begun.map_err(|error| self.close(error))?;
        Ok(Box::new(ClosedUpload {
            upload,
            hidden: self.hidden.clone(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let got = self.store.get_opts(location, options).await;
        let mut got = got.map_err(|error| self.close(error))?;
        if let GetResultPayload::Stream(bytes) = got.payload {
            got.payload = GetResultPayload::Stream(self.closed(bytes));
        }
        Ok(got)
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<Bytes>> {
        let got = self.store.get_ranges(location, ranges).await;
        got.map_err(|error| self.close(error))
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.closed(self.store.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.closed(self.store.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.closed(self.store.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let listed = self.store.list_with_delimiter(prefix).await;
        listed.map_err(|error| self.close(error))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copied = self.store.copy_opts(from, to, options).await;
        copied.map_err(|error| self.close(error))
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let renamed = self.store.rename_opts(from, to, options).await;
        renamed.map_err(|error| self.close(error))
    }
}

impl Closed {
    fn closed<T: 'static>(
        &self,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let hidden = self.hidden.clone();
        stream
            .map(move |item| item.map_err(|error| close(&hidden, error)))
            .boxed()
    }
}

#[derive(Debug)]
struct ClosedUpload {
    upload: Box<dyn MultipartUpload>,
    hidden: Hidden,
}

#[async_trait]
impl MultipartUpload for ClosedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let hidden = self.hidden.clone();
        let put = self.upload.put_part(data);
        Box::pin(put.map_err(move |error| close(&hidden, error)))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let completed = self.upload.complete().await;
        completed.map_err(|error| close(&self.hidden, error))
    }

    async fn abort(&mut self) -> Result<()> {
        let aborted = self.upload.abort().await;
        aborted.map_err(|error| close(&self.hidden, error))
    }
}

#[cfg(test)]
mod tests {
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
        let options = options.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let hidden = hidden(&BTreeMap::from(options));
        let said = "AKIACANARYCANARY canary%2Fsecret%2Bkey in eu-central-1 by me:pass%2Fword1@proxy, pass/word1";
        let error = Error::PermissionDenied {
            path: "a/b".to_owned(),
            source: said.into(),
        };
        let closed = close(&hidden, error);
        assert!(matches!(&closed, Error::PermissionDenied { path, .. } if path == "a/b"));
        let text = closed.to_string();
        assert!(
            text.ends_with("[redacted] [redacted] in eu-central-1 by [redacted]@proxy, [redacted]"),
            "{text}"
        );
    }
}
