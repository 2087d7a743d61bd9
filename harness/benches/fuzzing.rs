//! What fuzzing costs: how many programs a second are made and judged, and where the time of one goes.
//!
//! Prints what it measured on one processor, the best of several rounds, each part besides as a share of the whole of this
//! one run. With the names of drivers behind `--`, such as `built:uml-c`, campaigns on one guest of each are measured too.
//!
//! It does what the fuzz targets do with bytes that no engine has seen before. What an engine makes of that, with its own
//! work, with its mutations and with AddressSanitizer, it says itself; see "The checks" in CONTRIBUTING.md.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use binderdrill::campaign::{Bench, Campaign, Event, Lane, Source, Tally};
use binderdrill::engine::SetUpError;
use binderdrill::fuzz_target::FuzzTarget;
use binderdrill::generate::{Depth, Emphasis, Settled, Stage, bytes_of_seed, generate, settle};
use binderdrill::oracle;
use binderdrill::report::write_tally;
use binderdrill::script::{LARGEST_SCRIPT, parse, print};
use binderdrill::suite;
use binderdrill::target::{Audits, ReferenceTarget, Target, TargetOptions, live_as_asked, named};
use mimalloc::MiMalloc;
use nix::time::{ClockId, clock_gettime};
use reference_driver::Profile;

/// As the fuzz targets have it where there is no sanitizer.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const ROUNDS: usize = 5;
const PROGRAMS: u64 = 400;
const CAMPAIGN: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    if let Some(status) = live_as_asked() {
        return status;
    }
    let targets: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    for (fuzz_target, emphasis) in [
        (FuzzTarget::CommandStream, Emphasis::CommandStreams),
        (FuzzTarget::Refcount, Emphasis::ReferenceCounts),
        (FuzzTarget::MalformedTransaction, Emphasis::MalformedTransactions),
    ] {
        judging(fuzz_target, emphasis);
    }
    for target in targets {
        if let Err(error) = campaign(&target) {
            eprintln!("{target}: {error}");
        }
    }
    ExitCode::SUCCESS
}

/// What it takes to judge programs as a fuzz target does, and each part of that.
fn judging(fuzz_target: FuzzTarget, emphasis: Emphasis) {
    let inputs: Vec<Vec<u8>> = (0..PROGRAMS).map(bytes_of_seed).collect();
    let quickly = Stage { profile: &Profile::C, audits: Audits::AtTheEnd };
    let carefully = Stage { profile: &Profile::C, audits: Audits::AfterEachCall };
    let made = |input: &Vec<u8>, stage| generate(emphasis, stage, &mut Unstructured::new(input));
    let settled: Vec<Settled> = inputs.iter().map(|input| made(input, carefully)).collect();
    let texts: Vec<String> = settled.iter().map(|settled| print(&settled.program)).collect();
    let steps: usize = settled.iter().map(|settled| settled.program.steps.len()).sum();
    let judging = best(|| {
        for input in &inputs {
            assert_eq!(fuzz_target.judge_of_many(input), Ok(()));
        }
    });
    let steps_each = steps as f64 / PROGRAMS as f64;
    let a_second = 1.0 / each(judging);
    println!(
        "{fuzz_target}: {a_second:.0} programs of {steps_each:.1} steps a second of one processor's time,"
    );
    println!("  which is as many steps as {:.0} programs of 20 have", a_second * steps_each / 20.0);
    println!("  (to be at least 20000 of command_stream at 20 steps with AddressSanitizer, 100000 without)");
    let depth = settled.iter().fold(Depth::default(), |mut depth, settled| {
        depth += settled.depth();
        depth
    });
    println!(
        "  {:.0} of 100 steps succeed; a program completes {:.1} transactions",
        100.0 * depth.successes as f64 / depth.steps as f64,
        depth.completed() as f64 / PROGRAMS as f64
    );
    let making = |stage| best(|| inputs.iter().for_each(|input| drop(black_box(made(input, stage)))));
    part("making them, on the model", making(quickly), judging);
    let examining = best(|| {
        for settled in &settled {
            assert_eq!(oracle::examine(settled, &Profile::C), Ok(()));
        }
    });
    part("laws and the count of references", examining, judging);
    println!("  and what is not done for each:");
    part("making them, audited at each call", making(carefully), judging);
    let again = |settled: &Settled| settle(&settled.program, quickly, &mut Unstructured::new(&[]));
    part(
        "settling them again",
        best(|| settled.iter().for_each(|settled| drop(black_box(again(settled))))),
        judging,
    );
    let run = |settled: &Settled| ReferenceTarget::new(Profile::C).run(&settled.program);
    part(
        "running them on the model",
        best(|| settled.iter().for_each(|settled| drop(black_box(run(settled))))),
        judging,
    );
    let printing = || settled.iter().for_each(|settled| drop(black_box(print(&settled.program))));
    part("printing them", best(printing), judging);
    part(
        "reading them",
        best(|| texts.iter().for_each(|text| drop(black_box(parse(text.as_bytes()))))),
        judging,
    );
    let mutants = || {
        for (text, seed) in texts.iter().zip(0..) {
            if let Some(mutant) = fuzz_target.mutate(text.as_bytes(), LARGEST_SCRIPT, seed) {
                assert_eq!(fuzz_target.judge_of_many(&mutant), Ok(()));
            }
        }
    };
    part("reading, changing and judging them", best(mutants), judging);
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

/// The time that this thread has had of a processor: others who use the machine make no difference to it.
fn best(mut measured: impl FnMut()) -> Duration {
    let now = || {
        let clock = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
        Duration::from(clock.expect("every thread has a clock of its own"))
    };
    let rounds = (0..ROUNDS).map(|_| {
        let start = now();
        measured();
        now() - start
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
        Event::Ready => started = Some(Instant::now()),
        Event::Ran(ran) => tally.count(ran, started.map_or(CAMPAIGN, |start| start.elapsed())),
        Event::Took(took) => tally.lanes[took.lane].note_time(took),
        Event::Found(_) => {}
        Event::Failed { error, .. } => failed = Some(error),
    });
    write_tally(&mut std::io::stdout(), &tally).map_err(|error| SetUpError(error.to_string()))?;
    println!("  (to be at least 500 a second on a guest of User-mode Linux, and 250 in QEMU without KVM)");
    failed.map_or(Ok(()), Err)
}
