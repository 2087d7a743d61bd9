//! `binderdrill replay`: inputs that a fuzzer has kept, on any target.

use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use clap::Args;
use reference_driver::Profile;
use strum::IntoEnumIterator;

use super::{CommandError, Status, TargetArguments, complain, remark};
use crate::campaign::{Bench, Compared, Looks};
use crate::engine::{Run, SetUpError, Verdict};
use crate::fuzz_target::FuzzTarget;
use crate::generate::Settled;
use crate::oracle;
use crate::report::{
    Beside, CaseResult, FoundProgram, Replayed, Whence, named, quoted, unlawful, write_case,
};
use crate::script::{Diagnostics, parse, print};
use crate::suite::{Case, files_under, is_script, read_script};

#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// Inputs, and folders of them
    #[arg(required = true, value_name = "FILE|FOLDER")]
    paths: Vec<PathBuf>,
    /// A driver to run on, as of `run`. Each input does what the reference driver does as a model of that one
    #[arg(long = "target", value_name = "TARGET", default_value = "reference")]
    targets: Vec<String>,
    /// The fuzz target whose inputs these are, which says what is made of those that are no scripts [default: the one
    /// that a folder they are in is named after, or else command_stream]
    #[arg(long = "as", value_name = "FUZZ TARGET", value_parser = super::fuzz_target)]
    fuzz_target: Option<FuzzTarget>,
    #[command(flatten)]
    options: TargetArguments,
}

pub(super) fn replay(arguments: &ReplayArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    arguments.options.check(&arguments.targets)?;
    let inputs = inputs(&arguments.paths, arguments.fuzz_target)?;
    let taken_as_bytes: Vec<String> =
        inputs.iter().filter(|input| input.is_of_bytes()).map(|input| input.name.clone()).collect();
    if !taken_as_bytes.is_empty() {
        remark(&format!(
            "no scripts, so that programs are made of their bytes (`binderdrill check` tells what is wrong with one that \
             should be a script): {}",
            named(&taken_as_bytes)
        ));
    }
    let with_race: Vec<String> =
        inputs.iter().filter(|input| input.has_race()).map(|input| input.name.clone()).collect();
    if !with_race.is_empty() {
        remark(&format!(
            "the steps of a race are done one after the other (`binderdrill run` does them at once): {}",
            named(&with_race)
        ));
    }
    let mut statuses = Vec::new();
    for name in &arguments.targets {
        match replay_on(name, &arguments.options, &inputs, out) {
            Ok((replayed, _)) => {
                writeln!(out, "{} on {name} in {:.2} s", told(&replayed), replayed.seconds)?;
                statuses.push(status_of(&replayed));
            }
            // What the other targets show is not lost over it.
            Err(error @ (CommandError::SetUp(_) | CommandError::Target(_))) => {
                complain(&format!("{name}: {error}"));
                statuses.push(Status::CouldNotRun);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Status::of_all(&statuses))
}

/// A file that a fuzzer has kept.
#[derive(Debug, Clone)]
pub(super) struct Input {
    name: String,
    bytes: Vec<u8>,
    fuzz_target: FuzzTarget,
    /// The command that writes it into a folder, and where it is then, if it is no file.
    made: Option<(String, String)>,
}

impl Input {
    /// The command that replays it on a target.
    fn command(&self, target: &str, options: &TargetArguments) -> String {
        let words = options.words(&[target.to_owned()]);
        let replay = |path: &str| {
            let told = match fuzz_target_of(Path::new(path)) == self.fuzz_target {
                true => String::new(),
                false => format!(" --as {}", self.fuzz_target),
            };
            format!("binderdrill replay {}{told} --target {}{words}", quoted(path), quoted(target))
        };
        match &self.made {
            Some((make, path)) => format!("{make}\n{}", replay(path)),
            None => replay(&self.name),
        }
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The program that it is for this driver, if it is one.
    pub(super) fn program(&self, profile: &Profile) -> Option<Settled> {
        self.fuzz_target.program(&self.bytes, profile)
    }

    /// What is wrong with it, if it is called as a script is and cannot be read.
    pub(super) fn misread(&self) -> Option<Diagnostics> {
        is_script(Path::new(&self.name)).then(|| parse(&self.bytes).err()).flatten()
    }

    /// Whether it is a script with a race, which is run step by step.
    fn has_race(&self) -> bool {
        parse(&self.bytes).is_ok_and(|script| script.program.race().is_some())
    }

    /// Whether it is no script, and a program is made of its bytes.
    fn is_of_bytes(&self) -> bool {
        let takes_bytes = !matches!(self.fuzz_target, FuzzTarget::RawWriteRead | FuzzTarget::Script);
        takes_bytes && !is_script(Path::new(&self.name)) && parse(&self.bytes).is_err()
    }

    /// What fuzzing begins with.
    pub(super) fn seeds() -> Vec<Input> {
        let of = |fuzz_target: FuzzTarget| {
            fuzz_target.seeds().into_iter().map(move |seed| Input {
                name: format!("seed {} of {fuzz_target}", seed.file_name()),
                made: Some((
                    format!("binderdrill seeds seeds --for {fuzz_target}"),
                    format!("seeds/{}", seed.file_name()),
                )),
                bytes: seed.bytes,
                fuzz_target,
            })
        };
        FuzzTarget::iter().flat_map(of).collect()
    }
}

/// All that are named, and all in the folders that are.
pub(super) fn inputs(paths: &[PathBuf], of: Option<FuzzTarget>) -> Result<Vec<Input>, CommandError> {
    let mut inputs = Vec::new();
    for path in paths {
        let mut paths = if path.is_dir() { files_under(path)? } else { vec![path.clone()] };
        // Beside each finding of a campaign stands what targets did, which is no input.
        paths.retain(|file| file == path || file.extension().is_none_or(|extension| extension != "txt"));
        if paths.is_empty() {
            return Err(CommandError::Options(format!("there is no file in the folder {}", path.display())));
        }
        for path in paths {
            let bytes = read_script(&path)?;
            let fuzz_target = of.unwrap_or_else(|| fuzz_target_of(&path));
            inputs.push(Input { name: path.display().to_string(), bytes, fuzz_target, made: None });
        }
    }
    Ok(inputs)
}

/// The fuzz target by whose name a folder of a path is called, as those are that cargo fuzz makes.
fn fuzz_target_of(path: &Path) -> FuzzTarget {
    let folders = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => name.to_str().and_then(|name| FuzzTarget::from_str(name).ok()),
        _ => None,
    });
    folders.into_iter().next().unwrap_or(FuzzTarget::CommandStream)
}

/// Of so many inputs that are otherwise, all is kept that a target did.
const MOST_KEPT: usize = 40;

/// What became of inputs on one target.
struct Replaying<'o> {
    counts: Replayed,
    /// Those that are otherwise, each with its script.
    found: Vec<(FoundProgram, String)>,
    /// The target, beside the model of its driver.
    bench: Bench,
    looks: Looks,
    options: &'o TargetArguments,
    out: &'o mut dyn Write,
}

/// Replays inputs on the target of a name, and tells of those that are otherwise.
pub(super) fn replay_on(
    name: &str,
    options: &TargetArguments,
    inputs: &[Input],
    out: &mut dyn Write,
) -> Result<(Replayed, Vec<(FoundProgram, String)>), CommandError> {
    let started = Instant::now();
    let bench = Bench::of_model_and(options.target(name, false)?)?;
    let profile = bench.maker().profile().clone();
    let counts = Replayed { target: name.to_owned(), inputs: inputs.len(), ..Replayed::default() };
    let mut replaying = Replaying { counts, found: Vec::new(), bench, looks: Looks::default(), options, out };
    for input in inputs {
        if let Some(diagnostics) = input.misread() {
            writeln!(replaying.out, "{}\n", diagnostics.render(&input.name, true).trim_end())?;
            replaying.counts.broken += 1;
            replaying.counts.deviating.push(input.name.clone());
            continue;
        }
        if let Err(finding) = input.fuzz_target.judge(&input.bytes) {
            replaying.unlawful(input, &finding.complaint, finding.script)?;
            continue;
        }
        match input.program(&profile) {
            // A text that the parser is right to refuse.
            None => replaying.counts.refused += 1,
            Some(settled) => replaying.run(input, &settled, &profile)?,
        }
    }
    replaying.counts.seconds = started.elapsed().as_secs_f64();
    Ok((replaying.counts, replaying.found))
}

impl Replaying<'_> {
    /// Takes note of a program over which a law is broken: a mistake of ours, whatever the target does.
    fn unlawful(
        &mut self,
        input: &Input,
        complaint: &str,
        script: Option<String>,
    ) -> Result<(), CommandError> {
        self.counts.deviations += 1;
        self.counts.deviating.push(input.name.clone());
        writeln!(self.out, "{}: {complaint}", input.name)?;
        let script = script.unwrap_or_default();
        if !script.is_empty() {
            writeln!(self.out, "{script}")?;
        }
        let case = Case::new(input.name.clone(), input.name.clone(), script.as_bytes());
        let run = Run::without_steps(Verdict::Fail(unlawful(complaint)));
        self.keep(input, CaseResult::of_run(&case, run), None, script);
        Ok(())
    }

    /// Runs what the model of its driver does on a target.
    fn run(&mut self, input: &Input, settled: &Settled, profile: &Profile) -> Result<(), CommandError> {
        let Settled { program, .. } = settled;
        let script = print(program);
        if let Err(violation) = oracle::examine_thoroughly(settled, profile) {
            return self.unlawful(input, &violation.to_string(), Some(script));
        }
        if program.steps.is_empty() {
            self.counts.empty += 1;
            return Ok(());
        }
        let found = self.bench.differences(&[program], None)?.found;
        let difference = match found.into_iter().next() {
            Some(Compared::Differs(difference)) => difference,
            Some(Compared::Skipped) => {
                self.counts.skipped += 1;
                return Ok(());
            }
            Some(Compared::Same) => {
                self.counts.same += 1;
                return Ok(());
            }
            None => return Err(SetUpError(format!("{}: the program was not run", input.name)).into()),
        };
        let mut runs = difference.runs.iter().cloned();
        let (Some((model, beside)), Some((_, run))) = (runs.next(), runs.next()) else {
            return self.unlawful(input, difference.signature.as_str(), Some(script));
        };
        let is_broken = matches!(run.verdict, Verdict::Broken { .. });
        if self.looks.listed(&mut self.bench, program, &difference)?.is_some() {
            self.counts.known += 1;
            return Ok(());
        }
        *(if is_broken { &mut self.counts.broken } else { &mut self.counts.deviations }) += 1;
        self.counts.deviating.push(input.name.clone());
        let case = Case::new(input.name.clone(), input.name.clone(), script.as_bytes());
        let result = CaseResult::of_run(&case, run);
        write_case(self.out, &result)?;
        let beside = Beside { target: model, case: CaseResult::of_run(&case, beside) };
        self.keep(input, result, Some(beside), script);
        Ok(())
    }

    fn keep(&mut self, input: &Input, case: CaseResult, beside: Option<Beside>, script: String) {
        if self.found.len() < MOST_KEPT {
            let target = self.counts.target.clone();
            let whence = Whence::Replay { command: input.command(&target, self.options) };
            self.found.push((FoundProgram { whence, target, case, beside }, script));
        }
    }
}

/// What became of inputs, on one line.
fn told(replayed: &Replayed) -> String {
    let parts = [
        (replayed.same, "as the model says"),
        (replayed.refused, "no script, and refused"),
        (replayed.known, "otherwise as known"),
        (replayed.skipped, "skipped"),
        (replayed.empty, "of which nothing can be compared"),
        (replayed.deviations, "otherwise"),
        (replayed.broken, "broken"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    let inputs = if replayed.inputs == 1 { "input" } else { "inputs" };
    format!("{} {inputs}: {}", replayed.inputs, parts.join(", "))
}

pub(super) fn status_of(replayed: &Replayed) -> Status {
    Status::of(replayed.deviations > 0, replayed.broken > 0)
}
