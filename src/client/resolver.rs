//! The resolver of hosts that a provider's look-up returns: cached, and looked up again when a host stops answering.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{HeaderValue, Method};
use url::Url;

use super::body;
use super::calls::Caller;
use super::error::{Attempts, ClientError};
use super::request::{PreparedRequest, Route, Traffic, judge_look_up};
use super::transport::Transport;
use super::url_policy;
use crate::providers::{Answer, DiscoveredHost, ServiceHost};
use crate::single_flight::SingleFlight;

/// The maximum size of a look-up's answer in bytes.
const ANSWER_CAP: u64 = 64 * 1024;

/// The hosts of a connection: one look-up at a time per service, whose result is shared by all waiting callers.
pub(super) struct HostResolver {
    pub(super) transport: Transport,
    trusted_hosts: Vec<String>,
    allow_http: bool,
    /// The hosts by service and request.
    services: Mutex<BTreeMap<(&'static str, String), Arc<ServiceLookup>>>,
}

/// The resolved URL of a request, and its route.
pub(super) struct ResolvedUrl<'a> {
    pub(super) url: Url,
    pub(super) route: LookedUp<'a>,
}

/// The route to a host, and the number of the look-up that returned it, if any.
pub(super) struct LookedUp<'a> {
    resolver: &'a HostResolver,
    named: Option<(&'a DiscoveredHost, u64)>,
}

#[derive(Debug, Default)]
struct ServiceLookup {
    /// Returns the last host of a service, unless it was dropped.
    found: Mutex<Option<ResolvedHost>>,
    flight: SingleFlight<(), ClientError>,
}

#[derive(Debug, Clone)]
struct ResolvedHost {
    /// Returns the scheme, host and port.
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

    /// Drops the host returned by this look-up; that of a later one is kept.
    fn forget(&self, number: u64) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.as_ref().is_some_and(|found| found.number == number) {
            *found = None;
        }
    }
}

impl HostResolver {
    pub(super) fn new(transport: Transport, trusted_hosts: Vec<String>, allow_http: bool) -> Self {
        Self {
            transport,
            trusted_hosts,
            allow_http,
            services: Mutex::default(),
        }
    }

    /// Returns the URL of a service; looks its host up if necessary.
    pub(super) async fn find<'a>(
        &'a self,
        place: &'a ServiceHost,
        by: Caller<'_>,
    ) -> Result<ResolvedUrl<'a>, ClientError> {
        let (url, named) = match place {
            ServiceHost::At(url) => (url.clone(), None),
            ServiceHost::Named(named) => {
                let found = self.host(named, true, by).await?;
                // the path was validated with the settings
                let url = url_policy::with_path(&found.host, &named.path)
                    .map_err(|problem| self.transport.settings(problem))?;
                (url, Some((named, found.number)))
            }
        };
        let route = LookedUp {
            resolver: self,
            named,
        };
        Ok(ResolvedUrl { url, route })
    }

    fn service(&self, named: &DiscoveredHost) -> Arc<ServiceLookup> {
        let key = (named.service, named.question.to_string());
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(services.entry(key).or_default())
    }

    async fn host(
        &self,
        named: &DiscoveredHost,
        retried: bool,
        by: Caller<'_>,
    ) -> Result<ResolvedHost, ClientError> {
        let service = self.service(named);
        if let Some(found) = service.found() {
            return Ok(found);
        }
        let mut turn = tokio::select! {
            biased;
            () = by.stop.cancelled() => return Err(ClientError::Stopped),
            turn = service.flight.turn() => turn,
        };
        if let Some(found) = service.found() {
            return Ok(found);
        }
        if let Some(error) = turn.shared_failure() {
            return Err(error);
        }
        let outcome = self.look_up(named, retried, by).await;
        if matches!(outcome, Err(ClientError::Stopped)) {
            return Err(ClientError::Stopped); // only this caller: the next one looks up
        }
        let number = turn.end(outcome.as_ref().err().cloned());
        let found = ResolvedHost {
            host: outcome?,
            number,
        };
        service.set(Some(found.clone()));
        tracing::debug!(
            connection = self.transport.connection,
            service = named.service,
            host = found.host.host_str(),
            "looked up"
        );
        Ok(found)
    }

    async fn look_up(
        &self,
        named: &DiscoveredHost,
        retried: bool,
        by: Caller<'_>,
    ) -> Result<Url, ClientError> {
        let transport = &self.transport;
        let url = named.question.clone();
        let mut out = PreparedRequest {
            retried,
            body_cap: ANSWER_CAP,
            judge: judge_look_up,
            calls: by.calls,
            ..PreparedRequest::new(&Method::GET, url, Traffic::Directory, &transport.hidden)
        };
        let json = HeaderValue::from_static("application/json");
        out.headers.insert(ACCEPT, json);
        let identity = HeaderValue::from_static("identity");
        out.headers.insert(ACCEPT_ENCODING, identity);
        let answer: Answer = transport
            .send(&mut out, &mut (), by.stop)
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
                    message: body::excerpt(&answer.body, &transport.hidden),
                    ..Attempts::default()
                },
            });
        };
        url_policy::named_host(named, &host, &self.trusted_hosts, self.allow_http)
            .map_err(|problem| transport.settings(problem))
    }
}

impl Route for LookedUp<'_> {
    /// Drops a host that stopped answering, and looks it up again once. If that fails, the request stays with its host,
    /// and the next caller looks up again.
    async fn turn(&mut self, url: &Url, by: Caller<'_>) -> Result<Option<Url>, ClientError> {
        let Some((named, number)) = &mut self.named else {
            return Ok(None);
        };
        self.resolver.service(named).forget(*number);
        let found = match self.resolver.host(named, false, by).await {
            Ok(found) => found,
            Err(ClientError::Stopped) => return Err(ClientError::Stopped),
            Err(error) => {
                tracing::warn!(
                    connection = self.resolver.transport.connection,
                    service = named.service,
                    kind = %error.kind(),
                    "the host can't be looked up again"
                );
                return Ok(None);
            }
        };
        *number = found.number;
        let same = url.host() == found.host.host() && url.port() == found.host.port();
        let mut moved = url.clone();
        let fits = !same
            && moved.set_host(found.host.host_str()).is_ok()
            && moved.set_port(found.host.port()).is_ok();
        Ok(fits.then_some(moved))
    }

    fn may_turn(&self) -> bool {
        self.named.is_some()
    }

    fn give_up(&self) {
        if let Some((named, number)) = self.named {
            self.resolver.service(named).forget(number);
        }
    }
}
