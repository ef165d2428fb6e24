//! How far a command over a long range is.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;

use crate::pipeline::Tally;

/// A bar on a terminal, a line now and then elsewhere.
pub(super) struct Bar {
    job: String,
    bar: ProgressBar,
    terminal: bool,
    total: TimeDelta,
    said: Arc<Mutex<Option<String>>>,
    message: fn(&Tally) -> String,
}

impl Bar {
    /// Over so much event time, summed over streams; `message` says what was done.
    pub(super) fn new(job: &str, total: TimeDelta, message: fn(&Tally) -> String) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let seconds = total.num_seconds().unsigned_abs();
        let bar = ProgressBar::with_draw_target(
            Some(seconds),
            if terminal {
                ProgressDrawTarget::stderr()
            } else {
                ProgressDrawTarget::hidden()
            },
        );
        if let Ok(style) =
            ProgressStyle::with_template("{prefix} {wide_bar} {percent:>3}%  {msg}  ETA {eta}")
        {
            bar.set_style(style);
        }
        bar.set_prefix(job.to_owned());
        bar.enable_steady_tick(Duration::from_millis(500));
        Self {
            job: job.to_owned(),
            bar,
            terminal,
            total,
            said: Arc::default(),
            message,
        }
    }

    /// Follows a run that comes after what is `done`.
    pub(super) fn follow(&self, done: Tally) -> watch::Sender<Tally> {
        let (sender, mut receiver) = watch::channel(Tally::default());
        let (bar, terminal, job, total) = (
            self.bar.clone(),
            self.terminal,
            self.job.clone(),
            self.total,
        );
        let (said, message) = (Arc::clone(&self.said), self.message);
        tokio::spawn(async move {
            while receiver.changed().await.is_ok() {
                let mut now = done;
                now += *receiver.borrow();
                bar.set_position(now.covered.num_seconds().unsigned_abs());
                let message = message(&now);
                bar.set_message(message.clone());
                if !terminal {
                    let percent = now.covered.num_seconds() * 100 / total.num_seconds().max(1);
                    let eta = bar.eta().as_secs();
                    let line = format!("{job}: {percent} %, {message}, about {eta} s left");
                    let mut last = said.lock().unwrap_or_else(PoisonError::into_inner);
                    if last.as_ref() != Some(&line) {
                        tracing::info!("{line}");
                        *last = Some(line);
                    }
                }
            }
        });
        sender
    }

    /// It is over.
    pub(super) fn leave(&self) {
        self.bar.finish_and_clear();
    }
}
