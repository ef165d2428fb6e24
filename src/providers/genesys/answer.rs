//! The answers of Genesys Cloud, and the classification of its refusals.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Read;

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::audit::{looks_like_a_record, read_record};
use super::cost::Mapping;
use crate::model::FailureKind;
use crate::providers::answer::{
    AnswerText, Spans, error_text, failed, number, parse, quoted, read_page, refused, spans,
    text_of,
};
use crate::providers::json::{Exact, Object, OneOrMany, ScalarText, shortened};
use crate::providers::salvage;
use crate::providers::{Answer, Refusal};

/// The maximum size of a decompressed download.
const DOWNLOAD_CAP: u64 = 256 << 20;

#[derive(Debug, Default, Deserialize)]
pub(super) struct QueryStatus<'a> {
    #[serde(borrow, default)]
    pub(super) id: ScalarText<'a>,
    #[serde(borrow, default)]
    pub(super) state: ScalarText<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResultsEnvelope<'a> {
    #[serde(borrow, default)]
    entities: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    cursor: Option<&'a RawValue>,
    #[serde(borrow, default)]
    download_url: ScalarText<'a>,
    #[serde(borrow, default)]
    page_size: ScalarText<'a>,
    #[serde(borrow, default)]
    page_count: ScalarText<'a>,
    #[serde(borrow, default)]
    total: ScalarText<'a>,
}

/// A page of results.
#[derive(Debug, Default)]
pub(super) struct QueryResults {
    /// The positions of the records; `None` without a list.
    pub(super) entities: Option<Spans>,
    /// The cursor of the next page as JSON.
    cursor: Option<String>,
    pub(super) download_url: Option<String>,
    has_page_size: bool,
    pub(super) page_count: Option<u64>,
    pub(super) total: Option<u64>,
}

impl QueryResults {
    pub(super) fn read(answer: &AnswerText) -> Result<Self, Refusal> {
        read_page(answer, &["entities"], &is_record, |text, records| {
            let envelope = parse(text)?;
            Ok(Self::of(text, envelope, records))
        })
    }

    fn of(text: &str, envelope: ResultsEnvelope<'_>, records: Option<Spans>) -> Self {
        Self {
            entities: records.or_else(|| Some(spans(text, envelope.entities?))),
            cursor: envelope.cursor.map(|cursor| cursor.get().to_owned()),
            download_url: envelope.download_url.0.map(Cow::into_owned),
            has_page_size: envelope.page_size.0.is_some(),
            page_count: number(&envelope.page_count),
            total: number(&envelope.total),
        }
    }

    /// Returns the cursor of the next page. An unreadable one isn't the end of the range.
    pub(super) fn cursor(&self) -> Result<Option<String>, Refusal> {
        let Some(cursor) = &self.cursor else {
            return Ok(None);
        };
        match serde_json::from_str::<Exact>(cursor) {
            Ok(Exact(Some(cursor))) => Ok(Some(cursor.into_owned())),
            Ok(Exact(None)) if matches!(cursor.as_str(), "null" | "\"\"") => Ok(None),
            _ => Err(failed(
                FailureKind::Data,
                "the answer's `cursor` isn't a text",
            )),
        }
    }

    /// Returns the positions of the records. A page may omit `entities`, but an answer that isn't a page must not count
    /// as the end of a range.
    pub(super) fn records(self) -> Result<Spans, Refusal> {
        match self.entities {
            None if !self.has_page_size => Err(failed(
                FailureKind::Data,
                "the answer has neither `entities` nor a `pageSize`, so it isn't a page",
            )),
            entities => Ok(entities.unwrap_or_default()),
        }
    }
}

fn is_record(raw: &str) -> bool {
    read_record(raw).is_ok()
}

#[derive(Debug, Default, Deserialize)]
struct Services<'a> {
    #[serde(borrow, default)]
    services: OneOrMany<Object<MappedService<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
struct MappedService<'a> {
    #[serde(borrow, default)]
    name: ScalarText<'a>,
    #[serde(borrow, default)]
    entities: OneOrMany<Object<EntityType<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
struct EntityType<'a> {
    #[serde(borrow, default)]
    name: ScalarText<'a>,
    #[serde(borrow, default)]
    actions: OneOrMany<Cow<'a, str>>,
}

impl EntityType<'_> {
    /// An entity type with each of its actions, or without any.
    fn pairs(&self) -> impl Iterator<Item = (String, String)> {
        let name = self.name.as_deref().unwrap_or_default();
        let alone = std::iter::once("");
        let actions = self.actions.0.iter().map(|action| &**action);
        let pair = move |action: &str| (name.to_owned(), action.to_owned());
        alone.chain(actions).map(pair)
    }
}

/// Parses a mapping or related audits entry by entry.
#[derive(Debug, Default, Deserialize)]
struct EntryTexts<'a> {
    #[serde(borrow, default)]
    services: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    entities: Option<Vec<&'a RawValue>>,
}

/// The positions of the entries of a mapping or of related audits.
pub(super) fn entries(answer: &AnswerText) -> Result<Spans, Refusal> {
    read_page(answer, &["entities"], &is_record, |text, records| {
        let entries: EntryTexts = parse(text)?;
        let list = || entries.services.or(entries.entities).unwrap_or_default();
        Ok(records.unwrap_or_else(|| spans(text, list())))
    })
}

/// `ErrorBody`, whose fields are all optional.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenesysError<'a> {
    #[serde(borrow, default)]
    pub(super) message: ScalarText<'a>,
    #[serde(borrow, default)]
    pub(super) code: ScalarText<'a>,
    #[serde(borrow, default)]
    pub(super) context_id: ScalarText<'a>,
}

/// Returns the download as text, decompressed if it is gzip.
pub(super) fn download_text(answer: &Answer) -> Option<AnswerText> {
    let bytes = if answer.body.starts_with(&[0x1f, 0x8b]) {
        let mut bytes = Vec::new();
        let unpacked = flate2::read::MultiGzDecoder::new(answer.body.as_ref());
        let read = unpacked.take(DOWNLOAD_CAP + 1).read_to_end(&mut bytes);
        if u64::try_from(read.ok()?).ok()? > DOWNLOAD_CAP {
            return None;
        }
        Bytes::from(bytes)
    } else {
        answer.body.clone()
    };
    Some(AnswerText::new(bytes, &answer.headers))
}

/// Returns the records of a download: an object with `entities`, an array, or one record per line. An empty download
/// isn't a large result, and an object that doesn't look like a record may be an error.
pub(super) fn download_records(answer: &AnswerText) -> Option<Spans> {
    let (text, extent) = (answer.text.as_str(), answer.extent());
    let trimmed = text.trim();
    if trimmed.starts_with('[') {
        let items = serde_json::from_str(trimmed).map(|items| spans(text, items));
        return items
            .ok()
            .or_else(|| salvage::array(text, extent, &is_record));
    }
    if let Ok(QueryResults {
        entities: Some(entities),
        ..
    }) = QueryResults::read(answer)
    {
        return Some(entities);
    }
    let lines: Result<Vec<&RawValue>, _> = serde_json::Deserializer::from_str(text)
        .into_iter()
        .collect();
    match lines {
        Ok(lines) => match lines.as_slice() {
            [] => None,
            [line] if !looks_like_a_record(line.get()) => None,
            list if list.iter().any(|line| !line.get().starts_with('{')) => None,
            _ => Some(spans(text, lines)),
        },
        // at least one element has to be a record
        Err(_) => salvage::lines(text, extent, &is_record).filter(|lines| {
            let mut texts = lines.iter().filter_map(|line| text.get(line.clone()));
            texts.any(is_record)
        }),
    }
}

/// Returns the services of a mapping in its order, each with its entries.
pub(super) fn mapping(answer: &Answer) -> Result<(Vec<String>, Mapping), Refusal> {
    expect_success(answer)?;
    let text = text_of(answer.clone())?.strict()?;
    let services: Services = parse(&text)?;
    let (mut names, mut mapping) = (Vec::new(), Mapping::new());
    for Object(service) in services.services.0 {
        let Some(name) = service.name.0.map(Cow::into_owned) else {
            continue;
        };
        let pairs = (service.entities.0.iter()).flat_map(|Object(entity)| entity.pairs());
        mapping.entry(name.clone()).or_default().extend(pairs);
        names.push(name);
    }
    Ok((names, mapping))
}

/// Classifies any answer other than a 2xx.
pub(super) fn expect_success(answer: &Answer) -> Result<(), Refusal> {
    if answer.status.is_success() {
        return Ok(());
    }
    let text = message_in(answer);
    let refused = refused(answer.status, &text);
    let is_about_the_interval =
        answer.status == StatusCode::BAD_REQUEST && text.to_ascii_lowercase().contains("interval");
    Err(match refused {
        Refusal::BadRange { message, .. } if is_about_the_interval => Refusal::BadRange {
            kind: FailureKind::Data,
            message,
        },
        refused => refused,
    })
}

/// The lifetime of transactions and their cursors is undocumented, so a refused one isn't a failure.
pub(super) fn is_still_there(answer: &Answer) -> Result<(), Refusal> {
    match answer.status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(Refusal::CursorGone(message_in(answer))),
        _ => Ok(()),
    }
}

/// Returns the provider's message in an error's body.
pub(super) fn message_in(answer: &Answer) -> String {
    let text = error_text(answer);
    let body: GenesysError = serde_json::from_str(&text).unwrap_or_default();
    let Some(message) = body.message.as_deref() else {
        return quoted(&text);
    };
    let mut text = shortened(message).into_owned();
    for (name, value) in [("code", body.code), ("correlation id", body.context_id)] {
        if let Some(value) = value.as_deref() {
            // writing to a string doesn't fail
            let _ = write!(text, ", {name} `{}`", shortened(value));
        }
    }
    text
}
