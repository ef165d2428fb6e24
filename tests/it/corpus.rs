//! What fuzzing has found, tried again on each build: every input that reached new code, and every one that failed
//! once. `make fuzz` looks for more.
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "the figures are for people")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is a library by itself")]
mod targets;

#[test]
fn every_input_that_fuzzing_has_found_is_fine() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut failed = Vec::new();
    for (name, target) in targets::TARGETS {
        let packed = std::fs::read(corpus.join(format!("{name}.json"))).unwrap();
        let inputs: Vec<String> = serde_json::from_slice(&packed).unwrap();
        for input in &inputs {
            let bytes: Vec<u8> = (input.chars())
                .map(|byte| u8::try_from(byte).unwrap())
                .collect();
            if catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_err() {
                failed.push((name, input.clone()));
            }
        }
        let tried = inputs.len();
        println!("tried: {tried} inputs that fuzzing found for {name}");
        assert!(tried > 50, "{name} has no corpus");
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// A target without a binary is never run.
#[test]
fn every_target_has_a_binary() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut binaries: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    binaries.sort();
    let mut names: Vec<String> = (targets::TARGETS.iter())
        .map(|(name, _)| format!("{name}.rs"))
        .collect();
    names.sort();
    assert_eq!(binaries, names);
}
