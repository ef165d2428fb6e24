//! The explored scenarios: shortcuts, which must all fail, and the protocol itself, which must hold.

use crate::objects::Events;
use crate::rules::{
    CommitChecked, Create, FinalKeys, IdsKept, IdsRead, OwnCommit, Pruning, RenewalRecords, Rules,
    StagingListed, Vanished,
};
use crate::scenario::Scenario;

type Tasks = &'static [&'static [Events]];

/// One range of one page with one event.
const ONE: Tasks = &[&[0b1]];
/// The same, then a settle pass.
const AGAIN: Tasks = &[&[0b1], &[0b1]];
/// One range of two pages: a commit with a cursor in between.
const TWO: Tasks = &[&[0b01, 0b10]];
/// The same with a late event on its first page, then a settle pass.
const SETTLE: Tasks = &[&[0b101, 0b010], &[0b111]];
/// Two ranges, then a settle pass over both that finds a late event.
const RANGES: Tasks = &[&[0b001], &[0b010], &[0b111]];
/// The second range shows an event of the first, too.
const OVERLAP: Tasks = &[&[0b01], &[0b11]];
/// The first of two pages has an event in each of two partitions.
const PARTITIONS: Tasks = &[&[0b011, 0b100]];
/// The late event of [`SETTLE`] and [`RANGES`].
const LATE: Events = 0b100;

const PROTOCOL: Rules = Rules::PROTOCOL;

fn scenario(name: &'static str, tasks: Tasks) -> Scenario {
    Scenario {
        name,
        breaks: false,
        rules: PROTOCOL,
        runs: 2,
        same_process: &[],
        claim_only: &[],
        tasks,
        second_partition: 0,
        full_at: [1, 1],
        visible: Events::MAX,
        late: 0,
        lost_answers: 0,
        prunes: 0,
        renewals: 0,
        failures: 0,
        copies_that_lie: 0,
        puts_that_lie: 0,
    }
}

fn with_a_late_event(name: &'static str, tasks: Tasks) -> Scenario {
    Scenario {
        visible: !LATE,
        late: LATE,
        ..scenario(name, tasks)
    }
}

fn shortcut(name: &'static str, tasks: Tasks, rules: Rules) -> Scenario {
    Scenario {
        breaks: true,
        rules,
        ..scenario(name, tasks)
    }
}

/// Each shortcut, in the least that breaks it.
#[expect(clippy::too_many_lines, reason = "a table")]
pub fn shortcuts() -> Vec<Scenario> {
    vec![
        shortcut(
            "delete-without-looking",
            ONE,
            Rules {
                look_before_delete: false,
                ..PROTOCOL
            },
        )
        .with(|it| it.copies_that_lie = 1),
        shortcut(
            "vanished-file-passed-over",
            ONE,
            Rules {
                vanished: Vanished::IsPassedOver,
                ..PROTOCOL
            },
        )
        .with(|it| it.puts_that_lie = 1),
        shortcut(
            "create-looks-then-puts",
            AGAIN,
            Rules {
                create: Create::LookThenPut,
                ..PROTOCOL
            },
        ),
        shortcut(
            "staging-listed-late",
            ONE,
            Rules {
                staging_listed: StagingListed::AfterPublishing,
                ..PROTOCOL
            },
        ),
        shortcut(
            "prune-unpublished",
            ONE,
            Rules {
                pruning: Pruning::AnyOldCommit,
                ..PROTOCOL
            },
        )
        .with(|it| it.prunes = 2),
        shortcut(
            "prune-not-yet-recorded",
            TWO,
            Rules {
                pruning: Pruning::UpToWhatTheRunKnows,
                ..PROTOCOL
            },
        )
        .with(|it| (it.runs, it.prunes) = (3, 3)),
        shortcut(
            "own-commit-by-run",
            TWO,
            Rules {
                own_commit: OwnCommit::ByTheRun,
                ..PROTOCOL
            },
        )
        .with(|it| (it.renewals, it.lost_answers) = (1, 1)),
        shortcut(
            "cursor-lists-full-parts-only",
            PARTITIONS,
            Rules {
                commit_lists_all_parts: false,
                ..PROTOCOL
            },
        )
        .with(|it| (it.runs, it.second_partition, it.full_at) = (1, 0b010, [1, 2])),
        shortcut(
            "ids-before-claim",
            AGAIN,
            Rules {
                ids_read: IdsRead::BeforeTheClaim,
                ..PROTOCOL
            },
        ),
        shortcut(
            "ids-before-recovery",
            AGAIN,
            Rules {
                ids_read: IdsRead::AfterTheClaim,
                ..PROTOCOL
            },
        ),
        shortcut(
            "kept-ids-trusted",
            RANGES,
            Rules {
                ids_kept: IdsKept::CommittedWhoeverCommittedSince,
                ..PROTOCOL
            },
        )
        .with(|it| (it.runs, it.same_process, it.failures) = (3, &[(2, 0)], 1)),
        shortcut(
            "kept-ids-of-uncommitted-rows",
            ONE,
            Rules {
                ids_kept: IdsKept::PulledIfNobodyCommittedSince,
                ..PROTOCOL
            },
        )
        .with(|it| (it.same_process, it.failures) = (&[(1, 0)], 1)),
        shortcut(
            "commit-checked-by-next-number",
            AGAIN,
            Rules {
                commit_checked: CommitChecked::ByLookingForTheNext,
                ..PROTOCOL
            },
        )
        .with(|it| it.prunes = 3),
        shortcut(
            "commit-unchecked",
            ONE,
            Rules {
                commit_checked: CommitChecked::Never,
                ..PROTOCOL
            },
        )
        .with(|it| it.prunes = 2),
        shortcut(
            "commit-unchecked-and-key-without-run",
            ONE,
            Rules {
                commit_checked: CommitChecked::Never,
                final_keys: FinalKeys::CarryTheVersionOnly,
                ..PROTOCOL
            },
        )
        .with(|it| it.prunes = 2),
        shortcut(
            "claim-unchecked",
            TWO,
            Rules {
                claim_checked: false,
                ..PROTOCOL
            },
        )
        .with(|it| it.prunes = 2),
        shortcut(
            "renewal-records-unpublished",
            ONE,
            Rules {
                renewal_records: RenewalRecords::ItsPredecessor,
                ..PROTOCOL
            },
        )
        .with(|it| it.renewals = 1),
        shortcut(
            "windows-own-ids",
            OVERLAP,
            Rules {
                windows_share_ids: false,
                ..PROTOCOL
            },
        )
        .with(|it| it.runs = 1),
        shortcut(
            "failing-run-cleans-up",
            ONE,
            Rules {
                staged_kept_on_failure: false,
                ..PROTOCOL
            },
        )
        .with(|it| it.lost_answers = 1),
    ]
}

/// The protocol in scopes that take seconds each.
pub fn protocol() -> Vec<Scenario> {
    vec![
        scenario("one-event", ONE).with(|it| (it.runs, it.lost_answers, it.prunes) = (3, 1, 2)),
        scenario("cursor", TWO).with(|it| it.runs = 3),
        scenario("cursor-renewals", TWO)
            .with(|it| (it.lost_answers, it.renewals, it.prunes) = (1, 1, 2)),
        with_a_late_event("settle", SETTLE).with(|it| (it.lost_answers, it.prunes) = (1, 2)),
        with_a_late_event("ranges", RANGES).with(|it| (it.lost_answers, it.prunes) = (1, 2)),
        scenario("partitions", PARTITIONS)
            .with(|it| (it.second_partition, it.full_at, it.lost_answers) = (0b010, [1, 2], 1)),
        scenario("windows", OVERLAP).with(|it| (it.lost_answers, it.renewals) = (1, 1)),
        scenario("kept-ids", RANGES)
            .with(|it| (it.runs, it.same_process, it.failures) = (3, &[(2, 0)], 1)),
        scenario("lying-copies", TWO).with(|it| (it.runs, it.copies_that_lie) = (3, 2)),
        scenario("lying-copies-and-prunes", AGAIN)
            .with(|it| (it.copies_that_lie, it.lost_answers, it.prunes) = (2, 1, 2)),
        scenario("lying-uploads", TWO).with(|it| (it.runs, it.puts_that_lie) = (3, 1)),
        with_a_late_event("lying-uploads-settle", SETTLE)
            .with(|it| (it.puts_that_lie, it.copies_that_lie, it.prunes) = (1, 1, 2)),
    ]
}

/// The protocol in scopes that take minutes each.
pub fn long() -> Vec<Scenario> {
    vec![
        scenario("claim-only", ONE).with(|it| (it.runs, it.claim_only, it.prunes) = (4, &[1], 3)),
        with_a_late_event("three-runs", SETTLE)
            .with(|it| (it.runs, it.lost_answers, it.prunes) = (3, 1, 3)),
        scenario("four-runs", TWO).with(|it| (it.runs, it.prunes) = (4, 4)),
        scenario("three-runs-renewals", TWO)
            .with(|it| (it.runs, it.lost_answers, it.renewals, it.prunes) = (3, 1, 1, 2)),
        scenario("three-runs-lies", TWO).with(|it| {
            (
                it.runs,
                it.copies_that_lie,
                it.puts_that_lie,
                it.prunes,
                it.lost_answers,
            ) = (3, 1, 1, 2, 1);
        }),
    ]
}

impl Scenario {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}
