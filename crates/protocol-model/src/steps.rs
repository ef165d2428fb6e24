//! The steps of every run, request by request. Between two requests, any other run can make any number of its own.

use crate::objects::{Commit, Events, File, Progress, Violation, names};
use crate::rules::{
    CommitChecked, Create, IdsKept, IdsRead, OwnCommit, Pruning, RenewalRecords, Vanished,
};
use crate::run::{Next, Run};
use crate::scenario::Scenario;
use crate::world::World;

/// A state that one request leads to.
pub(crate) struct Step {
    pub(crate) world: World,
    pub(crate) label: String,
    pub(crate) violation: Option<Violation>,
}

/// All steps that can be made in a world.
pub(crate) fn steps(world: &World, scenario: &Scenario) -> Vec<Step> {
    let mut steps = Vec::new();
    for bit in (0..Events::BITS).map(|bit| 1 << bit) {
        if scenario.late & !world.visible & bit != 0 {
            let mut world = world.clone();
            world.visible |= bit;
            push(
                &mut steps,
                world,
                format!("the provider shows {}", names(bit)),
            );
        }
    }
    for late in 0..world.under_way.len() {
        let mut world = world.clone();
        let commit = world.under_way.remove(late);
        let label = format!(
            "a late create of commit {} by run {} arrives",
            commit.version, commit.run
        );
        if !world.log.contains_key(&commit.version) {
            world.create(commit);
        }
        push(&mut steps, world, label);
    }
    for run in 0..world.runs.len() {
        Stepper {
            world,
            scenario,
            run,
        }
        .all(&mut steps);
    }
    steps
}

fn push(steps: &mut Vec<Step>, world: World, label: String) {
    steps.push(Step {
        world,
        label,
        violation: None,
    });
}

struct Stepper<'a> {
    world: &'a World,
    scenario: &'a Scenario,
    run: usize,
}

impl Stepper<'_> {
    fn me(&self) -> &Run {
        &self.world.runs[self.run]
    }

    fn number(&self) -> u8 {
        u8::try_from(self.run).unwrap_or(u8::MAX)
    }

    fn all(&self, steps: &mut Vec<Step>) {
        let me = self.me();
        self.prune(steps);
        self.renew(steps);
        if self.world.failures > 0 && !matches!(me.next, Next::FindNewest | Next::Nothing) {
            self.step(
                steps,
                "ends with an error; its process lives on",
                |world, run| {
                    world.failures -= 1;
                    world.runs[run].end(self.scenario);
                },
            );
        }
        match me.next {
            Next::Nothing => {}
            Next::FindNewest => self.find_newest(steps),
            Next::ReadNewest => self.read_newest(steps),
            Next::ReadIdsEarly => self.read_ids_early(steps),
            Next::Claim | Next::Commit => self.create(steps),
            Next::ReadOwn => self.read_own(steps),
            Next::ReadUnpublished => self.read_unpublished(steps),
            Next::ListStaging | Next::ListAbandoned => self.list_staging(steps),
            Next::CheckClaim | Next::CheckCommit => self.check_log(steps),
            Next::Copy => self.copy(steps),
            Next::Look => self.look(steps),
            Next::DeleteStaged => self.delete_staged(steps),
            Next::DeleteAbandoned => self.delete_abandoned(steps),
            Next::ReadIds => self.read_ids(steps),
            Next::Pull => self.pull(steps),
            Next::Stage => self.stage(steps),
            Next::DeleteOwn => self.delete_own(steps),
        }
    }

    fn step(
        &self,
        steps: &mut Vec<Step>,
        label: impl Into<String>,
        change: impl FnOnce(&mut World, usize),
    ) {
        let mut world = self.world.clone();
        change(&mut world, self.run);
        push(steps, world, format!("run {}: {}", self.run, label.into()));
    }

    fn prune(&self, steps: &mut Vec<Step>) {
        let me = self.me();
        let Some((&oldest, _)) = self.world.log.first_key_value() else {
            return;
        };
        let may = match self.scenario.rules.pruning {
            Pruning::UpToWhatTheNewestCommitRecords => oldest <= me.recorded,
            Pruning::UpToWhatTheRunKnows => oldest <= me.published,
            Pruning::AnyOldCommit => true,
        };
        if self.world.prunes > 0 && me.claimed_or_ended() && oldest < me.version && may {
            self.step(steps, format!("prunes commit {oldest}"), |world, _| {
                world.prunes -= 1;
                world.log.remove(&oldest);
            });
        }
    }

    fn renew(&self, steps: &mut Vec<Step>) {
        let me = self.me();
        if me.renewals == 0 || !me.holds_the_job() {
            return;
        }
        let mut commit = self.commit_of(Vec::new(), me.committed, true);
        if self.scenario.rules.renewal_records == RenewalRecords::ItsPredecessor {
            commit.published_through = me.version;
        }
        let version = commit.version;
        match self.world.log.get(&version) {
            None => {
                self.step(
                    steps,
                    format!("renews its claim by commit {version}"),
                    |world, run| {
                        let me = &mut world.runs[run];
                        me.renewals -= 1;
                        me.commits += 1;
                        me.version = version;
                        me.recorded = commit.published_through;
                        world.create(commit.clone());
                    },
                );
                if self.world.lost_answers > 0 {
                    let label = format!("renews its claim by commit {version}; the answer is lost");
                    self.step(steps, label, |world, run| {
                        world.lost_answers -= 1;
                        world.runs[run].renewals -= 1;
                        world.runs[run].commits += 1;
                        world.create(commit.clone());
                    });
                }
            }
            Some(found) if found.run != self.number() => {
                self.step(
                    steps,
                    "can't renew its claim: a rival committed; stops",
                    |world, run| {
                        world.runs[run].end(self.scenario);
                    },
                );
            }
            Some(_) => {}
        }
    }

    fn find_newest(&self, steps: &mut Vec<Step>) {
        let earlier = (self.scenario.same_process.iter())
            .find(|(later, _)| *later == self.run)
            .map(|(_, earlier)| *earlier);
        match earlier {
            Some(earlier) if self.world.runs[earlier].next != Next::Nothing => return,
            // runs that begin alike are interchangeable
            None if self.run > 0
                && self.scenario.claim_only.is_empty()
                && self.world.runs[self.run - 1].next == Next::FindNewest =>
            {
                return;
            }
            _ => {}
        }
        let newest = self.world.newest().map_or(0, |commit| commit.version);
        self.step(
            steps,
            format!("lists the log: the newest is {newest}"),
            |world, run| {
                if let Some(earlier) = earlier {
                    world.runs[run].kept = world.runs[earlier].kept.take();
                }
                world.runs[run].version = newest;
                world.runs[run].next = Next::ReadNewest;
            },
        );
    }

    fn read_newest(&self, steps: &mut Vec<Step>) {
        let version = self.me().version;
        let found = self.world.log.get(&version).cloned();
        self.step(steps, format!("reads commit {version}"), |world, run| {
            let me = &mut world.runs[run];
            match found {
                None if version > 0 => return me.end(self.scenario), // pruned since: there is a newer one
                None => {}
                Some(found) => {
                    me.published = found.published_through;
                    me.committed = found.progress;
                }
            }
            me.next = match self.scenario.rules.ids_read {
                IdsRead::BeforeTheClaim => Next::ReadIdsEarly,
                IdsRead::AfterRecovery | IdsRead::AfterTheClaim => Next::Claim,
            };
        });
    }

    fn read_ids_early(&self, steps: &mut Vec<Step>) {
        let ids = self.world.ids();
        self.step(
            steps,
            format!("reads the lake's ids: {}", names(ids)),
            |world, run| {
                let me = &mut world.runs[run];
                me.ids = ids;
                me.next = match self.scenario.rules.ids_read {
                    IdsRead::BeforeTheClaim => Next::Claim,
                    IdsRead::AfterTheClaim | IdsRead::AfterRecovery => Next::ReadUnpublished,
                };
            },
        );
    }

    fn commit_of(&self, files: Vec<File>, progress: Progress, is_claim: bool) -> Commit {
        let me = self.me();
        Commit {
            version: me.version + 1,
            id: self.number() * 32 + me.commits,
            run: self.number(),
            published_through: me.published,
            progress,
            files,
            listed: 0,
            is_claim,
            is_void: false,
        }
    }

    /// Claims the job or commits what was pulled: the one request that decides.
    fn create(&self, steps: &mut Vec<Step>) {
        let me = self.me();
        let is_claim = me.next == Next::Claim;
        let commit = if is_claim {
            self.commit_of(Vec::new(), me.committed, true)
        } else {
            self.commit_of(me.to_stage.clone(), me.reached, false)
        };
        let version = commit.version;
        let what = if is_claim {
            format!("creates commit {version}, a claim")
        } else {
            format!(
                "creates commit {version}, which covers {}",
                names(commit.progress.covered)
            )
        };
        if self.scenario.rules.create == Create::LookThenPut && !me.saw_nothing {
            if !self.world.log.contains_key(&version) {
                self.step(
                    steps,
                    format!("the store sees no commit {version}"),
                    |world, run| {
                        world.runs[run].saw_nothing = true;
                    },
                );
                return;
            }
        } else if me.saw_nothing || !self.world.log.contains_key(&version) {
            self.step(steps, format!("{what}: created"), |world, run| {
                world.create(commit.clone());
                self.is_committed(world, run, &commit);
            });
            if self.world.lost_answers > 0 {
                self.step(
                    steps,
                    format!("{what}: created, but the answer is lost"),
                    |world, run| {
                        world.lost_answers -= 1;
                        world.create(commit.clone());
                        world.runs[run].sent = Some(commit.clone());
                        world.runs[run].next = Next::ReadOwn;
                    },
                );
            }
        }
        if self.world.log.contains_key(&version) && !me.saw_nothing {
            self.step(steps, format!("{what}: it exists"), |world, run| {
                world.runs[run].sent = Some(commit.clone());
                world.runs[run].next = Next::ReadOwn;
            });
        }
        if self.world.lost_answers > 0 {
            self.step(
                steps,
                format!("{what}: no answer, and the request is still under way"),
                |world, run| {
                    world.lost_answers -= 1;
                    world.under_way.push(commit.clone());
                    world.runs[run].sent = Some(commit.clone());
                    world.runs[run].next = Next::ReadOwn;
                },
            );
        }
    }

    /// The run takes `commit` for its own.
    fn is_committed(&self, world: &mut World, run: usize, commit: &Commit) {
        let rules = &self.scenario.rules;
        let me = &mut world.runs[run];
        me.saw_nothing = false;
        me.sent = None;
        me.version = commit.version;
        me.recorded = commit.published_through;
        me.commits += 1;
        if commit.is_claim {
            me.claimed = commit.version;
            return me.after_claim(run, self.scenario);
        }
        me.committed = commit.progress;
        me.to_stage.clear();
        me.staged = 0;
        let listed = commit.files.iter().fold(0, |all, file| all | file.events);
        me.open &= if rules.commit_lists_all_parts {
            0
        } else {
            !listed
        };
        if let Some((version, ids)) = &mut me.kept {
            *version = commit.version;
            *ids |= listed;
        }
        me.publishes_own = true;
        me.place = 0;
        me.publishing = vec![commit.clone()];
        if commit.files.is_empty() || rules.commit_checked == CommitChecked::Never {
            me.publish(self.scenario);
        } else {
            me.next = Next::CheckCommit;
        }
    }

    /// Whose commit is at the number that was tried? Only the object itself can tell.
    fn read_own(&self, steps: &mut Vec<Step>) {
        let Some(sent) = self.me().sent.clone() else {
            return;
        };
        let version = sent.version;
        let by_run = self.scenario.rules.own_commit == OwnCommit::ByTheRun;
        match self.world.log.get(&version) {
            None => {
                self.step(
                    steps,
                    format!("reads commit {version}: nothing there; tries again"),
                    |world, run| {
                        let me = &mut world.runs[run];
                        me.sent = None;
                        me.next = if sent.is_claim {
                            Next::Claim
                        } else {
                            Next::Commit
                        };
                    },
                );
                if !self.scenario.rules.staged_kept_on_failure && !sent.files.is_empty() {
                    let label =
                        format!("reads commit {version}: nothing there; gives up and cleans up");
                    self.step(steps, label, |world, run| {
                        world.runs[run].abandoned.clone_from(&sent.files);
                        world.runs[run].next = Next::DeleteOwn;
                    });
                }
            }
            Some(found) if found.id == sent.id || by_run && found.run == self.number() => {
                self.step(
                    steps,
                    format!("reads commit {version}: its own"),
                    |world, run| {
                        self.is_committed(world, run, &sent);
                    },
                );
            }
            Some(found) if found.run == self.number() => {
                self.step(
                    steps,
                    format!("reads commit {version}: its own renewal; takes the next number"),
                    |world, run| {
                        let me = &mut world.runs[run];
                        me.sent = None;
                        me.version = version;
                        me.next = Next::Commit;
                    },
                );
            }
            Some(_) => self.step(
                steps,
                format!("reads commit {version}: a rival's; stops"),
                |world, run| {
                    world.runs[run].end(self.scenario);
                },
            ),
        }
    }

    fn read_unpublished(&self, steps: &mut Vec<Step>) {
        let me = self.me();
        let commits: Vec<Commit> = (me.published + 1..me.claimed)
            .filter_map(|version| self.world.log.get(&version).cloned())
            .collect();
        let label = format!(
            "reads the commits between {} and {}",
            me.published, me.claimed
        );
        self.step(steps, label, |world, run| {
            let me = &mut world.runs[run];
            me.publishing = commits;
            me.publishes_own = false;
            me.place = 0;
            me.after_reading_unpublished(self.scenario);
        });
    }

    fn list_staging(&self, steps: &mut Vec<Step>) {
        let before_check = self.me().next == Next::ListStaging;
        let others: Vec<File> = (self.world.staging.iter())
            .filter(|((run, _), _)| *run != self.number())
            .map(|(&(run, number), &events)| File {
                run,
                number,
                events,
            })
            .collect();
        self.step(
            steps,
            format!("lists staging: {} of other runs", others.len()),
            |world, run| {
                let me = &mut world.runs[run];
                me.abandoned = others;
                if before_check {
                    me.after_listing_staging(self.scenario);
                } else {
                    me.next = if me.abandoned.is_empty() {
                        Next::ReadIds
                    } else {
                        Next::DeleteAbandoned
                    };
                }
            },
        );
    }

    fn check_log(&self, steps: &mut Vec<Step>) {
        let me = self.me();
        let own_is_newest = match self.scenario.rules.commit_checked {
            CommitChecked::ByLookingForTheNext if me.next == Next::CheckCommit => {
                (self.world.log.get(&(me.version + 1))).is_none_or(|next| next.run == self.number())
            }
            _ => (self.world.newest()).is_some_and(|newest| newest.run == self.number()),
        };
        let label = if own_is_newest {
            "finds its commit the newest"
        } else {
            "finds a rival's commit; stops"
        };
        self.step(steps, label, |world, run| {
            let me = &mut world.runs[run];
            if own_is_newest {
                me.publish(self.scenario);
            } else {
                me.end(self.scenario);
            }
        });
    }

    fn copy(&self, steps: &mut Vec<Step>) {
        let me = self.me();
        let place = usize::from(me.place);
        let Some(commit) = me.publishing.first() else {
            return;
        };
        let file = commit.files[place];
        let key = World::final_key(self.scenario, commit, place);
        let after = if self.scenario.rules.look_before_delete {
            Next::Look
        } else {
            Next::DeleteStaged
        };
        if self.world.staging.contains_key(&(file.run, file.number)) {
            let is_void = (self.world.log.get(&commit.version))
                .is_some_and(|found| found.id == commit.id && found.is_void);
            let mut world = self.world.clone();
            let mut violation = world.copy(key, file.events);
            if is_void && violation.is_none() {
                violation = Some("a commit is published whose number was used before".to_owned());
            }
            world.runs[self.run].next = after;
            let label = format!(
                "run {}: copies {} to its final key",
                self.run,
                names(file.events)
            );
            steps.push(Step {
                world,
                label,
                violation,
            });
            if self.world.copies_that_lie > 0 {
                let label = format!(
                    "copies {}: done, says the store, and nothing is there",
                    names(file.events)
                );
                self.step(steps, label, |world, run| {
                    world.copies_that_lie -= 1;
                    world.runs[run].next = after;
                });
                if !self.world.lake.contains_key(&key) {
                    let label = format!(
                        "copies {}: done, says the store, but the object is damaged",
                        names(file.events)
                    );
                    self.step(steps, label, |world, run| {
                        world.copies_that_lie -= 1;
                        world.lake.insert(key, 0);
                        world.runs[run].next = after;
                    });
                }
            }
            return;
        }
        let is_published = self.world.lake.get(&key) == Some(&file.events);
        let label = if is_published {
            format!("finds {} published", names(file.events))
        } else {
            format!("finds {} neither staged nor published", names(file.events))
        };
        let own = me.publishes_own;
        self.step(steps, label, |world, run| {
            let vanished = self.scenario.rules.vanished;
            if !is_published && own {
                return world.runs[run].end(self.scenario); // the next run sees to it
            }
            if !is_published {
                world.lake.remove(&key); // put aside
            }
            let me = &mut world.runs[run];
            if !is_published && vanished == Vanished::ItsRangesArePulledAgain {
                me.committed = Progress {
                    covered: me.committed.covered & !file.events,
                    ..Progress::default()
                };
            }
            me.place += 1;
            me.publish(self.scenario);
        });
    }

    fn look(&self, steps: &mut Vec<Step>) {
        let me = self.me();
        let Some(commit) = me.publishing.first() else {
            return;
        };
        let place = usize::from(me.place);
        let file = commit.files[place];
        let key = World::final_key(self.scenario, commit, place);
        let is_whole = self.world.lake.get(&key) == Some(&file.events);
        let label = if is_whole {
            "sees the whole file"
        } else {
            "sees no whole file; stops"
        };
        self.step(steps, label, |world, run| {
            let me = &mut world.runs[run];
            if is_whole {
                me.next = Next::DeleteStaged;
            } else {
                me.end(self.scenario);
            }
        });
    }

    fn delete_staged(&self, steps: &mut Vec<Step>) {
        let me = self.me();
        let Some(commit) = me.publishing.first() else {
            return;
        };
        let file = commit.files[usize::from(me.place)];
        self.step(
            steps,
            format!("deletes staged {}", names(file.events)),
            |world, run| {
                world.staging.remove(&(file.run, file.number));
                let me = &mut world.runs[run];
                me.place += 1;
                me.publish(self.scenario);
            },
        );
    }

    fn delete_abandoned(&self, steps: &mut Vec<Step>) {
        let Some(file) = self.me().abandoned.first().copied() else {
            return;
        };
        self.step(
            steps,
            format!(
                "deletes abandoned {} of run {}",
                names(file.events),
                file.run
            ),
            |world, run| {
                world.staging.remove(&(file.run, file.number));
                let me = &mut world.runs[run];
                me.abandoned.remove(0);
                if me.abandoned.is_empty() {
                    me.next = Next::ReadIds;
                }
            },
        );
    }

    fn read_ids(&self, steps: &mut Vec<Step>) {
        let me = self.me();
        let rules = &self.scenario.rules;
        let kept = me.kept.filter(|(version, _)| {
            rules.ids_kept == IdsKept::CommittedWhoeverCommittedSince || version + 1 == me.claimed
        });
        let early = rules.ids_read != IdsRead::AfterRecovery;
        let ids = if early {
            me.ids
        } else {
            kept.map_or_else(|| self.world.ids(), |(_, ids)| ids)
        };
        let keeps = !self.scenario.same_process.is_empty();
        self.step(
            steps,
            format!("knows the lake's ids: {}", names(ids)),
            |world, run| {
                let me = &mut world.runs[run];
                me.ids = ids;
                me.kept = keeps.then_some((me.version, ids));
                me.go_on(self.scenario);
            },
        );
    }

    fn pull(&self, steps: &mut Vec<Step>) {
        let scenario = self.scenario;
        let me = self.me();
        let pages = scenario.tasks[usize::from(me.reached.task)];
        let shown = pages[usize::from(me.reached.page)] & self.world.visible;
        let new = shown & !me.ids & !me.open;
        let is_last = usize::from(me.reached.page) + 1 == pages.len();
        self.step(
            steps,
            format!("pulls a page: {}, new {}", names(shown), names(new)),
            |world, run| {
                let number = self.number();
                let me = &mut world.runs[run];
                me.reached.covered |= shown;
                me.open |= new;
                if scenario.rules.windows_share_ids {
                    me.ids |= new;
                }
                if scenario.rules.ids_kept == IdsKept::PulledIfNobodyCommittedSince
                    && let Some((_, ids)) = &mut me.kept
                {
                    *ids |= new;
                }
                (me.reached.task, me.reached.page) = if is_last {
                    (me.reached.task + 1, 0)
                } else {
                    (me.reached.task, me.reached.page + 1)
                };
                let parts = [
                    me.open & !scenario.second_partition,
                    me.open & scenario.second_partition,
                ];
                let is_full = |part: usize| {
                    parts[part].count_ones() >= scenario.full_at[part] && parts[part] != 0
                };
                if !is_last && !is_full(0) && !is_full(1) {
                    return;
                }
                for (part, &events) in parts.iter().enumerate() {
                    if events != 0
                        && (is_last || is_full(part) || scenario.rules.commit_lists_all_parts)
                    {
                        me.to_stage.push(File {
                            run: number,
                            number: me.files,
                            events,
                        });
                        me.files += 1;
                    }
                }
                me.next = if me.to_stage.is_empty() {
                    Next::Commit
                } else {
                    Next::Stage
                };
            },
        );
    }

    fn stage(&self, steps: &mut Vec<Step>) {
        let me = self.me();
        let file = me.to_stage[usize::from(me.staged)];
        let on = |me: &mut Run| {
            me.staged += 1;
            if usize::from(me.staged) == me.to_stage.len() {
                me.next = Next::Commit;
            }
        };
        self.step(
            steps,
            format!("stages {}", names(file.events)),
            |world, run| {
                world.staging.insert((file.run, file.number), file.events);
                on(&mut world.runs[run]);
            },
        );
        if self.world.puts_that_lie > 0 {
            let label = format!(
                "stages {}: done, says the store, and nothing is there",
                names(file.events)
            );
            self.step(steps, label, |world, run| {
                world.puts_that_lie -= 1;
                on(&mut world.runs[run]);
            });
        }
    }

    fn delete_own(&self, steps: &mut Vec<Step>) {
        let Some(file) = self.me().abandoned.first().copied() else {
            return;
        };
        self.step(
            steps,
            format!("deletes its own staged {}", names(file.events)),
            |world, run| {
                world.staging.remove(&(file.run, file.number));
                let me = &mut world.runs[run];
                me.abandoned.remove(0);
                if me.abandoned.is_empty() {
                    me.end(self.scenario);
                }
            },
        );
    }
}
