//! Every process has a clock of its own, minutes ahead of the true time or behind it: claims look live that have
//! expired, and expired that are live. That may cost time, never rows.

use auditlake::lake::{ClaimOutcome, JobLog, LogRun};
use auditlake::run::RunOutcome;
use chrono::TimeDelta;

use super::turns::{check_ends, take_turns};
use super::world::{Step, World, copy_of, lake, short_provider};
use crate::support::store::{Answer, Fault};

const LIFE: TimeDelta = TimeDelta::seconds(30);

/// A run claims the job and is never heard of again, on a machine whose clock is off; another one, whose clock is off too,
/// comes later.
#[tokio::test]
async fn a_claim_holds_others_up_for_no_longer_than_its_life_and_the_clocks_difference() {
    let provider = short_provider().await;
    let skews = || (-10..=10).step_by(2).map(TimeDelta::minutes);
    let longest = TimeDelta::minutes(10);
    let (mut held, mut pairs) = (0, 0);
    for (one, other) in skews().flat_map(|one| skews().map(move |other| (one, other))) {
        pairs += 1;
        let world = World::of(&provider, lake().await).await;
        let process = world.process(Fault::None).skewed(one);
        let claimed = JobLog::claim(&process.lake(), LogRun::new("job", LIFE)).await;
        assert!(matches!(claimed, Ok(ClaimOutcome::Mine(_))));
        let claims = async |after: TimeDelta| {
            let world = World::of(&provider, copy_of(&world.store).await).await;
            // so much later, by its own clock
            let process = world.process(Fault::None).skewed(other + after);
            let claimed = JobLog::claim(&process.lake(), LogRun::new("job", LIFE)).await;
            matches!(claimed.unwrap(), ClaimOutcome::Mine(_))
        };
        let left = LIFE + one - other;
        let most = left.min(longest).max(TimeDelta::zero());
        let context = format!("clocks {one} and {other}");
        assert!(
            claims(most + TimeDelta::seconds(1)).await
                || left > longest && claims(TimeDelta::zero()).await,
            "{context}: longer than {most}"
        );
        // no more than a few seconds have passed since the claim was made
        if left > TimeDelta::minutes(1) && left <= longest {
            assert!(!claims(TimeDelta::zero()).await, "{context}: not held");
            held += 1;
        }
        if left > longest {
            assert!(
                claims(TimeDelta::zero()).await,
                "{context}: nobody can wait for {left}"
            );
        }
    }
    println!("tried: {pairs} pairs of clocks, {held} claims held others up");
    assert!(held > 10);
}

/// One run is paused after each number of calls, its successor does what its clock permits, then the first continues.
#[tokio::test]
async fn clocks_that_are_off_cost_no_rows() {
    let provider = short_provider().await;
    let minutes = [-10, -5, 0, 5, 10];
    let (mut taken, mut left) = (0, 0);
    for (one, other) in minutes
        .iter()
        .flat_map(|one| minutes.map(|other| (*one, other)))
    {
        for pause in (1..40).step_by(3) {
            let context = format!("clocks off by {one} and {other} minutes, paused after {pause}");
            let world = World::of(&provider, lake().await).await;
            let processes = [one, other]
                .map(|by| world.process(Fault::None).skewed(TimeDelta::minutes(by)))
                .into();
            let mut done = 0;
            let ended = take_turns(&world, Step::FirstPull, processes, |_, live| {
                done += 1;
                let wanted = usize::from(done > pause);
                let next = live.iter().find(|next| next.run == wanted);
                Some((next.unwrap_or(&live[0]).run, Answer::Arrives))
            })
            .await;
            check_ends(&ended, &context);
            match &ended[1] {
                Some(Ok(RunOutcome::Held(_))) => left += 1,
                _ => taken += 1,
            }
            world.run_clean(Step::FirstPull, &context).await;
            world.check(Step::FirstPull, &context).await;
        }
    }
    println!(
        "tried: {} schedules with other clocks: {taken} taken over, {left} left alone",
        taken + left
    );
    assert!(taken > 50 && left > 50, "{taken}, {left}");
}

/// A run claims the job on a machine whose clock is minutes ahead, and is never heard of again: who has looked at its
/// claim for as long as claims live waits no longer, whatever time it names.
#[tokio::test]
async fn a_claim_of_a_clock_that_is_ahead_is_waited_for_no_longer_than_claims_live() {
    let provider = short_provider().await;
    for ahead in [5, 7, 9].map(TimeDelta::minutes) {
        let mut world = World::of(&provider, lake().await).await;
        let rival = world.process(Fault::None).skewed(ahead);
        let claimed = JobLog::claim(&rival.lake(), LogRun::new("job", LIFE)).await;
        assert!(matches!(claimed, Ok(ClaimOutcome::Mine(_))));
        world.claim_life = TimeDelta::milliseconds(300);
        let process = world.process(Fault::None).skewed(TimeDelta::zero());
        let begun = std::time::Instant::now();
        let mut held = 0;
        let waited = loop {
            match world.run(&process, Step::FirstPull).await.unwrap() {
                RunOutcome::Held(_) => held += 1,
                RunOutcome::Ran(_) => break begun.elapsed(),
            }
            assert!(begun.elapsed() < LIFE.to_std().unwrap(), "{ahead}: held");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        assert!(held > 1 && waited.as_millis() >= 300, "{held}, {waited:?}");
        world
            .check(Step::FirstPull, "after a claim that was outlived")
            .await;
    }
}
