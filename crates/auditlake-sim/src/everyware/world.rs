//! One simulated provider: what it holds, and what it answers to each call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::dataset::{Dataset, Filter};
use super::huge::HugeDay;
use super::settings::{Empty, EverywareSettings, Form};
use super::{body, endpoint, request};
use crate::answer::{Answer, Rest};
use crate::lock;
use crate::oauth;
use crate::rate::RateWindow;
use crate::stage::{self, Call, Stage};

const AUDIT: &str = "/v2/audit";

/// Everything that the server holds.
#[derive(Debug)]
pub(super) struct World {
    pub(super) dataset: Arc<Dataset>,
    pub(super) stage: Stage,
    pub(super) settings: Mutex<EverywareSettings>,
    rate: RateWindow,
    /// How many answers have been put in an order of their own.
    answers: AtomicU64,
}

impl World {
    pub(super) fn new(settings: EverywareSettings, dataset: Arc<Dataset>) -> Self {
        Self {
            dataset,
            stage: Stage::new(settings.clock, settings.latency),
            rate: RateWindow::new(settings.rate_limit),
            settings: Mutex::new(settings),
            answers: AtomicU64::new(0),
        }
    }

    fn audit(&self, call: &Call<'_>) -> Answer {
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
            .iter()
            .any(|name| name == self.dataset.account(log))
        {
            return refused(
                403,
                "The current user is not allowed to perform this operation",
            );
        }
        let Some(form) = body::accepted(call.headers, settings.default_form) else {
            return Answer::html(406);
        };
        match request::filter(call.query, settings.dates, settings.stray) {
            Ok(filter) => self.shown(log, &filter, form, &settings),
            Err(message) => refused(400, &message),
        }
    }

    /// Whose log a call's login shows, if it is one.
    fn account_of(&self, call: &Call<'_>, settings: &EverywareSettings) -> Option<usize> {
        let (user, password) = oauth::basic(call.headers)?;
        let (user, child) = match user.split_once('@') {
            Some((user, child)) => (user, Some(child)),
            None => (user.as_str(), None),
        };
        let known = user == settings.username && password == settings.password;
        self.dataset.log(child).filter(|_| known)
    }

    fn shown(
        &self,
        log: usize,
        filter: &Filter,
        form: Form,
        settings: &EverywareSettings,
    ) -> Answer {
        let now = self.stage.clock.now_micros();
        let mut records = self.dataset.select(log, filter, settings.timezone, now);
        let cap = settings.hidden_cap.unwrap_or(usize::MAX);
        let limited = records.len() > cap;
        records.truncate(cap);
        let seed = self.answers.fetch_add(1, Ordering::Relaxed);
        records.shuffle(&mut StdRng::seed_from_u64(seed));
        let huge = settings
            .huge_day
            .filter(|huge| log == 0 && holds(filter, *huge));
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

/// Whether the days asked for hold the huge one.
fn holds(filter: &Filter, huge: HugeDay) -> bool {
    filter.first.is_none_or(|first| first <= huge.day)
        && filter.last.is_none_or(|last| huge.day <= last)
}

impl stage::World for World {
    type Host = ();

    fn stage(&self) -> &Stage {
        &self.stage
    }

    fn endpoint(&self, (): (), method: &str, path: &str) -> &'static str {
        if (method, path) == ("GET", AUDIT) {
            endpoint::AUDIT
        } else {
            endpoint::OTHER
        }
    }

    fn answer(&self, (): (), call: &Call<'_>) -> Answer {
        match (call.method, call.path) {
            ("GET", AUDIT) => self.audit(call),
            (_, AUDIT) => Answer::html(405),
            _ => Answer::html(404),
        }
    }

    fn refuse(&self, (): (), _: &Call<'_>, status: u16, retry_after: Option<&str>) -> Answer {
        let form = lock(&self.settings).errors;
        let message = match status {
            401 => "Unauthorized",
            403 => "The current user is not allowed to perform this operation",
            _ => "An internal error occurred",
        };
        let answer = body::error(status, message, form);
        match retry_after {
            Some(text) => answer.with("retry-after", text),
            None => answer,
        }
    }
}
