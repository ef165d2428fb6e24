//! Genesys Cloud: asynchronous audit queries, and the synchronous "realtime" query of the last 14 days.
//!
//! Facts and their sources: `docs/providers/genesys_cloud.md`. Three facts determine this adapter:
//! - whether the bounds of an interval are inclusive is undocumented, so an additional second is requested on the left;
//! - the lifetime of a transaction and its cursors is undocumented, so a refused cursor isn't a failure;
//! - the format of a large result's download is undocumented, so an unreadable one is requested inline.

mod answer;
mod audit;
mod call;
mod cost;
mod poll_backoff;
mod settings;
mod side_queries;

use std::borrow::Cow;
use std::time::Duration;

use chrono::TimeDelta;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::{failed, parse, text_of};
use super::call::{a_second_wider, filters_suffix, get, post};
use super::time::instant;
use super::{Adapter, Answer, Call, Cursor, Page, PageRequest, Refusal, Stream, Target};
use crate::model::{FailureKind, Range, Record};
use answer::{
    QueryResults, QueryStatus, download_records, download_text, expect_success, is_still_there,
    mapping, message_in,
};
use audit::{read_record, without_user_name};
use call::{expand, mapping_call, realtime_mapping_call, sort, transaction_path};
use poll_backoff::PollCount;

pub use settings::{Filter, FilterProperty, GenesysOptions, Mode, SPEC};
pub use side_queries::AuditCatalogue;

/// The documented maximum of a results page.
const PAGE_SIZE: u32 = 500;
/// How long a query's state is requested before its range counts as too large.
const QUERY_TIMEOUT: Duration = Duration::from_mins(10);
/// The note of a stream that realtime queries return completely.
const BY_REALTIME: &str = "realtime";
/// The note of any other stream.
const BY_QUERY: &str = "query";

/// The adapter of a job.
#[derive(Debug, Default)]
pub struct Genesys {
    /// The job's options.
    pub options: GenesysOptions,
}

/// The state of a range between two calls, which the cursor contains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum QueryCursor {
    /// Realtime can't answer; the query is to be submitted.
    Submit,
    /// The query was submitted; its state is requested next.
    Poll {
        transaction: String,
        polls: u32,
        waited_ms: u64,
        #[serde(default)]
        early: bool,
    },
    /// The query has succeeded; a page of its results is requested next.
    Results {
        transaction: String,
        cursor: Option<String>,
        redirect: bool,
    },
    /// The page is at a download URL. Never committed, as the URL contains a signature.
    Download {
        url: String,
        page: Box<QueryCursor>,
        next: Option<String>,
    },
    /// A page of a realtime query is requested next.
    Realtime { page: u32 },
}

impl QueryCursor {
    fn cursor(&self) -> Option<Cursor> {
        Cursor::of(self)
    }
}

impl Adapter for Genesys {
    fn stream_calls(&self) -> Vec<Call> {
        match (self.options.mode, self.options.services.is_empty()) {
            (Mode::Auto, _) => vec![mapping_call(), realtime_mapping_call()],
            (Mode::Realtime, true) => vec![realtime_mapping_call()],
            (Mode::Async, true) => vec![mapping_call()],
            (Mode::Async | Mode::Realtime, false) => vec![],
        }
    }

    fn streams(&self, answers: &[Answer]) -> Result<Vec<Stream>, Refusal> {
        let mut mappings = Vec::new();
        for answer in answers {
            mappings.push(mapping(answer)?);
        }
        let listed = &self.options.services;
        let services = match mappings.first() {
            Some((names, _)) if listed.is_empty() => names.clone(),
            _ => listed.clone(),
        };
        let realtime = |service: &String| match (self.options.mode, &mappings[..]) {
            (Mode::Realtime, _) => true,
            (Mode::Auto, [(_, whole), (_, realtime)]) => cost::shows_all(service, realtime, whole),
            _ => false,
        };
        if services.is_empty() {
            return Err(failed(
                FailureKind::Config,
                "the provider's service mapping lists no service; name them in `services`",
            ));
        }
        let stream = |service: &String| Stream {
            id: self.stream_id(service),
            note: Some(if realtime(service) {
                BY_REALTIME
            } else {
                BY_QUERY
            }),
        };
        Ok(distinct(&services).map(stream).collect())
    }

    fn listed_streams(&self) -> Vec<Stream> {
        let stream = |service: &String| Stream::new(self.stream_id(service));
        distinct(&self.options.services).map(stream).collect()
    }

    fn asked(&self, range: Range) -> Range {
        a_second_wider(range)
    }

    fn least_calls(&self, ask: &PageRequest) -> u32 {
        // before the first request, realtime may return everything
        let may_be_realtime = PageRequest {
            stream: Stream {
                note: ask.stream.note.or(Some(BY_REALTIME)),
                ..ask.stream.clone()
            },
            ..ask.clone()
        };
        if self.by_realtime(&may_be_realtime) {
            1
        } else {
            cost::AROUND_A_QUERY + 1
        }
    }

    fn call(&self, ask: &PageRequest, cursor: Option<&Cursor>) -> Result<Call, Refusal> {
        let Some(cursor) = cursor else {
            if !self.by_realtime(ask) {
                return Ok(self.submit_call(ask));
            }
            let oldest = ask.now - TimeDelta::days(i64::from(self.options.realtime_days));
            if ask.range.from() < oldest {
                return Err(failed(
                    FailureKind::Config,
                    format!(
                        "the range `{}` is older than the {} days that realtime queries reach back; use `mode: auto`",
                        ask.range, self.options.realtime_days
                    ),
                ));
            }
            return Ok(self.realtime_call(ask, 1));
        };
        Ok(match cursor.state()? {
            QueryCursor::Realtime { page } => self.realtime_call(ask, page),
            QueryCursor::Submit => self.submit_call(ask),
            QueryCursor::Poll { transaction, .. } => {
                get(transaction_path(&transaction, ""), vec![])
            }
            QueryCursor::Results {
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
            QueryCursor::Download { url, .. } => Call {
                method: Method::GET,
                target: Target::Download { url },
                body: None,
                gateway_timeout_is_answer: false,
            },
        })
    }

    fn page(
        &self,
        ask: &PageRequest,
        cursor: Option<&Cursor>,
        answer: Answer,
    ) -> Result<Page, Refusal> {
        match cursor.map(Cursor::state).transpose()? {
            None if self.by_realtime(ask) => self.realtime_page(1, answer),
            None | Some(QueryCursor::Submit) => poll(ask, &answer, None),
            Some(QueryCursor::Realtime { page }) => self.realtime_page(page, answer),
            Some(QueryCursor::Poll {
                polls,
                waited_ms,
                early,
                ..
            }) => {
                is_still_there(&answer)?;
                let asked = PollCount {
                    polls,
                    waited_ms,
                    early,
                };
                poll(ask, &answer, Some(asked))
            }
            Some(QueryCursor::Results {
                transaction,
                cursor,
                redirect,
            }) => results_page(transaction, cursor, redirect, answer),
            Some(QueryCursor::Download { page, next, .. }) => {
                Ok(downloaded_page(&page, next, &answer))
            }
        }
    }

    fn record<'a>(&self, raw: &'a str) -> Result<Record<'a>, String> {
        read_record(raw)
    }

    /// Omits `user.name`, which is resolved at each read (`expand=user`) and changes when the user is renamed.
    fn stable_content<'a>(&self, raw: &'a str) -> Cow<'a, str> {
        without_user_name(raw).map_or(Cow::Borrowed(raw), Cow::Owned)
    }
}

impl Genesys {
    /// Creates the adapter of a job with these options.
    pub fn new(options: GenesysOptions) -> Self {
        Self { options }
    }

    /// Returns the stream's id: the service, and a hash of the filters, if any, as different filters make a different
    /// stream.
    fn stream_id(&self, service: &str) -> String {
        format!("{service}{}", self.filters_suffix())
    }

    /// Returns the service of a stream, whose name may contain any character, including `#`.
    fn service<'a>(&self, stream: &'a Stream) -> &'a str {
        let id = stream.id.as_str();
        id.strip_suffix(&self.filters_suffix()).unwrap_or(id)
    }

    /// Returns the suffix of stream ids for the filters; empty without filters.
    fn filters_suffix(&self) -> String {
        let has_filters = !self.options.filters.is_empty();
        filters_suffix(has_filters.then(|| self.filters()).as_ref())
    }

    fn filters(&self) -> serde_json::Value {
        let one = |filter: &Filter| json!({ "property": filter.property.as_str(), "value": filter.value });
        self.options.filters.iter().map(one).collect()
    }

    fn by_realtime(&self, ask: &PageRequest) -> bool {
        match self.options.mode {
            Mode::Async => false,
            Mode::Realtime => true,
            Mode::Auto => {
                ask.stream.note == Some(BY_REALTIME)
                    && cost::reaches(ask.range, ask.now, self.options.realtime_days)
            }
        }
    }

    fn query(&self, ask: &PageRequest) -> serde_json::Value {
        let from = ask.range.from() - TimeDelta::seconds(1);
        json!({
            "interval": format!("{}/{}", instant(from), instant(ask.range.to())),
            "serviceName": self.service(&ask.stream),
            "filters": self.filters(),
            "sort": sort(),
        })
    }

    fn submit_call(&self, ask: &PageRequest) -> Call {
        post("/api/v2/audits/query", vec![], self.query(ask).to_string())
    }

    fn realtime_call(&self, ask: &PageRequest, page: u32) -> Call {
        let mut body = self.query(ask);
        body["pageNumber"] = page.into();
        body["pageSize"] = self.options.realtime_page_size.into();
        post(
            "/api/v2/audits/query/realtime",
            vec![expand()],
            body.to_string(),
        )
    }

    /// Pages are counted up to `pageCount`, or up to an empty page if the provider omits it.
    fn realtime_page(&self, page: u32, answer: Answer) -> Result<Page, Refusal> {
        match expect_success(&answer) {
            // only the provider knows the reach of realtime: a query job may answer what is too old or too long for it
            Err(
                Refusal::TooLarge(_)
                | Refusal::TooOld(_)
                | Refusal::BadRange {
                    kind: FailureKind::Data,
                    ..
                }
                | Refusal::TooSlow(_),
            ) if self.options.mode == Mode::Auto => {
                return Ok(Page {
                    next: QueryCursor::Submit.cursor(),
                    ..Page::default()
                });
            }
            expected => expected?,
        }
        let text = text_of(answer)?;
        let results = QueryResults::read(&text)?;
        let (total, count) = (results.total, results.page_count);
        let records = results.records()?;
        if self.options.mode == Mode::Auto
            && page == 1
            && let (Some(count), Some(total)) = (count, total)
            && cost::a_query_is_cheaper(count.saturating_sub(1), total)
        {
            return Ok(Page {
                next: QueryCursor::Submit.cursor(),
                ..Page::default()
            });
        }
        let last = count.map_or(records.is_empty(), |count| u64::from(page) >= count);
        let next = QueryCursor::Realtime {
            page: page.saturating_add(1),
        };
        let next = if last { None } else { next.cursor() };
        Ok(Page {
            foreign: text.foreign(&records)?,
            text: text.text,
            records,
            next,
            total,
            ..Page::default()
        })
    }
}

/// Parses the answer to a submission, or to a request for its state.
fn poll(ask: &PageRequest, answer: &Answer, asked: Option<PollCount>) -> Result<Page, Refusal> {
    expect_success(answer)?;
    let text = text_of(answer.clone())?.strict()?;
    let status: QueryStatus = parse(&text)?;
    let transaction = status
        .id
        .as_deref()
        .ok_or_else(|| {
            failed(
                FailureKind::Data,
                "the provider's answer to a query has no transaction `id`",
            )
        })?
        .to_owned();
    match status.state.as_deref() {
        Some("Succeeded") => {
            let mut learned = ask.learned.clone();
            if let Some(asked) = asked {
                poll_backoff::learn(&mut learned, asked);
            }
            let next = QueryCursor::Results {
                transaction,
                cursor: None,
                redirect: true,
            };
            Ok(Page {
                next: next.cursor(),
                learned,
                ..Page::default()
            })
        }
        // no reason is ever given, so a smaller range is the only option
        Some("Failed") => Err(Refusal::TooLarge("the query ended as `Failed`".to_owned())),
        Some("Cancelled") => Err(failed(
            FailureKind::Transient,
            "the query ended as `Cancelled`",
        )),
        // `Queued`, `Running`, and unknown states never count as success
        state => {
            let (polls, waited_ms) = asked.map_or((0, 0), |it| (it.polls, it.waited_ms));
            let waited = Duration::from_millis(waited_ms);
            if waited >= QUERY_TIMEOUT {
                return Err(Refusal::TooLarge(format!(
                    "the query is still `{}` after {} s",
                    state.unwrap_or("without a state"),
                    waited.as_secs()
                )));
            }
            let mut learned = ask.learned.clone();
            let (wait, early) = match asked {
                None => poll_backoff::first_wait(&mut learned),
                Some(asked) => (poll_backoff::next_wait(waited_ms), asked.early),
            };
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let next = QueryCursor::Poll {
                transaction,
                polls: polls.saturating_add(1),
                waited_ms: waited_ms.saturating_add(wait_ms),
                early,
            };
            Ok(Page {
                next: next.cursor(),
                wait: Some(wait),
                learned,
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
            return Err(Refusal::CursorGone(message_in(&answer)));
        }
        expect_success(&answer)?;
    }
    let text = text_of(answer)?;
    let results = match QueryResults::read(&text) {
        Err(_) if redirected => QueryResults::default(),
        results => results?,
    };
    // the status of a large result is only known from release notes, so its body also counts
    let large = redirected || (results.entities.is_none() && results.download_url.is_some());
    let next = results.cursor()?;
    if next.is_some() && next == cursor {
        return Err(failed(
            FailureKind::Data,
            format!(
                "the provider gave the cursor `{}` twice",
                next.unwrap_or_default()
            ),
        ));
    }
    if large && !redirect {
        let message = "its results come as a download only, which can't be fetched or read";
        return Err(Refusal::TooLarge(message.to_owned()));
    }
    if large {
        let url = results.download_url.or(location);
        let page = QueryCursor::Results {
            transaction,
            cursor,
            redirect: false,
        };
        let next = match url {
            Some(url) => QueryCursor::Download {
                url,
                page: Box::new(page),
                next,
            },
            None => page, // a redirect without a target: request the page inline
        };
        return Ok(Page {
            next: next.cursor(),
            ..Page::default()
        });
    }
    let records = results.records()?;
    let next = next.and_then(|cursor| {
        QueryCursor::Results {
            transaction,
            cursor: Some(cursor),
            redirect,
        }
        .cursor()
    });
    Ok(Page {
        foreign: text.foreign(&records)?,
        text: text.text,
        records,
        resumable: next.is_some(),
        next,
        ..Page::default()
    })
}

/// Parses a large result's page; one that can't be fetched or parsed is requested inline.
fn downloaded_page(page: &QueryCursor, next: Option<String>, answer: &Answer) -> Page {
    let QueryCursor::Results { transaction, .. } = page else {
        return Page::default();
    };
    let decoded = answer
        .status
        .is_success()
        .then(|| download_text(answer))
        .flatten();
    let decoded = decoded.and_then(|text| {
        let records = download_records(&text)?;
        let foreign = text.foreign(&records).ok()?;
        Some((text.text, records, foreign))
    });
    let Some((text, records, foreign)) = decoded else {
        return Page {
            next: page.cursor(),
            ..Page::default()
        };
    };
    let next = next.and_then(|cursor| {
        QueryCursor::Results {
            transaction: transaction.clone(),
            cursor: Some(cursor),
            redirect: true,
        }
        .cursor()
    });
    Page {
        text,
        records,
        foreign,
        resumable: next.is_some(),
        next,
        ..Page::default()
    }
}

/// Returns each name once, as a stream must not be pulled twice.
fn distinct(names: &[String]) -> impl Iterator<Item = &String> {
    let is_first = |(place, name): &(usize, &String)| !names[..*place].contains(name);
    names
        .iter()
        .enumerate()
        .filter(is_first)
        .map(|(_, name)| name)
}
