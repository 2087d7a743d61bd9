//! `binderdrill replay`: inputs that a fuzzer has kept, on any target.

use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use reference_driver::Profile;
use strum::IntoEnumIterator;

use super::{CommandError, ReplayArguments, Status, TargetArguments, complain};
use crate::engine::{SetUpError, Verdict};
use crate::fuzz_target::FuzzTarget;
use crate::generate::Settled;
use crate::oracle;
use crate::report::{CaseResult, Replayed, write_case};
use crate::script::{parse, print};
use crate::suite::{Case, files_under, is_script, read_script};
use crate::target::Target;

pub(super) fn replay(arguments: &ReplayArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    arguments.options.check(&arguments.targets)?;
    let inputs = inputs(&arguments.paths, arguments.fuzz_target)?;
    let mut status = Status::AsExpected;
    for name in &arguments.targets {
        match replay_on(name, &arguments.options, &inputs, out) {
            Ok(replayed) => {
                writeln!(out, "{} on {name} in {:.2} s", told(&replayed), replayed.seconds)?;
                status = match status_of(&replayed) {
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
#[derive(Debug, Clone)]
pub(super) struct Input {
    name: String,
    bytes: Vec<u8>,
    fuzz_target: FuzzTarget,
}

impl Input {
    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What fuzzing begins with.
    pub(super) fn seeds() -> Vec<Input> {
        let of = |fuzz_target: FuzzTarget| {
            fuzz_target.seeds().into_iter().map(move |seed| Input {
                name: format!("seed {} of {fuzz_target}", seed.file_name()),
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
        let paths = if path.is_dir() { files_under(path)? } else { vec![path.clone()] };
        if paths.is_empty() {
            return Err(CommandError::Options(format!("there is no file in the folder {}", path.display())));
        }
        for path in paths {
            let bytes = read_script(&path)?;
            let fuzz_target = of.unwrap_or_else(|| fuzz_target_of(&path));
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

/// Replays inputs on the target of a name, and tells of those that are otherwise.
pub(super) fn replay_on(
    name: &str,
    options: &TargetArguments,
    inputs: &[Input],
    out: &mut dyn Write,
) -> Result<Replayed, CommandError> {
    let started = Instant::now();
    let mut target = options.target(name, false)?;
    let target = target.as_mut();
    let profile = profile(target)?;
    let mut counts = Replayed { target: name.to_owned(), inputs: inputs.len(), ..Replayed::default() };
    for input in inputs {
        let misread = is_script(Path::new(&input.name)).then(|| parse(&input.bytes).err()).flatten();
        if let Some(diagnostics) = misread {
            writeln!(out, "{}\n", diagnostics.render(&input.name, true).trim_end())?;
            counts.broken += 1;
            continue;
        }
        if let Err(finding) = input.fuzz_target.judge(&input.bytes) {
            counts.deviations += 1;
            counts.deviating.push(input.name.clone());
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

/// A script that does next to nothing, for which a kernel has to boot.
const BOOTS: &[u8] = b"# Boots.\n\nprocess first\n\nfirst  ! poll = 0\n";

/// The profile that a target is to be compared with. A kernel has to boot before that is known.
fn profile(target: &mut dyn Target) -> Result<Profile, CommandError> {
    if target.profile().is_none()
        && let Ok(script) = parse(BOOTS)
    {
        target.run(&script.program)?;
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
    counts: &mut Replayed,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    if let Err(violation) = oracle::examine_thoroughly(settled, profile) {
        counts.deviations += 1;
        counts.deviating.push(input.name.clone());
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
        Verdict::Fail(_) | Verdict::UnexpectedPass { .. } => {
            counts.deviations += 1;
            counts.deviating.push(input.name.clone());
        }
        Verdict::Broken { .. } => counts.broken += 1,
    }
    Ok(write_case(out, &result)?)
}

/// What became of inputs, on one line.
fn told(replayed: &Replayed) -> String {
    let parts = [
        (replayed.same, "as the model says"),
        (replayed.refused, "no script, and refused"),
        (replayed.skipped, "skipped"),
        (replayed.deviations, "otherwise"),
        (replayed.broken, "broken"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    let inputs = if replayed.inputs == 1 { "input" } else { "inputs" };
    format!("{} {inputs}: {}", replayed.inputs, parts.join(", "))
}

pub(super) fn status_of(replayed: &Replayed) -> Status {
    match (replayed.deviations, replayed.broken) {
        (0, 0) => Status::AsExpected,
        (0, _) => Status::CouldNotRun,
        _ => Status::Deviation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_that_boots_a_kernel_is_one() {
        assert!(parse(BOOTS).is_ok());
    }
}
