//! Tests of the engine against a world that does what a test tells it to.

mod fake;
mod matching;
mod memory;
mod races;
mod running;
mod threads;

use crate::engine::{Run, Verdict, run};
use crate::script;
use fake::{FakeWorlds, Reply};

/// Runs a script against a driver that gives these replies. The title and the like are put in front.
fn run_script(script: &str, replies: Vec<Reply>) -> Run {
    run_on(script, &mut FakeWorlds::new(replies))
}

fn run_on(script: &str, target: &mut FakeWorlds) -> Run {
    let script = format!("# A test.\nclause: test.1\n\n{script}");
    let script = script::parse(script.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
    run(&script.program, target).unwrap()
}

/// How a run deviated, in words.
fn difference(run: &Run) -> &str {
    match &run.verdict {
        Verdict::Fail(deviation) => &deviation.difference,
        other => panic!("not a deviation: {other:?}"),
    }
}
