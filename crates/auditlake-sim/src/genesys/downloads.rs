//! The store of large results with its pre-signed URLs.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use super::endpoint::GenesysHost;
use super::settings::{Compression, DownloadShape, GenesysSettings};
use super::transactions::{Rows, ends};
use super::{Dataset, page};
use crate::answer::Answer;
use crate::lock;
use crate::oauth::random_text;
use crate::stage::Call;

/// A part of a query's results.
#[derive(Debug, Clone)]
pub(super) struct ResultPart {
    pub(super) rows: Rows,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) expanded: bool,
}

#[derive(Debug, Clone)]
struct Download {
    part: ResultPart,
    signature: String,
    ends_micros: i64,
}

/// The available downloads by name.
#[derive(Debug)]
pub(super) struct Downloads {
    base: String,
    by_name: Mutex<HashMap<String, Download>>,
}

impl Downloads {
    pub(super) fn new(base: String) -> Self {
        Self {
            base,
            by_name: Mutex::default(),
        }
    }

    /// Offers a part for a limited time and returns its URL. Removes expired parts.
    pub(super) fn offer(&self, part: ResultPart, now_micros: i64, lifetime: Duration) -> String {
        let (name, signature) = (random_text(12), random_text(24));
        let url = format!(
            "{}/download/{name}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires={}&X-Amz-Signature={signature}",
            self.base,
            lifetime.as_secs(),
        );
        let mut by_name = lock(&self.by_name);
        by_name.retain(|_, download| now_micros < ends(download.ends_micros, lifetime));
        by_name.insert(
            name,
            Download {
                part,
                signature,
                ends_micros: ends(now_micros, lifetime),
            },
        );
        url
    }

    /// Answers a call, which must have the right signature and no other credentials.
    pub(super) fn serve(
        &self,
        call: &Call<'_, GenesysHost>,
        now_micros: i64,
        dataset: &Dataset,
        settings: &GenesysSettings,
    ) -> Answer {
        if call.headers.contains_key("authorization") {
            return store_error(400, "InvalidArgument", "Only one auth mechanism allowed");
        }
        let Some(download) = lock(&self.by_name).get(call.parameter(0)).cloned() else {
            return store_error(404, "NoSuchKey", "The specified key does not exist.");
        };
        let signed = url::form_urlencoded::parse(call.query.as_bytes())
            .any(|(name, value)| name == "X-Amz-Signature" && value == download.signature);
        if !signed {
            let message = "The request signature does not match.";
            return store_error(403, "SignatureDoesNotMatch", message);
        }
        if now_micros >= download.ends_micros {
            return store_error(403, "AccessDenied", "Request has expired");
        }
        let ResultPart {
            rows,
            from,
            to,
            expanded,
        } = download.part;
        let content = page::download(
            dataset,
            rows.places(from, to),
            expanded,
            settings.download_shape,
        );
        pack(&content, settings)
    }
}

fn pack(content: &[u8], settings: &GenesysSettings) -> Answer {
    let kind = match settings.download_shape {
        DownloadShape::Object | DownloadShape::Array => "application/json",
        DownloadShape::Lines | DownloadShape::Garbage => "binary/octet-stream",
    };
    match settings.download_compression {
        Compression::None => Answer::typed(200, kind, content),
        Compression::Encoded => {
            Answer::typed(200, kind, page::gzip(content)).with("content-encoding", "gzip")
        }
        Compression::File => Answer::typed(200, "application/gzip", page::gzip(content)),
    }
}

/// Returns an error in the form of object stores.
pub(super) fn store_error(status: u16, code: &str, message: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    Answer::typed(status, "application/xml", body)
}
