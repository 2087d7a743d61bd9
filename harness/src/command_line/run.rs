//! `binderdrill run`: cases on targets.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::Scope;
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::rendering::{KcidbArguments, ResultsFormat, write_results};
use super::{CommandError, Status, TargetArguments, complain, give_seed, remark, tell};
use crate::engine::{self, SetUpError, Verdict};
use crate::kernel::{Store, Usual, usual};
use crate::record;
use crate::report::{
    CaseResult, Counts, Provenance, Results, TargetResults, Unusable, kept, named, write_case, write_matrix,
    write_summary,
};
use crate::suite::{self, Case};
use crate::target::{NoTarget, Target, is_guest};

/// So many cases are worth a guest of their own.
const CASES_A_GUEST: usize = 30;

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Part of a case's name, a clause such as txn.3, a .drill file or a folder; without any, all cases
    pub(super) filter: Vec<String>,
    /// A driver to run on: `reference`, `reference:rust`, `device:/dev/binder`, `vm:debian-6.12`,
    /// `vm:PATH/TO/bzImage`, `built:uml-c`, `uml:PATH/TO/linux`. Several are compared
    #[arg(long = "target", value_name = "TARGET", default_value = "reference")]
    pub(super) targets: Vec<String>,
    /// Run on the reference driver, the stock kernels, and the C and the Rust driver, each built for User-mode Linux
    /// and QEMU, without and with sanitizers. What is missing is named with the command that makes it
    #[arg(long, conflicts_with = "targets")]
    pub(super) matrix: bool,
    /// What the delays of races are made of, in place of what their scripts say
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    #[command(flatten)]
    pub(super) options: TargetArguments,
    /// How many guests run cases at a time, where a target is one [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) jobs: Option<u16>,
    /// Keep what real kernels did with the whole suite in this folder, a file a kernel; the program's own records
    /// are in `reports/records`
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["filter", "modules", "append"])]
    pub(super) records: Option<PathBuf>,
    /// Compare with what was kept of another time: `record:debian-6.12`, a file of `run --format json`, or FILE@TARGET
    #[arg(long, value_name = "RECORD|FILE")]
    pub(super) against: Vec<String>,
    /// How to write the results
    #[arg(long, value_enum, default_value_t = ResultsFormat::Human)]
    pub(super) format: ResultsFormat,
    #[command(flatten)]
    pub(super) kcidb: KcidbArguments,
}

pub(super) fn run(arguments: &RunArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    // What cannot be written must not be found out when all has been run.
    let submission = arguments.kcidb.submission(Some(arguments.format))?;
    let outcome = run_all(arguments, out)?;
    let results = &outcome.results;
    match arguments.format {
        ResultsFormat::Human if results.runs.len() > 1 => {
            writeln!(out)?;
            write_matrix(out, results)?;
        }
        ResultsFormat::Human => {}
        _ if outcome.is_empty() => {}
        format => write_results(out, results, format, &submission)?,
    }
    if let Some(folder) = &arguments.records {
        for path in record::write(folder, results)? {
            tell(&format!("recorded in {}", path.display()));
        }
    }
    Ok(outcome.status())
}

/// What a run has come to.
pub(super) struct Outcome {
    /// What there is to say of the targets that could be used, and after them of those of another time.
    pub(super) results: Results,
    /// How many of these are of another time.
    kept: usize,
}

impl Outcome {
    /// What it amounts to. What failed at another time is only there to be compared with.
    pub(super) fn status(&self) -> Status {
        let counts = Counts::of(self.ran().iter().flat_map(|run| &run.cases));
        let deviations = counts.failed + counts.unexpected_passes + self.results.divergences.len();
        Status::of(deviations > 0, counts.broken + self.results.unusable.len() > 0)
    }

    /// Whether nothing ran.
    fn is_empty(&self) -> bool {
        self.ran().is_empty()
    }

    fn ran(&self) -> &[TargetResults] {
        &self.results.runs[..self.results.runs.len() - self.kept]
    }
}

/// Runs all cases that are asked for on all targets, and tells of each for people as it comes, if that is wanted.
pub(super) fn run_all(arguments: &RunArguments, out: &mut dyn Write) -> Result<Outcome, CommandError> {
    let started = Timestamp::now();
    let mut cases = suite::select(&arguments.filter)?;
    cases.iter_mut().for_each(|case| give_seed(arguments.seed, case));
    let (names, missing) = if arguments.matrix { matrix()? } else { (arguments.targets.clone(), Vec::new()) };
    arguments.options.check(&names)?;
    if let Some(folder) = &arguments.records {
        record::prepare(folder, &names)?;
    }
    let against = arguments.against.iter().map(|name| Ok(of_cases(kept(name)?, &cases)));
    let against: Vec<TargetResults> = against.collect::<Result<_, CommandError>>()?;
    let plan = |name| Plan {
        name,
        cases: &cases,
        options: &arguments.options,
        jobs: arguments.jobs,
        tells: arguments.format == ResultsFormat::Human,
        most_dead: None,
        observer: None,
    };
    let missing = missing.into_iter().map(|usual| {
        let reason = format!("it is missing: {}", usual.command);
        told(Unusable { target: usual.target, reason })
    });
    let mut unusable: Vec<Unusable> = missing.collect();
    // What cannot be at all is said before anything runs.
    let mut targets = Vec::new();
    for name in &names {
        match Group::all(&plan(name)) {
            Ok(groups) => targets.push((groups, name)),
            Err(error) => unusable.push(told(without(name, error.into())?)),
        }
    }
    let mut runs = Vec::new();
    for (groups, name) in targets {
        match run_groups(groups, &plan(name), out) {
            Ok(run) => {
                if arguments.format == ResultsFormat::Human {
                    let options = arguments.options.words(std::slice::from_ref(name));
                    write_summary(out, &run, names.len() + against.len() == 1, &options)?;
                }
                runs.push(run);
            }
            Err(error) => unusable.push(told(without(name, error)?)),
        }
    }
    let kept = against.len();
    runs.extend(against);
    let mut results = Results::of(runs).with_scripts(&cases);
    results.provenance = Some(Provenance::of(started, arguments.seed));
    results.unusable = unusable;
    Ok(Outcome { results, kept })
}

/// What the other targets show is not lost over one that cannot be used. What is no target at all, or no fault of one,
/// is still an error.
pub(super) fn without(target: &str, error: CommandError) -> Result<Unusable, CommandError> {
    let reason = match error {
        CommandError::SetUp(SetUpError(reason)) => reason,
        CommandError::Target(NoTarget::Unusable { reason, .. }) => reason,
        error => return Err(error),
    };
    Ok(Unusable { target: target.to_owned(), reason })
}

/// Says that a target cannot be used.
fn told(unusable: Unusable) -> Unusable {
    complain(&format!("the target {} cannot be used: {}", unusable.target, unusable.reason));
    unusable
}

/// What is kept of these cases, as far as their scripts are still the same.
fn of_cases(mut kept: TargetResults, cases: &[Case]) -> TargetResults {
    let mut by_id: HashMap<String, CaseResult> =
        kept.cases.drain(..).map(|case| (case.id.clone(), case)).collect();
    let (mut changed, mut new) = (Vec::new(), Vec::new());
    for case in cases {
        match by_id.remove(&case.id) {
            Some(result) if result.digest == case.digest => kept.cases.push(result),
            Some(_) => changed.push(case.id.as_str()),
            None => new.push(case.id.as_str()),
        }
    }
    for (what, cases) in [("have changed since", changed), ("were not run then", new)] {
        if !cases.is_empty() {
            remark(&format!("not compared with {}, for they {what}: {}", kept.target, named(&cases)));
        }
    }
    kept.counts = Counts::of(&kept.cases);
    kept
}

/// All targets of the matrix that are there, and those that are not.
fn matrix() -> Result<(Vec<String>, Vec<Usual>), CommandError> {
    let store = Store::of_user()?;
    let (there, missing): (Vec<Usual>, _) = usual().into_iter().partition(|usual| usual.is_in(&store));
    let targets = there.into_iter().map(|usual| usual.target);
    let models = ["reference", "reference:c-6.12", "reference:c-6.1", "reference:rust"].map(str::to_owned);
    Ok((models.into_iter().chain(targets).collect(), missing))
}

/// What is to be run on a target, and how.
pub(super) struct Plan<'a> {
    /// The target.
    pub name: &'a str,
    /// The cases.
    pub cases: &'a [Case],
    /// What the target is given.
    pub options: &'a TargetArguments,
    /// How many guests run cases at a time.
    pub jobs: Option<u16>,
    /// Whether cases are told of as they come, which is for people.
    pub tells: bool,
    /// After so many cases over which a guest died, the others are not run.
    pub most_dead: Option<usize>,
    /// Who looks at the target after each case.
    pub observer: Option<&'a Observer<'a>>,
}

/// What is done after a case with the target that ran it, by several threads at a time.
pub(super) type Observer<'a> =
    dyn Fn(&Case, &CaseResult, &mut dyn Target) -> Result<(), CommandError> + Sync + 'a;

/// Runs cases on a target.
pub(super) fn run_on(plan: &Plan<'_>, out: &mut dyn Write) -> Result<TargetResults, CommandError> {
    run_groups(Group::all(plan)?, plan, out)
}

fn run_groups(
    groups: Vec<Group>,
    plan: &Plan<'_>,
    out: &mut dyn Write,
) -> Result<TargetResults, CommandError> {
    let Plan { name, cases, .. } = *plan;
    let dead = AtomicUsize::new(0);
    let started = Instant::now();
    let progress = progress_bar(cases.len());
    let mut results = Vec::with_capacity(cases.len());
    let mut seconds_to_first_case = 0.0;
    let mut profile = None;
    let mut driver = None;
    // Results come in any order, and are told in the order of the cases.
    let mut early = BTreeMap::new();
    for Group { target, races, indices } in groups {
        let work = Work { plan, races, indices, next: AtomicUsize::new(0), dead: &dead };
        std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            let first = || work.begin(target, scope, sender);
            engine::thread()
                .spawn_scoped(scope, first)
                .map_err(|error| SetUpError(format!("no thread can be started: {error}")))?;
            while let Ok(ran) = receiver.recv() {
                let Ran { index, result, driver: ran_on, profile: of_driver } =
                    ran.inspect_err(|_| work.stop())?;
                (driver, profile) = (driver.take().or(ran_on), profile.take().or(of_driver));
                if seconds_to_first_case == 0.0 {
                    seconds_to_first_case = started.elapsed().as_secs_f64();
                }
                early.insert(index, result);
                progress.inc(1);
                while let Some(result) = early.remove(&results.len()) {
                    progress.set_message(format!("{name} {}", result.id));
                    if plan.tells {
                        progress.suspend(|| write_case(out, &result)).inspect_err(|_| work.stop())?;
                    }
                    results.push(result);
                }
            }
            Ok::<(), CommandError>(())
        })?;
    }
    progress.finish_and_clear();
    Ok(TargetResults {
        target: name.to_owned(),
        profile,
        driver,
        options: plan.options.words(&[name.to_owned()]),
        seconds: started.elapsed().as_secs_f64(),
        seconds_to_first_case,
        counts: Counts::of(&results),
        cases: results,
        provenance: None,
    })
}

/// Cases that are run by targets of the same kind.
struct Group {
    /// The first of these targets.
    target: Box<dyn Target>,
    /// Whether the targets are for cases that race.
    races: bool,
    /// The indices of the cases.
    indices: Vec<usize>,
}

impl Group {
    /// All that a target has to do. Where it is a guest, the cases that race have guests of their own, and come first.
    fn all(plan: &Plan<'_>) -> Result<Vec<Group>, NoTarget> {
        let Plan { name, cases, options, .. } = *plan;
        let apart = is_guest(name) && options.cpus.is_none();
        let races = |case: &Case| apart && case.race().is_some();
        let (racing, others): (Vec<usize>, Vec<usize>) =
            (0..cases.len()).partition(|index| races(&cases[*index]));
        let groups = [(true, racing), (false, others)].into_iter().filter(|(_, indices)| !indices.is_empty());
        groups
            .map(|(races, indices)| Ok(Group { target: options.target(name, races)?, races, indices }))
            .collect()
    }
}

/// A case that has been run.
struct Ran {
    /// Its index.
    index: usize,
    /// What became of it.
    result: CaseResult,
    /// The target's driver.
    driver: Option<String>,
    /// The profile that the target's driver is nearest to.
    profile: Option<String>,
}

/// Cases that are run by several threads, each on a target of its own.
struct Work<'a> {
    plan: &'a Plan<'a>,
    /// Whether the targets are for cases that race.
    races: bool,
    /// The cases that are to be run, by their indices.
    indices: Vec<usize>,
    /// The place among these of the one that is to be run next.
    next: AtomicUsize,
    /// How many cases a guest has died over.
    dead: &'a AtomicUsize,
}

impl Work<'_> {
    /// Runs cases on the first target. Once it has booted, the others do so in less time, and are started.
    fn begin<'scope>(
        &'scope self,
        mut target: Box<dyn Target>,
        scope: &'scope Scope<'scope, '_>,
        sender: Sender<Result<Ran, CommandError>>,
    ) {
        if !self.run_one(target.as_mut(), &sender) {
            return;
        }
        for _ in 1..self.guests() {
            let sender = sender.clone();
            let run = move || match self.plan.options.target(self.plan.name, self.races) {
                Ok(mut target) => while self.run_one(target.as_mut(), &sender) {},
                Err(error) => drop(sender.send(Err(error.into()))),
            };
            // Without it, the others have more to do.
            let _ = engine::thread().spawn_scoped(scope, run);
        }
        while self.run_one(target.as_mut(), &sender) {}
    }

    /// Runs the next case, and tells what became of it. Says whether to go on.
    fn run_one(&self, target: &mut dyn Target, sender: &Sender<Result<Ran, CommandError>>) -> bool {
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(index) = self.indices.get(place).copied() else { return false };
        let case = &self.plan.cases[index];
        let ran = self.try_one(case, target).map(|result| Ran {
            index,
            result,
            driver: target.driver(),
            profile: target.profile(),
        });
        let goes_on = ran.is_ok();
        sender.send(ran).is_ok() && goes_on
    }

    /// Runs a case, unless too many guests have died.
    fn try_one(&self, case: &Case, target: &mut dyn Target) -> Result<CaseResult, CommandError> {
        if self.plan.most_dead.is_some_and(|most| self.dead.load(Ordering::Relaxed) >= most) {
            return Ok(CaseResult::left_out(case));
        }
        let result = CaseResult::of(case, target)?;
        if matches!(result.verdict, Verdict::Broken { .. }) {
            self.dead.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(observer) = self.plan.observer {
            observer(case, &result, target)?;
        }
        Ok(result)
    }

    /// Nobody needs what has not been run.
    fn stop(&self) {
        self.next.store(self.indices.len(), Ordering::Relaxed);
    }

    /// How many guests run cases at a time; one where the target is none.
    fn guests(&self) -> usize {
        if !is_guest(self.plan.name) {
            return 1;
        }
        let processors = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let most = self.plan.jobs.map_or_else(processors, usize::from);
        // Each run of a case that races takes as long as a case.
        let worth = if self.races { self.indices.len() } else { self.indices.len().div_ceil(CASES_A_GUEST) };
        most.min(worth)
    }
}

/// On a terminal, how far the run is; elsewhere nothing.
fn progress_bar(cases: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}").expect("a well-formed template");
    ProgressBar::new(cases as u64).with_style(style)
}
