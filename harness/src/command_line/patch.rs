//! `binderdrill patch`: what a patch of the driver breaks, mends and changes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use reference_driver::Profile;

use super::fuzz::{self, FuzzArguments, duration};
use super::run::{Plan, run_on};
use super::{CommandError, Format, Status, TargetArguments, complain};
use crate::fuzz_target::FuzzTarget;
use crate::generate::Emphasis;
use crate::kernel::{
    BUILT_PREFIX, BuiltFor, Choices, DriverKind, Instrument, KernelError, Order, PACKAGE_PREFIX, Patched,
    SourceChoice, Store, Told,
};
use crate::patch::{
    ChangeKind, Changes, DRIVER, DoesNotApply, Kept, KernelVerdict, Patch, PatchResults, PatchVerdict,
    Repeated,
};
use crate::report::{CaseResult, TargetResults, write_changes, write_verdicts};
use crate::script::print;
use crate::suite::{self, Case};
use crate::target::qemu;

/// How often cases are run again that differ: those that race, and all others.
const REPETITIONS: [usize; 2] = [2, 1];

/// If more cases differ than this, it is no chance, and they are not run again.
const MOST_REPEATED: usize = 100;

/// A kernel over which guests die in more cases than this is not tried with the others.
const MOST_DEAD: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct PatchArguments {
    /// Patches, in order: mails of git format-patch, mailboxes, plain diffs
    #[arg(required = true, value_name = "PATCH")]
    patches: Vec<PathBuf>,
    /// What they are for: a kernel that was built here (built:uml-c), a stock kernel (debian-6.12), of which the driver's
    /// module is built, a source (linux-source-7.3), or the folder of a source [default: the newest source]
    #[arg(long, value_name = "BASE")]
    base: Option<String>,
    /// Where the base is the folder of a git repository: which commit of it is taken
    #[arg(long, value_name = "REVISION", requires = "base")]
    commit: Option<String>,
    /// Which cases are run, as of `run` [default: all]
    #[arg(long, value_name = "FILTER")]
    suite: Vec<String>,
    /// Programs to replay besides those that are built in: scripts, what fuzzers keep, folders of these
    #[arg(long, value_name = "FILE|FOLDER")]
    corpus: Vec<PathBuf>,
    /// How long to look with programs that nobody wrote for what the patch changes, such as 90s or 2m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    fuzz: Option<Duration>,
    /// Check one patch after the other, each on top of those before it, and not all together
    #[arg(long)]
    each: bool,
    /// Leave out the kernel that watches itself with KASAN and lockdep
    #[arg(long)]
    quick: bool,
    /// Run the base anew, even if what it did is kept
    #[arg(long)]
    again: bool,
    /// Where to write programs on which base and patched kernel part ways
    #[arg(long, value_name = "FOLDER", default_value = "findings")]
    out: PathBuf,
    /// How many guests run cases at a time [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// How to write the results
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    options: TargetArguments,
}

const AFTER_HELP: &str = "Exit status: 0 if nothing is broken, 1 if something is, 2 if that could not be told, 3 if a \
                          patch does not apply, 4 if it does not compile.";

pub(super) fn patch(arguments: &PatchArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    if !arguments.options.modules.is_empty() {
        return Err(CommandError::Options(
            "--module is of no use here: what is built with the patch is what is loaded".to_owned(),
        ));
    }
    let cases = suite::select(&arguments.suite)?;
    let mut patches = Vec::new();
    for path in &arguments.patches {
        patches.extend(crate::patch::read(path)?);
    }
    let store = Store::of_user()?;
    let bases = arguments.bases(&store, &patches)?;
    for patch in &patches {
        if !patch.touched().iter().any(|path| path.starts_with(DRIVER) || path.contains("binder")) {
            eprintln!("warning: \"{}\" touches nothing of the driver", patch.title);
        }
    }
    let mut checked = Vec::new();
    let check = Check { arguments, store: &store, cases: &cases, started: Instant::now() };
    let groups: Vec<&[Patch]> =
        if arguments.each { patches.chunks(1).collect() } else { vec![patches.as_slice()] };
    let mut before: Vec<Changes> = vec![Changes::default(); bases.len()];
    for group in groups {
        match check.group(&bases, &mut before, group, out) {
            Ok(verdict) => checked.push(verdict),
            Err(error) => return check.refused(error, group),
        }
    }
    let results = PatchResults::of(checked);
    match arguments.format {
        Format::Human => write_verdicts(out, &results.patches)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &results).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(if results.is_broken() { Status::Deviation } else { Status::AsExpected })
}

/// What is patched.
enum Base {
    /// A kernel that is built from source.
    Source(Order),
    /// A stock kernel, of which the driver is built.
    Stock(String),
}

impl PatchArguments {
    /// The kernels that the patches are for: the plain ones first.
    fn bases(&self, store: &Store, patches: &[Patch]) -> Result<Vec<Base>, CommandError> {
        let base = self.base.as_deref();
        if self.commit.is_some() && !base.is_some_and(|base| Path::new(base).is_dir()) {
            return Err(CommandError::Options(
                "--commit takes the folder of a git repository as --base".to_owned(),
            ));
        }
        let plain = match base {
            Some(stock) if stock.starts_with("debian-") => {
                store.kernel(stock)?;
                return Ok(vec![Base::Stock(stock.to_owned())]);
            }
            Some(built) if built.starts_with(BUILT_PREFIX) => vec![store.order_of(built)?],
            Some(package) if package.starts_with(PACKAGE_PREFIX) => of_source(&package.parse()?, patches),
            Some(folder) if Path::new(folder).is_dir() => {
                let mut tell = |what: &str| eprintln!("{what}");
                let tree = match &self.commit {
                    Some(commit) => store.tree_of_commit(Path::new(folder), commit, &mut tell)?,
                    None => PathBuf::from(folder),
                };
                of_source(&SourceChoice::Tree(tree), patches)
            }
            Some(other) => {
                return Err(CommandError::Options(format!(
                    "{other:?} is nothing that can be patched: that is {BUILT_PREFIX}NAME, such as built:uml-c, a stock \
                     kernel, such as debian-6.12, a source, such as linux-source-7.3, or the folder of a source"
                )));
            }
            None => of_source(&SourceChoice::Newest, patches),
        };
        let watched: Vec<Order> = match self.quick {
            true => Vec::new(),
            false => plain.iter().filter_map(watched).collect(),
        };
        Ok(plain.into_iter().chain(watched).map(Base::Source).collect())
    }
}

/// A kernel for each driver that the patches change.
fn of_source(source: &SourceChoice, patches: &[Patch]) -> Vec<Order> {
    let touched: Vec<String> = patches.iter().flat_map(Patch::touched).collect();
    let rust = touched.iter().any(|path| path.starts_with(DRIVER) && path.ends_with(".rs"));
    let c = !rust
        || touched
            .iter()
            .any(|path| path.starts_with(DRIVER) && (path.ends_with(".c") || path.ends_with(".h")));
    let drivers = [(c, DriverKind::C), (rust, DriverKind::Rust)].into_iter().filter(|(is, _)| *is);
    drivers
        .map(|(_, driver)| Order {
            source: source.clone(),
            choices: Choices { kind: BuiltFor::Uml, driver, with: [].into() },
            name: None,
        })
        .collect()
}

/// The same kernel, watching itself; `None` if it does.
fn watched(plain: &Order) -> Option<Order> {
    if !plain.choices.with.is_empty() {
        return None;
    }
    let mut watched = plain.clone();
    watched.choices.with = [Instrument::Kasan, Instrument::Lockdep].into();
    if watched.choices.check().is_err() {
        watched.choices.with = [Instrument::Kasan].into();
    }
    let with: String = watched.choices.with.iter().map(|instrument| format!("-{instrument}")).collect();
    // Whoever gave the plain one a name of its own has room for these words in it, or hears that it is too long.
    watched.name = plain.name.as_ref().and_then(|name| format!("{name}{with}").parse().ok());
    Some(watched)
}

/// Patches are checked.
struct Check<'a> {
    arguments: &'a PatchArguments,
    store: &'a Store,
    cases: &'a [Case],
    started: Instant,
}

/// Why patches cannot be checked.
enum Refused {
    Patch(DoesNotApply),
    /// The patched kernel does not build; of the base that is said apart.
    Build {
        error: String,
        log: PathBuf,
    },
    Other(CommandError),
}

impl<E: Into<CommandError>> From<E> for Refused {
    fn from(error: E) -> Refused {
        Refused::Other(error.into())
    }
}

impl Check<'_> {
    /// Checks some patches together, on top of what was checked before.
    fn group(
        &self,
        bases: &[Base],
        before: &mut [Changes],
        patches: &[Patch],
        out: &mut dyn Write,
    ) -> Result<PatchVerdict, Refused> {
        let titles: Vec<String> = patches.iter().map(|patch| patch.title.clone()).collect();
        let mut files: Vec<String> = patches.iter().flat_map(Patch::touched).collect();
        files.sort();
        files.dedup();
        let mut kernels = Vec::new();
        for (base, before) in bases.iter().zip(before) {
            let after = self.apply(base, before, patches)?;
            let kernel = self.kernel(base, before, &after, &titles.join("; "))?;
            if self.arguments.format == Format::Human {
                write_changes(out, &kernel)?;
                out.flush()?;
            }
            kernels.push(kernel);
            *before = after;
        }
        let first = kernels.first().filter(|kernel| kernel.does_not_boot.is_none());
        let campaign = match (self.arguments.fuzz, first) {
            (Some(time), Some(kernel)) => Some(self.campaign(&kernel.base, &kernel.patched, time)?),
            _ => None,
        };
        for kernel in &kernels {
            // Nobody boots it again so soon that this would be worth its room.
            qemu::forget_snapshots(&kernel.patched)?;
        }
        Ok(PatchVerdict { titles, files, kernels, campaign })
    }

    /// What a source is with these patches.
    fn apply(&self, base: &Base, before: &Changes, patches: &[Patch]) -> Result<Changes, Refused> {
        let choice = match base {
            Base::Source(order) => order.source.clone(),
            Base::Stock(name) => self.store.source_of_stock(name)?,
        };
        let source = self.store.source(&choice, &mut |what| self.say("the source", what))?;
        patches.iter().try_fold(before.clone(), |changes, patch| {
            changes.and(patch, &source.folder).map_err(Refused::Patch)
        })
    }

    /// Builds a kernel without and with the patches, runs all on both, and compares.
    fn kernel(
        &self,
        base: &Base,
        before: &Changes,
        after: &Changes,
        title: &str,
    ) -> Result<KernelVerdict, Refused> {
        let without = self.build(base, before, "the base")?;
        let building = Instant::now();
        let with = self.build_patched(base, after, title).map_err(|error| match error {
            KernelError::Build { error, log } => Refused::Build { error, log },
            other => Refused::Other(other.into()),
        })?;
        let building = building.elapsed().as_secs_f64();
        let running = Instant::now();
        let mut verdict = KernelVerdict {
            kernel: with.base.clone(),
            base: without.clone(),
            patched: with.target(),
            base_was_kept: false,
            does_not_boot: None,
            seconds: 0.0,
            building,
            unchanged: 0,
            changes: Vec::new(),
            unsteady: Vec::new(),
        };
        let (suite, was_kept) = self.run_base(&without, self.cases)?;
        verdict.base_was_kept = was_kept;
        let corpus = self.corpus(suite.profile.as_deref())?;
        let (replayed, _) = self.run_base(&without, &corpus)?;
        let all: Vec<Case> = self.cases.iter().chain(&corpus).cloned().collect();
        let base: Vec<CaseResult> = suite.cases.into_iter().chain(replayed.cases).collect();
        match self.run(&verdict.patched, &all) {
            Ok(patched) => {
                let target = verdict.patched.clone();
                verdict.judge(&base, &in_order(&all, patched.cases), |differing| {
                    self.run_again(&without, &target, &all, differing)
                })?;
            }
            Err(CommandError::SetUp(error)) => verdict.does_not_boot = Some(error.to_string()),
            Err(error) => return Err(error.into()),
        }
        verdict.seconds = running.elapsed().as_secs_f64();
        let counts: Vec<String> = [ChangeKind::Fixed, ChangeKind::Broken, ChangeKind::Changed]
            .map(|kind| format!("{} {}", verdict.count(kind), format!("{kind:?}").to_lowercase()))
            .to_vec();
        self.say(&verdict.kernel, &counts.join(", "));
        Ok(verdict)
    }

    /// The target that is a base with some changes, or none.
    fn build(&self, base: &Base, changes: &Changes, title: &str) -> Result<String, KernelError> {
        match base {
            Base::Source(order) if *changes == Changes::default() => {
                let built = self.store.build(order, &mut |told| self.tell(title, told))?.kernel;
                Ok(format!("{BUILT_PREFIX}{}", built.name))
            }
            _ => Ok(self.build_patched(base, changes, title)?.target()),
        }
    }

    fn build_patched(&self, base: &Base, changes: &Changes, title: &str) -> Result<Patched, KernelError> {
        match base {
            Base::Source(order) => {
                self.store.build_patched(order, changes, title, &mut |told| self.tell("with the patch", told))
            }
            Base::Stock(name) => {
                self.store.build_module(name, changes, title, &mut |told| self.tell(name, told))
            }
        }
    }

    /// What a base does with these cases, and whether that was kept.
    fn run_base(&self, target: &str, cases: &[Case]) -> Result<(TargetResults, bool), CommandError> {
        let options = &self.arguments.options;
        let besides = format!("{:?} {:?} {}", options.append, options.cpus, options.patience);
        let files = self.store.files_of(target)?;
        let kept = Kept::of(&self.store.results_folder(), target, &files, cases, &besides)?;
        if let Some(results) = kept.read().filter(|_| !self.arguments.again) {
            return Ok((results, true));
        }
        let mut results = self.run(target, cases)?;
        results.cases = in_order(cases, results.cases);
        // A guest that died of something else than the case would have died for all patches to come.
        if results.counts.broken == 0 {
            kept.write(&results)?;
        }
        Ok((results, false))
    }

    fn run(&self, target: &str, cases: &[Case]) -> Result<TargetResults, CommandError> {
        self.say(target, &format!("{} cases", cases.len()));
        let plan = Plan {
            name: target,
            cases,
            options: &self.arguments.options,
            jobs: self.arguments.jobs,
            tells: false,
            most_dead: Some(MOST_DEAD),
        };
        run_on(&plan, &mut io::sink())
    }

    /// Runs cases that differ once more on both, a few times.
    fn run_again(
        &self,
        base: &str,
        patched: &str,
        cases: &[Case],
        differing: &[&str],
    ) -> Result<Vec<Repeated>, CommandError> {
        if differing.len() > MOST_REPEATED {
            return Ok(Vec::new());
        }
        let cases: Vec<Case> =
            cases.iter().filter(|case| differing.contains(&case.id.as_str())).cloned().collect();
        let (racing, others): (Vec<Case>, Vec<Case>) =
            cases.into_iter().partition(|case| case.race().is_some());
        let mut repeated = Vec::new();
        for (cases, times) in [racing, others].iter().zip(REPETITIONS) {
            for _ in 0..if cases.is_empty() { 0 } else { times } {
                let (base, patched) = (self.run(base, cases)?.cases, self.run(patched, cases)?.cases);
                repeated.push(Repeated { base, patched });
            }
        }
        Ok(repeated)
    }

    /// What is replayed: programs that showed a mistake once, and the user's, as the model of this driver does them.
    fn corpus(&self, profile: Option<&str>) -> Result<Vec<Case>, CommandError> {
        let Some(profile) = Profile::ALL.into_iter().find(|known| Some(known.name) == profile) else {
            return Ok(Vec::new());
        };
        let mut inputs: Vec<(String, Vec<u8>)> = binderdrill_suites::findings()
            .into_iter()
            .map(|file| (format!("fuzz/findings/{}", file.id), file.script.to_vec()))
            .collect();
        for path in &self.arguments.corpus {
            let paths = if path.is_dir() { suite::files_under(path)? } else { vec![path.clone()] };
            for path in paths {
                inputs.push((path.display().to_string(), suite::read_script(&path)?));
            }
        }
        let programs = inputs.into_iter().filter_map(|(name, bytes)| {
            let settled = FuzzTarget::CommandStream.program(&bytes, &profile)?;
            let text = print(&settled.program);
            (!settled.program.steps.is_empty()).then(|| Case::new(name.clone(), name, text.as_bytes()))
        });
        Ok(programs.collect())
    }

    /// Looks with programs that nobody wrote for what the patch changes.
    fn campaign(&self, base: &str, patched: &str, time: Duration) -> Result<crate::campaign::Tally, Refused> {
        self.say(patched, "a campaign");
        let arguments = FuzzArguments {
            targets: vec![base.to_owned(), patched.to_owned()],
            seed: None,
            time: Some(time),
            programs: None,
            corpus: None,
            emphasis: Emphasis::Mix,
            out: self.arguments.out.clone(),
            jobs: self.arguments.jobs,
            format: Format::Human,
            options: self.arguments.options.clone(),
        };
        let (tally, failures) = fuzz::campaign(&arguments)?;
        failures.iter().for_each(|failure| complain(failure));
        Ok(tally)
    }

    /// Says why patches cannot be checked.
    fn refused(&self, refused: Refused, patches: &[Patch]) -> Result<Status, CommandError> {
        match refused {
            Refused::Other(error) => Err(error),
            Refused::Patch(error) => {
                complain(&error.to_string());
                Ok(Status::DoesNotApply)
            }
            Refused::Build { error, log } => {
                let titles: Vec<&str> = patches.iter().map(|patch| patch.title.as_str()).collect();
                complain(&format!("\"{}\" does not compile:\n{error}", titles.join("\", \"")));
                if let Some(hunk) = hunk(&error, patches) {
                    eprint!("{hunk}");
                }
                eprintln!("all that was said is in {}", log.display());
                Ok(Status::DoesNotCompile)
            }
        }
    }

    fn say(&self, what: &str, said: &str) {
        eprintln!("{:>5.1} s  {what}: {said}", self.started.elapsed().as_secs_f64());
    }

    fn tell(&self, what: &str, told: Told<'_>) {
        if let Told::Begun(begun) = told {
            self.say(what, begun);
        }
    }
}

/// Results in the order of their cases: those that race ran first.
fn in_order(cases: &[Case], results: Vec<CaseResult>) -> Vec<CaseResult> {
    let mut by_id: std::collections::HashMap<String, CaseResult> =
        results.into_iter().map(|result| (result.id.clone(), result)).collect();
    cases.iter().filter_map(|case| by_id.remove(&case.id)).collect()
}

/// The hunk that the first place in a compiler's words is in.
fn hunk(said: &str, patches: &[Patch]) -> Option<String> {
    let place = |line: &str| {
        let start = line.find(DRIVER).or_else(|| line.find("include/"))?;
        let mut parts = line[start..].split(':');
        let (path, number) = (parts.next()?.to_owned(), parts.next()?.trim().parse::<usize>().ok()?);
        patches.iter().rev().find_map(|patch| patch.hunk_at(&path, number))
    };
    said.lines().find_map(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_that_watches_itself_is_of_the_same_source() {
        let order = |driver, name: Option<&str>| Order {
            source: SourceChoice::Newest,
            choices: Choices { kind: BuiltFor::Uml, driver, with: [].into() },
            name: name.map(|name| name.parse().unwrap()),
        };
        let name = |order: &Order| watched(order).unwrap().name().unwrap().to_string();
        assert_eq!(name(&order(DriverKind::C, None)), "uml-c-kasan-lockdep");
        assert_eq!(name(&order(DriverKind::Rust, None)), "uml-rust-kasan");
        assert_eq!(name(&order(DriverKind::C, Some("mine"))), "mine-kasan-lockdep");
        assert!(watched(&watched(&order(DriverKind::C, None)).unwrap()).is_none());
    }
}
