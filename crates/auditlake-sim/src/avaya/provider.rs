//! The simulated provider: its state, and its answer to each call.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::HeaderMap;
use serde_json::json;

use super::catalogue::Service;
use super::dataset::AuditRecord;
use super::page::{self, LinkPlace};
use super::problem::Problem;
use super::request::{Paging, SearchFilter};
use super::settings::{AvayaSettings, DateForms, TokenAnswer};
use super::{catalogue, endpoint};
use crate::answer::Answer;
use crate::dataset::{Fixed as _, Record, micros};
use crate::oauth::{self, Tokens, random_text};
use crate::rate::{RateState, RateWindow};
use crate::stage::{Call, FORM, Provider, Route, Settings, Stage, accepts_json, has_type};
use crate::{Clock, lock};

/// A requested page: type of object, dates, number and size.
type PageAsked = (&'static str, i64, i64, usize, usize);

/// The state of the server.
#[derive(Debug)]
pub struct AvayaProvider {
    stage: Stage<AuditRecord>,
    pub(super) tokens: Tokens,
    pub(super) app_key: Mutex<String>,
    pub(super) forbidden: Mutex<BTreeSet<String>>,
    pub(super) quota_refusals: Mutex<u32>,
    settings: AvayaSettings,
    url: String,
    spike: RateWindow,
    quota: RateWindow,
    searches: AtomicU64,
    /// The number of requests for each page, so that shuffling doesn't depend on other clients.
    asked: Mutex<HashMap<PageAsked, u64>>,
}

impl Settings for AvayaSettings {
    type Provider = AvayaProvider;

    fn basics(&self) -> (u16, Clock, Duration) {
        (self.port, self.clock, self.latency)
    }
}

impl Provider for AvayaProvider {
    type Host = ();
    type Settings = AvayaSettings;
    type Content = AuditRecord;

    const HOSTS: &'static [((), &'static [&'static str])] = &[((), endpoint::ALL)];

    fn new(settings: AvayaSettings, stage: Stage<AuditRecord>, urls: &[String]) -> Self {
        Self {
            stage,
            tokens: Tokens::default(),
            app_key: Mutex::new(settings.app_key.clone()),
            forbidden: Mutex::default(),
            quota_refusals: Mutex::new(0),
            url: urls.concat(),
            spike: RateWindow::new(settings.spike_limit),
            quota: RateWindow::new(settings.quota),
            searches: AtomicU64::new(0),
            asked: Mutex::default(),
            settings,
        }
    }

    fn stage(&self) -> &Stage<AuditRecord> {
        &self.stage
    }

    fn answer(&self, call: &Call<'_, ()>) -> Answer {
        let answer = match call.route {
            Route::To(endpoint::TOKEN) => self.token(call),
            Route::To(search) => {
                match catalogue::SERVICES.iter().find(|it| it.endpoint == search) {
                    Some(service) => return self.search(service, call),
                    None => Err(Problem::of_status(404)),
                }
            }
            Route::WrongMethod => Err(Problem::of_status(405)),
            Route::Nothing => Err(Problem::of_status(404)),
        };
        answer.unwrap_or_else(Problem::into_answer)
    }

    fn refuse(&self, _: &Call<'_, ()>, status: u16, _: Option<&str>) -> Answer {
        Problem::of_status(status).into_answer()
    }
}

impl AvayaProvider {
    fn token(&self, call: &Call<'_, ()>) -> Result<Answer, Problem> {
        self.shows_app_key(call.headers)?;
        self.is_account(call.parameter(0))?;
        if !has_type(call.headers, FORM) {
            return Err(Problem::of_status(415));
        }
        let mut form = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(call.body) {
            if form.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(Problem::malformed());
            }
        }
        let field = |name: &str| form.get(name).ok_or_else(|| Problem::null(name));
        let grant = field("grant_type")?;
        let client = (field("client_id")?, field("client_secret")?);
        if grant != "client_credentials" {
            return Err(Problem::bad_request("Unsupported grant_type"));
        }
        if client != (&self.settings.client_id, &self.settings.client_secret) {
            return Err(Problem::client());
        }
        let lifetime = self.settings.token_lifetime;
        let ends = self
            .stage
            .clock
            .now_micros()
            .saturating_add(micros(lifetime));
        let mut body = json!({
            "access_token": self.tokens.issue(ends),
            "expires_in": lifetime.as_secs(),
        });
        if self.settings.token_answer != TokenAnswer::Minimal {
            body["refresh_token"] = random_text(24).into();
        }
        if self.settings.token_answer == TokenAnswer::Extended {
            body["refresh_expires_in"] = 0.into();
            body["token_type"] = "Bearer".into();
            body["not-before-policy"] = 0.into();
            body["scope"] = "email profile".into();
        }
        Ok(Answer::json(200, body.to_string()))
    }

    fn search(&self, service: &'static Service, call: &Call<'_, ()>) -> Answer {
        let (spike, quota) = (self.spike.call(), self.quota.call());
        let answer = self
            .admitted(service, call, spike, quota)
            .unwrap_or_else(Problem::into_answer);
        // a search takes time, so the next one is later
        let by = self.settings.advance_per_call;
        if !by.is_zero() {
            self.stage.clock.advance(by);
        }
        if !self.settings.rate_headers {
            return answer;
        }
        let refused = answer.status == 429;
        let policy = format!(
            "{};w={}",
            spike.allowed,
            self.settings.spike_limit.per.as_secs()
        );
        let answer = answer
            .with("ratelimit-limit", spike.allowed.to_string())
            .with(
                "ratelimit-remaining",
                spike.allowed.saturating_sub(spike.count).to_string(),
            )
            .with("ratelimit-reset", spike.reset_s.to_string())
            .with("ratelimit-policy", policy);
        if refused {
            let reset = if quota.exceeded {
                quota.reset_s
            } else {
                spike.reset_s
            };
            return answer.with("retry-after", reset.to_string());
        }
        answer
    }

    fn admitted(
        &self,
        service: &'static Service,
        call: &Call<'_, ()>,
        spike: RateState,
        quota: RateState,
    ) -> Result<Answer, Problem> {
        self.shows_app_key(call.headers)?;
        let now = self.stage.clock.now_micros();
        let token = oauth::bearer(call.headers);
        if !token.is_some_and(|token| self.tokens.is_good(token, now)) {
            return Err(Problem::access_token());
        }
        {
            let mut refusals = lock(&self.quota_refusals);
            if *refusals > 0 {
                *refusals -= 1;
                return Err(Problem::quota());
            }
        }
        if quota.exceeded {
            return Err(Problem::quota());
        }
        if spike.exceeded {
            return Err(Problem::spike());
        }
        self.is_account(call.parameter(0))?;
        if lock(&self.forbidden).contains(service.name) {
            return Err(Problem::of_status(403));
        }
        if !has_type(call.headers, "application/json") {
            return Err(Problem::of_status(415));
        }
        if !accepts_json(call.headers) {
            return Err(Problem::of_status(406));
        }
        let paging = Paging::parse(call.query, service, self.settings.plus_is_space)?;
        let filter = SearchFilter::parse(call.body, service)?;
        self.found(service, call.parameter(0), paging, &filter, now)
    }

    /// Returns the requested page.
    fn found(
        &self,
        service: &'static Service,
        account: &str,
        mut paging: Paging,
        filter: &SearchFilter,
        now: i64,
    ) -> Result<Answer, Problem> {
        let settings = &self.settings;
        if let Some(longest) = settings.longest_interval
            && filter.end - filter.start > micros(longest)
        {
            return Err(Problem::too_many());
        }
        let first = filter.start + settings.start.gap();
        let last = filter.end - settings.end.gap();
        let mut found = self.stage.dataset.select(filter.kind, first, last, now);
        found.retain(|record| filter.matches(record.content.text()));
        if settings.most_records.is_some_and(|most| found.len() > most) {
            return Err(Problem::too_many());
        }
        paging.size = paging.size.min(settings.largest_page.max(1));
        let number = self.searches.fetch_add(1, Ordering::Relaxed);
        let asked = (
            filter.kind,
            filter.start,
            filter.end,
            paging.number,
            paging.size,
        );
        let times = {
            let mut all = lock(&self.asked);
            let times = all.entry(asked).or_default();
            *times += 1;
            *times
        };
        page::order(&mut found, paging, settings.ties, times);
        let total = found.len();
        found.truncate(settings.deepest.unwrap_or(total));
        let records: Vec<String> = found
            .iter()
            .skip((paging.number - 1).saturating_mul(paging.size))
            .take(paging.size)
            .map(|record| self.shown(record, number))
            .collect();
        let place = LinkPlace {
            host: &self.url,
            endpoint: service.endpoint,
            account,
            swaps: service.name == "user",
        };
        let links = page::links(settings.links, paging, total, place);
        let body = page::body(&records, paging, total, settings.pagination, links);
        Ok(Answer::json(200, body))
    }

    fn shown(&self, record: &Record<AuditRecord>, call: u64) -> String {
        let mut text = record.content.text().to_owned();
        let zone = match self.settings.date_forms {
            DateForms::ByRecord => return text,
            DateForms::ByCall if call.is_multiple_of(2) => "Z",
            DateForms::ByCall => "+00:00",
        };
        let part = record.content.text.part.clone();
        if !part.is_empty() {
            text.replace_range(part, zone);
        }
        text
    }

    fn shows_app_key(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let mut shown = headers.get_all("appkey").iter();
        let right = shown
            .next()
            .is_some_and(|key| key.as_bytes() == lock(&self.app_key).as_bytes());
        (right && shown.next().is_none())
            .then_some(())
            .ok_or_else(Problem::app_key)
    }

    fn is_account(&self, account: &str) -> Result<(), Problem> {
        let fits = account.len() == 6 && account.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !fits {
            return Err(Problem::pattern("accountId", "^[a-zA-Z]{6}$"));
        }
        if account != self.settings.account_id {
            return Err(Problem::of_status(404));
        }
        Ok(())
    }
}
