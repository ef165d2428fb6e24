//! What exists at one moment: the provider, the store, requests under way, and the runs; and what must hold of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::objects::{Commit, Events, FinalKey, Version, Violation, names};
use crate::rules::{FinalKeys, Vanished};
use crate::run::Run;
use crate::scenario::Scenario;

/// One state of everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) visible: Events,
    pub(crate) log: BTreeMap<Version, Commit>,
    /// Every version that was ever created.
    used: BTreeSet<Version>,
    pub(crate) staging: BTreeMap<(u8, u8), Events>,
    /// What readers see. A damaged object holds no events.
    pub(crate) lake: BTreeMap<FinalKey, Events>,
    /// Creates whose caller has given up waiting; each may take effect at any later time, or never.
    pub(crate) under_way: Vec<Commit>,
    pub(crate) lost_answers: u8,
    pub(crate) prunes: u8,
    pub(crate) failures: u8,
    pub(crate) copies_that_lie: u8,
    pub(crate) puts_that_lie: u8,
    pub(crate) runs: Vec<Run>,
}

impl World {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            visible: scenario.visible,
            log: BTreeMap::new(),
            used: BTreeSet::new(),
            staging: BTreeMap::new(),
            lake: BTreeMap::new(),
            under_way: Vec::new(),
            lost_answers: scenario.lost_answers,
            prunes: scenario.prunes,
            failures: scenario.failures,
            copies_that_lie: scenario.copies_that_lie,
            puts_that_lie: scenario.puts_that_lie,
            runs: (0..scenario.runs).map(|_| Run::new(scenario)).collect(),
        }
    }

    pub(crate) fn newest(&self) -> Option<&Commit> {
        self.log.last_key_value().map(|(_, commit)| commit)
    }

    pub(crate) fn ids(&self) -> Events {
        self.lake.values().fold(0, |ids, events| ids | events)
    }

    pub(crate) fn final_key(scenario: &Scenario, commit: &Commit, place: usize) -> FinalKey {
        FinalKey {
            version: commit.version,
            run: match scenario.rules.final_keys {
                FinalKeys::CarryTheRun => commit.run,
                FinalKeys::CarryTheVersionOnly => 0,
            },
            place: u8::try_from(place).unwrap_or(u8::MAX),
        }
    }

    /// Puts a commit into the log.
    pub(crate) fn create(&mut self, mut commit: Commit) {
        let below = self.log.range(..commit.version).next_back();
        let before = below.map_or(0, |(_, commit)| commit.listed);
        commit.listed = commit
            .files
            .iter()
            .fold(before, |all, file| all | file.events);
        commit.is_void = !self.used.insert(commit.version);
        self.log.insert(commit.version, commit);
    }

    /// Copies a staged file over a final key. A published file never changes.
    pub(crate) fn copy(&mut self, key: FinalKey, events: Events) -> Option<Violation> {
        match self.lake.insert(key, events) {
            Some(before) if before != events && before != 0 => Some(format!(
                "a published file changes from {} to {}",
                names(before),
                names(events)
            )),
            _ => None,
        }
    }

    /// What doesn't hold in this state.
    pub(crate) fn violation(&self, scenario: &Scenario) -> Option<Violation> {
        twice(self.lake.values().copied())
            .map(|events| format!("a reader sees {} twice", names(events)))
            .or_else(|| self.unlisted_coverage())
            .or_else(|| self.vanished_file(scenario))
            .or_else(|| self.violation_after_recovery(scenario))
            .or_else(|| {
                let mut later = self.clone();
                for commit in std::mem::take(&mut later.under_way) {
                    if !later.log.contains_key(&commit.version) {
                        later.create(commit);
                    }
                }
                later.violation_after_recovery(scenario)
            })
    }

    /// A commit covers only what it or an earlier one lists.
    fn unlisted_coverage(&self) -> Option<Violation> {
        let unlisted = |commit: &Commit| commit.progress.covered & !commit.listed;
        let mut commits = self.log.values().filter(|commit| !commit.is_void);
        let commit = commits.find(|commit| unlisted(commit) != 0)?;
        let (version, events) = (commit.version, names(unlisted(commit)));
        Some(format!(
            "commit {version} covers {events}, which no commit lists"
        ))
    }

    /// A committed file is staged or published at all times, unless the store never stored it.
    fn vanished_file(&self, scenario: &Scenario) -> Option<Violation> {
        if scenario.puts_that_lie > 0 {
            return None;
        }
        let commits = self.log.values().filter(|commit| !commit.is_void);
        let mut files = commits.flat_map(|commit| {
            commit
                .files
                .iter()
                .enumerate()
                .map(move |file| (commit, file))
        });
        files.find_map(|(commit, (place, file))| {
            let is_staged = self.staging.contains_key(&(file.run, file.number));
            let key = Self::final_key(scenario, commit, place);
            let is_there = is_staged || self.lake.get(&key) == Some(&file.events);
            (!is_there).then(|| {
                let (version, events) = (commit.version, names(file.events));
                format!("commit {version} lists {events}, which is neither staged nor published")
            })
        })
    }

    /// If every run died now and one clean run recovered the log: would everything that the newest commit covers be in the
    /// lake, once?
    fn violation_after_recovery(&self, scenario: &Scenario) -> Option<Violation> {
        let newest = self.newest()?;
        let mut lake = self.lake.clone();
        let mut uncovered = 0;
        for version in newest.published_through + 1..=newest.version {
            let Some(commit) = self.log.get(&version) else {
                continue;
            };
            if commit.is_void && !commit.files.is_empty() {
                return Some(format!(
                    "a clean run publishes commit {version}, whose number was used before"
                ));
            }
            for (place, file) in commit.files.iter().enumerate() {
                let key = Self::final_key(scenario, commit, place);
                if self.staging.contains_key(&(file.run, file.number)) {
                    lake.insert(key, file.events);
                } else if lake.get(&key) != Some(&file.events) {
                    lake.remove(&key);
                    if scenario.rules.vanished == Vanished::ItsRangesArePulledAgain {
                        uncovered |= file.events;
                    }
                }
            }
        }
        if let Some(events) = twice(lake.values().copied()) {
            return Some(format!(
                "once a clean run has recovered the log, a reader sees {} twice",
                names(events)
            ));
        }
        let there = lake.values().fold(0, |all, events| all | events);
        let missing = newest.progress.covered & !there & !uncovered;
        (missing != 0).then(|| {
            format!(
                "commit {} covers {}, and no clean run finds it",
                newest.version,
                names(missing)
            )
        })
    }
}

/// The events that are in more than one of the files.
fn twice(files: impl Iterator<Item = Events>) -> Option<Events> {
    let (_, twice) = files.fold((0, 0), |(once, twice), events| {
        (once | events, twice | once & events)
    });
    (twice != 0).then_some(twice)
}
