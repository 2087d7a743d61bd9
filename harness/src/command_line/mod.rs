//! The command line: what a user can ask for, and how it is answered.

mod check;
mod corpus;
mod counting;
mod coverage;
mod diff;
mod execute;
mod export;
mod format;
mod fuzz;
mod kernel;
mod list;
mod minimise;
mod nightly;
mod own_lines;
mod patch;
mod recall;
mod rendering;
mod replay;
mod report;
mod run;
mod seeds;
mod spec;
mod trace;
mod trial;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use strum::IntoEnumIterator;

use self::rendering::{KcidbArguments, ResultsFormat};
use crate::coverage::{GcovError, LlvmError, MalformedExplanations};
use crate::engine::SetUpError;
use crate::expectation::UnreadableExpectations;
use crate::fuzz_target::FuzzTarget;
use crate::kernel::KernelError;
use crate::patch::{DoesNotApply, MalformedBug, UnreadablePatch};
use crate::record::{MalformedRecord, UnwrittenRecord};
use crate::report::site::SiteError;
use crate::report::{NoKeptResults, Unsendable};
use crate::specification::{MalformedSpecification, NoEntry};
use crate::suite::{Case, FileError, SelectionError};
use crate::target::qemu::Accelerator;
use crate::target::{self, NoTarget, Target, TargetOptions};

/// Runs scripts of Android Binder calls on a driver, and says where it does something else than they expect.
///
/// Without a command, it runs the whole suite on the reference driver.
#[derive(Debug, Parser)]
#[command(name = "binderdrill", version, after_help = AFTER_HELP)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "Exit status: 0 if all was as expected, 1 if there was a deviation, 2 if something \
                          could not be run.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run cases, and report those that deviate
    Run(RunArguments),
    /// Run programs that nobody wrote on several drivers, and show where these part ways
    Fuzz(fuzz::FuzzArguments),
    /// List cases with what they are about
    List(ListArguments),
    /// Show what the specification says, with the cases that show it
    Spec(SpecArguments),
    /// Read scripts, and say what is wrong with them
    Check(CheckArguments),
    /// Run one script, and show what each of its steps did
    Trace(TraceArguments),
    /// Write scripts in their canonical form
    Fmt(FormatArguments),
    /// Make a script smaller on which targets part ways, as long as they still do so in the same way
    Minimise(minimise::MinimiseArguments),
    /// Run a program in a guest, such as what a script has been exported to
    Execute(execute::ExecuteArguments),
    /// Write one script as a program in C or for syzkaller, to attach to a report of a bug
    Export(export::ExportArguments),
    /// Run inputs that a fuzzer has kept, or any scripts, and say what the oracle and the targets make of them
    Replay(ReplayArguments),
    /// Build a kernel with a patch, and say what that breaks, mends and changes
    Patch(patch::PatchArguments),
    /// Bring historical bugs of the driver back, one at a time, and say which cases catch them
    Recall(recall::RecallArguments),
    /// Say which lines and branches of the driver's own code the cases and a corpus reach, on a kernel that counts
    Coverage(coverage::CoverageArguments),
    /// Show what two kernels did otherwise, case by case, from the records that are built in or from files of results
    Diff(diff::DiffArguments),
    /// Write results as a site: pages that a browser shows without a server and without a network. Or in another format
    Report(report::ReportArguments),
    /// Do all that is to be looked at in the morning: the suite on all targets, a campaign, the replay of what fuzzers
    /// have kept, and the report
    Nightly(nightly::NightlyArguments),
    /// Write what fuzzing begins with, made of the suite
    Seeds(SeedsArguments),
    /// Fetch, build, list and remove the kernels that can be booted
    #[command(subcommand)]
    Kernel(kernel::KernelCommand),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// Part of a case's name, a clause such as txn.3, a .drill file or a folder; without any, all cases
    filter: Vec<String>,
    /// A driver to run on: `reference`, `reference:rust`, `device:/dev/binder`, `vm:debian-6.12`,
    /// `vm:PATH/TO/bzImage`, `built:uml-c`, `uml:PATH/TO/linux`. Several are compared
    #[arg(long = "target", value_name = "TARGET", default_value = "reference")]
    targets: Vec<String>,
    /// Run on the reference driver, the stock kernels, and the C and the Rust driver, each built for User-mode Linux
    /// and QEMU, without and with sanitizers. What is missing is named with the command that makes it
    #[arg(long, conflicts_with = "targets")]
    matrix: bool,
    /// What the delays of races are made of, in place of what their scripts say
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    options: TargetArguments,
    /// How many guests run cases at a time, where a target is one [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Keep what real kernels did with the whole suite in this folder, a file a kernel; the program's own records
    /// are in `reports/records`
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["filter", "modules", "append"])]
    records: Option<PathBuf>,
    /// Compare with what was kept of another time: `record:debian-6.12`, a file of `run --format json`, or FILE@TARGET
    #[arg(long, value_name = "RECORD|FILE")]
    against: Vec<String>,
    /// How to write the results
    #[arg(long, value_enum, default_value_t = ResultsFormat::Human)]
    format: ResultsFormat,
    #[command(flatten)]
    kcidb: KcidbArguments,
}

/// How guests are run that cases or kernels are tried in, and how what came of it is written.
#[derive(Debug, Clone, Args)]
struct GuestArguments {
    /// How many guests run cases at a time [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// How to write the results
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    options: TargetArguments,
}

#[derive(Debug, Clone, Args)]
struct TargetArguments {
    /// A module to boot a kernel with, such as one's own binder_linux.ko
    #[arg(long = "module", value_name = "PATH.ko")]
    modules: Vec<PathBuf>,
    /// A word for the command line of a kernel
    #[arg(long, value_name = "WORD")]
    append: Vec<String>,
    /// How many processors a guest has [default: 1, with which cases are quickest; 2 for those that race]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8))]
    cpus: Option<u32>,
    /// How to emulate the machine of a kernel
    #[arg(long = "accel", value_enum)]
    accelerator: Option<Accelerator>,
    /// After how many seconds of nothing happening something is said to hang
    #[arg(long, value_name = "SECONDS", default_value_t = target::device::PATIENCE.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    patience: u64,
}

impl TargetArguments {
    /// Refuses targets that are named twice, and options that none of the targets takes.
    fn check(&self, targets: &[String]) -> Result<(), CommandError> {
        if let Some(twice) = targets.iter().enumerate().find(|(place, name)| targets[..*place].contains(name))
        {
            return Err(CommandError::Options(format!("the target {} is named twice", twice.1)));
        }
        let begins = |kinds: &[&str]| {
            targets.iter().any(|name| name.split_once(':').is_some_and(|(kind, _)| kinds.contains(&kind)))
        };
        let emulated = begins(&["vm", "built", "patched"]);
        let booted = begins(&["vm", "built", "uml", "patched"]);
        // What is built here has no modules.
        let takes_modules = begins(&["vm"]);
        let idle = [
            ("--module", !self.modules.is_empty() && !takes_modules),
            ("--cpus", self.cpus.is_some_and(|cpus| cpus > 1) && !booted),
            ("--append", !self.append.is_empty() && !booted),
            ("--accel", self.accelerator.is_some() && !emulated),
        ];
        match idle.into_iter().find(|(_, idle)| *idle) {
            Some((option, _)) => Err(CommandError::Options(format!(
                "{option} is of no use to these targets: {}",
                targets.join(", ")
            ))),
            None => Ok(()),
        }
    }

    /// The target of this name, for cases that race or do not.
    fn target(&self, name: &str, races: bool) -> Result<Box<dyn Target>, NoTarget> {
        let options = TargetOptions {
            modules: self.modules.clone(),
            append: self.append.clone(),
            cpus: self.cpus.unwrap_or(if races { 2 } else { 1 }),
            accelerator: self.accelerator,
            patience: std::time::Duration::from_secs(self.patience),
        };
        target::named(name, &options)
    }
}

/// Has the delays of a case that races be of the seed that is asked for.
fn give_seed(seed: Option<u64>, case: &mut Case) {
    if let (Some(seed), Ok(script)) = (seed, &mut case.script) {
        script.program.seed(seed);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: what deviated, and a summary
    Human,
    /// For programs: everything, in JSON
    Json,
}

#[derive(Debug, Args)]
struct ListArguments {
    /// Part of a case's name, a clause such as txn.3, a .drill file or a folder; without any, all cases
    filter: Vec<String>,
    /// Say instead how many of the cases use each command, return, ioctl, object type and transaction flag, and which
    /// of them none does
    #[arg(long)]
    coverage: bool,
}

#[derive(Debug, Args)]
struct SpecArguments {
    /// A clause such as txn.3, or a page such as txn or transactions; without any, all pages are listed
    #[arg(value_name = "CLAUSE|PAGE")]
    entry: Option<String>,
}

#[derive(Debug, Args)]
struct CheckArguments {
    /// Scripts; `-` is standard input
    #[arg(required = true)]
    file: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct TraceArguments {
    /// A script, or the name of a case of the suite; `-` is standard input
    file: PathBuf,
    /// The driver to run on: `reference`, `device:/dev/binder`, `vm:debian-6.12`, `vm:PATH/TO/bzImage`
    #[arg(long, value_name = "TARGET", default_value = "reference")]
    target: String,
    /// What the delays of races are made of, in place of what their scripts say
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    options: TargetArguments,
}

#[derive(Debug, Args)]
struct ReplayArguments {
    /// Inputs, and folders of them
    #[arg(required = true, value_name = "FILE|FOLDER")]
    paths: Vec<PathBuf>,
    /// A driver to run on, as of `run`. Each input does what the reference driver does as a model of that one
    #[arg(long = "target", value_name = "TARGET", default_value = "reference")]
    targets: Vec<String>,
    /// The fuzz target whose inputs these are, which says what is made of those that are no scripts [default: the one
    /// that a folder they are in is named after, or else command_stream]
    #[arg(long = "as", value_name = "FUZZ TARGET", value_parser = fuzz_target)]
    fuzz_target: Option<FuzzTarget>,
    #[command(flatten)]
    options: TargetArguments,
}

#[derive(Debug, Args)]
struct SeedsArguments {
    /// A folder for the seeds, a file each
    #[arg(required_unless_present = "dictionary")]
    folder: Option<PathBuf>,
    /// The fuzz target that they are for
    #[arg(long = "for", value_name = "FUZZ TARGET", default_value = "command_stream", value_parser = fuzz_target)]
    target: FuzzTarget,
    /// Print the words of scripts, in the form of libFuzzer's dictionaries
    #[arg(long)]
    dictionary: bool,
}

fn fuzz_target(text: &str) -> Result<FuzzTarget, String> {
    let known: Vec<String> = FuzzTarget::iter().map(|target| target.to_string()).collect();
    FuzzTarget::from_str(text).map_err(|_| format!("there is {}", known.join(", ")))
}

#[derive(Debug, Args)]
struct FormatArguments {
    /// Scripts; `-` is standard input, and written to standard output
    #[arg(required = true)]
    file: Vec<PathBuf>,
    /// Change nothing, and say which scripts are not in canonical form
    #[arg(long)]
    check: bool,
}

/// What the program says with its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    /// 0: all was as expected.
    AsExpected,
    /// 1: something was not.
    Deviation,
    /// 2: something could not be run, or read.
    CouldNotRun,
    /// 3: a patch does not apply.
    DoesNotApply,
    /// 4: a patch does not compile.
    DoesNotCompile,
}

/// Why a command ends before it is done.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Selection(#[from] SelectionError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Target(#[from] NoTarget),
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Patch(#[from] UnreadablePatch),
    #[error(transparent)]
    DoesNotApply(#[from] DoesNotApply),
    #[error(transparent)]
    Bug(#[from] MalformedBug),
    #[error(transparent)]
    Specification(#[from] MalformedSpecification),
    #[error(transparent)]
    NoEntry(#[from] NoEntry),
    #[error(transparent)]
    Expectations(#[from] UnreadableExpectations),
    #[error(transparent)]
    Record(#[from] MalformedRecord),
    #[error(transparent)]
    Gcov(#[from] GcovError),
    #[error(transparent)]
    Llvm(#[from] LlvmError),
    #[error(transparent)]
    Explanations(#[from] MalformedExplanations),
    #[error(transparent)]
    NoKeptResults(#[from] NoKeptResults),
    #[error(transparent)]
    Unsendable(#[from] Unsendable),
    #[error(transparent)]
    UnwrittenRecord(#[from] UnwrittenRecord),
    #[error("{0}")]
    Options(String),
    #[error(transparent)]
    Site(#[from] SiteError),
    #[error("the target cannot be used: {0}")]
    SetUp(#[from] SetUpError),
    #[error("the results cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl CommandLine {
    /// Does what is asked for.
    pub fn execute(self) -> ExitCode {
        let mut out = anstream::stdout().lock();
        // No command at all means `run` without arguments, with the defaults that it declares.
        let command = self.command.or_else(|| CommandLine::parse_from(["binderdrill", "run"]).command);
        let done = match command.expect("the words above hold a command") {
            Command::Run(arguments) => run::run(&arguments, &mut out),
            Command::Fuzz(arguments) => fuzz::fuzz(&arguments, &mut out),
            Command::List(arguments) => list::list(&arguments, &mut out),
            Command::Spec(arguments) => spec::spec(&arguments, &mut out),
            Command::Check(arguments) => check::check(&arguments, &mut out),
            Command::Trace(arguments) => trace::trace(&arguments, &mut out),
            Command::Fmt(arguments) => format::format(&arguments, &mut out),
            Command::Minimise(arguments) => minimise::minimise(&arguments, &mut out),
            Command::Execute(arguments) => execute::execute(&arguments, &mut out),
            Command::Export(arguments) => export::export(&arguments, &mut out),
            Command::Replay(arguments) => replay::replay(&arguments, &mut out),
            Command::Patch(arguments) => patch::patch(&arguments, &mut out),
            Command::Recall(arguments) => recall::recall(&arguments, &mut out),
            Command::Coverage(arguments) => coverage::coverage(&arguments, &mut out),
            Command::Nightly(arguments) => nightly::nightly(&arguments, &mut out),
            Command::Diff(arguments) => diff::diff(&arguments, &mut out),
            Command::Report(arguments) => report::report(&arguments, &mut out),
            Command::Seeds(arguments) => seeds::seeds(&arguments, &mut out),
            Command::Kernel(command) => kernel::kernel(&command, &mut out),
        };
        let done = done.and_then(|status| Ok(out.flush().map(|()| status)?));
        let status = match done {
            Ok(status) => status,
            // Whoever read the results has seen enough.
            Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Status::CouldNotRun
            }
            Err(error) => {
                complain(&error.to_string());
                Status::CouldNotRun
            }
        };
        ExitCode::from(status as u8)
    }
}

/// Says on standard error how far something is, or what belongs to no result. Where that is gone, there is nobody to
/// tell, and what is done goes on.
fn tell(message: &str) {
    let _ = writeln!(anstream::stderr(), "{message}");
}

/// Says on standard error what is no error. Where that is gone, there is nobody to tell.
fn remark(message: &str) {
    let style = anstyle::AnsiColor::Yellow.on_default();
    let _ = writeln!(anstream::stderr(), "{style}note:{style:#} {message}");
}

/// Says what is wrong on standard error. Where that is gone, there is nobody to tell.
fn complain(message: &str) {
    let style = anstyle::AnsiColor::Red.on_default().bold();
    let _ = writeln!(anstream::stderr(), "{style}error:{style:#} {message}");
}
