//! Genesys Cloud: asynchronous audit queries, and the synchronous "realtime" query of the last 14 days.
//!
//! Facts and their sources: `docs/providers/genesys_cloud.md`. Three things shape this file:
//! - whether the bounds of an interval are inclusive is not documented, so one second more is asked for on the left;
//! - the life of a transaction and of its cursors is not documented, so a refused cursor is no failure;
//! - the format of a large result's download is not documented, so one that can't be read is asked for inline.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::activity::activity_of;
use super::json::{List, Object, Text, Texts, span};
use super::{Adapter, Answer, Ask, Call, Cursor, Page, Refusal, Stream, Target};
use crate::model::{Activity, Change, Kind, Outcome, Range, Record, Timestamp, hex};

mod settings;

pub use settings::{Filter, FilterProperty, Mode, Options, SPEC};

/// The documented maximum of a results page.
const PAGE_SIZE: u32 = 500;
/// How long a query's state is asked for before its range counts as too large.
const QUERY_TIMEOUT: Duration = Duration::from_mins(10);
/// The longest wait between two questions for a query's state, as clients in the field have it.
const POLL_EVERY: Duration = Duration::from_secs(2);
/// Realtime queries over more than a day are known to time out, and a second more than the range is asked for.
const REALTIME_LENGTH: TimeDelta = TimeDelta::days(1);
/// A download may be compressed; what it may grow to.
const DOWNLOAD_CAP: u64 = 256 << 20;

/// The adapter of one job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Genesys {
    /// What the job pulls, and how.
    pub options: Options,
}

/// Where a range stands between two calls: what the cursor holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Realtime won't answer; the query is to be submitted.
    Submit,
    /// The query is submitted; its state is asked for.
    Poll {
        transaction: String,
        polls: u32,
        waited_ms: u64,
    },
    /// The query has succeeded; a page of its results is asked for.
    Results {
        transaction: String,
        cursor: Option<String>,
        redirect: bool,
    },
    /// The page is behind a download URL. Never committed: the URL holds a signature.
    Download {
        url: String,
        page: Box<State>,
        next: Option<String>,
    },
    /// A page of a realtime query is asked for.
    Realtime { page: u32 },
}

impl State {
    fn cursor(&self) -> Option<Cursor> {
        serde_json::to_string(self).ok().map(Cursor)
    }
}

// ---------------------------------------------------------------- what the provider sends

#[derive(Debug, Default, Deserialize)]
struct Status<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    state: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Results<'a> {
    #[serde(borrow, default)]
    entities: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    cursor: Text<'a>,
    #[serde(borrow, default)]
    download_url: Text<'a>,
    #[serde(borrow, default)]
    page_size: Text<'a>,
    #[serde(borrow, default)]
    page_count: Text<'a>,
    #[serde(borrow, default)]
    total: Text<'a>,
}

impl Results<'_> {
    /// Where the records lie. A page may leave `entities` out, but an answer that isn't a page at all must not pass
    /// for the end of a range.
    fn records(self, text: &str) -> Result<Vec<std::ops::Range<usize>>, Refusal> {
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
struct Mapping<'a> {
    #[serde(borrow, default)]
    services: List<Object<Service<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
struct Service<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
}

/// A mapping or related audits, entry by entry.
#[derive(Debug, Default, Deserialize)]
struct Entries<'a> {
    #[serde(borrow, default)]
    services: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    entities: Option<Vec<&'a RawValue>>,
}

/// `ErrorBody`, of which every field is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody<'a> {
    #[serde(borrow, default)]
    message: Text<'a>,
    #[serde(borrow, default)]
    code: Text<'a>,
    #[serde(borrow, default)]
    context_id: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Audit<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    user_home_org_id: Text<'a>,
    #[serde(borrow)]
    user: Object<Named<'a>>,
    #[serde(borrow)]
    client: Object<Named<'a>>,
    #[serde(borrow)]
    remote_ip: List<Cow<'a, str>>,
    #[serde(borrow)]
    service_name: Text<'a>,
    #[serde(borrow)]
    level: Text<'a>,
    #[serde(borrow)]
    event_date: Text<'a>,
    #[serde(borrow)]
    message: Object<Message<'a>>,
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow)]
    entity: Object<Named<'a>>,
    #[serde(borrow)]
    entity_type: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow)]
    application: Text<'a>,
    #[serde(borrow)]
    initiating_action: Object<InitiatingAction<'a>>,
    #[serde(borrow)]
    transaction_initiator: Text<'a>,
    #[serde(borrow)]
    property_changes: List<Object<PropertyChange<'a>>>,
    #[serde(borrow)]
    context: Texts<'a>,
    #[serde(borrow)]
    entity_changes: List<Object<EntityChange<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Message<'a> {
    #[serde(borrow)]
    localizable_message_code: Text<'a>,
    #[serde(borrow)]
    message: Text<'a>,
    #[serde(borrow)]
    message_with_params: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct InitiatingAction<'a> {
    #[serde(borrow)]
    transaction_id: Text<'a>,
    #[serde(borrow)]
    action_context: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PropertyChange<'a> {
    #[serde(borrow)]
    property: Text<'a>,
    #[serde(borrow)]
    old_values: List<Cow<'a, str>>,
    #[serde(borrow)]
    new_values: List<Cow<'a, str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct EntityChange<'a> {
    #[serde(borrow)]
    entity_id: Text<'a>,
    #[serde(borrow)]
    entity_name: Text<'a>,
    #[serde(borrow)]
    entity_type: Text<'a>,
    #[serde(borrow)]
    old_values: List<Cow<'a, str>>,
    #[serde(borrow)]
    new_values: List<Cow<'a, str>>,
}

// ---------------------------------------------------------------- the adapter

impl Adapter for Genesys {
    fn stream_calls(&self) -> Vec<Call> {
        match (self.options.mode, self.options.services.is_empty()) {
            (Mode::Auto, true) => vec![mapping_call(), realtime_mapping_call()],
            (Mode::Auto, false) | (Mode::Realtime, true) => vec![realtime_mapping_call()],
            (Mode::Async, true) => vec![mapping_call()],
            (Mode::Async | Mode::Realtime, false) => vec![],
        }
    }

    fn streams(&self, answers: &[Answer]) -> Result<Vec<Stream>, Refusal> {
        let mut mappings = Vec::new();
        for answer in answers {
            mappings.push(service_names(answer)?);
        }
        let listed = &self.options.services;
        let services = if listed.is_empty() {
            mappings.first().cloned().unwrap_or_default()
        } else {
            listed.clone()
        };
        let realtime = |service: &String| match self.options.mode {
            Mode::Realtime => true,
            Mode::Async => false,
            Mode::Auto => mappings.last().is_some_and(|names| names.contains(service)),
        };
        if services.is_empty() {
            return Err(failed(
                Kind::Config,
                "the provider's service mapping lists no service; name them in `services`",
            ));
        }
        let stream = |service: &String| Stream {
            id: self.stream_id(service),
            realtime: realtime(service),
        };
        Ok(distinct(&services).map(stream).collect())
    }

    fn listed_streams(&self) -> Vec<Stream> {
        let stream = |service: &String| Stream {
            id: self.stream_id(service),
            realtime: self.options.mode != Mode::Async,
        };
        distinct(&self.options.services).map(stream).collect()
    }

    fn asked(&self, range: Range) -> Range {
        let second = TimeDelta::seconds(1);
        Range::new(range.from() - second, range.to() + second).unwrap_or(range)
    }

    fn least_calls(&self, ask: &Ask) -> u32 {
        if self.by_realtime(ask) { 1 } else { 3 }
    }

    fn call(&self, ask: &Ask, cursor: Option<&Cursor>) -> Result<Call, Refusal> {
        let Some(cursor) = cursor else {
            if !self.by_realtime(ask) {
                return Ok(self.submit_call(ask));
            }
            let oldest = ask.now - TimeDelta::days(i64::from(self.options.realtime_days));
            if ask.range.from() < oldest {
                return Err(failed(
                    Kind::Config,
                    format!(
                        "the range `{}` is older than the {} days that realtime queries reach back; use `mode: auto`",
                        ask.range, self.options.realtime_days
                    ),
                ));
            }
            return Ok(self.realtime_call(ask, 1));
        };
        Ok(match state_of(cursor)? {
            State::Realtime { page } => self.realtime_call(ask, page),
            State::Submit => self.submit_call(ask),
            State::Poll { transaction, .. } => get(transaction_path(&transaction, ""), vec![]),
            State::Results {
                transaction,
                cursor,
                redirect,
            } => {
                let mut query = vec![
                    ("pageSize", PAGE_SIZE.to_string()),
                    ("expand", "user".to_owned()),
                ];
                query.extend(cursor.map(|cursor| ("cursor", cursor)));
                if redirect {
                    query.push(("allowRedirect", "true".to_owned()));
                }
                get(transaction_path(&transaction, "/results"), query)
            }
            State::Download { url, .. } => Call {
                method: Method::GET,
                target: Target::Download { url },
                body: None,
                gateway_timeout_is_answer: false,
            },
        })
    }

    fn page(&self, ask: &Ask, cursor: Option<&Cursor>, answer: Answer) -> Result<Page, Refusal> {
        match cursor.map(state_of).transpose()? {
            None if self.by_realtime(ask) => self.realtime_page(1, answer),
            None | Some(State::Submit) => poll(&answer, 0, 0),
            Some(State::Realtime { page }) => self.realtime_page(page, answer),
            Some(State::Poll {
                polls, waited_ms, ..
            }) => {
                is_still_there(&answer)?;
                poll(&answer, polls, waited_ms)
            }
            Some(State::Results {
                transaction,
                cursor,
                redirect,
            }) => results_page(transaction, cursor, redirect, answer),
            Some(State::Download { page, next, .. }) => Ok(downloaded_page(&page, next, &answer)),
        }
    }

    fn record<'a>(&self, raw: &'a str) -> Result<Record<'a>, String> {
        if !raw.starts_with('{') {
            return Err("the record is not a JSON object".to_owned());
        }
        let audit: Audit = serde_json::from_str(raw)
            .map_err(|error| format!("the record can't be read: {error}"))?;
        record_of(audit)
    }

    /// Without `user.name`, which is looked up at each reading (`expand=user`) and changes when the user is renamed.
    fn lasting<'a>(&self, raw: &'a str) -> Cow<'a, str> {
        without_user_name(raw).map_or(Cow::Borrowed(raw), Cow::Owned)
    }

    fn catalogue_calls(&self) -> Vec<(&'static str, Call)> {
        vec![
            ("query", mapping_call()),
            ("realtime", realtime_mapping_call()),
        ]
    }

    fn related_call(&self, audit_id: &str, trustor_org_id: Option<&str>) -> Option<Call> {
        let mut body = json!({ "auditId": audit_id, "sort": sort() });
        if let Some(org) = trustor_org_id {
            body["trustorOrgId"] = org.into();
        }
        Some(post(
            "/api/v2/audits/query/realtime/related",
            vec![expand()],
            body.to_string(),
        ))
    }

    fn entries(&self, answer: Answer) -> Result<Page, Refusal> {
        expect_success(&answer)?;
        let text = text_of(answer)?;
        let entries: Entries = parse(&text)?;
        let records = spans(
            &text,
            entries.services.or(entries.entities).unwrap_or_default(),
        );
        Ok(Page {
            text,
            records,
            ..Page::default()
        })
    }
}

impl Genesys {
    /// The service, and a hash of the filters where there are any: other filters make another stream.
    fn stream_id(&self, service: &str) -> String {
        if self.options.filters.is_empty() {
            return service.to_owned();
        }
        let filters = self.filters().to_string();
        let hash = hex(&Sha256::digest(filters)[..4]);
        format!("{service}#{hash}")
    }

    fn filters(&self) -> serde_json::Value {
        let one = |filter: &Filter| json!({ "property": filter.property.as_str(), "value": filter.value });
        self.options.filters.iter().map(one).collect()
    }

    fn by_realtime(&self, ask: &Ask) -> bool {
        match self.options.mode {
            Mode::Async => false,
            Mode::Realtime => true,
            Mode::Auto => {
                // an hour's margin: the provider's clock decides, not ours
                let reach =
                    TimeDelta::days(i64::from(self.options.realtime_days)) - TimeDelta::hours(1);
                let recent = ask.now - ask.range.from() < reach;
                let short = ask.range.length() < REALTIME_LENGTH;
                ask.first && ask.stream.realtime && recent && short
            }
        }
    }

    fn query(&self, ask: &Ask) -> serde_json::Value {
        let service = ask
            .stream
            .id
            .split_once('#')
            .map_or(ask.stream.id.as_str(), |(service, _)| service);
        let from = ask.range.from() - TimeDelta::seconds(1);
        json!({
            "interval": format!("{}/{}", instant(from), instant(ask.range.to())),
            "serviceName": service,
            "filters": self.filters(),
            "sort": sort(),
        })
    }

    fn submit_call(&self, ask: &Ask) -> Call {
        post("/api/v2/audits/query", vec![], self.query(ask).to_string())
    }

    fn realtime_call(&self, ask: &Ask, page: u32) -> Call {
        let mut body = self.query(ask);
        body["pageNumber"] = page.into();
        body["pageSize"] = self.options.realtime_page_size.into();
        post(
            "/api/v2/audits/query/realtime",
            vec![expand()],
            body.to_string(),
        )
    }

    /// Pages are counted until `pageCount`, or until an empty one where the provider leaves that out.
    fn realtime_page(&self, page: u32, answer: Answer) -> Result<Page, Refusal> {
        match expect_success(&answer) {
            // how far realtime reaches is the provider's to know: what it finds too old or too long, a query job may do
            Err(Refusal::TooLarge(_)) if self.options.mode == Mode::Auto => {
                return Ok(Page {
                    next: State::Submit.cursor(),
                    ..Page::default()
                });
            }
            expected => expected?,
        }
        let text = text_of(answer)?;
        let results: Results = parse(&text)?;
        let number = |text: &Text| text.as_deref().and_then(|text| text.parse::<u64>().ok());
        let total = number(&results.total);
        let count = number(&results.page_count);
        let records = results.records(&text)?;
        let last = count.map_or(records.is_empty(), |count| u64::from(page) >= count);
        let next = State::Realtime {
            page: page.saturating_add(1),
        };
        let next = if last { None } else { next.cursor() };
        Ok(Page {
            text,
            records,
            next,
            total,
            ..Page::default()
        })
    }
}

/// The answer to a submission or to the question for its state.
fn poll(answer: &Answer, polls: u32, waited_ms: u64) -> Result<Page, Refusal> {
    expect_success(answer)?;
    let text = text_of(answer.clone())?;
    let status: Status = parse(&text)?;
    let transaction = status
        .id
        .as_deref()
        .ok_or_else(|| {
            failed(
                Kind::Data,
                "the provider's answer to a query has no transaction `id`",
            )
        })?
        .to_owned();
    match status.state.as_deref() {
        Some("Succeeded") => {
            let next = State::Results {
                transaction,
                cursor: None,
                redirect: true,
            };
            Ok(Page {
                next: next.cursor(),
                ..Page::default()
            })
        }
        // no reason is ever given; a smaller range is the one thing that can be tried
        Some("Failed") => Err(Refusal::TooLarge("the query ended as `Failed`".to_owned())),
        Some("Cancelled") => Err(failed(Kind::Transient, "the query ended as `Cancelled`")),
        // `Queued`, `Running`, and whatever state may be invented: never taken for success
        state => {
            let waited = Duration::from_millis(waited_ms);
            if waited >= QUERY_TIMEOUT {
                return Err(Refusal::TooLarge(format!(
                    "the query is still `{}` after {} s",
                    state.unwrap_or("without a state"),
                    waited.as_secs()
                )));
            }
            let wait = POLL_EVERY.min(Duration::from_millis(250 << polls.min(8)));
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let next = State::Poll {
                transaction,
                polls: polls.saturating_add(1),
                waited_ms: waited_ms.saturating_add(wait_ms),
            };
            Ok(Page {
                next: next.cursor(),
                wait: Some(wait),
                ..Page::default()
            })
        }
    }
}

fn results_page(
    transaction: String,
    cursor: Option<String>,
    redirect: bool,
    answer: Answer,
) -> Result<Page, Refusal> {
    let location = answer
        .headers
        .get(http::header::LOCATION)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let redirected = answer.status.is_redirection();
    if !redirected {
        is_still_there(&answer)?;
        if answer.status == StatusCode::BAD_REQUEST && cursor.is_some() {
            return Err(Refusal::CursorGone(said(&answer)));
        }
        expect_success(&answer)?;
    }
    let text = if redirected {
        text_of(answer).unwrap_or_default()
    } else {
        text_of(answer)?
    };
    let results: Results = if redirected {
        serde_json::from_str(&text).unwrap_or_default()
    } else {
        parse(&text)?
    };
    // the status of a large result is known from release notes only: its body counts, too
    let large = redirected || (results.entities.is_none() && results.download_url.0.is_some());
    let next = results.cursor.as_deref().map(str::to_owned);
    if next.is_some() && next == cursor {
        return Err(failed(
            Kind::Data,
            format!(
                "the provider gave the cursor `{}` twice",
                next.unwrap_or_default()
            ),
        ));
    }
    if large && !redirect {
        let said = "its results come as a download only, which can't be fetched or read";
        return Err(Refusal::TooLarge(said.to_owned()));
    }
    if large {
        let url = results
            .download_url
            .as_deref()
            .map(str::to_owned)
            .or(location);
        let page = State::Results {
            transaction,
            cursor,
            redirect: false,
        };
        let next = match url {
            Some(url) => State::Download {
                url,
                page: Box::new(page),
                next,
            },
            None => page, // a redirect to nowhere: ask for the page inline
        };
        return Ok(Page {
            next: next.cursor(),
            ..Page::default()
        });
    }
    let records = results.records(&text)?;
    let next = next.and_then(|cursor| {
        State::Results {
            transaction,
            cursor: Some(cursor),
            redirect,
        }
        .cursor()
    });
    Ok(Page {
        text,
        records,
        resumable: next.is_some(),
        next,
        ..Page::default()
    })
}

/// A large result's page; one that can't be fetched or read is asked for inline.
fn downloaded_page(page: &State, next: Option<String>, answer: &Answer) -> Page {
    let State::Results { transaction, .. } = page else {
        return Page::default();
    };
    let decoded = answer
        .status
        .is_success()
        .then(|| download_text(answer))
        .flatten();
    let decoded = decoded.and_then(|text| {
        let records = download_records(&text)?;
        Some((text, records))
    });
    let Some((text, records)) = decoded else {
        return Page {
            next: page.cursor(),
            ..Page::default()
        };
    };
    let next = next.and_then(|cursor| {
        State::Results {
            transaction: transaction.clone(),
            cursor: Some(cursor),
            redirect: true,
        }
        .cursor()
    });
    Page {
        text,
        records,
        resumable: next.is_some(),
        next,
        ..Page::default()
    }
}

/// The download as text, uncompressed if it is gzip.
fn download_text(answer: &Answer) -> Option<String> {
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
fn download_records(text: &str) -> Option<Vec<std::ops::Range<usize>>> {
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

fn looks_like_a_record(raw: &str) -> bool {
    let audit = serde_json::from_str::<Audit>(raw).ok();
    audit.is_some_and(|audit| audit.id.0.is_some() || audit.event_date.0.is_some())
}

fn record_of(audit: Audit<'_>) -> Result<Record<'_>, String> {
    let event_time = match audit.event_date.as_deref() {
        None => return Err("the record has no `eventDate`".to_owned()),
        Some(text) => time_of(text)?,
    };
    let actor_type = match (
        audit.level.as_deref(),
        audit.user.0.id.as_deref(),
        audit.client.0.id.as_deref(),
    ) {
        (Some("SYSTEM"), ..) => Some("system"),
        (Some("GENESYS_INTERNAL"), ..) => Some("vendor"),
        (_, Some(_), _) | (Some("USER"), None, None) => Some("user"),
        (_, None, Some(_)) => Some("client"),
        _ => None,
    };
    let mut changes: Vec<Change> = audit
        .property_changes
        .0
        .into_iter()
        .map(|Object(change)| Change {
            property: change.property.0,
            old_values: change.old_values.0,
            new_values: change.new_values.0,
            ..Change::default()
        })
        .collect();
    changes.extend(
        audit
            .entity_changes
            .0
            .into_iter()
            .map(|Object(change)| Change {
                property: change.entity_name.0,
                entity_type: change.entity_type.0,
                entity_id: change.entity_id.0,
                old_values: change.old_values.0,
                new_values: change.new_values.0,
            }),
    );
    let outcome_reason = audit
        .context
        .0
        .iter()
        .find(|(key, value)| key == "errorCode" && !value.is_empty())
        .map(|(_, value)| value.clone());
    let named = [
        ("level", audit.level.0),
        ("application", audit.application.0),
        ("user_home_org_id", audit.user_home_org_id.0),
        ("transaction_initiator", audit.transaction_initiator.0),
        ("action_context", audit.initiating_action.0.action_context.0),
        ("message_code", audit.message.0.localizable_message_code.0),
    ];
    let mut attributes: Vec<(Cow<str>, Cow<str>)> = named
        .into_iter()
        .filter_map(|(name, value)| Some((Cow::Borrowed(name), value?)))
        .collect();
    attributes.extend(
        audit
            .context
            .0
            .into_iter()
            .map(|(key, value)| (Cow::Owned(format!("context.{key}")), value)),
    );

    Ok(Record {
        event_id: audit.id.or_empty(),
        event_time,
        account_id: None,
        activity: audit.action.as_deref().map_or(Activity::Other, activity_of),
        action: audit.action.0,
        outcome: match audit.status.as_deref() {
            Some("SUCCESS") => Outcome::Success,
            Some("FAILURE") => Outcome::Failure,
            Some("WARNING") => Outcome::Warning,
            _ => Outcome::Unknown,
        },
        outcome_reason,
        service: audit.service_name.0,
        entity_type: audit.entity_type.0,
        entity_id: audit.entity.0.id.0,
        entity_name: audit.entity.0.name.0,
        actor_id: audit.user.0.id.0,
        actor_name: audit.user.0.name.0,
        actor_login: None,
        actor_type,
        client_id: audit.client.0.id.0,
        user_agent: None,
        session_id: None,
        transaction_id: audit.initiating_action.0.transaction_id.0,
        client_ips: audit.remote_ip.0,
        message: audit
            .message
            .0
            .message
            .0
            .or(audit.message.0.message_with_params.0),
        changes,
        attributes,
    })
}

/// The record's other text stays as it is; nothing if it has no such name.
fn without_user_name(raw: &str) -> Option<String> {
    let mut record: BTreeMap<String, &RawValue> = serde_json::from_str(raw).ok()?;
    let mut user: BTreeMap<String, &RawValue> =
        serde_json::from_str(record.get("user")?.get()).ok()?;
    user.remove("name")?;
    let user = serde_json::value::to_raw_value(&user).ok()?;
    record.insert("user".to_owned(), &user);
    serde_json::to_string(&record).ok()
}

fn time_of(text: &str) -> Result<Timestamp, String> {
    let time = DateTime::parse_from_rfc3339(text)
        .map_err(|error| format!("`eventDate` is no date: `{}` ({error})", shortened(text)))?
        .with_timezone(&Utc);
    // what the table's type can't hold is no date either; and whole microseconds are what it holds
    DateTime::from_timestamp_micros(time.timestamp_micros())
        .ok_or_else(|| format!("`eventDate` is out of range: `{}`", shortened(text)))
}

// ---------------------------------------------------------------- small parts

/// Long enough for what providers say of a missing permission.
fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(200) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

fn get(path: String, query: Vec<(&'static str, String)>) -> Call {
    let target = Target::Api { path, query };
    Call {
        method: Method::GET,
        target,
        body: None,
        gateway_timeout_is_answer: false,
    }
}

/// A query's 504 says that its interval is too large, so it isn't sent again as it is.
fn post(path: &str, query: Vec<(&'static str, String)>, body: String) -> Call {
    let target = Target::Api {
        path: path.to_owned(),
        query,
    };
    Call {
        method: Method::POST,
        target,
        body: Some(body),
        gateway_timeout_is_answer: true,
    }
}

fn mapping_call() -> Call {
    get("/api/v2/audits/query/servicemapping".to_owned(), vec![])
}

fn realtime_mapping_call() -> Call {
    get(
        "/api/v2/audits/query/realtime/servicemapping".to_owned(),
        vec![],
    )
}

/// The id comes from the provider and goes into a path: escaped, so that it stays one segment.
fn transaction_path(transaction: &str, tail: &str) -> String {
    let id = percent_encoding::utf8_percent_encode(transaction, percent_encoding::NON_ALPHANUMERIC);
    let id = id.to_string().replace("%2D", "-").replace("%5F", "_");
    format!("/api/v2/audits/query/{id}{tail}")
}

fn expand() -> (&'static str, String) {
    ("expand", "user".to_owned())
}

fn sort() -> serde_json::Value {
    json!([{ "name": "Timestamp", "sortOrder": "ascending" }])
}

fn instant(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn state_of(cursor: &Cursor) -> Result<State, Refusal> {
    serde_json::from_str(&cursor.0)
        .map_err(|error| Refusal::CursorGone(format!("it can't be read: {error}")))
}

fn text_of(answer: Answer) -> Result<String, Refusal> {
    String::from_utf8(answer.body.into())
        .map_err(|error| failed(Kind::Data, format!("the answer is not UTF-8: {error}")))
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(text).map_err(|error| {
        failed(
            Kind::Data,
            // where, not what: an answer may hold names, or a signed URL
            format!(
                "the answer is not the JSON that was expected, at line {} column {}",
                error.line(),
                error.column()
            ),
        )
    })
}

fn spans(text: &str, items: Vec<&RawValue>) -> Vec<std::ops::Range<usize>> {
    items
        .into_iter()
        .map(|item| span(text, item.get()))
        .collect()
}

fn service_names(answer: &Answer) -> Result<Vec<String>, Refusal> {
    expect_success(answer)?;
    let text = text_of(answer.clone())?;
    let mapping: Mapping = parse(&text)?;
    Ok(mapping
        .services
        .0
        .into_iter()
        .filter_map(|Object(service)| service.name.0)
        .map(Cow::into_owned)
        .collect())
}

/// Each name once: a stream must not be pulled beside itself.
fn distinct(names: &[String]) -> impl Iterator<Item = &String> {
    let is_first = |(place, name): &(usize, &String)| !names[..*place].contains(name);
    names
        .iter()
        .enumerate()
        .filter(is_first)
        .map(|(_, name)| name)
}

fn failed(kind: Kind, message: impl Into<String>) -> Refusal {
    Refusal::Failed {
        kind,
        message: message.into(),
    }
}

/// Anything but a 2xx, by what it means.
fn expect_success(answer: &Answer) -> Result<(), Refusal> {
    let said = || format!("the provider answered {}: {}", answer.status, said(answer));
    match answer.status {
        status if status.is_success() => Ok(()),
        StatusCode::GATEWAY_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Refusal::TooLarge(said()))
        }
        StatusCode::BAD_REQUEST if said().to_ascii_lowercase().contains("interval") => {
            Err(Refusal::TooLarge(said()))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(failed(Kind::Auth, said())),
        StatusCode::TOO_MANY_REQUESTS => Err(failed(Kind::RateLimited, said())),
        status if status.is_server_error() => Err(failed(Kind::Transient, said())),
        _ => Err(failed(Kind::Config, said())),
    }
}

/// The life of transactions and of their cursors is not documented: one that is refused is no failure.
fn is_still_there(answer: &Answer) -> Result<(), Refusal> {
    match answer.status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(Refusal::CursorGone(said(answer))),
        _ => Ok(()),
    }
}

/// What the provider says in an error's body.
fn said(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let body: ErrorBody = serde_json::from_str(&text).unwrap_or_default();
    let Some(message) = body.message.as_deref() else {
        let words: Vec<&str> = text.split_whitespace().collect();
        return format!("`{}`", shortened(&words.join(" ")));
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
