//! Hosts that a provider names when asked: looked up once, and anew when one stops answering.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{HeaderValue, Method};
use url::Url;

use super::body;
use super::calls::Caller;
use super::error::{Attempts, ClientError};
use super::request::{PreparedRequest, Traffic, judge_look_up};
use super::transport::Transport;
use super::url_policy;
use crate::providers::{Answer, DiscoveredHost, ServiceHost};

/// What a look-up's answer may measure, in bytes.
const ANSWER_CAP: u64 = 64 * 1024;

/// Where a request goes, and which look-up said so, if one did.
#[derive(Debug, Clone)]
pub(super) struct ResolvedUrl<'a> {
    pub(super) url: Url,
    named: Option<(&'a DiscoveredHost, u64)>,
}

impl ResolvedUrl<'_> {
    /// There, for good.
    pub(super) fn at(url: Url) -> Self {
        Self { url, named: None }
    }

    /// The same host, with the URL that `change` makes of its own.
    pub(super) fn map<E>(self, change: impl FnOnce(&Url) -> Result<Url, E>) -> Result<Self, E> {
        let url = change(&self.url)?;
        Ok(Self { url, ..self })
    }

    /// Whether a look-up named the host.
    pub(super) fn is_looked_up(&self) -> bool {
        self.named.is_some()
    }
}

/// The look-ups of one connection: one at a time per service, its outcome shared by all who wait for it.
#[derive(Debug)]
pub(super) struct HostResolver {
    trusted_hosts: Vec<String>,
    allow_http: bool,
    /// By service and question.
    services: Mutex<BTreeMap<(&'static str, String), Arc<ServiceLookup>>>,
}

#[derive(Debug, Default)]
struct ServiceLookup {
    /// What was named last, if it hasn't been forgotten since.
    found: Mutex<Option<ResolvedHost>>,
    /// Held by the one who looks up; how that failed the last time, if it did.
    turn: tokio::sync::Mutex<Option<ClientError>>,
    /// How many look-ups have ended, well or not.
    ended: AtomicU64,
}

#[derive(Debug, Clone)]
struct ResolvedHost {
    /// Scheme, host and port.
    host: Url,
    number: u64,
}

impl ServiceLookup {
    fn found(&self) -> Option<ResolvedHost> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.clone()
    }

    fn set(&self, found: Option<ResolvedHost>) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// Forgets what this look-up named; a later one's answer stays.
    fn forget(&self, number: u64) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.as_ref().is_some_and(|found| found.number == number) {
            *found = None;
        }
    }
}

impl HostResolver {
    pub(super) fn new(trusted_hosts: Vec<String>, allow_http: bool) -> Self {
        Self {
            trusted_hosts,
            allow_http,
            services: Mutex::default(),
        }
    }

    fn service(&self, named: &DiscoveredHost) -> Arc<ServiceLookup> {
        let key = (named.service, named.question.to_string());
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(services.entry(key).or_default())
    }
}

impl Transport {
    /// The place's URL; looks its host up if that isn't known.
    pub(super) async fn find<'a>(
        &self,
        place: &'a ServiceHost,
        by: Caller<'_>,
    ) -> Result<ResolvedUrl<'a>, ClientError> {
        let named = match place {
            ServiceHost::At(url) => return Ok(ResolvedUrl::at(url.clone())),
            ServiceHost::Named(named) => named,
        };
        let found = self.host(named, true, by).await?;
        // the path was checked with the settings
        let url = url_policy::with_path(&found.host, &named.path)
            .map_err(|problem| self.settings(problem))?;
        Ok(ResolvedUrl {
            url,
            named: Some((named, found.number)),
        })
    }

    /// Forgets the host that has stopped answering, and looks it up anew, once; says whether the spot has moved.
    ///
    /// Where that fails the spot stays as it is: whoever comes next looks up again.
    pub(super) async fn find_anew(
        &self,
        spot: &mut ResolvedUrl<'_>,
        by: Caller<'_>,
    ) -> Result<bool, ClientError> {
        let Some((named, number)) = &mut spot.named else {
            return Ok(false);
        };
        self.directory.service(named).forget(*number);
        let found = match self.host(named, false, by).await {
            Ok(found) => found,
            Err(ClientError::Stopped) => return Err(ClientError::Stopped),
            Err(error) => {
                tracing::warn!(
                    connection = self.connection,
                    service = named.service,
                    kind = %error.kind(),
                    "the host can't be looked up anew"
                );
                return Ok(false);
            }
        };
        *number = found.number;
        let same = spot.url.host() == found.host.host() && spot.url.port() == found.host.port();
        if same {
            return Ok(false);
        }
        let moved = spot.url.set_host(found.host.host_str()).is_ok()
            && spot.url.set_port(found.host.port()).is_ok();
        Ok(moved)
    }

    /// Forgets the host of a request that was given up.
    pub(super) fn forget(&self, spot: &ResolvedUrl<'_>) {
        if let Some((named, number)) = spot.named {
            self.directory.service(named).forget(number);
        }
    }

    async fn host(
        &self,
        named: &DiscoveredHost,
        retried: bool,
        by: Caller<'_>,
    ) -> Result<ResolvedHost, ClientError> {
        let service = self.directory.service(named);
        if let Some(found) = service.found() {
            return Ok(found);
        }
        let ended = service.ended.load(Ordering::Acquire);
        let mut failure = tokio::select! {
            biased;
            () = by.stop.cancelled() => return Err(ClientError::Stopped),
            failure = service.turn.lock() => failure,
        };
        if let Some(found) = service.found() {
            return Ok(found);
        }
        // a look-up that was under way when this caller came was also this caller's
        if service.ended.load(Ordering::Acquire) > ended
            && let Some(error) = &*failure
        {
            return Err(error.clone());
        }
        let outcome = self.look_up(named, retried, by).await;
        if matches!(outcome, Err(ClientError::Stopped)) {
            return Err(ClientError::Stopped); // this caller's alone: whoever waits looks up
        }
        let number = service.ended.fetch_add(1, Ordering::Release);
        *failure = outcome.as_ref().err().cloned();
        let found = ResolvedHost {
            host: outcome?,
            number,
        };
        service.set(Some(found.clone()));
        tracing::debug!(
            connection = self.connection,
            service = named.service,
            host = found.host.host_str(),
            "looked up"
        );
        Ok(found)
    }

    /// Boxed, because a request may look up and a look-up is a request.
    fn look_up<'a>(
        &'a self,
        named: &'a DiscoveredHost,
        retried: bool,
        by: Caller<'a>,
    ) -> BoxFuture<'a, Result<Url, ClientError>> {
        Box::pin(async move {
            let hidden = self.hidden.clone();
            let spot = ResolvedUrl::at(named.question.clone());
            let mut out = PreparedRequest {
                retried,
                body_cap: ANSWER_CAP,
                judge: judge_look_up,
                calls: by.calls,
                ..PreparedRequest::new(&Method::GET, spot, Traffic::Directory, &hidden)
            };
            let json = HeaderValue::from_static("application/json");
            out.headers.insert(ACCEPT, json);
            let identity = HeaderValue::from_static("identity");
            out.headers.insert(ACCEPT_ENCODING, identity);
            let answer: Answer =
                self.send(&mut out, by.stop)
                    .await
                    .map_err(|error| match error {
                        ClientError::Stopped => ClientError::Stopped,
                        error => ClientError::LookUp {
                            service: named.service,
                            source: Arc::new(error),
                        },
                    })?;
            let text = String::from_utf8_lossy(&answer.body);
            let host = Some(&text)
                .filter(|_| answer.status.is_success())
                .and_then(|text| (named.host)(text, named.service));
            let Some(host) = host else {
                return Err(ClientError::NoHost {
                    service: named.service,
                    request: out.request,
                    tried: Attempts {
                        attempts: 1,
                        status: Some(answer.status),
                        said: body::excerpt(&answer.body, &hidden),
                        ..Attempts::default()
                    },
                });
            };
            let HostResolver {
                trusted_hosts,
                allow_http,
                ..
            } = &self.directory;
            url_policy::named_host(named, &host, trusted_hosts, *allow_http)
                .map_err(|problem| self.settings(problem))
        })
    }

    fn settings(&self, problem: String) -> ClientError {
        ClientError::Settings {
            connection: self.connection.clone(),
            problem,
            source: None,
        }
    }
}
