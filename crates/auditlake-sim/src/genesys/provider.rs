//! The simulated provider: its state, and its answer to each call.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::ApiRefusal;
use super::dataset::ServiceAudit;
use super::downloads::{Downloads, ResultPart, store_error};
use super::endpoint::GenesysHost as Host;
use super::page::{self, CursorText};
use super::record::TRUSTOR_ORG;
use super::request::{AuditQuery, RelatedRequest, ResultsRequest, expand};
use super::settings::{DownloadAddress, GenesysSettings};
use super::transactions::{BadCursor, Rows, Transactions, ends};
use super::{catalogue, endpoint};
use crate::answer::Answer;
use crate::oauth::{self, Tokens};
use crate::rate::{RateState, RateWindow};
use crate::stage::{Call, FORM, Provider, Route, Settings, Stage, has_type};
use crate::{Clock, lock};

/// The state shared by the servers.
#[derive(Debug)]
pub struct GenesysProvider {
    stage: Stage<ServiceAudit>,
    pub(super) tokens: Tokens,
    pub(super) transactions: Mutex<Transactions>,
    pub(super) forbidden: Mutex<BTreeSet<String>>,
    settings: GenesysSettings,
    rate: RateWindow,
    downloads: Downloads,
}

impl Settings for GenesysSettings {
    type Provider = GenesysProvider;

    fn basics(&self) -> (u16, Clock, Duration) {
        (self.port, self.clock, self.latency)
    }
}

impl Provider for GenesysProvider {
    type Host = Host;
    type Settings = GenesysSettings;
    type Content = ServiceAudit;

    const HOSTS: &'static [(Host, &'static [&'static str])] = endpoint::HOSTS;

    fn new(settings: GenesysSettings, stage: Stage<ServiceAudit>, urls: &[String]) -> Self {
        Self {
            stage,
            tokens: Tokens::default(),
            transactions: Mutex::default(),
            forbidden: Mutex::default(),
            rate: RateWindow::counted(settings.rate_limit, settings.rate_count),
            downloads: Downloads::new(urls.last().cloned().unwrap_or_default()),
            settings,
        }
    }

    fn stage(&self) -> &Stage<ServiceAudit> {
        &self.stage
    }

    fn answer(&self, call: &Call<'_, Host>) -> Answer {
        match call.route {
            Route::To(endpoint::TOKEN) => self.token(call),
            Route::To(endpoint::DOWNLOAD) => {
                let now = self.stage.clock.now_micros();
                self.downloads
                    .serve(call, now, &self.stage.dataset, &self.settings)
            }
            _ if call.host == Host::Api => self.api(call),
            _ => ApiRefusal::not_found(None).into_answer(&context()),
        }
    }

    fn refuse(&self, call: &Call<'_, Host>, status: u16, retry_after: Option<&str>) -> Answer {
        let context = context();
        let refusal = match retry_after.and_then(|text| text.parse().ok()) {
            Some(seconds) if status == 429 => ApiRefusal::too_many(seconds),
            _ => ApiRefusal::of_status(status),
        };
        match call.route {
            Route::To(endpoint::TOKEN) => oauth_error(status, "server_error", "the sign-in failed"),
            Route::To(endpoint::DOWNLOAD) => {
                store_error(status, "InternalError", "The request failed.")
            }
            _ if call.host == Host::Api => {
                self.with_rate(refusal.into_answer(&context), self.rate.call(), &context)
            }
            _ => refusal.into_answer(&context),
        }
    }
}

impl GenesysProvider {
    fn api(&self, call: &Call<'_, Host>) -> Answer {
        let context = context();
        let refused = |refusal: ApiRefusal| refusal.into_answer(&context);
        let rate = self.rate.call();
        let now = self.stage.clock.now_micros();
        let token = oauth::bearer(call.headers);
        let answer = if !token.is_some_and(|token| self.tokens.is_good(token, now)) {
            refused(ApiRefusal::unauthorized())
        } else if rate.exceeded {
            let mut refusal = ApiRefusal::too_many(rate.reset_s);
            if rate.count.is_multiple_of(2) {
                refusal = refusal.naming_limit(rate.allowed);
            }
            refused(refusal).with("retry-after", rate.reset_s.to_string())
        } else {
            self.authorized(call, now).unwrap_or_else(refused)
        };
        self.with_rate(answer, rate, &context)
    }

    fn with_rate(&self, answer: Answer, rate: RateState, context: &str) -> Answer {
        let answer = answer.with("inin-correlation-id", context);
        if !self.settings.rate_headers {
            return answer;
        }
        answer
            .with("inin-ratelimit-count", rate.count.to_string())
            .with("inin-ratelimit-allowed", rate.allowed.to_string())
            .with("inin-ratelimit-reset", rate.reset_s.to_string())
    }

    fn authorized(&self, call: &Call<'_, Host>, now: i64) -> Result<Answer, ApiRefusal> {
        let posts = matches!(call.route, Route::To(endpoint) if endpoint.starts_with("POST"));
        if posts && !has_type(call.headers, "application/json") {
            return Err(ApiRefusal::of_status(415));
        }
        let id = call.parameter(0);
        match call.route {
            Route::To(endpoint::SERVICES) => Ok(self.mapping(|_| true, &[])),
            Route::To(endpoint::REALTIME_SERVICES) => {
                let lacks = &self.settings.realtime_lacks;
                Ok(self.mapping(|name| self.is_realtime(name), lacks))
            }
            Route::To(endpoint::SUBMIT) => self.submit(call, now),
            Route::To(endpoint::STATUS) => self.status(id, now),
            Route::To(endpoint::RESULTS) => self.results(id, call, now),
            Route::To(endpoint::REALTIME) => self.realtime(call, now),
            Route::To(endpoint::RELATED) => self.related(call, now),
            Route::WrongMethod => Err(ApiRefusal::of_status(405)),
            _ => Err(ApiRefusal::not_found(None)),
        }
    }

    fn token(&self, call: &Call<'_, Host>) -> Answer {
        let wanted = (
            self.settings.client_id.clone(),
            self.settings.client_secret.clone(),
        );
        if oauth::basic(call.headers) != Some(wanted) {
            return oauth_error(401, "invalid_client", "authentication failed");
        }
        let form = has_type(call.headers, FORM);
        let mut grants =
            url::form_urlencoded::parse(call.body).filter(|(name, _)| name == "grant_type");
        match (form, grants.next(), grants.next()) {
            (true, Some((_, grant)), None) if grant == "client_credentials" => {
                let lifetime = self.settings.token_lifetime;
                let token = self
                    .tokens
                    .issue(ends(self.stage.clock.now_micros(), lifetime));
                let seconds = lifetime.as_secs();
                let body =
                    json!({ "access_token": token, "token_type": "bearer", "expires_in": seconds });
                Answer::json(200, body.to_string())
            }
            (true, Some(_), None) => oauth_error(
                400,
                "unsupported_grant_type",
                "the grant type is not supported",
            ),
            _ => oauth_error(
                400,
                "invalid_request",
                "a form with one grant_type is required",
            ),
        }
    }

    fn mapping(&self, keep: impl Fn(&str) -> bool, lacks: &[String]) -> Answer {
        let services = self.stage.dataset.listed().filter(|(name, _)| keep(name));
        Answer::json(200, catalogue::mapping(services, lacks).to_string())
    }

    fn is_realtime(&self, name: &str) -> bool {
        self.settings
            .realtime_services
            .iter()
            .any(|service| service == name)
    }

    fn is_forbidden(&self, service: &str) -> bool {
        lock(&self.forbidden).contains(service)
    }

    fn submit(&self, call: &Call<'_, Host>, now: i64) -> Result<Answer, ApiRefusal> {
        let query = AuditQuery::parse(call.body, false)?;
        let service = self.service(&query)?;
        if query.interval.length() > self.settings.longest_interval {
            let days = self.settings.longest_interval.as_secs() / 86_400;
            return Err(ApiRefusal::bad_interval(&format!(
                ": it must not be longer than {days} days"
            )));
        }
        let rows = self.select(&query, service, now, &[]);
        let id = Uuid::now_v7().to_string();
        let lifetime = self.settings.transaction_lifetime;
        let mut transactions = lock(&self.transactions);
        transactions.accept(id.clone(), now, query.echo, rows, lifetime);
        let transaction = transactions
            .get(&id, now, lifetime)
            .ok_or_else(|| ApiRefusal::of_status(500))?;
        let state = transaction.state_at_submit(&self.settings);
        let body = self.status_body(&id, &state, now, &transaction.echo);
        Ok(Answer::json(self.settings.submit_status, body))
    }

    fn status(&self, id: &str, now: i64) -> Result<Answer, ApiRefusal> {
        let mut transactions = lock(&self.transactions);
        let transaction = transactions
            .get(id, now, self.settings.transaction_lifetime)
            .ok_or_else(|| ApiRefusal::not_found(Some(id)))?;
        let state = transaction.poll(&self.settings);
        let body = self.status_body(id, &state, transaction.started_micros, &transaction.echo);
        Ok(Answer::json(200, body))
    }

    fn status_body(
        &self,
        id: &str,
        state: &str,
        started_micros: i64,
        echo: &Map<String, Value>,
    ) -> String {
        if self.settings.terse_status {
            return json!({ "id": id, "state": state }).to_string();
        }
        let started = DateTime::from_timestamp_micros(started_micros).unwrap_or_default();
        let mut body = echo.clone();
        body.insert("id".to_owned(), Value::from(id));
        body.insert("state".to_owned(), Value::from(state));
        body.insert(
            "startDate".to_owned(),
            Value::from(started.to_rfc3339_opts(SecondsFormat::Millis, true)),
        );
        Value::Object(body).to_string()
    }

    fn results(&self, id: &str, call: &Call<'_, Host>, now: i64) -> Result<Answer, ApiRefusal> {
        let request = ResultsRequest::parse(call.query)?;
        let settings = &self.settings;
        let mut transactions = lock(&self.transactions);
        let transaction = transactions
            .get(id, now, settings.transaction_lifetime)
            .ok_or_else(|| ApiRefusal::not_found(Some(id)))?;
        if !transaction.has_succeeded() {
            return Err(ApiRefusal::not_ready());
        }
        let cursor = request.cursor.as_deref();
        let cursor = transaction.cursor(cursor, now).map_err(|bad| match bad {
            BadCursor::Unknown => ApiRefusal::bad_field("cursor", "The cursor is invalid"),
            BadCursor::Expired => ApiRefusal::not_found(cursor),
        })?;
        let rows = transaction.rows.clone();
        let serial = transaction.serial;
        let mut go_on_at = |row: usize| {
            let lifetime = settings.cursor_lifetime;
            CursorText::Next(transaction.issue(row, cursor.page + 1, now, lifetime))
        };
        let left = rows.len().saturating_sub(cursor.row);
        let large = settings.large_results_over.is_some_and(|most| left > most);

        if large && request.allow_redirect {
            let to = cursor
                .row
                .saturating_add(settings.download_records.max(1))
                .min(rows.len());
            let next = if to < rows.len() {
                go_on_at(to)
            } else {
                last_cursor(serial)
            };
            drop(transactions);
            let part = ResultPart {
                rows,
                from: cursor.row,
                to,
                expanded: request.expand,
            };
            return Ok(self.redirect(id, request.page_size, &next, part, now));
        }

        let every = u64::from(settings.empty_page_every.max(2));
        let empty = settings.empty_page_every > 0 && (cursor.page + serial) % every == every - 1;
        let to = if empty {
            cursor.row
        } else {
            cursor.row.saturating_add(request.page_size).min(rows.len())
        };
        let open_end = settings.open_ends && serial % 2 == 1 && left > 0;
        let more = to < rows.len() || open_end;
        let next = if more {
            let back =
                usize::from(settings.repeat_records && to > cursor.row + 1 && to < rows.len());
            go_on_at(to - back)
        } else {
            last_cursor(serial)
        };
        drop(transactions);
        let entities = page::list(
            &self.stage.dataset,
            rows.places(cursor.row, to),
            request.expand,
        );
        Ok(Answer::json(
            200,
            page::results(id, request.page_size, &next, &entities, serial),
        ))
    }

    /// Answers with the URL of a download instead of records.
    fn redirect(
        &self,
        id: &str,
        page_size: usize,
        next: &CursorText,
        part: ResultPart,
        now: i64,
    ) -> Answer {
        let lifetime = self.settings.download_lifetime;
        let url = self.downloads.offer(part, now, lifetime);
        let address = self.settings.download_address;
        let in_body = (address != DownloadAddress::Location).then_some(url.as_str());
        let answer = Answer::json(302, page::large_results(id, page_size, next, in_body));
        match address {
            DownloadAddress::Body => answer,
            DownloadAddress::Location | DownloadAddress::Both => answer.with("location", url),
        }
    }

    fn realtime(&self, call: &Call<'_, Host>, now: i64) -> Result<Answer, ApiRefusal> {
        let expanded = expand(call.query)?;
        let query = AuditQuery::parse(call.body, true)?;
        let service = self.service(&query)?;
        let settings = &self.settings;
        if !self.is_realtime(&query.service) {
            let message = format!(
                "The service {} is not available for realtime queries",
                query.service
            );
            return Err(ApiRefusal::bad_field("serviceName", message));
        }
        if query.interval.start < self.realtime_floor(now) {
            let days = settings.realtime_reach.as_secs() / 86_400;
            return Err(ApiRefusal::bad_interval(&format!(
                ": realtime queries reach back {days} days"
            )));
        }
        if query.interval.length() > settings.realtime_longest_interval {
            return Err(ApiRefusal::of_status(504));
        }
        let rows = self.select(&query, service, now, &settings.realtime_lacks);
        let from = (query.page_number - 1).saturating_mul(query.page_size);
        let to = from.saturating_add(query.page_size);
        let entities = page::list(&self.stage.dataset, rows.places(from, to), expanded);
        let (size, number) = (query.page_size, query.page_number);
        let body = page::realtime(
            &entities,
            size,
            number,
            rows.len(),
            settings.realtime_totals,
        );
        Ok(Answer::json(200, body))
    }

    fn related(&self, call: &Call<'_, Host>, now: i64) -> Result<Answer, ApiRefusal> {
        let expanded = expand(call.query)?;
        let request = RelatedRequest::parse(call.body)?;
        if let Some(org) = request
            .trustor_org_id
            .as_deref()
            .filter(|org| *org != TRUSTOR_ORG)
        {
            return Err(ApiRefusal::not_found(Some(org)));
        }
        let unknown = || ApiRefusal::not_found(Some(&request.audit_id));
        let id = request.audit_id.parse().map_err(|_| unknown())?;
        let (filed, mut places) = self.stage.dataset.related(id, now).ok_or_else(unknown)?;
        if filed < self.realtime_floor(now) {
            places.clear();
        }
        if !request.ascending {
            places.reverse();
        }
        let entities = page::list(&self.stage.dataset, places.into_iter(), expanded);
        Ok(Answer::json(200, format!(r#"{{"entities":{entities}}}"#)))
    }

    fn realtime_floor(&self, now: i64) -> i64 {
        ends(now, Duration::ZERO).saturating_sub(ends(0, self.settings.realtime_reach))
    }

    /// Returns the number of the requested service.
    fn service(&self, query: &AuditQuery) -> Result<usize, ApiRefusal> {
        let number = self.stage.dataset.log(&query.service).ok_or_else(|| {
            let message = format!("The service name {} is not valid", query.service);
            ApiRefusal::bad_field("serviceName", message)
        })?;
        if self.is_forbidden(&query.service) {
            return Err(ApiRefusal::forbidden());
        }
        Ok(number)
    }

    /// Returns what a query finds now, in the requested order, without the omitted entity types.
    fn select(&self, query: &AuditQuery, service: usize, now: i64, lacks: &[String]) -> Rows {
        let settings = &self.settings;
        let span = query
            .interval
            .span(settings.interval_start, settings.interval_end);
        let keep = |record: &str| query.matches(record) && !is_of(record, lacks);
        let mut indexes = self.stage.dataset.select(service, span, now, keep);
        if !query.ascending {
            indexes.reverse();
        }
        Rows {
            service,
            indexes: Arc::new(indexes),
        }
    }
}

/// Returns whether a record has one of these entity types.
fn is_of(record: &str, entity_types: &[String]) -> bool {
    if entity_types.is_empty() {
        return false;
    }
    let record: Value = serde_json::from_str(record).unwrap_or_default();
    let is = |name: &String| record["entityType"] == name.as_str();
    entity_types.iter().any(is)
}

/// Returns the end of the results in each of the observed forms.
fn last_cursor(serial: u64) -> CursorText {
    match serial % 3 {
        0 => CursorText::Absent,
        1 => CursorText::Null,
        _ => CursorText::Empty,
    }
}

fn context() -> String {
    Uuid::now_v7().to_string()
}

fn oauth_error(status: u16, error: &str, description: &str) -> Answer {
    let body =
        json!({ "error": error, "description": description, "error_description": description });
    Answer::json(status, body.to_string())
}
