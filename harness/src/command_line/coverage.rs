//! `binderdrill coverage`: which of the driver's own lines run.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::corpus::corpus;
use super::counting::{Counted, Counting};
use super::run::Plan;
use super::{CommandError, Format, GuestArguments, Status, give_seed, remark, write_json};
use crate::coverage::{CoverageResults, Explanations, Origin, write_lcov};
use crate::kernel::Store;
use crate::report::site::{self, SiteError};
use crate::report::{write_alone, write_driver_coverage, write_driver_pages};
use crate::suite::{self, Case};

/// The tracefile, which also tells that a folder is one of coverage.
const TRACEFILE: &str = "lcov.info";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct CoverageArguments {
    /// Which cases are run, as of `run` [default: all]
    filter: Vec<String>,
    /// A kernel that counts which of its lines run: of `binderdrill kernel build --with gcov`, or `--driver rust --with
    /// llvm-cov`, or one of `patch` on top of such a one
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
        true => Explanations::embedded(notes.driver()?)?,
        false => Explanations::default(),
    };
    site::claim(&arguments.out, TRACEFILE)?;
    let counting = Counting::of(&notes)?;
    counting.boot(name, &arguments.guests.options)?;
    let suite = counting.run(&arguments.plan(&cases), Origin::Suite)?;
    let programs = corpus(&arguments.corpus, suite.profile.as_deref())?;
    let replayed = counting.run(&arguments.plan(&programs), Origin::Corpus)?;
    let Counted { coverage, lost } = counting.counted();
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
        Format::Json => write_json(out, &results)?,
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

impl CoverageArguments {
    fn plan<'a>(&'a self, cases: &'a [Case]) -> Plan<'a> {
        Plan {
            name: &self.target,
            cases,
            options: &self.guests.options,
            jobs: self.guests.jobs,
            tells: false,
            most_dead: None,
            observer: None,
        }
    }
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
