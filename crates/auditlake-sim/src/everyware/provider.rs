//! The simulated provider: its state, and its answer to each call.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::dataset::{Audit, AuditFilter};
use super::settings::{Empty, EverywareSettings, Form};
use super::{body, endpoint, request};
use crate::answer::{Answer, Rest};
use crate::rate::RateWindow;
use crate::stage::{Call, Provider, Route, Settings, Stage};
use crate::{Clock, lock, oauth};

const FORBIDDEN: &str = "The current user is not allowed to perform this operation";

/// The state of the server.
#[derive(Debug)]
pub struct EverywareProvider {
    stage: Stage<Audit>,
    pub(super) settings: Mutex<EverywareSettings>,
    rate: RateWindow,
    /// The number of shuffled answers so far.
    answers: AtomicU64,
}

impl EverywareProvider {
    fn audit(&self, call: &Call<'_, ()>) -> Answer {
        let settings = lock(&self.settings).clone();
        let refused = |status, message: &str| body::error(status, message, settings.errors);
        let rate = self.rate.call();
        let Some(log) = self.account_of(call, &settings) else {
            return refused(401, "Unauthorized").with("www-authenticate", "Basic realm=\"EDC\"");
        };
        if rate.exceeded {
            return refused(429, "Too many requests").with("retry-after", rate.reset_s.to_string());
        }
        if settings
            .forbidden_accounts
            .contains(&self.stage.dataset.logs[log].name)
        {
            return refused(403, FORBIDDEN);
        }
        let Some(form) = body::accepted(call.headers, settings.default_form) else {
            return Answer::html(406);
        };
        match request::filter(call.query, settings.dates, settings.stray) {
            Ok(filter) => self.shown(log, &filter, form, &settings),
            Err(message) => refused(400, &message),
        }
    }

    /// Returns the account of a call's login, if the login is valid.
    fn account_of(&self, call: &Call<'_, ()>, settings: &EverywareSettings) -> Option<usize> {
        let (user, password) = oauth::basic(call.headers)?;
        let (user, child) = match user.split_once('@') {
            Some((user, child)) => (user, Some(child)),
            None => (user.as_str(), None),
        };
        let known = user == settings.username && password == settings.password;
        self.stage.dataset.log_of(child).filter(|_| known)
    }

    fn shown(
        &self,
        log: usize,
        filter: &AuditFilter,
        form: Form,
        settings: &EverywareSettings,
    ) -> Answer {
        let now = self.stage.clock.now_micros();
        let mut records = self
            .stage
            .dataset
            .select(log, filter, settings.timezone, now);
        let cap = settings.hidden_cap.unwrap_or(usize::MAX);
        let limited = records.len() > cap;
        records.truncate(cap);
        let seed = self.answers.fetch_add(1, Ordering::Relaxed);
        records.shuffle(&mut StdRng::seed_from_u64(seed));
        let huge = settings
            .huge_day
            .filter(|huge| log == 0 && filter.holds(huge.day));
        if form == Form::Xml {
            return Answer::typed(200, "application/xml", body::xml(&records));
        }
        if settings.empty == Empty::NoContent && records.is_empty() && huge.is_none() {
            return Answer::typed(204, "application/json", "");
        }
        let (head, tail) = body::json(&records, limited, huge.is_some(), settings);
        let mut answer = match huge {
            None => Answer::json(200, head + &tail),
            Some(huge) => {
                let rest = huge.pieces(records.is_empty()).chain([tail.into_bytes()]);
                let mut answer = Answer::json(200, head);
                answer.rest = Some(Rest::of(rest));
                answer
            }
        };
        answer.pieces.clone_from(&settings.pieces);
        answer
    }
}

impl Settings for EverywareSettings {
    type Provider = EverywareProvider;

    fn basics(&self) -> (u16, Clock, Duration) {
        (self.port, self.clock, self.latency)
    }
}

impl Provider for EverywareProvider {
    type Host = ();
    type Settings = EverywareSettings;
    type Content = Audit;

    const HOSTS: &'static [((), &'static [&'static str])] = &[((), &[endpoint::AUDIT])];

    fn new(settings: EverywareSettings, stage: Stage<Audit>, _: &[String]) -> Self {
        Self {
            stage,
            rate: RateWindow::new(settings.rate_limit),
            settings: Mutex::new(settings),
            answers: AtomicU64::new(0),
        }
    }

    fn stage(&self) -> &Stage<Audit> {
        &self.stage
    }

    fn answer(&self, call: &Call<'_, ()>) -> Answer {
        match call.route {
            Route::To(_) => self.audit(call),
            Route::WrongMethod => Answer::html(405),
            Route::Nothing => Answer::html(404),
        }
    }

    fn refuse(&self, _: &Call<'_, ()>, status: u16, _: Option<&str>) -> Answer {
        let message = match status {
            401 => "Unauthorized",
            403 => FORBIDDEN,
            _ => "An internal error occurred",
        };
        body::error(status, message, lock(&self.settings).errors)
    }
}
