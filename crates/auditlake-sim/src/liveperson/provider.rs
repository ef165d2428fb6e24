//! The simulated provider: its state, and its answer to each call.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use chrono::Days;
use serde_json::{Value, json};

use super::answer::{LoginRefusal, graphql_errors, oauth_error};
use super::endpoint;
use super::endpoint::LivePersonHost as Host;
use super::question::Question;
use super::row::{Row, wall_time};
use super::settings::{DayZone, LivePersonSettings, LookUpForm, Order, TotalCount, UserKey};
use super::signed_in::SignedIn;
use crate::answer::Answer;
use crate::dataset::Record;
use crate::rate::RateWindow;
use crate::stage::{Call, FORM, Provider, Route, Settings, Stage, accepts_json, has_type, header};
use crate::{Clock, lock, oauth};

/// The services of the configuration host.
pub(super) const CONFIGURATION: [&str; 2] = ["accountConfigReadOnly", "accountConfigReadWrite"];

/// Returns the host and port of a URL, as the look-up returns no scheme.
pub(super) fn host(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

/// The state shared by the servers.
#[derive(Debug)]
pub struct LivePersonProvider {
    stage: Stage<Row>,
    pub(super) signed_in: SignedIn,
    /// The host and port of each service.
    pub(super) hosts: Mutex<BTreeMap<&'static str, String>>,
    /// The services whose look-up fails, with the status.
    pub(super) failing: Mutex<BTreeMap<String, u16>>,
    /// Whether the privilege is revoked.
    pub(super) forbidden: AtomicBool,
    /// The number of next pages that have errors in addition to rows.
    pub(super) partial: AtomicU32,
    settings: LivePersonSettings,
    rate: RateWindow,
    pages: AtomicU64,
}

impl Settings for LivePersonSettings {
    type Provider = LivePersonProvider;

    fn basics(&self) -> (u16, Clock, Duration) {
        (self.port, self.clock, self.latency)
    }
}

impl Provider for LivePersonProvider {
    type Host = Host;
    type Settings = LivePersonSettings;
    type Content = Row;

    const HOSTS: &'static [(Host, &'static [&'static str])] = endpoint::HOSTS;

    fn new(settings: LivePersonSettings, stage: Stage<Row>, urls: &[String]) -> Self {
        let services = ["sentinel", "agentVep", CONFIGURATION[0], CONFIGURATION[1]];
        let hosts = [1, 2, 3, 3].map(|number: usize| host(&urls[number]));
        Self {
            stage,
            signed_in: SignedIn::default(),
            hosts: Mutex::new(services.into_iter().zip(hosts).collect()),
            failing: Mutex::default(),
            forbidden: AtomicBool::new(false),
            partial: AtomicU32::new(0),
            rate: RateWindow::new(settings.rate_limit),
            pages: AtomicU64::new(0),
            settings,
        }
    }

    fn stage(&self) -> &Stage<Row> {
        &self.stage
    }

    fn answer(&self, call: &Call<'_, Host>) -> Answer {
        let account = call.parameter(0);
        let answer = match call.route {
            Route::To(endpoint::LOOK_UP) => self.look_up(account, call.parameter(1), call),
            Route::To(endpoint::TOKEN) => return self.token(account, call),
            Route::To(endpoint::LOGIN) => self.login(account, call),
            Route::To(endpoint::REFRESH) => self.refresh(account, call),
            Route::To(_) => self.audit(account, call),
            Route::WrongMethod => Err(LoginRefusal::of_status(405)),
            Route::Nothing => Err(LoginRefusal::of_status(404)),
        };
        answer.unwrap_or_else(LoginRefusal::into_answer)
    }

    fn refuse(&self, call: &Call<'_, Host>, status: u16, _: Option<&str>) -> Answer {
        match call.route {
            Route::To(endpoint::TOKEN) => oauth_error(status, "server_error", "the sign-in failed"),
            _ => LoginRefusal::of_status(status).into_answer(),
        }
    }
}

impl LivePersonProvider {
    fn look_up(
        &self,
        account: &str,
        service: &str,
        call: &Call<'_, Host>,
    ) -> Result<Answer, LoginRefusal> {
        if call.query != "version=1.0" {
            return Err(LoginRefusal::bad_request(
                "Validation failed for parameter version",
            ));
        }
        self.is_account(account)?;
        if let Some(status) = lock(&self.failing).get(service) {
            return Err(LoginRefusal::of_status(*status));
        }
        let hosts = lock(&self.hosts);
        let entry = |service: &str, host: &str| json!({ "service": service, "account": account, "baseURI": host });
        let Some(host) = hosts.get(service) else {
            return Err(LoginRefusal::bad_request(format!(
                "Unknown service {service}"
            )));
        };
        let body = match self.settings.look_up_form {
            LookUpForm::One => entry(service, host),
            LookUpForm::Many => {
                let all = hosts.iter().map(|(service, host)| entry(service, host));
                json!({ "baseURIs": all.collect::<Vec<_>>() })
            }
        };
        Ok(Answer::json(200, body.to_string()))
    }

    /// Checks the form of an account id, and whether it is this account's.
    fn is_account(&self, account: &str) -> Result<(), LoginRefusal> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !(1..=20).contains(&account.len()) || !account.chars().all(fits) {
            return Err(LoginRefusal::bad_request(
                "Validation failed for parameter accountId",
            ));
        }
        if account == self.stage.dataset.account_id() {
            Ok(())
        } else {
            Err(LoginRefusal::unauthorized())
        }
    }

    fn token(&self, account: &str, call: &Call<'_, Host>) -> Answer {
        if let Err(refusal) = self.is_account(account) {
            return refusal.into_answer();
        }
        if !has_type(call.headers, FORM) || !call.query.is_empty() {
            return oauth_error(400, "invalid_request", "a form without a query is required");
        }
        let mut fields: Vec<(String, String)> = url::form_urlencoded::parse(call.body)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        fields.sort();
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        if names != ["client_id", "client_secret", "grant_type"] {
            let what = "client_id, client_secret and grant_type are required, once each";
            return oauth_error(400, "invalid_request", what);
        }
        if fields[2].1 != "client_credentials" {
            return oauth_error(400, "unsupported_grant_type", "unsupported grant type");
        }
        if fields[0].1 != self.settings.client_id || fields[1].1 != self.settings.client_secret {
            return oauth_error(401, "invalid_client", "Client authentication failed");
        }
        let lifetime = self.settings.token_lifetime;
        let token = self
            .signed_in
            .issue_token(self.stage.clock.now_micros(), lifetime);
        let mut body = json!({ "access_token": token, "token_type": "Bearer" });
        if self.settings.expires_in {
            body["expires_in"] = lifetime.as_secs().into();
        }
        Answer::json(200, body.to_string())
    }

    fn login(&self, account: &str, call: &Call<'_, Host>) -> Result<Answer, LoginRefusal> {
        if call.query != "v=1.3" {
            return Err(LoginRefusal::bad_request(
                "Validation failed for parameter v",
            ));
        }
        self.is_account(account)?;
        let body = json_object(call, &["password", "username"])?;
        let settings = &self.settings;
        if body["username"] != *settings.username || body["password"] != *settings.password {
            return Err(LoginRefusal::unauthorized());
        }
        let now = self.stage.clock.now_micros();
        let (lifetime, idle) = (settings.session_lifetime, settings.session_idle);
        let (bearer, session) = self.signed_in.begin(now, lifetime, idle);
        let hosts = lock(&self.hosts);
        let host = hosts.get(CONFIGURATION[0]);
        let body = json!({
            "csrf": session.csrf,
            "wsuk": "766900772090000001",
            "config": {
                "loginName": settings.username,
                "userId": "3705340001",
                "userPrivileges": [100, 101, 1730],
                "serverCurrentTime": now / 1_000,
                "isLPA": false,
                "isAdmin": true,
                "accountTimeZoneId": settings.account_zone.name(),
            },
            "csdsCollectionResponse": { "baseURIs": [
                { "account": account, "baseURI": host, "service": CONFIGURATION[0] },
            ]},
            "accountData": { "agentGroupsData": { "items": [], "revision": 1 } },
            "sessionTTl": lifetime.as_millis().to_string(),
            "bearer": bearer,
        });
        let cookie = format!("Session_id={}; Path=/; HttpOnly", session.cookie);
        Ok(Answer::json(200, body.to_string()).with("set-cookie", cookie))
    }

    fn refresh(&self, account: &str, call: &Call<'_, Host>) -> Result<Answer, LoginRefusal> {
        if !matches!(call.query, "" | "v=1.3") {
            return Err(LoginRefusal::bad_request(
                "Validation failed for parameter v",
            ));
        }
        self.is_account(account)?;
        let body = json_object(call, &["csrf"])?;
        let cookies = header(call.headers, "cookie").unwrap_or_default();
        let cookie = cookies
            .split(';')
            .find_map(|cookie| cookie.trim().strip_prefix("Session_id="));
        let csrf = body["csrf"].as_str().unwrap_or_default();
        let now = self.stage.clock.now_micros();
        let idle = self.settings.session_idle;
        let kept = cookie.is_some_and(|cookie| self.signed_in.keep_up(cookie, csrf, now, idle));
        if !kept {
            return Err(LoginRefusal::unauthorized());
        }
        Ok(Answer::json(200, json!({ "csrf": csrf }).to_string()))
    }

    fn audit(&self, account: &str, call: &Call<'_, Host>) -> Result<Answer, LoginRefusal> {
        let rate = self.rate.call();
        let now = self.stage.clock.now_micros();
        let bearer = oauth::bearer(call.headers);
        if !bearer.is_some_and(|bearer| self.signed_in.is_good(bearer, now)) {
            return Err(LoginRefusal::unauthorized());
        }
        if rate.exceeded {
            return Err(LoginRefusal::of_status(429));
        }
        self.is_account(account)?;
        if self.forbidden.load(Ordering::Relaxed) {
            return Err(LoginRefusal::forbidden());
        }
        if !call.query.is_empty() {
            return Err(LoginRefusal::bad_request(
                "Query parameters are not supported",
            ));
        }
        let body = json_object(call, &["query"])?;
        let text = body["query"].as_str().unwrap_or_default();
        match Question::parse(text, &self.settings) {
            Ok(question) => Ok(self.page(&question, now)),
            Err(wrong) if self.settings.refusal_status == 200 => Ok(graphql_errors(&wrong)),
            Err(wrong) => Err(LoginRefusal::bad_request(wrong.join("; "))),
        }
    }

    fn page(&self, question: &Question, now: i64) -> Answer {
        let settings = &self.settings;
        let found = self.found(question, now);
        let first = question.first.min(settings.largest_page);
        let page: Vec<usize> = found
            .iter()
            .copied()
            .skip(question.offset)
            .take(first)
            .collect();
        let account = self.stage.dataset.account_id();
        let rows = page.iter().map(|number| {
            let row = &self.stage.dataset.trail().records[*number];
            let (zone, language) = (question.timezone, question.language);
            row.render(account, &question.columns, zone, language)
        });
        let rows: Vec<String> = rows.collect();
        let partial = self
            .partial
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok();
        let (shown, errors) = if partial {
            let errors = json!([{
                "message": "Exception while fetching data (/auditData[1]/objectName)",
                "path": ["auditData", 1, "objectName"],
            }]);
            (&rows[..rows.len() / 2], format!(r#","errors":{errors}"#))
        } else {
            (&rows[..], String::new())
        };
        let body = format!(
            r#"{{"data":{{"auditData":[{}]}}{errors}}}"#,
            shown.join(",")
        );
        if !settings.page_takes.is_zero() {
            self.stage.clock.advance(settings.page_takes);
        }
        let count = match settings.total_count {
            TotalCount::Page => page.len(),
            TotalCount::All => found.len(),
            TotalCount::LeftOut => return Answer::json(200, body),
        };
        Answer::json(200, body).with("x-total-count", count.to_string())
    }

    /// Returns the numbers of all rows that match a query, in the requested order.
    fn found(&self, question: &Question, now: i64) -> Vec<usize> {
        let settings = &self.settings;
        let zone = match settings.day_zone {
            DayZone::Argument => question.timezone,
            DayZone::Account => settings.account_zone,
        };
        let wanted = |row: &Row| {
            let key = match settings.user_key {
                UserKey::Login => &row.login,
                UserKey::Id => &row.user_id,
                UserKey::Name => &row.originator,
            };
            let key: Option<String> = serde_json::from_str(key).unwrap_or_default();
            let is_user = |user: &String| Some(user) == key.as_ref();
            let is_type = |kind: &String| row.kind.component == kind;
            (question.lpa || !row.lpa)
                && (question.automatic_updates || !row.automatic)
                && question
                    .users
                    .as_ref()
                    .is_none_or(|users| users.iter().any(is_user))
                && question
                    .component_types
                    .as_ref()
                    .is_none_or(|types| types.iter().any(is_type))
        };
        let call = self.pages.fetch_add(1, Ordering::Relaxed);
        let page = (question.offset, question.first);
        let time = |row: &Record<Row>| match settings.order {
            Order::Instant => row.shown,
            Order::WallTime => wall_time(row.shown, question.timezone)
                .and_utc()
                .timestamp_micros(),
        };
        let to = match question.to {
            Some(to) if !settings.last_day_included => Some(to - Days::new(1)),
            to => to,
        };
        let rows = self
            .stage
            .dataset
            .select(question.from, to, zone, now)
            .filter(|(_, row)| wanted(&row.content));
        let mut found: Vec<((i64, u64), usize)> = rows
            .map(|(number, row)| ((time(row), settings.ties.key(number, page, call)), number))
            .collect();
        found.sort_unstable();
        if !question.ascending {
            found.reverse();
        }
        found.into_iter().map(|(_, number)| number).collect()
    }
}

/// Parses a JSON body that is an object with exactly these text members, whose names are sorted.
fn json_object(call: &Call<'_, Host>, names: &[&str]) -> Result<Value, LoginRefusal> {
    if !has_type(call.headers, "application/json") {
        return Err(LoginRefusal::of_status(415));
    }
    if !accepts_json(call.headers) {
        return Err(LoginRefusal::of_status(406));
    }
    let body: Value = serde_json::from_slice(call.body)
        .map_err(|error| LoginRefusal::bad_request(format!("Malformed JSON: {error}")))?;
    let mut found: Vec<&str> = match &body {
        Value::Object(members) => members
            .iter()
            .filter(|(_, value)| value.is_string())
            .map(|(name, _)| name.as_str())
            .collect(),
        _ => Vec::new(),
    };
    found.sort_unstable();
    let members = body.as_object().map_or(0, serde_json::Map::len);
    if found == names && members == names.len() {
        Ok(body)
    } else {
        Err(LoginRefusal::bad_request(format!(
            "The body must be an object of {}",
            names.join(", ")
        )))
    }
}
