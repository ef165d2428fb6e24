//! A provider on this machine whose log a test writes: one stream, pages of three records, a cursor that lasts.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use auditlake::client::{Client, ClientLimits, ClientSettings};
use auditlake::lake::Lake;
use auditlake::model::{PartitionColumn, Range, Record, Timestamp};
use auditlake::providers::{
    Adapter, Answer, Call, Cursor, Endpoint, Page, PageRequest, Refusal, SentIn, ServiceHost,
    SignIn, Stream, Target,
};
use auditlake::run::feed::Feed;
use auditlake::run::plan::Policy;
use auditlake::run::{Job, MemoryBudget, Neighbours, RunCache};
use auditlake::secret::Secret;
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use chrono::TimeDelta;
use http::{HeaderName, Method};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use url::Url;

/// How many records a page has.
const PAGE: usize = 3;
const NEXT: HeaderName = HeaderName::from_static("x-next");

/// A time on 2026-01-10, or later by whole days: `at(25, 0)` is one o'clock on the 11th.
pub(crate) fn at(hour: i64, minute: i64) -> Timestamp {
    let day: Timestamp = "2026-01-10T00:00:00Z".parse().unwrap();
    day + TimeDelta::hours(hour) + TimeDelta::minutes(minute)
}

/// `[from, to)`, in hours since 2026-01-10.
pub(crate) fn hours(from: i64, to: i64) -> Range {
    Range::new(at(from, 0), at(to, 0)).unwrap()
}

/// One entry of the provider's log.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) at: Timestamp,
    pub(crate) raw: String,
    /// Whether the provider shows it from the beginning.
    pub(crate) shown: bool,
    /// Whether it shows it in answer to any request.
    stray: bool,
}

impl Event {
    pub(crate) fn new(id: &str, at: Timestamp) -> Self {
        let filler = "x".repeat(400);
        Self {
            at,
            raw: format!(
                r#"{{"id":"{id}","at":"{}","filler":"{filler}"}}"#,
                at.to_rfc3339()
            ),
            shown: true,
            stray: false,
        }
    }

    /// A record that can't be read.
    pub(crate) fn unreadable(id: &str, at: Timestamp) -> Self {
        Self {
            raw: format!(r#"{{"broken":"{id}"}}"#),
            ..Self::new(id, at)
        }
    }

    /// A record that can't be read before its adapter has learned how to.
    pub(crate) fn garbled(id: &str, at: Timestamp) -> Self {
        Self {
            raw: format!(r#"{{"garbled":"{id}","at":"{}"}}"#, at.to_rfc3339()),
            ..Self::new(id, at)
        }
    }

    /// One that every range shows.
    pub(crate) fn stray(self) -> Self {
        Self {
            stray: true,
            ..self
        }
    }

    /// One that shows up later.
    pub(crate) fn late(self) -> Self {
        Self {
            shown: false,
            ..self
        }
    }
}

/// The running provider. Ends with the test's runtime.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    log: Arc<[Event]>,
    late: Arc<AtomicBool>,
    learned: Arc<AtomicBool>,
    /// While this is false, pages wait.
    pub(crate) open: watch::Sender<bool>,
    client: Client,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    from: Timestamp,
    to: Timestamp,
    after: usize,
}

type Served = (Arc<[Event]>, Arc<AtomicBool>, watch::Receiver<bool>);

impl Provider {
    /// Shows `log`, in that order.
    pub(crate) async fn start(log: Vec<Event>) -> Self {
        let log: Arc<[Event]> = log.into();
        let late = Arc::new(AtomicBool::new(false));
        let open = watch::Sender::new(true);
        let token = r#"{"access_token":"t","token_type":"bearer","expires_in":86400}"#;
        let router = Router::new()
            .route("/token", post(async move || token))
            .route("/events", get(page))
            .with_state((Arc::clone(&log), Arc::clone(&late), open.subscribe()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let client = Client::new(ClientSettings {
            connection: "scripted".to_owned(),
            provider: "genesys_cloud",
            endpoint: Endpoint::new(
                url.clone(),
                SignIn::ClientCredentials {
                    token_url: ServiceHost::At(url.join("token").unwrap()),
                    client_id: Secret::text("id"),
                    client_secret: Secret::text("secret"),
                    sent: SentIn::Header,
                },
                vec!["127.0.0.1".to_owned()],
            ),
            rate_limit: (50_000, Duration::from_secs(1)),
            replicas: NonZeroU32::MIN,
            proxy: None,
            ca_file: None,
            allow_http: true,
            metrics: auditlake::metrics::ConnectionMetrics::default(),
            limits: ClientLimits::default(),
        });
        Self {
            log,
            late,
            learned: Arc::default(),
            open,
            client: client.unwrap(),
        }
    }

    /// Whether it shows what is late, from now on.
    pub(crate) fn show_late(&self, shown: bool) {
        self.late.store(shown, Ordering::Relaxed);
    }

    /// Whether adapters know, from now on, how to read what is garbled.
    pub(crate) fn learn(&self, learned: bool) {
        self.learned.store(learned, Ordering::Relaxed);
    }

    /// All of its log.
    pub(crate) fn log(&self) -> Vec<Event> {
        self.log.to_vec()
    }

    /// A job over it: from 23:00 on, in windows of two hours, with one settle pass after an hour and a half.
    pub(crate) fn job(&self, lake: Lake, target_file_size: u64) -> Job {
        self.job_of(lake, target_file_size, true)
    }

    /// The same, of an adapter that finds no ids in the records unless `has_ids`.
    pub(crate) fn job_of(&self, lake: Lake, target_file_size: u64, has_ids: bool) -> Job {
        Job {
            name: "job".to_owned(),
            log: "job".to_owned(),
            connection: "scripted".to_owned(),
            provider: "genesys_cloud",
            account_id: "account".to_owned(),
            policy: Policy {
                start: at(23, 0),
                window: TimeDelta::hours(2),
                min_window: TimeDelta::minutes(1),
                lag: TimeDelta::zero(),
                settle: vec![TimeDelta::minutes(90)],
                grain: TimeDelta::zero(),
            },
            source: Feed::new(
                Arc::new(Scripted {
                    learned: Arc::clone(&self.learned),
                    has_ids,
                }),
                self.client.clone(),
            ),
            lake,
            partition_by: vec![PartitionColumn::Provider, PartitionColumn::EventDate],
            target_file_size,
            memory: RunCache::default(),
            budget: MemoryBudget::default(),
            neighbours: Neighbours::default(),
            metrics: auditlake::metrics::JobMetrics::default(),
        }
    }
}

async fn page(
    State((log, late, mut open)): State<Served>,
    Query(wanted): Query<Wanted>,
) -> ([(HeaderName, String); 1], String) {
    open.wait_for(|open| *open).await.unwrap();
    let late = late.load(Ordering::Relaxed);
    let mut found = log
        .iter()
        .enumerate()
        .skip(wanted.after)
        .filter(|(_, event)| {
            let asked = event.at >= wanted.from && event.at < wanted.to;
            (event.shown || late) && (asked || event.stray)
        });
    let page: Vec<_> = found.by_ref().take(PAGE).collect();
    let next = match (page.last(), found.next()) {
        (Some((last, _)), Some(_)) => (last + 1).to_string(),
        _ => String::new(),
    };
    let lines: Vec<&str> = page.iter().map(|(_, event)| event.raw.as_str()).collect();
    ([(NEXT, next)], lines.join("\n"))
}

/// The adapter of that provider.
#[derive(Debug)]
struct Scripted {
    learned: Arc<AtomicBool>,
    has_ids: bool,
}

#[derive(Deserialize)]
struct Fields {
    id: String,
    at: Timestamp,
}

#[derive(Deserialize)]
struct Garbled {
    #[serde(rename = "garbled")]
    id: String,
    at: Timestamp,
}

impl Adapter for Scripted {
    fn listed_streams(&self) -> Vec<Stream> {
        vec![Stream::new("all")]
    }

    fn call(&self, ask: &PageRequest, cursor: Option<&Cursor>) -> Result<Call, Refusal> {
        Ok(Call {
            method: Method::GET,
            target: Target::Api {
                path: "/events".to_owned(),
                query: vec![
                    ("from", ask.range.from().to_rfc3339()),
                    ("to", ask.range.to().to_rfc3339()),
                    (
                        "after",
                        cursor.map_or("0".to_owned(), |cursor| cursor.0.clone()),
                    ),
                ],
            },
            body: None,
            gateway_timeout_is_answer: false,
        })
    }

    fn page(&self, _: &PageRequest, _: Option<&Cursor>, answer: Answer) -> Result<Page, Refusal> {
        assert_eq!(answer.status, 200);
        let next = answer.headers[NEXT].to_str().unwrap();
        let next = (!next.is_empty()).then(|| Cursor(next.to_owned()));
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let mut records = Vec::new();
        let mut from = 0;
        for line in text.lines() {
            records.push(from..from + line.len());
            from += line.len() + 1;
        }
        Ok(Page {
            resumable: next.is_some(),
            next,
            text,
            records,
            ..Page::default()
        })
    }

    fn record<'a>(&self, raw: &'a str) -> Result<Record<'a>, String> {
        let garbled = serde_json::from_str::<Garbled>(raw).ok();
        let garbled = garbled.filter(|_| self.learned.load(Ordering::Relaxed));
        let (id, at) = if let Some(Garbled { id, at }) = garbled {
            (id, at)
        } else {
            let read = serde_json::from_str(raw).map_err(|error| error.to_string());
            let Fields { id, at } = read?;
            (id, at)
        };
        Ok(Record {
            event_id: if self.has_ids { id } else { String::new() }.into(),
            ..Record::at(at)
        })
    }

    fn has_ids(&self) -> bool {
        self.has_ids
    }
}
