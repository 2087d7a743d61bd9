//! Campaigns: program after program on several targets, to see where they part ways.
//!
//! A [`Lane`] is what is compared with what: a driver with its model, or drivers with each other. It has a [`bench`] for
//! each guest that is up at a time. A divergence does not end a campaign: the program is made smaller
//! ([`crate::minimise`]), if that can tell anything, told as a [`Finding`], and the next one runs.

mod bench;
mod finding;
mod known;
mod look;
mod side_by_side;
mod signature;
mod source;
mod tally;

pub use bench::{Bench, Compared, Difference, Differences, Foretold, Maker, fault_of_model, profile_of};
pub use finding::{Finding, Steadiness};
pub use known::{KnownDivergence, KnownDivergences, UnreadableDivergences};
pub use look::{Looks, REPETITIONS, Reduced, Reduction, reduce};
pub use side_by_side::side_by_side;
pub use signature::Signature;
pub use source::Source;
pub use tally::{Group, LaneTally, Tally};

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use crate::engine::{self, SetUpError};
use crate::generate::Depth;
use crate::program::Program;
use crate::target::Spent;
use look::Look;

/// The most programs that are run at a time.
const LARGEST_BATCH: usize = 64;

/// How long programs may take that are run at a time: nothing is heard of them before all have been run, and nobody can
/// stop them.
const LONGEST_BATCH: Duration = Duration::from_millis(400);

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
    /// A bench is there.
    Ready,
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
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took to make it.
    pub making: Duration,
    /// How long it took to run it, on all targets.
    pub running: Duration,
}

/// What became of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All targets did the same.
    Same,
    /// A target lacks what it requires, and has not run it.
    Skipped,
    /// Targets part ways on it.
    Diverges {
        /// How they do.
        signature: Signature,
        /// Why, if that is listed.
        known: Option<String>,
    },
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
    /// What has been looked into already.
    looks: Looks,
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
    /// Those over which the model itself has failed: they are not run.
    faulty: Vec<(Made, Signature)>,
    /// What the model does with them, if there is one.
    foretold: Option<Foretold>,
}

/// A program that is to be run.
struct Made {
    seed: u64,
    program: Program,
    depth: Depth,
    /// How long it took to make it.
    making: Duration,
}

impl Worker<'_> {
    /// Runs programs batch by batch, while the next batch is made.
    fn work(&self, mut bench: Bench) -> Result<(), SetUpError> {
        self.tell(Event::Ready);
        let mut maker = bench.maker();
        let most = AtomicUsize::new(1);
        std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel(0);
            let most_now = &most;
            let make = move || {
                loop {
                    let batch = self.make(&mut maker, most_now.load(Ordering::Relaxed));
                    // Whoever runs them ends when nothing can be run any more.
                    let is_empty = batch.made.is_empty() && batch.faulty.is_empty();
                    if is_empty || sender.send(batch).is_err() {
                        break;
                    }
                }
            };
            engine::thread()
                .spawn_scoped(scope, make)
                .map_err(|error| SetUpError(format!("no thread can be started: {error}")))?;
            for batch in receiver {
                let started = Instant::now();
                let programs = batch.made.len().max(1);
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
            (Made { seed, program, depth, making: started.elapsed() }, fault)
        };
        // One of which settling leaves nothing is no program.
        let is_program = |(made, _): &(Made, Option<Signature>)| !made.program.steps.is_empty();
        let next = std::iter::from_fn(|| self.next()).map(make).filter(is_program).take(most);
        let (mut made, mut faulty) = (Vec::new(), Vec::new());
        for (program, fault) in next {
            match fault {
                Some(fault) => faulty.push((program, fault)),
                None => made.push(program),
            }
        }
        let programs: Vec<&Program> = made.iter().map(|made| &made.program).collect();
        // If it cannot be run there, the bench says so.
        let foretold = maker.foretell(&programs).ok().flatten();
        Batch { made, faulty, foretold }
    }

    fn run(&self, bench: &mut Bench, Batch { made, faulty, foretold }: Batch) -> Result<(), SetUpError> {
        for (made, signature) in faulty {
            self.look(bench, made, Difference { signature, runs: Vec::new() }, Duration::ZERO)?;
        }
        let (mut made, mut foretold) = (made, foretold);
        while !made.is_empty() {
            let programs: Vec<&Program> = made.iter().map(|made| &made.program).collect();
            let differences = bench.differences(&programs, foretold.take())?;
            let Differences { found, by_first: first, by_others: others, spent } = differences;
            let running = (first + others) / found.len().max(1) as u32;
            let programs = found.len() as u64;
            self.tell(Event::Took(Took { lane: self.lane, programs, first, others, spent }));
            // Behind these nothing could be run; perhaps it can be now.
            let rest = made.split_off(found.len());
            for (made, compared) in made.into_iter().zip(found) {
                match compared {
                    Compared::Same => self.tell_of(&made, Outcome::Same, running),
                    Compared::Skipped => self.tell_of(&made, Outcome::Skipped, running),
                    Compared::Differs(difference) => self.look(bench, made, difference, running)?,
                }
            }
            made = rest;
        }
        Ok(())
    }

    /// Looks into a program on which targets part ways, and tells of it. An error if nothing can be run any more; what has
    /// been seen by then is told.
    fn look(
        &self,
        bench: &mut Bench,
        made: Made,
        difference: Difference,
        running: Duration,
    ) -> Result<(), SetUpError> {
        let signature = difference.signature.clone();
        let looks = &self.shared.looks;
        let Look { known, reduced, error } = looks.look(bench, &made.program, difference, &|| self.is_over());
        self.tell_of(&made, Outcome::Diverges { signature, known: known.clone() }, running);
        if let Some(Reduced { program, difference, steadiness, is_cut_short }) = reduced {
            let finding = Finding {
                lane: self.lane,
                seed: made.seed,
                steps_before: made.program.steps.len(),
                program,
                difference,
                steadiness,
                is_cut_short,
                known,
            };
            self.tell(Event::Found(Box::new(finding)));
        }
        error.map_or(Ok(()), Err)
    }

    fn tell_of(&self, made: &Made, outcome: Outcome, running: Duration) {
        let (depth, making) = (made.depth.clone(), made.making);
        self.tell(Event::Ran(Ran { lane: self.lane, depth, outcome, making, running }));
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use reference_driver::{Bug, Profile};

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
            Event::Ready | Event::Took(_) => {}
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
        let whole = reduce(&mut bench, &program, difference.clone(), &|| true).reduced;
        assert_eq!(whole.program, program);
        let small = reduce(&mut bench, &program, difference, &|| false).reduced;
        assert!(small.program.steps.len() < program.steps.len());
    }

    /// A list of one kind of divergence.
    fn listed(signature: &Signature) -> KnownDivergences {
        let (reason, source) = ("a race".to_owned(), "here".to_owned());
        let signature = signature.as_str().to_owned();
        KnownDivergences { divergence: vec![KnownDivergence { signature, reason, source }] }
    }

    #[test]
    fn what_is_listed_and_shows_each_time_is_not_what_the_list_is_about() {
        let peers = || Bench::of_peers(vec![model(Profile::C), model(Profile::RUST)]);
        let (_, findings) = run(&campaign(40), peers);
        let known = listed(&findings[0].difference.signature);
        let (_, again) = run(&campaign(40), || Ok(peers()?.knowing(known.clone())));
        assert_eq!(again, findings);
    }

    #[test]
    fn what_a_target_lacks_is_not_compared() {
        let old = Profile::named("c-6.1").unwrap();
        let text = b"# Freezing.\nrequires freeze_notification\nprocess client\n\nclient > BC_ENTER_LOOPER\n";
        let program =
            crate::script::parse(text).unwrap_or_else(|wrong| panic!("{}", wrong.render("", false)));
        let mut bench = Bench::of_peers(vec![model(Profile::C), model(old)]).unwrap();
        assert_eq!(bench.compare(&program.program).unwrap(), Compared::Skipped);
        let found = bench.differences(&[&program.program], None).unwrap().found;
        assert_eq!(found, [Compared::Skipped]);
    }

    #[test]
    fn a_model_that_fails_is_a_finding_that_is_made_smaller() {
        let faulty = Profile::C.with_bug(Bug::DataOverOffsets);
        let (ran, findings) = run(&campaign(300), || Ok(Bench::of_model(faulty.clone())));
        assert_eq!(ran, 300, "the others are run all the same");
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        let signature = finding.difference.signature.as_str();
        assert!(signature.starts_with("the model: it panicked: "), "{signature}");
        assert!(finding.steadiness.is_steady() && finding.program.steps.len() == 2, "{finding:?}");
    }

    /// A target that does less than it should with long programs now and then.
    struct Fickle {
        model: ReferenceTarget,
        /// In which runs of them it does, from 1.
        differs: &'static [u64],
        /// From which on it cannot be run any more.
        ends: u64,
        /// How many of them there have been.
        long: u64,
        runs: Arc<AtomicU64>,
    }

    impl Fickle {
        fn bench(differs: &'static [u64], ends: u64, runs: &Arc<AtomicU64>) -> Result<Bench, SetUpError> {
            let (model, runs) = (ReferenceTarget::new(Profile::C), Arc::clone(runs));
            Bench::of_model_and(Box::new(Fickle { model, differs, ends, long: 0, runs }))
        }
    }

    impl Target for Fickle {
        fn name(&self) -> String {
            "fickle".to_owned()
        }
        fn run(&mut self, program: &Program) -> Result<Run, SetUpError> {
            self.runs.fetch_add(1, Ordering::Relaxed);
            let mut run = self.model.run(program)?;
            if run.transcript.steps.len() > 3 {
                self.long += 1;
                if self.long >= self.ends {
                    return Err(SetUpError("it does not boot".to_owned()));
                }
                if self.differs.contains(&self.long) {
                    run.transcript.steps.truncate(2);
                }
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
        let fickle = || Fickle::bench(&[1], u64::MAX, &runs);
        let (ran, findings) = run(&campaign(30), fickle);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!((finding.steadiness.shown, finding.program.steps.len()), (0, finding.steps_before));
        assert_eq!(
            runs.load(Ordering::Relaxed),
            ran + u64::from(REPETITIONS),
            "nothing smaller has been tried"
        );
        let known = listed(&finding.difference.signature);
        let (_, findings) = run(&campaign(30), || Ok(fickle()?.knowing(known.clone())));
        let [listed] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!((listed.known.as_deref(), listed.steadiness), (Some("a race"), finding.steadiness));
    }

    #[test]
    fn of_what_the_smaller_program_does_not_show_again_the_larger_is_told() {
        // Run 2 is one of those that tell how often, and 7 is that of the first smaller program.
        let fickle = || Fickle::bench(&[1, 2, 7], u64::MAX, &Arc::default());
        let (ran, findings) = run(&campaign(30), fickle);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(ran, 30);
        assert_eq!((finding.steadiness.shown, finding.is_cut_short), (1, true));
        assert_eq!(finding.program.steps.len(), finding.steps_before);
        assert_eq!(finding.difference.runs[0].1.transcript.steps.len(), finding.steps_before);
    }

    #[test]
    fn what_was_found_is_told_though_nothing_can_be_run_any_more() {
        for ends in [2, 7] {
            let fickle = || Fickle::bench(&[1, 2, 3, 4, 5, 6], ends, &Arc::default());
            let lane = Lane { name: "a lane".to_owned(), benches: 1, bench: Box::new(fickle) };
            let (mut diverging, mut findings, mut failures) = (0, Vec::new(), Vec::new());
            campaign(30).run(&[lane], &AtomicBool::new(false), |event| match event {
                Event::Ran(ran) => diverging += u32::from(matches!(ran.outcome, Outcome::Diverges { .. })),
                Event::Found(finding) => findings.push(*finding),
                Event::Failed { error, .. } => failures.push(error.0),
                Event::Ready | Event::Took(_) => {}
            });
            assert_eq!((diverging, failures), (1, vec!["it does not boot".to_owned()]));
            let [finding] = &findings[..] else { panic!("{findings:?}") };
            assert_eq!(finding.program.steps.len(), finding.steps_before);
            assert_eq!(u64::from(finding.steadiness.of), ends - 2);
        }
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
