//! Explores the scenarios whose names begin with one of the arguments, or all but the long ones.

#![expect(clippy::print_stdout, reason = "results are its output")]

use std::process::ExitCode;
use std::time::Instant;

use protocol_model::{Scenario, explore, scenarios};

/// As many states as fit into a few gigabytes.
const MOST: usize = 40_000_000;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut all = scenarios::shortcuts();
    all.extend(scenarios::protocol());
    if !wanted.is_empty() {
        all.extend(scenarios::long());
        let is_long = |scenario: &Scenario| {
            wanted
                .iter()
                .any(|word| word == "long" || scenario.name.starts_with(word))
        };
        all.retain(is_long);
    }
    let unexpected = all.iter().filter(|scenario| !report(scenario)).count();
    if unexpected == 0 {
        println!("all {} scenarios ended as expected", all.len());
        ExitCode::SUCCESS
    } else {
        println!(
            "{unexpected} of {} scenarios did not end as expected",
            all.len()
        );
        ExitCode::FAILURE
    }
}

/// Explores a scenario; whether it ended as it has to.
fn report(scenario: &Scenario) -> bool {
    let begun = Instant::now();
    let found = explore(scenario, MOST);
    let seconds = begun.elapsed().as_secs_f32();
    let name = scenario.name;
    let is_expected = scenario.breaks == found.violation.is_some();
    match found.violation {
        None => {
            let complete = if found.is_complete {
                "complete"
            } else {
                "cut off"
            };
            println!(
                "{name}: no violation in {} states ({complete}, {} whole), {seconds:.1} s",
                found.states, found.whole
            );
        }
        Some(trace) => {
            println!(
                "{name}: {} ({} states, {seconds:.1} s)",
                trace.violation, found.states
            );
            for (number, step) in trace.steps.iter().enumerate() {
                println!("  {:>2}. {step}", number + 1);
            }
        }
    }
    is_expected
}
