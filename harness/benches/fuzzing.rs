//! What fuzzing costs: how many programs a second are made and judged, and where the time of one goes.
//!
//! Prints what it measured on one processor, the best of several rounds, each part besides as a share of the whole of this
//! one run. With the names of drivers behind `--`, such as `built:uml-c`, campaigns on one guest of each are measured too.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use binderdrill::campaign::{Bench, Campaign, Event, Lane, Source, Tally};
use binderdrill::engine::SetUpError;
use binderdrill::generate::{Emphasis, Settled, bytes_of_seed, generate, settle};
use binderdrill::oracle;
use binderdrill::report::write_tally;
use binderdrill::script::{parse, print};
use binderdrill::suite;
use binderdrill::target::{ReferenceTarget, Target, TargetOptions, live_as_asked, named};
use reference_driver::Profile;

const ROUNDS: usize = 5;
const PROGRAMS: u64 = 400;
const CAMPAIGN: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    if let Some(status) = live_as_asked() {
        return status;
    }
    let targets: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    for emphasis in [Emphasis::CommandStreams, Emphasis::ReferenceCounts, Emphasis::MalformedTransactions] {
        judging(emphasis);
    }
    for target in targets {
        if let Err(error) = campaign(&target) {
            eprintln!("{target}: {error}");
        }
    }
    ExitCode::SUCCESS
}

/// What it takes to judge programs, and each part of that.
fn judging(emphasis: Emphasis) {
    let inputs: Vec<Vec<u8>> = (0..PROGRAMS).map(bytes_of_seed).collect();
    let made = |input: &Vec<u8>| generate(emphasis, &Profile::C, &mut Unstructured::new(input));
    let settled: Vec<Settled> = inputs.iter().map(made).collect();
    let texts: Vec<String> = settled.iter().map(|settled| print(&settled.program)).collect();
    let steps: usize = settled.iter().map(|settled| settled.program.steps.len()).sum();
    let generating = best(|| inputs.iter().for_each(|input| drop(black_box(made(input)))));
    let examining = best(|| {
        for settled in &settled {
            assert_eq!(oracle::examine(settled, &Profile::C), Ok(()));
        }
    });
    let whole = generating + examining;
    let steps_each = steps as f64 / PROGRAMS as f64;
    println!("{emphasis}: {:.0} programs of {steps_each:.1} steps a second", 1.0 / each(whole));
    println!("  (to be at least 20000 of command-streams at 20 steps with AddressSanitizer, 100000 without)");
    part("making them, on the model", generating, whole);
    part("laws and the count of references", examining, whole);
    println!("  and what is not done for each:");
    let again = |settled: &Settled| settle(&settled.program, &Profile::C, &mut Unstructured::new(&[]));
    part(
        "settling them again",
        best(|| settled.iter().for_each(|settled| drop(black_box(again(settled))))),
        whole,
    );
    let run = |settled: &Settled| ReferenceTarget::new(Profile::C).run(&settled.program);
    part(
        "running them on the model",
        best(|| settled.iter().for_each(|settled| drop(black_box(run(settled))))),
        whole,
    );
    let printing = || settled.iter().for_each(|settled| drop(black_box(print(&settled.program))));
    part("printing them", best(printing), whole);
    part(
        "reading them",
        best(|| texts.iter().for_each(|text| drop(black_box(parse(text.as_bytes()))))),
        whole,
    );
    println!();
}

fn part(what: &str, time: Duration, whole: Duration) {
    let share = time.as_secs_f64() / whole.as_secs_f64();
    println!("  {what:<34} {:>8.1} us each {share:>8.2}", each(time) * 1e6);
}

/// The seconds of one program.
fn each(time: Duration) -> f64 {
    time.as_secs_f64() / PROGRAMS as f64
}

fn best(mut measured: impl FnMut()) -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        measured();
        start.elapsed()
    });
    rounds.min().unwrap_or_default()
}

/// A campaign on one guest, as `binderdrill fuzz --jobs 1` does it.
fn campaign(target: &str) -> Result<(), SetUpError> {
    let corpus = suite::embedded().into_iter().filter_map(|case| Some(case.script.ok()?.program)).collect();
    let source = Source { emphasis: Emphasis::Mix, corpus };
    let campaign = Campaign { seed: 1, programs: None, time: Some(CAMPAIGN), source };
    let bench = || {
        let driver =
            named(target, &TargetOptions::default()).map_err(|error| SetUpError(error.to_string()))?;
        Bench::of_model_and(driver)
    };
    let lane = Lane { name: format!("reference, {target}"), benches: 1, bench: Box::new(bench) };
    let mut tally = Tally::new(campaign.seed, [lane.name.clone()]);
    let mut failed = None;
    let mut started = None;
    campaign.run(&[lane], &AtomicBool::new(false), |event| match event {
        // How long the guest took to boot is not what is measured.
        Event::Ready { .. } => started = Some(Instant::now()),
        Event::Ran(ran) => tally.count(ran, started.map_or(CAMPAIGN, |start| start.elapsed()), |_| None),
        Event::Took(took) => tally.lanes[took.lane].note_time(took),
        Event::Found(_) => {}
        Event::Failed { error, .. } => failed = Some(error),
    });
    write_tally(&mut std::io::stdout(), &tally).map_err(|error| SetUpError(error.to_string()))?;
    println!("  (to be at least 500 a second on a guest of User-mode Linux, and 250 in QEMU without KVM)");
    failed.map_or(Ok(()), Err)
}
