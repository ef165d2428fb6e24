//! What Genesys Cloud answers, and what its refusals mean.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Read;

use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::audit::looks_like_a_record;
use super::cost::Mapping;
use crate::model::Kind;
use crate::providers::answer::{failed, parse, quoted, refused, spans, text_of};
use crate::providers::json::{Exact, List, Object, Text, shortened};
use crate::providers::{Answer, Refusal};

/// A download may be compressed; what it may grow to.
const DOWNLOAD_CAP: u64 = 256 << 20;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Status<'a> {
    #[serde(borrow, default)]
    pub(super) id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) state: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Results<'a> {
    #[serde(borrow, default)]
    pub(super) entities: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    cursor: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) download_url: Text<'a>,
    #[serde(borrow, default)]
    pub(super) page_size: Text<'a>,
    #[serde(borrow, default)]
    pub(super) page_count: Text<'a>,
    #[serde(borrow, default)]
    pub(super) total: Text<'a>,
}

impl Results<'_> {
    /// Where the next page is. A place that can't be read isn't the range's end.
    pub(super) fn cursor(&self) -> Result<Option<String>, Refusal> {
        let Some(cursor) = self.cursor else {
            return Ok(None);
        };
        match serde_json::from_str::<Exact>(cursor.get()) {
            Ok(Exact(Some(cursor))) => Ok(Some(cursor.into_owned())),
            Ok(Exact(None)) if matches!(cursor.get(), "null" | "\"\"") => Ok(None),
            _ => Err(failed(Kind::Data, "the answer's `cursor` is no text")),
        }
    }

    /// Where the records lie. A page may leave `entities` out, but an answer that isn't a page at all must not pass
    /// for the end of a range.
    pub(super) fn records(self, text: &str) -> Result<Vec<std::ops::Range<usize>>, Refusal> {
        match (self.entities, self.page_size.0) {
            (None, None) => Err(failed(
                Kind::Data,
                "the answer has neither `entities` nor a `pageSize`, so it is no page",
            )),
            (entities, _) => Ok(spans(text, entities.unwrap_or_default())),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
struct Services<'a> {
    #[serde(borrow, default)]
    services: List<Object<Service<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
struct Service<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    entities: List<Object<EntityType<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
struct EntityType<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    actions: List<Cow<'a, str>>,
}

impl EntityType<'_> {
    /// With each of its actions; one without any counts, too.
    fn pairs(&self) -> impl Iterator<Item = (String, String)> {
        let name = self.name.as_deref().unwrap_or_default();
        let alone = std::iter::once("");
        let actions = self.actions.0.iter().map(|action| &**action);
        let pair = move |action: &str| (name.to_owned(), action.to_owned());
        alone.chain(actions).map(pair)
    }
}

/// A mapping or related audits, entry by entry.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Entries<'a> {
    #[serde(borrow, default)]
    pub(super) services: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    pub(super) entities: Option<Vec<&'a RawValue>>,
}

/// `ErrorBody`, of which every field is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody<'a> {
    #[serde(borrow, default)]
    pub(super) message: Text<'a>,
    #[serde(borrow, default)]
    pub(super) code: Text<'a>,
    #[serde(borrow, default)]
    pub(super) context_id: Text<'a>,
}

/// The download as text, uncompressed if it is gzip.
pub(super) fn download_text(answer: &Answer) -> Option<String> {
    if !answer.body.starts_with(&[0x1f, 0x8b]) {
        return String::from_utf8(answer.body.to_vec()).ok();
    }
    let mut text = String::new();
    let mut reader = flate2::read::MultiGzDecoder::new(answer.body.as_ref()).take(DOWNLOAD_CAP + 1);
    let read = reader.read_to_string(&mut text).ok()?;
    (u64::try_from(read).ok()? <= DOWNLOAD_CAP).then_some(text)
}

/// The records of a download: an object with `entities`, an array, or one record a line. Nothing at all is no result
/// that is large, and an object that doesn't look like a record may be any error's.
pub(super) fn download_records(text: &str) -> Option<Vec<std::ops::Range<usize>>> {
    let trimmed = text.trim();
    if trimmed.starts_with('[') {
        return serde_json::from_str(trimmed)
            .ok()
            .map(|items| spans(text, items));
    }
    if let Ok(Results {
        entities: Some(entities),
        ..
    }) = serde_json::from_str::<Results>(trimmed)
    {
        return Some(spans(text, entities));
    }
    let lines: Result<Vec<&RawValue>, _> = serde_json::Deserializer::from_str(text)
        .into_iter()
        .collect();
    lines
        .ok()
        .filter(|lines| match lines.as_slice() {
            [] => false,
            [line] => looks_like_a_record(line.get()),
            lines => lines.iter().all(|line| line.get().starts_with('{')),
        })
        .map(|lines| spans(text, lines))
}

/// The services that a mapping lists, in its order, and what it lists of each.
pub(super) fn mapping(answer: &Answer) -> Result<(Vec<String>, Mapping), Refusal> {
    expect_success(answer)?;
    let (text, _) = text_of(answer.clone())?;
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

/// Anything but a 2xx, by what it means.
pub(super) fn expect_success(answer: &Answer) -> Result<(), Refusal> {
    if answer.status.is_success() {
        return Ok(());
    }
    let said = said(answer);
    let refused = refused(answer.status, &said);
    let is_about_the_interval =
        answer.status == StatusCode::BAD_REQUEST && said.to_ascii_lowercase().contains("interval");
    Err(match refused {
        Refusal::BadRange { message, .. } if is_about_the_interval => Refusal::BadRange {
            kind: Kind::Data,
            message,
        },
        refused => refused,
    })
}

/// The life of transactions and of their cursors is not documented: one that is refused is no failure.
pub(super) fn is_still_there(answer: &Answer) -> Result<(), Refusal> {
    match answer.status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(Refusal::CursorGone(said(answer))),
        _ => Ok(()),
    }
}

/// What the provider says in an error's body.
pub(super) fn said(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let body: ErrorBody = serde_json::from_str(&text).unwrap_or_default();
    let Some(message) = body.message.as_deref() else {
        return quoted(&text);
    };
    let mut said = shortened(message).into_owned();
    for (name, value) in [("code", body.code), ("correlation id", body.context_id)] {
        if let Some(value) = value.as_deref() {
            // writing to a string doesn't fail
            let _ = write!(said, ", {name} `{}`", shortened(value));
        }
    }
    said
}
