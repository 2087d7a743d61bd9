//! Campaigns: program after program on several targets, to see where they part ways.
//!
//! A [`Lane`] is what is compared with what: a driver with its model, or drivers with each other. It has a [`bench`] for
//! each guest that is up at a time. A divergence does not end a campaign: the program is made smaller
//! ([`crate::minimise`]), if that can tell anything, told as a [`Finding`], and the next one runs.

mod bench;
mod finding;
mod known;
mod side_by_side;
mod signature;
mod source;
mod tally;

pub use bench::{Bench, Difference, Differences, Foretold, Maker, fault_of_model, profile_of};
pub use finding::{Finding, Steadiness};
pub use known::{KnownDivergence, KnownDivergences, UnreadableDivergences};
pub use side_by_side::side_by_side;
pub use signature::Signature;
pub use source::Source;
pub use tally::{Group, LaneTally, Tally};

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::{self, SetUpError};
use crate::generate::Depth;
use crate::minimise::minimise;
use crate::program::Program;
use crate::target::Spent;

/// The most programs that are run at a time.
const LARGEST_BATCH: usize = 64;

/// How long programs may take that are run at a time: nothing is heard of them before all have been run, and nobody can
/// stop them.
const LONGEST_BATCH: Duration = Duration::from_millis(400);

/// How often programs are run, at most, to make one smaller.
const MOST_RUNS: u32 = 1500;

/// How often a program is run to see whether it diverges always.
const REPETITIONS: u32 = 5;

/// What is to be run, and for how long.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// The seed of the first program; that of each further one is greater by one.
    pub seed: u64,
    /// How many programs each lane runs.
    pub programs: Option<u64>,
    /// How long programs are begun.
    pub time: Option<Duration>,
    /// Where programs come from.
    pub source: Source,
}

/// What is compared with what.
pub struct Lane<'a> {
    /// What it is called, such as `reference, built:uml-c`.
    pub name: String,
    /// How many benches run programs at a time.
    pub benches: usize,
    /// Makes a bench.
    pub bench: Box<dyn Fn() -> Result<Bench, SetUpError> + Sync + 'a>,
}

/// What happens in a campaign.
#[derive(Debug)]
pub enum Event {
    /// A bench is there, whose driver has this profile.
    Ready {
        /// The index of its lane.
        lane: usize,
        /// The profile.
        profile: &'static str,
    },
    /// A program has been run.
    Ran(Ran),
    /// Programs have been run that took so long.
    Took(Took),
    /// A program on which targets part ways has been looked into, and as a rule made smaller.
    Found(Box<Finding>),
    /// No more programs can be run there.
    Failed {
        /// The index of the lane.
        lane: usize,
        /// Why.
        error: SetUpError,
    },
}

/// A program that has been run.
#[derive(Debug)]
pub struct Ran {
    /// The index of its lane.
    pub lane: usize,
    /// How far it goes.
    pub depth: Depth,
    /// How targets part ways on it, if they do.
    pub signature: Option<Signature>,
    /// How long it took to make it.
    pub making: Duration,
    /// How long it took to run it, on all targets.
    pub running: Duration,
}

/// How long some programs took.
#[derive(Debug)]
pub struct Took {
    /// The index of their lane.
    pub lane: usize,
    /// How many they are.
    pub programs: u64,
    /// How long the first target took, which is the model if there is one.
    pub first: Duration,
    /// How long the others took.
    pub others: Duration,
    /// Where that went, as far as they tell, for some of the programs.
    pub spent: Spent,
}

impl Campaign {
    /// Runs programs until there have been enough or somebody says so, and tells what happens.
    pub fn run(&self, lanes: &[Lane<'_>], stop: &AtomicBool, mut tell: impl FnMut(Event)) {
        let ends = self.time.map(|time| Instant::now() + time);
        let shared: Vec<Shared> = lanes.iter().map(|_| Shared::default()).collect();
        let shared = &shared;
        std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            for (place, lane) in lanes.iter().enumerate() {
                for _ in 0..lane.benches {
                    let worker = Worker {
                        campaign: self,
                        lane: place,
                        shared: &shared[place],
                        ends,
                        stop,
                        sender: sender.clone(),
                    };
                    let work = move || {
                        if let Err(error) = (lane.bench)().and_then(|bench| worker.work(bench)) {
                            worker.tell(Event::Failed { lane: place, error });
                        }
                    };
                    if let Err(error) = engine::thread().spawn_scoped(scope, work) {
                        let error = SetUpError(format!("no thread can be started: {error}"));
                        tell(Event::Failed { lane: place, error });
                    }
                }
            }
            drop(sender);
            receiver.into_iter().for_each(&mut tell);
        });
    }
}

/// What the benches of a lane have in common.
#[derive(Default)]
struct Shared {
    /// How many programs have been begun.
    begun: AtomicU64,
    /// What has been looked at already.
    seen: Mutex<BTreeSet<Signature>>,
}

/// Who runs programs on one bench.
struct Worker<'a> {
    campaign: &'a Campaign,
    lane: usize,
    shared: &'a Shared,
    ends: Option<Instant>,
    stop: &'a AtomicBool,
    sender: Sender<Event>,
}

/// Programs that are to be run at a time.
struct Batch {
    made: Vec<Made>,
    /// What the model does with them, if there is one.
    foretold: Option<Foretold>,
}

/// A program that is to be run.
struct Made {
    seed: u64,
    program: Program,
    depth: Depth,
    /// What the model is at fault with, if it is.
    fault: Option<Signature>,
    /// How long it took to make it.
    making: Duration,
}

impl Worker<'_> {
    /// Runs programs batch by batch, while the next batch is made.
    fn work(&self, mut bench: Bench) -> Result<(), SetUpError> {
        self.tell(Event::Ready { lane: self.lane, profile: bench.profile().name });
        let mut maker = bench.maker();
        let most = AtomicUsize::new(1);
        std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel(0);
            let most_now = &most;
            let make = move || {
                loop {
                    let batch = self.make(&mut maker, most_now.load(Ordering::Relaxed));
                    // Whoever runs them ends when nothing can be run any more.
                    if batch.made.is_empty() || sender.send(batch).is_err() {
                        break;
                    }
                }
            };
            engine::thread()
                .spawn_scoped(scope, make)
                .map_err(|error| SetUpError(format!("no thread can be started: {error}")))?;
            for batch in receiver {
                let started = Instant::now();
                let programs = batch.made.len();
                self.run(&mut bench, batch)?;
                let in_time = LONGEST_BATCH.as_secs_f64() / started.elapsed().as_secs_f64() * programs as f64;
                most.store((in_time as usize).clamp(1, LARGEST_BATCH), Ordering::Relaxed);
            }
            Ok(())
        })
    }

    /// Makes the next programs, at most so many.
    fn make(&self, maker: &mut Maker, most: usize) -> Batch {
        let make = |seed| {
            let started = Instant::now();
            let settled = self.campaign.source.program(seed, maker.profile());
            let depth = settled.depth();
            let fault = fault_of_model(settled.fault.as_ref());
            let program = maker.fit(settled.program);
            Made { seed, program, depth, fault, making: started.elapsed() }
        };
        // One of which settling leaves nothing is no program.
        let is_program = |made: &Made| !made.program.steps.is_empty();
        let made: Vec<Made> =
            std::iter::from_fn(|| self.next()).map(make).filter(is_program).take(most).collect();
        let programs: Vec<&Program> = made.iter().map(|made| &made.program).collect();
        // If it cannot be run there, the bench says so.
        let foretold = maker.foretell(&programs).ok().flatten();
        Batch { made, foretold }
    }

    fn run(&self, bench: &mut Bench, Batch { made, foretold }: Batch) -> Result<(), SetUpError> {
        let programs: Vec<&Program> = made.iter().map(|made| &made.program).collect();
        let Differences { found, by_first, by_others, spent } = bench.differences(&programs, foretold)?;
        let running = (by_first + by_others) / made.len() as u32;
        let programs = made.len() as u64;
        self.tell(Event::Took(Took { lane: self.lane, programs, first: by_first, others: by_others, spent }));
        for (made, difference) in made.into_iter().zip(found) {
            let Made { seed, program, depth, fault, making } = made;
            let signature = fault.or_else(|| difference.as_ref().map(|found| found.signature.clone()));
            self.tell(Event::Ran(Ran {
                lane: self.lane,
                depth,
                signature: signature.clone(),
                making,
                running,
            }));
            let Some(signature) = signature else { continue };
            let is_new = {
                let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.insert(signature.clone())
            };
            if is_new {
                let runs = difference.map(|difference| difference.runs).unwrap_or_default();
                let difference = Difference { signature, runs };
                let reduced = reduce(bench, &program, difference, &|| self.is_over())?;
                self.tell(Event::Found(Box::new(Finding {
                    lane: self.lane,
                    seed,
                    steps_before: program.steps.len(),
                    program: reduced.program,
                    difference: reduced.difference,
                    steadiness: reduced.steadiness,
                })));
            }
        }
        Ok(())
    }

    /// The seed of the next program, if there is to be one.
    fn next(&self) -> Option<u64> {
        if self.is_over() {
            return None;
        }
        let place = self.shared.begun.fetch_add(1, Ordering::Relaxed);
        let is_wanted = self.campaign.programs.is_none_or(|programs| place < programs);
        is_wanted.then(|| self.campaign.seed.wrapping_add(place))
    }

    /// Whether the time is up, or somebody wants an end.
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.ends.is_some_and(|ends| Instant::now() >= ends)
    }

    fn tell(&self, event: Event) {
        // Whoever listens does so until all have ended.
        let _ = self.sender.send(event);
    }
}

/// What is left of a program on which targets part ways.
#[derive(Debug)]
pub struct Reduced {
    /// The program.
    pub program: Program,
    /// What targets do with it.
    pub difference: Difference,
    /// How often.
    pub steadiness: Steadiness,
}

/// Makes a settled program smaller that shows this difference, and sees how often it does. One that does not again is left
/// as it is: what is tried then would tell nothing. So is one that is known to differ. Once somebody wants an end, it is left
/// as it is by then.
pub fn reduce(
    bench: &mut Bench,
    program: &Program,
    first: Difference,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Reduced, SetUpError> {
    let (steadiness, last) = repeat(bench, program, &first.signature)?;
    if steadiness.shown == 0 || bench.is_known(&first.signature) {
        return Ok(Reduced { program: program.clone(), difference: last.unwrap_or(first), steadiness });
    }
    let repetitions = if steadiness.is_steady() { 1 } else { REPETITIONS };
    let mut trial = bench.trial(&first.signature, repetitions, MOST_RUNS, is_stopped);
    let minimised = minimise(program, &mut trial);
    if let Some(error) = trial.error {
        return Err(error);
    }
    let (steadiness, last) = repeat(bench, &minimised.program, &first.signature)?;
    Ok(Reduced { program: minimised.program, difference: last.unwrap_or(first), steadiness })
}

/// How often a program shows a difference, and what was done the last time that it did.
fn repeat(
    bench: &mut Bench,
    program: &Program,
    signature: &Signature,
) -> Result<(Steadiness, Option<Difference>), SetUpError> {
    let mut steadiness = Steadiness { shown: 0, of: REPETITIONS };
    let mut last = None;
    for _ in 0..REPETITIONS {
        if let Some(difference) = bench.difference(program)?.filter(|found| found.signature == *signature) {
            steadiness.shown += 1;
            last = Some(difference);
        }
    }
    Ok((steadiness, last))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reference_driver::Profile;

    use super::*;
    use crate::engine::{Run, Verdict};
    use crate::generate::Emphasis;
    use crate::oracle;
    use crate::target::{ReferenceTarget, Target};

    fn campaign(programs: u64) -> Campaign {
        let source = Source { emphasis: Emphasis::Mix, corpus: Vec::new() };
        Campaign { seed: 7, programs: Some(programs), time: None, source }
    }

    fn run(campaign: &Campaign, bench: impl Fn() -> Result<Bench, SetUpError> + Sync) -> (u64, Vec<Finding>) {
        let lane = Lane { name: "a lane".to_owned(), benches: 1, bench: Box::new(bench) };
        let (mut ran, mut findings) = (0, Vec::new());
        campaign.run(&[lane], &AtomicBool::new(false), |event| match event {
            Event::Ready { .. } | Event::Took(_) => {}
            Event::Ran(_) => ran += 1,
            Event::Found(finding) => findings.push(*finding),
            Event::Failed { error, .. } => panic!("{error}"),
        });
        (ran, findings)
    }

    fn model(profile: Profile) -> Box<dyn Target> {
        Box::new(ReferenceTarget::new(profile))
    }

    #[test]
    fn a_model_does_what_it_does() {
        for profile in Profile::ALL {
            let (ran, findings) = run(&campaign(60), || Bench::of_model_and(model(profile.clone())));
            assert_eq!(ran, 60);
            assert!(findings.is_empty(), "{findings:?}");
        }
    }

    #[test]
    fn where_two_models_differ_is_found_and_each_finding_shows_it() {
        let peers = || Bench::of_peers(vec![model(Profile::C), model(Profile::RUST)]);
        let (ran, findings) = run(&campaign(40), peers);
        assert_eq!(ran, 40);
        assert!(findings.len() > 3, "{findings:?}");
        for finding in &findings {
            assert!(oracle::compare(&finding.program, &Profile::RUST).is_err(), "{finding:?}");
            assert!(finding.steadiness.is_steady() && finding.program.steps.len() <= finding.steps_before);
        }
        let signatures: BTreeSet<_> = findings.iter().map(|finding| &finding.difference.signature).collect();
        assert_eq!(signatures.len(), findings.len(), "one of each kind");
        assert_eq!(run(&campaign(40), peers).1, findings, "the seed is all that it depends on");
    }

    #[test]
    fn of_a_program_that_settling_leaves_nothing_of_nobody_hears() {
        let source = Source { emphasis: Emphasis::Mix, corpus: vec![Program::default()] };
        let seeds = 7..67;
        let is_empty = |seed: &u64| source.program(*seed, &Profile::C).program.steps.is_empty();
        let empty = seeds.filter(is_empty).count() as u64;
        assert!(empty > 0);
        let campaign = Campaign { source: source.clone(), ..campaign(60) };
        let (ran, _) = run(&campaign, || Bench::of_model_and(model(Profile::C)));
        assert_eq!(ran, 60 - empty);
    }

    #[test]
    fn who_wants_an_end_gets_what_is_there_by_then() {
        let models = vec![model(Profile::C), model(Profile::RUST)];
        let mut bench = Bench::of_peers(models).unwrap();
        let source = campaign(1).source;
        let found = (7..).find_map(|seed| {
            let program = bench.maker().fit(source.program(seed, &Profile::C).program);
            let difference = bench.difference(&program).unwrap()?;
            (program.steps.len() > 10).then_some((program, difference))
        });
        let (program, difference) = found.unwrap();
        let whole = reduce(&mut bench, &program, difference.clone(), &|| true).unwrap();
        assert_eq!(whole.program, program);
        let small = reduce(&mut bench, &program, difference, &|| false).unwrap();
        assert!(small.program.steps.len() < program.steps.len());
    }

    /// A target that does less than it should with one program, once.
    struct Fickle {
        model: ReferenceTarget,
        has_differed: bool,
        runs: Arc<AtomicU64>,
    }

    impl Target for Fickle {
        fn name(&self) -> String {
            "fickle".to_owned()
        }
        fn run(&mut self, program: &Program) -> Result<Run, SetUpError> {
            self.runs.fetch_add(1, Ordering::Relaxed);
            let mut run = self.model.run(program)?;
            if !self.has_differed && run.transcript.steps.len() > 3 {
                self.has_differed = true;
                run.transcript.steps.truncate(2);
            }
            Ok(run)
        }
        fn driver(&self) -> Option<String> {
            None
        }
        fn profile(&self) -> Option<String> {
            Target::profile(&self.model)
        }
    }

    #[test]
    fn what_does_not_come_again_is_told_as_it_was() {
        let runs = Arc::new(AtomicU64::new(0));
        let fickle = || {
            let model = ReferenceTarget::new(Profile::C);
            Bench::of_model_and(Box::new(Fickle { model, has_differed: false, runs: runs.clone() }))
        };
        let (ran, findings) = run(&campaign(30), fickle);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!((finding.steadiness.shown, finding.program.steps.len()), (0, finding.steps_before));
        assert_eq!(
            runs.load(Ordering::Relaxed),
            ran + u64::from(REPETITIONS),
            "nothing smaller has been tried"
        );
    }

    /// A target that dies over every program in which somebody dies.
    struct Mortal(ReferenceTarget);

    impl Target for Mortal {
        fn name(&self) -> String {
            "mortal".to_owned()
        }
        fn run(&mut self, program: &Program) -> Result<Run, SetUpError> {
            if crate::script::print(program).contains("! exit") {
                let reason = "the guest ended; the last lines of its console:\n  panic".to_owned();
                return Ok(Run { runs: 1, ..Run::without_steps(Verdict::Broken { reason }) });
            }
            self.0.run(program)
        }
        fn driver(&self) -> Option<String> {
            None
        }
        fn profile(&self) -> Option<String> {
            Target::profile(&self.0)
        }
    }

    #[test]
    fn a_target_that_dies_is_a_finding_and_the_campaign_goes_on() {
        let mortal = || Bench::of_model_and(Box::new(Mortal(ReferenceTarget::new(Profile::C))));
        let (ran, findings) = run(&campaign(60), mortal);
        assert_eq!(ran, 60);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(
            finding.difference.signature.as_str(),
            "mortal: the guest ended; the last lines of its console:"
        );
        assert_eq!(finding.program.steps.len(), 1);
        assert!(finding.text(&["reference", "mortal"], "replayed so").contains("panic"));
    }
}
