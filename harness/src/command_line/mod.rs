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

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use strum::IntoEnumIterator;

use crate::coverage::{GcovError, LlvmError, MalformedExplanations};
use crate::engine::SetUpError;
use crate::expectation::UnreadableExpectations;
use crate::fuzz_target::FuzzTarget;
use crate::kernel::KernelError;
use crate::patch::{DoesNotApply, MalformedBug, UnreadablePatch};
use crate::record::{MalformedRecord, UnwrittenRecord};
use crate::report::site::SiteError;
use crate::report::{NoKeptResults, Unsendable, quoted};
use crate::script::{self, Script};
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
    Run(run::RunArguments),
    /// Run programs that nobody wrote on several drivers, and show where these part ways
    Fuzz(fuzz::FuzzArguments),
    /// List cases with what they are about
    List(list::ListArguments),
    /// Show what the specification says, with the cases that show it
    Spec(spec::SpecArguments),
    /// Read scripts, and say what is wrong with them
    Check(check::CheckArguments),
    /// Run one script, and show what each of its steps did
    Trace(trace::TraceArguments),
    /// Write scripts in their canonical form
    Fmt(format::FormatArguments),
    /// Make a script smaller on which targets part ways, as long as they still do so in the same way
    Minimise(minimise::MinimiseArguments),
    /// Run a program in a guest, such as what a script has been exported to
    Execute(execute::ExecuteArguments),
    /// Write one script as a program in C or for syzkaller, to attach to a report of a bug
    Export(export::ExportArguments),
    /// Run inputs that a fuzzer has kept, or any scripts, and say what the oracle and the targets make of them
    Replay(replay::ReplayArguments),
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
    Seeds(seeds::SeedsArguments),
    /// Fetch, build, list and remove the kernels that can be booted
    #[command(subcommand)]
    Kernel(kernel::KernelCommand),
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
    /// After how many seconds of nothing happening something is said to hang; a program that is executed has five times that
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
        match self.idle(targets).next() {
            Some(option) => Err(CommandError::Options(format!(
                "{option} is of no use to these targets: {}",
                targets.join(", ")
            ))),
            None => Ok(()),
        }
    }

    /// The options that none of these targets takes.
    fn idle(&self, targets: &[String]) -> impl Iterator<Item = &'static str> {
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
        idle.into_iter().filter(|(_, is_idle)| *is_idle).map(|(option, _)| option)
    }

    /// These options, as far as they are of use to these targets, as words of a command line that each have a blank before.
    fn words(&self, targets: &[String]) -> String {
        let modules = self.modules.iter().map(|module| ("--module", module.display().to_string()));
        let append = self.append.iter().map(|word| ("--append", word.clone()));
        let cpus = self.cpus.map(|cpus| ("--cpus", cpus.to_string()));
        let accelerator = self.accelerator.and_then(|accelerator| accelerator.to_possible_value());
        let accelerator = accelerator.map(|value| ("--accel", value.get_name().to_owned()));
        let is_usual = self.patience == target::device::PATIENCE.as_secs();
        let patience = (!is_usual).then(|| ("--patience", self.patience.to_string()));
        let idle: Vec<&str> = self.idle(targets).collect();
        let words = modules.chain(append).chain(cpus).chain(accelerator).chain(patience);
        let of_use = words.filter(|(option, _)| !idle.contains(option));
        of_use.map(|(option, value)| format!(" {option}={}", quoted(&value))).collect()
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

/// The fuzz target of this name.
fn fuzz_target(text: &str) -> Result<FuzzTarget, String> {
    let known: Vec<String> = FuzzTarget::iter().map(|target| target.to_string()).collect();
    FuzzTarget::from_str(text).map_err(|_| format!("there is {}", known.join(", ")))
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

impl Status {
    /// A deviation is worse than that something could not be run.
    fn of(deviates: bool, is_incomplete: bool) -> Status {
        match (deviates, is_incomplete) {
            (true, _) => Status::Deviation,
            (false, true) => Status::CouldNotRun,
            (false, false) => Status::AsExpected,
        }
    }

    /// Of several things that were done, without those that only patches come to.
    fn of_all(all: &[Status]) -> Status {
        Status::of(all.contains(&Status::Deviation), all.contains(&Status::CouldNotRun))
    }
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

/// Reads a script. Where it is wrong, that is said on standard error.
fn parse_or_complain(source: &[u8], origin: &str) -> Option<Script> {
    let diagnostics = match script::parse(source) {
        Ok(script) => return Some(script),
        Err(diagnostics) => diagnostics,
    };
    // Where standard error is gone, there is nobody to tell.
    let _ = write!(anstream::stderr(), "{}", diagnostics.render(origin, true));
    None
}

/// Makes sure, before anything is done that takes time, that a file can be written.
fn takes_file(path: &Path) -> Result<(), CommandError> {
    let taken = match path.metadata() {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if there.is_file() => File::options().write(true).open(path).map(drop),
        // Pipes may wait for a reader.
        Ok(_) => Ok(()),
        Err(_) => tempfile::tempfile_in(folder_of(path)).map(drop),
    };
    Ok(taken.map_err(|source| FileError { path: path.to_owned(), source })?)
}

/// The folder that a file is in, or will be.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a script, or what has been made of one, into a file, or to the standard output if there is none.
fn write_text(path: Option<&Path>, text: &str, out: &mut dyn Write) -> Result<(), CommandError> {
    match path {
        None => out.write_all(text.as_bytes())?,
        Some(path) => {
            write_whole(path, text).map_err(|source| FileError { path: path.to_owned(), source })?
        }
    }
    Ok(())
}

/// Writes a file so that what was there before is replaced by the whole or not at all, where that can be: not behind a link, in
/// a pipe, or in a folder where nothing new can be made.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let there = path.symlink_metadata().ok();
    if there.as_ref().is_some_and(Metadata::is_file) {
        File::options().write(true).open(path)?;
    }
    let usual = Permissions::from_mode(0o666);
    let beside = tempfile::Builder::new().permissions(usual).tempfile_in(folder_of(path));
    let mut beside = match (beside, &there) {
        (Ok(beside), None) => beside,
        (Ok(beside), Some(there)) if there.is_file() => {
            beside.as_file().set_permissions(there.permissions())?;
            beside
        }
        _ => return fs::write(path, text),
    };
    beside.write_all(text.as_bytes())?;
    beside.persist(path).map(drop).map_err(|error| error.error)
}

/// Writes results for programs.
fn write_json(out: &mut dyn Write, results: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, results)?;
    writeln!(out)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_command_has_the_options_that_its_target_takes() {
        let line =
            ["binderdrill", "run", "--module=a b.ko", "--append=lsm=none", "--cpus=2", "--patience=20"];
        let Some(Command::Run(arguments)) = CommandLine::try_parse_from(line).unwrap().command else {
            panic!()
        };
        let words = |target: &str| arguments.options.words(&[target.to_owned()]);
        assert_eq!(words("vm:a"), " --module='a b.ko' --append=lsm=none --cpus=2 --patience=20");
        assert_eq!(words("built:uml-c"), " --append=lsm=none --cpus=2 --patience=20");
        assert_eq!(words("reference"), " --patience=20");
    }
}
