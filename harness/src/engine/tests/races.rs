//! Races on the reference driver, on which one of the orders is taken in each run.

use reference_driver::Profile;

use super::difference;
use crate::engine::{Run, StepOutcome, Verdict, run};
use crate::script;
use crate::target::ReferenceTarget;

/// Runs a script in which a call races with the end of its server, and the caller reads this.
fn call_beside_the_end(seed: u64, reads: &str) -> Run {
    let script = format!(
        "# A test.\nprocess server context-manager\nprocess client\n\nclient ! BINDER_VERSION = 8\n\
         race 40 times seed {seed} {{\n  server ! exit\n| client > BC_TRANSACTION {{ handle 0 }}\n}}\n\
         client < {reads}\n"
    );
    let script = script::parse(script.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
    run(&script.program, &mut ReferenceTarget::new(Profile::C)).unwrap()
}

const EARLY: &str = "BR_DEAD_REPLY";
const LATE: &str = "BR_TRANSACTION_COMPLETE, BR_DEAD_REPLY";

#[test]
fn every_order_comes_and_what_comes_of_it_is_not_told() {
    let run = call_beside_the_end(0, &format!("any of {{ {EARLY} | {LATE} }}"));
    assert_eq!(run.verdict, Verdict::Pass);
    assert_eq!(run.transcript.steps.len(), 1, "{:?}", run.transcript);
    // Neither of them alone is enough.
    assert!(difference(&call_beside_the_end(0, EARLY)).contains(" of 40, whose delays `--seed 0` repeats)"));
    assert!(matches!(call_beside_the_end(0, LATE).verdict, Verdict::Fail(_)));
}

#[test]
fn the_same_seed_deviates_in_the_same_run() {
    for seed in [0, 7] {
        let run = call_beside_the_end(seed, EARLY);
        assert_eq!(run, call_beside_the_end(seed, EARLY));
        assert!(difference(&run).contains(&format!("`--seed {seed}` repeats")));
    }
}

#[test]
fn the_step_that_deviates_in_a_race_is_told_last() {
    let script = "# A test.\nprocess one\nprocess other\n\n\
                  race 2 times {\n  one ! poll = POLLERR | POLLIN\n| other ! poll = POLLIN\n}\n";
    let script = script::parse(script.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
    let run = run(&script.program, &mut ReferenceTarget::new(Profile::C)).unwrap();
    assert!(difference(&run).ends_with("(in run 1 of 2, whose delays `--seed 0` repeats)"));
    let threads: Vec<&str> = run.transcript.steps.iter().map(|record| record.thread.as_str()).collect();
    assert_eq!(threads, ["other", "one"]);
    assert_eq!(run.transcript.steps[1].outcome, StepOutcome::Polled { events: vec!["POLLIN".to_owned()] });
}
