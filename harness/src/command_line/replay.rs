//! `binderdrill replay`: inputs that a fuzzer has kept, on any target.

use std::io::Write;
use std::path::{Component, Path};
use std::str::FromStr;
use std::time::Instant;

use reference_driver::Profile;

use super::{CommandError, ReplayArguments, Status, complain};
use crate::engine::{SetUpError, Verdict};
use crate::fuzz_target::FuzzTarget;
use crate::generate::Settled;
use crate::oracle;
use crate::report::{CaseResult, write_case};
use crate::script::{parse, print};
use crate::suite::{Case, files_under, is_script, read_script};
use crate::target::Target;

pub(super) fn replay(arguments: &ReplayArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    arguments.options.check(&arguments.targets)?;
    let inputs = inputs(arguments)?;
    let mut status = Status::AsExpected;
    for name in &arguments.targets {
        let replayed = arguments
            .options
            .target(name, false)
            .map_err(CommandError::from)
            .and_then(|mut target| replay_on(target.as_mut(), &inputs, out));
        match replayed {
            Ok(counts) => {
                writeln!(out, "{} on {name} in {:.2} s", counts.told(), counts.seconds)?;
                status = match counts.status() {
                    _ if status == Status::Deviation => status,
                    Status::AsExpected => status,
                    other => other,
                };
            }
            // What the other targets show is not lost over it.
            Err(error @ (CommandError::SetUp(_) | CommandError::Target(_))) => {
                complain(&format!("{name}: {error}"));
                status = if status == Status::Deviation { status } else { Status::CouldNotRun };
            }
            Err(error) => return Err(error),
        }
    }
    Ok(status)
}

/// A file that a fuzzer has kept.
struct Input {
    name: String,
    bytes: Vec<u8>,
    fuzz_target: FuzzTarget,
}

/// All that are named, and all in the folders that are.
fn inputs(arguments: &ReplayArguments) -> Result<Vec<Input>, CommandError> {
    let mut inputs = Vec::new();
    for path in &arguments.paths {
        let paths = if path.is_dir() { files_under(path)? } else { vec![path.clone()] };
        if paths.is_empty() {
            return Err(CommandError::Options(format!("there is no file in the folder {}", path.display())));
        }
        for path in paths {
            let bytes = read_script(&path)?;
            let fuzz_target = arguments.fuzz_target.unwrap_or_else(|| fuzz_target_of(&path));
            inputs.push(Input { name: path.display().to_string(), bytes, fuzz_target });
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

/// What became of inputs.
#[derive(Default)]
struct Counts {
    inputs: usize,
    same: usize,
    skipped: usize,
    refused: usize,
    deviations: usize,
    broken: usize,
    seconds: f64,
}

fn replay_on(target: &mut dyn Target, inputs: &[Input], out: &mut dyn Write) -> Result<Counts, CommandError> {
    let started = Instant::now();
    let profile = profile(target)?;
    let mut counts = Counts { inputs: inputs.len(), ..Counts::default() };
    for input in inputs {
        let misread = is_script(Path::new(&input.name)).then(|| parse(&input.bytes).err()).flatten();
        if let Some(diagnostics) = misread {
            writeln!(out, "{}\n", diagnostics.render(&input.name, true).trim_end())?;
            counts.broken += 1;
            continue;
        }
        if let Err(finding) = input.fuzz_target.judge(&input.bytes) {
            counts.deviations += 1;
            writeln!(out, "{}: {finding}", input.name)?;
            if let Some(script) = finding.script {
                writeln!(out, "{script}")?;
            }
            continue;
        }
        match input.fuzz_target.program(&input.bytes, &profile) {
            // A text that the parser is right to refuse.
            None => counts.refused += 1,
            Some(settled) => run(input, &settled, &profile, target, &mut counts, out)?,
        }
    }
    counts.seconds = started.elapsed().as_secs_f64();
    Ok(counts)
}

/// The profile that a target is to be compared with. A kernel has to boot before that is known.
fn profile(target: &mut dyn Target) -> Result<Profile, CommandError> {
    if target.profile().is_none() {
        let program =
            parse(b"# Boots.\n\nprocess first\n\nfirst ! poll = any\n").map(|script| script.program);
        if let Ok(program) = program {
            target.run(&program)?;
        }
    }
    let name = target.profile();
    let profile = Profile::ALL.into_iter().find(|profile| Some(profile.name) == name.as_deref());
    profile.ok_or_else(|| SetUpError("it does not say which driver it has".to_owned()).into())
}

/// Runs what the model of its driver does on a target.
fn run(
    input: &Input,
    settled: &Settled,
    profile: &Profile,
    target: &mut dyn Target,
    counts: &mut Counts,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    if let Err(violation) = oracle::examine_thoroughly(settled, profile) {
        counts.deviations += 1;
        return Ok(writeln!(out, "{}: {violation}\n{}", input.name, print(&settled.program))?);
    }
    if settled.program.steps.is_empty() {
        counts.same += 1;
        return Ok(());
    }
    let case = Case::new(input.name.clone(), input.name.clone(), print(&settled.program).as_bytes());
    let result = CaseResult::of(&case, target)?;
    match result.verdict {
        Verdict::Pass | Verdict::KnownDeviation { .. } => counts.same += 1,
        Verdict::Skip { .. } | Verdict::OtherDriver { .. } => counts.skipped += 1,
        Verdict::Fail(_) | Verdict::UnexpectedPass { .. } => counts.deviations += 1,
        Verdict::Broken { .. } => counts.broken += 1,
    }
    Ok(write_case(out, &result)?)
}

impl Counts {
    fn told(&self) -> String {
        let parts = [
            (self.same, "as the model says"),
            (self.refused, "no script, and refused"),
            (self.skipped, "skipped"),
            (self.deviations, "otherwise"),
            (self.broken, "broken"),
        ];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
        let inputs = if self.inputs == 1 { "input" } else { "inputs" };
        format!("{} {inputs}: {}", self.inputs, parts.join(", "))
    }

    fn status(&self) -> Status {
        match (self.deviations, self.broken) {
            (0, 0) => Status::AsExpected,
            (0, _) => Status::CouldNotRun,
            _ => Status::Deviation,
        }
    }
}
