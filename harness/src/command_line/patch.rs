//! `binderdrill patch`: what a patch of the driver breaks, mends and changes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;

use super::corpus::corpus;
use super::fuzz::{self, FuzzArguments, duration};
use super::own_lines::{Patched, Programs, own_lines_of};
use super::trial::{Base, Trial, in_order, of_source, watched};
use super::{CommandError, Format, GuestArguments, Status, complain, remark, tell, write_json};
use crate::generate::Emphasis;
use crate::kernel::{BUILT_PREFIX, KernelError, Order, PACKAGE_PREFIX, SourceChoice, Store};
use crate::patch::{
    ChangeKind, Changes, DRIVER, DoesNotApply, KernelVerdict, OwnLines, Patch, PatchResults, PatchVerdict,
    Repeated, UnreadablePatch, did_the_same,
};
use crate::report::{
    CaseResult, prepare_patch_pages, write_changes, write_own_lines, write_patch_pages, write_title,
    write_verdicts,
};
use crate::suite::{self, Case};
use crate::target::qemu;

/// How often cases that race or leave something open are run again if they differ. All others are run again once.
const REPETITIONS_OF_CHANCES: usize = 3;

/// If more cases differ than this, it is no chance, and they are not run again.
const MOST_REPEATED: usize = 100;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct PatchArguments {
    /// Patches, in order: mails of git format-patch, mailboxes, plain diffs; - for standard input
    #[arg(required = true, value_name = "PATCH")]
    patches: Vec<PathBuf>,
    /// What they are for: a kernel that was built here (built:uml-c), a stock kernel (debian-6.12), of which the driver's
    /// module is built, a source (linux-source-7.3), or the folder of a source [default: the newest source]
    #[arg(long, value_name = "BASE")]
    base: Option<String>,
    /// Where the base is the folder of a git repository: which commit of it is taken
    #[arg(long, value_name = "REVISION")]
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
    /// Leave out the kernel that watches itself with KASAN and lockdep, and the one that counts which of the patch's own
    /// lines run
    #[arg(long)]
    quick: bool,
    /// Write pages that show all of it into this folder
    #[arg(long, value_name = "FOLDER")]
    pages: Option<PathBuf>,
    /// Run the base anew, even if what it did is kept
    #[arg(long)]
    again: bool,
    /// Where to write programs on which base and patched kernel part ways
    #[arg(long, value_name = "FOLDER", default_value = "findings")]
    out: PathBuf,
    #[command(flatten)]
    guests: GuestArguments,
}

const AFTER_HELP: &str = "Exit status: 0 if nothing is broken, 1 if something is, 2 if that could not be told, 3 if a \
                          patch does not apply, 4 if it does not compile.";

pub(super) fn patch(arguments: &PatchArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    if !arguments.guests.options.modules.is_empty() {
        return Err(CommandError::Options(
            "--module is of no use here: what is built with the patch is what is loaded".to_owned(),
        ));
    }
    let cases = suite::select(&arguments.suite)?;
    if arguments.fuzz.is_some() {
        fuzz::takes_findings(&arguments.out)?;
    }
    let patches = read(&arguments.patches)?;
    let store = Store::of_user()?;
    let bases = arguments.bases(&store, &patches)?;
    for patch in &patches {
        if !patch.touched().iter().any(|path| path.starts_with(DRIVER) || path.contains("binder")) {
            tell(&format!("warning: \"{}\" touches nothing of the driver", patch.title));
        }
    }
    let mut checked = Vec::new();
    let trial = Trial::new(&store, &arguments.guests, arguments.again);
    let check = Check { arguments, trial, cases: &cases, has_failed: AtomicBool::new(false) };
    let groups: Vec<&[Patch]> =
        if arguments.each { patches.chunks(1).collect() } else { vec![patches.as_slice()] };
    if let Some(folder) = &arguments.pages {
        prepare_patch_pages(folder)?;
    }
    // What does not apply is told before anything is run.
    let mut applied: Vec<Changes> = vec![Changes::default(); bases.len()];
    for group in &groups {
        for (base, applied) in bases.iter().zip(&mut applied) {
            match check.trial.apply(base, applied, group) {
                Ok(after) => *applied = after,
                Err(error) => return check.refused(error.into(), group),
            }
        }
    }
    let mut before: Vec<Changes> = vec![Changes::default(); bases.len()];
    let mut refused = None;
    for group in groups {
        match check.group(&bases, &mut before, group, out) {
            Ok(verdict) => checked.push(verdict),
            Err(error) => {
                refused = Some(check.refused(error, group));
                break;
            }
        }
    }
    if let Some(refused) = refused.take_if(|_| checked.is_empty()) {
        return refused;
    }
    // What was checked before is told nevertheless.
    let results = PatchResults::of(checked);
    if let Some(folder) = &arguments.pages {
        let index = write_patch_pages(folder, &results, &cases)?;
        tell(&format!("{} has all of it", index.display()));
    }
    match arguments.guests.format {
        Format::Human => write_verdicts(out, &results.patches)?,
        Format::Json => write_json(out, &results)?,
    }
    let status = Status::of(results.is_broken(), check.has_failed.load(Ordering::Relaxed));
    refused.unwrap_or(Ok(status))
}

/// All patches, in their order. A mail without one, which a cover letter is, is left out if there are others.
fn read(paths: &[PathBuf]) -> Result<Vec<Patch>, CommandError> {
    let (mut patches, mut without) = (Vec::new(), Vec::new());
    for path in paths {
        match crate::patch::read(path) {
            Ok(read) => patches.extend(read),
            Err(error @ UnreadablePatch::OnlyMails { .. }) => without.push(error),
            Err(error) => return Err(error.into()),
        }
    }
    match (patches.is_empty(), without.pop()) {
        (true, Some(error)) => return Err(error.into()),
        (_, last) => without.extend(last),
    }
    without.iter().for_each(|error| remark(&format!("{error}, and is left out")));
    Ok(patches)
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
                let base = Base::Stock(stock.to_owned());
                base.check(stock, patches)?;
                return Ok(vec![base]);
            }
            Some(built) if built.starts_with(BUILT_PREFIX) => {
                let order = store.order_of(built)?;
                Base::Source(order.clone()).check(built, patches)?;
                vec![order]
            }
            Some(package) if package.starts_with(PACKAGE_PREFIX) => of_source(&package.parse()?, patches),
            Some(folder) if Path::new(folder).is_dir() => {
                let needs = ["Makefile", DRIVER];
                let has = |what: &str| self.commit.is_some() || Path::new(folder).join(what).exists();
                if let Some(missing) = needs.into_iter().find(|what| !has(what)) {
                    return Err(CommandError::Options(format!(
                        "{folder} is no source of Linux: it has no {missing}"
                    )));
                }
                let tree = match &self.commit {
                    Some(commit) => {
                        store.tree_of_commit(Path::new(folder), commit, &needs, &mut |what| tell(what))?
                    }
                    None => {
                        if store.has_uncommitted_changes(Path::new(folder)) {
                            tell(&format!(
                                "{folder} has changes that are not committed: they are part of the base"
                            ));
                        }
                        PathBuf::from(folder)
                    }
                };
                let orders = of_source(&SourceChoice::Tree(tree), patches).into_iter();
                orders.map(|order| store.named_apart(order)).collect::<Result<_, _>>()?
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

/// Patches are checked.
struct Check<'a> {
    arguments: &'a PatchArguments,
    trial: Trial<'a>,
    cases: &'a [Case],
    /// Whether a campaign could not be conducted as it should have been.
    has_failed: AtomicBool,
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
        match error.into() {
            CommandError::DoesNotApply(error) => Refused::Patch(error),
            other => Refused::Other(other),
        }
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
        let title = titles.join("; ");
        let is_told = self.arguments.guests.format == Format::Human;
        if is_told && self.arguments.each {
            write_title(out, &titles)?;
        }
        let (mut kernels, mut applied) = (Vec::new(), Vec::new());
        for (base, before) in bases.iter().zip(&*before) {
            let after = self.trial.apply(base, before, patches)?;
            let kernel = self.kernel(base, before, &after, &title)?;
            if is_told {
                write_changes(out, &kernel)?;
                out.flush()?;
            }
            kernels.push(kernel);
            applied.push(after);
        }
        let first = kernels.first().filter(|kernel| kernel.does_not_boot.is_none());
        let campaign = match (self.arguments.fuzz, first) {
            (Some(time), Some(kernel)) => self.campaign(&kernel.base, &kernel.patched, time),
            _ => None,
        };
        let mut own_lines = None::<OwnLines>;
        for (place, base) in bases.iter().enumerate().filter(|_| !self.arguments.quick) {
            // The plain kernels come first, one for each driver.
            let is_plain = bases[..place].iter().all(|other| other.driver() != base.driver());
            if !is_plain || kernels[place].does_not_boot.is_some() {
                continue;
            }
            let patched = Patched { base, before: &before[place], after: &applied[place], title: &title };
            let programs = Programs {
                suite: self.cases,
                corpus: &self.arguments.corpus,
                campaign: campaign.as_ref().filter(|_| place == 0),
            };
            let of_driver = own_lines_of(&self.trial, &patched, &programs)?;
            own_lines = Some(match own_lines {
                None => of_driver,
                Some(others) => others.and(of_driver),
            });
        }
        if let (Some(own_lines), true) = (&own_lines, is_told) {
            write_own_lines(out, own_lines)?;
            out.flush()?;
        }
        before.clone_from_slice(&applied);
        for kernel in &kernels {
            // Nobody boots it again so soon that this would be worth its room.
            qemu::forget_snapshots(&kernel.patched)?;
        }
        Ok(PatchVerdict { titles, files, kernels, own_lines, campaign })
    }

    /// Builds a kernel without and with the patches, runs all on both, and compares.
    fn kernel(
        &self,
        base: &Base,
        before: &Changes,
        after: &Changes,
        title: &str,
    ) -> Result<KernelVerdict, Refused> {
        let without = self.trial.build(base, before, "the base")?;
        let building = Instant::now();
        let with = self.trial.build_patched(base, after, title).map_err(|error| match error {
            KernelError::Build { error, log } => Refused::Build { error, log },
            other => Refused::Other(other.into()),
        })?;
        let building = building.elapsed().as_secs_f64();
        let running = Instant::now();
        let mut verdict = KernelVerdict::between(with.base.clone(), &without, &with.target());
        verdict.building = building;
        let (suite, was_kept) = self.trial.run_base(&without, self.cases)?;
        verdict.base_was_kept = was_kept;
        let corpus = corpus(&self.arguments.corpus, suite.profile.as_deref())?;
        let (replayed, _) = self.trial.run_base(&without, &corpus)?;
        let all: Vec<Case> = self.cases.iter().chain(&corpus).cloned().collect();
        let base: Vec<CaseResult> = suite.cases.into_iter().chain(replayed.cases).collect();
        match self.trial.run(&verdict.patched, &all) {
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
        self.trial.say(&verdict.kernel, &counts.join(", "));
        Ok(verdict)
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
        let mut repeated = vec![self.once_more(base, patched, &cases)?];
        // What the patched kernel does now and then only, the base may do, too.
        let flips = |case: &&Case| {
            let of = |results: &[CaseResult]| results.iter().find(|result| result.id == case.id).cloned();
            let pairs = repeated.iter().filter_map(|run| of(&run.base).zip(of(&run.patched)));
            pairs.into_iter().any(|(base, patched)| did_the_same(&base, &patched))
        };
        let is_by_chance = |case: &&Case| case.race().is_some() || case.leaves_open() || flips(case);
        let by_chance: Vec<Case> = cases.iter().filter(is_by_chance).cloned().collect();
        if !by_chance.is_empty() {
            for _ in 1..REPETITIONS_OF_CHANCES {
                repeated.push(self.once_more(base, patched, &by_chance)?);
            }
        }
        Ok(repeated)
    }

    /// Runs cases on both at the same time: they are few, so that one kernel alone would leave processors idle.
    fn once_more(&self, base: &str, patched: &str, cases: &[Case]) -> Result<Repeated, CommandError> {
        let (base, patched) = std::thread::scope(|scope| {
            let base = scope.spawn(|| self.trial.run(base, cases));
            let patched = self.trial.run(patched, cases);
            // What panicked there is a mistake of ours, and is told as such here.
            (base.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), patched)
        });
        Ok(Repeated { base: base?.cases, patched: patched?.cases })
    }

    /// Looks with programs that nobody wrote for what the patch changes.
    fn campaign(&self, base: &str, patched: &str, time: Duration) -> Option<crate::campaign::Tally> {
        self.trial.say(patched, "a campaign");
        let arguments = FuzzArguments {
            targets: vec![base.to_owned(), patched.to_owned()],
            seed: None,
            time: Some(time),
            programs: None,
            corpus: None,
            emphasis: Emphasis::Mix,
            out: self.arguments.out.clone(),
            jobs: self.arguments.guests.jobs,
            format: Format::Human,
            options: self.arguments.guests.options.clone(),
        };
        let (tally, failures) = match fuzz::campaign(&arguments) {
            Ok(fuzz::Conducted { tally, mut failures, idle, was_interrupted, .. }) => {
                failures.extend(idle);
                if was_interrupted {
                    let (seconds, all) = (tally.seconds, time.as_secs());
                    failures
                        .push(format!("the campaign was interrupted after {seconds:.0} of {all} seconds"));
                }
                (Some(tally), failures)
            }
            // The verdict of the suite is had without it.
            Err(error) => (None, vec![format!("the campaign: {error}")]),
        };
        failures.iter().for_each(|failure| complain(failure));
        self.has_failed.fetch_or(!failures.is_empty(), Ordering::Relaxed);
        tally
    }

    /// Says why patches cannot be checked.
    fn refused(&self, refused: Refused, patches: &[Patch]) -> Result<Status, CommandError> {
        match refused {
            Refused::Other(error) => Err(error),
            Refused::Patch(error) => {
                let base = self.arguments.base.as_deref().unwrap_or("the newest source");
                let at =
                    self.arguments.commit.as_ref().map_or_else(String::new, |commit| format!(" at {commit}"));
                complain(&format!("{}\nthe base is {base}{at}", error.to_string().trim_end()));
                Ok(Status::DoesNotApply)
            }
            Refused::Build { error, log } => {
                let titles: Vec<&str> = patches.iter().map(|patch| patch.title.as_str()).collect();
                complain(&format!("\"{}\" does not compile:\n{error}", titles.join("\", \"")));
                if let Some(hunk) = hunk(&error, patches) {
                    tell(hunk.trim_end());
                }
                tell(&format!("all that was said is in {}", log.display()));
                Ok(Status::DoesNotCompile)
            }
        }
    }
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
    use std::fs;

    use super::*;

    #[test]
    fn a_cover_letter_beside_patches_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let (cover, patch) =
            (folder.path().join("0000-cover-letter.patch"), folder.path().join("0001-fix.patch"));
        let mail = "From 0 Mon Sep 17 00:00:00 2001\nFrom: A <a@b.c>\nSubject: [PATCH 0/1] Several\n\nWhy.\n";
        fs::write(&cover, mail).unwrap();
        fs::write(
            &patch,
            "--- a/drivers/android/binder.c\n+++ b/drivers/android/binder.c\n@@ -1 +1 @@\n-one\n+two\n",
        )
        .unwrap();
        assert_eq!(read(&[cover.clone(), patch]).unwrap().len(), 1);
        let error = read(&[cover]).unwrap_err().to_string();
        assert!(error.ends_with("0000-cover-letter.patch is a mail without a patch"), "{error}");
    }
}
