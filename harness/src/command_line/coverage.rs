//! `binderdrill coverage`: which of the driver's own lines run.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clap::Args;

use super::corpus::corpus;
use super::run::{Plan, run_on};
use super::{CommandError, Format, GuestArguments, Status, give_seed, remark};
use crate::coverage::{Coverage, CoverageResults, Explanations, Gcov, Origin, write_lcov};
use crate::engine::Verdict;
use crate::kernel::Store;
use crate::report::site::SiteError;
use crate::report::{CaseResult, TargetResults, write_alone, write_driver_coverage, write_driver_pages};
use crate::suite::{self, Case};
use crate::target::Target;
use crate::target::guest::Since;

/// The tracefile, which also tells that a folder is one of coverage.
const TRACEFILE: &str = "lcov.info";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct CoverageArguments {
    /// Which cases are run, as of `run` [default: all]
    filter: Vec<String>,
    /// A kernel that counts which of its lines run: of `binderdrill kernel build --with gcov`, or one of `patch` on top of
    /// such a one
    #[arg(long, value_name = "TARGET", default_value = "built:uml-c-gcov")]
    target: String,
    /// Programs to replay besides those that are built in: scripts, what fuzzers keep, folders of these
    #[arg(long, value_name = "FILE|FOLDER")]
    corpus: Vec<PathBuf>,
    /// Say of each line which cases ran it, and of each case which lines only it runs
    #[arg(long)]
    case: bool,
    /// Where to write pages that show the source, and lcov.info
    #[arg(long, value_name = "FOLDER", default_value = "coverage")]
    out: PathBuf,
    /// How many of the blocks that nothing reached are listed
    #[arg(long, value_name = "N", default_value_t = 25)]
    blocks: usize,
    /// What the delays of races are made of, in place of what their scripts say
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    guests: GuestArguments,
}

const AFTER_HELP: &str = "Exit status: 0 if all could be counted, 2 if something could not be run or counted. Whether \
                          cases deviate is what `run` tells.";

pub(super) fn coverage(arguments: &CoverageArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    let mut cases = suite::select(&arguments.filter)?;
    cases.iter_mut().for_each(|case| give_seed(arguments.seed, case));
    let name = &arguments.target;
    arguments.guests.options.check(std::slice::from_ref(name))?;
    let notes = Store::of_user()?.notes(name)?;
    // They are about what the whole suite does not reach: a part of it leaves larger blocks, for other reasons.
    let known = match arguments.filter.is_empty() {
        true => Explanations::embedded()?,
        false => Explanations::default(),
    };
    prepare(&arguments.out)?;
    let counting = Counting { gcov: Gcov::of(&notes)?, counted: Mutex::default() };
    counting.boot(arguments)?;
    let suite = counting.run(arguments, Origin::Suite, &cases)?;
    let programs = corpus(&arguments.corpus, suite.profile.as_deref())?;
    let replayed = counting.run(arguments, Origin::Corpus, &programs)?;
    let Counted { coverage, mut lost } =
        counting.counted.into_inner().unwrap_or_else(PoisonError::into_inner);
    lost.sort();
    let mut results = CoverageResults::of(name, coverage, &notes, &known)?;
    results.driver.clone_from(&suite.driver);
    results.lost = lost;
    write_lcov_file(&arguments.out, &results, arguments.case)?;
    write_driver_pages(&arguments.out, &results, arguments.case)?;
    match arguments.guests.format {
        Format::Human => {
            write_driver_coverage(out, &results, arguments.blocks)?;
            if arguments.case {
                write_alone(out, &results, arguments.blocks)?;
            }
            let shown = arguments.out.join("index.html");
            writeln!(out, "\n{} has all of it, line by line", shown.display())?;
        }
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &results).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    let deviating = [&suite, &replayed].map(|run| run.counts.failed + run.counts.unexpected_passes);
    if let deviating @ 1.. = deviating.iter().sum::<usize>() {
        remark(&format!(
            "something else than expected came of {deviating} of the cases and programs: binderdrill run --target {name}"
        ));
    }
    let broken = suite.counts.broken + replayed.counts.broken;
    Ok(if broken > 0 || !results.lost.is_empty() { Status::CouldNotRun } else { Status::AsExpected })
}

/// Makes the folder, unless it holds what is none of ours.
fn prepare(folder: &Path) -> Result<(), SiteError> {
    let failed = |source| SiteError::File { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let is_empty = fs::read_dir(folder).map_err(failed)?.next().is_none();
    if is_empty || folder.join(TRACEFILE).is_file() {
        return Ok(());
    }
    Err(SiteError::Occupied(folder.to_owned()))
}

fn write_lcov_file(folder: &Path, results: &CoverageResults, cases: bool) -> Result<(), SiteError> {
    let path = folder.join(TRACEFILE);
    let written = File::create(&path).and_then(|file| {
        let mut file = BufWriter::new(file);
        write_lcov(&mut file, &results.coverage, cases)?;
        file.flush()
    });
    written.map_err(|source| SiteError::File { path, source })
}

/// What is counted while guests run.
struct Counting {
    gcov: Gcov,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    coverage: Coverage,
    /// Cases whose guests were gone before they could be asked.
    lost: Vec<String>,
}

impl Counting {
    /// Counts what booting runs.
    fn boot(&self, arguments: &CoverageArguments) -> Result<(), CommandError> {
        let mut target = arguments.guests.options.target(&arguments.target, false)?;
        if let Some(counters) = target.counted(Since::Boot)? {
            let lines = self.gcov.read(&counters)?;
            self.counted.lock().unwrap_or_else(PoisonError::into_inner).coverage.add(
                Origin::Boot,
                None,
                &lines,
            );
        }
        Ok(())
    }

    /// Counts what programs run.
    fn run(
        &self,
        arguments: &CoverageArguments,
        origin: Origin,
        cases: &[Case],
    ) -> Result<TargetResults, CommandError> {
        let observer = |case: &Case, result: &CaseResult, target: &mut dyn Target| {
            let counters = target.counted(Since::Last)?;
            if matches!(result.verdict, Verdict::Skip { .. } | Verdict::OtherDriver { .. }) {
                return Ok(());
            }
            let lines = counters.map(|counters| self.gcov.read(&counters)).transpose()?;
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            match lines {
                Some(lines) => counted.coverage.add(origin, Some(&case.id), &lines),
                None => counted.lost.push(case.id.clone()),
            }
            Ok(())
        };
        let plan = Plan {
            name: &arguments.target,
            cases,
            options: &arguments.guests.options,
            jobs: arguments.guests.jobs,
            tells: false,
            most_dead: None,
            observer: Some(&observer),
        };
        run_on(&plan, &mut io::sink())
    }
}
