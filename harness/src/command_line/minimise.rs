//! `binderdrill minimise`: one script on which targets part ways, made as small as it can be.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{CommandError, Status, TargetArguments, parse_or_complain, takes_file, tell, write_text};
use crate::campaign::{Bench, Compared, REPETITIONS, Reduced, Reduction, reduce, side_by_side};
use crate::engine::Verdict;
use crate::script::{Script, print};
use crate::suite::read_script_or_case;

#[derive(Debug, Args)]
pub(super) struct MinimiseArguments {
    /// A script, or the name of a case of the suite; `-` is standard input
    file: PathBuf,
    /// A driver to run on, as of `run`. One alone, or one beside `reference`, is compared with the reference driver as
    /// a model of it; others with each other
    #[arg(long = "target", value_name = "TARGET", required = true)]
    targets: Vec<String>,
    /// Where to write the small script [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    options: TargetArguments,
}

pub(super) fn minimise(arguments: &MinimiseArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    arguments.options.check(&arguments.targets)?;
    let origin = arguments.file.display().to_string();
    let Some(Script { program, .. }) = parse_or_complain(&read_script_or_case(&arguments.file)?, &origin)
    else {
        return Ok(Status::CouldNotRun);
    };
    if program.race().is_some() {
        return Err(CommandError::Options(format!(
            "{origin}: it has a race, of which every run is another: there is nothing to compare"
        )));
    }
    if let Some(path) = &arguments.out {
        takes_file(path)?;
    }
    let mut bench = arguments.bench()?;
    // A step that is gone may be one that others refer to, so all programs that are tried are settled, and this first.
    let Some(settled) = bench.settled(&program) else {
        return Err(CommandError::Options(format!(
            "{origin}: nothing of it can be compared, as all that it does is left undefined (`binderdrill run` tells \
             whether targets do what it expects)"
        )));
    };
    let mut compared = Compared::Same;
    // Some part ways only now and then.
    for _ in 0..REPETITIONS {
        if compared == Compared::Same {
            compared = bench.compare(&settled)?;
        }
    }
    let difference = match compared {
        Compared::Differs(difference) => difference,
        Compared::Skipped => {
            return Err(CommandError::Options(format!(
                "{origin}: a target lacks what it requires, so there is nothing to compare (`binderdrill run` tells which \
                 and what)"
            )));
        }
        Compared::Same => {
            tell(&format!(
                "{origin}: all targets do the same with it, in {REPETITIONS} of {REPETITIONS} runs, so there is nothing to \
                 make smaller (what it leaves undefined is not compared; `binderdrill run` tells whether they do what it \
                 expects)"
            ));
            return Ok(Status::AsExpected);
        }
    };
    let Reduction { reduced, error } = reduce(&mut bench, &settled, difference, &|| false);
    let mut small = reduced.program.clone();
    small.opening = vec![
        format!("Targets part ways: {}.", reduced.difference.signature),
        format!("On {}, in {}.", arguments.targets.join(", "), reduced.steadiness),
        format!("It was {origin}, which had {} steps.", program.steps.len()),
    ];
    write_text(arguments.out.as_deref(), &print(&small), out)?;
    tell_apart(&reduced);
    if reduced.is_cut_short && error.is_none() {
        tell(
            "it may be made smaller still, by minimising what is left of it: so many programs are tried at a time",
        );
    }
    error.map_or(Ok(Status::Deviation), |error| Err(error.into()))
}

/// Says what the targets do with the small script.
fn tell_apart(reduced: &Reduced) {
    let mut runs = reduced.difference.runs.iter();
    let Some((first, one)) = runs.next() else { return };
    for (name, other) in runs {
        tell(&side_by_side((first, &one.transcript), (name, &other.transcript)));
        match &other.verdict {
            Verdict::Broken { reason } => tell(&format!("{name}: {reason}")),
            Verdict::Fail(deviation) => tell(&format!("{name}: {}", deviation.difference)),
            _ => {}
        }
    }
}

impl MinimiseArguments {
    fn bench(&self) -> Result<Bench, CommandError> {
        let drivers: Vec<&String> = match self.targets.as_slice() {
            [_, _, ..] => {
                let is_beside_model = self.targets.len() == 2
                    && self.targets.iter().any(|target| target == "reference")
                    && self.targets.iter().any(|target| !target.starts_with("reference"));
                self.targets.iter().filter(|target| !is_beside_model || *target != "reference").collect()
            }
            only => only.iter().filter(|target| !target.starts_with("reference")).collect(),
        };
        let targets = drivers.iter().map(|name| self.options.target(name, false));
        let mut targets: Vec<_> = targets.collect::<Result<_, _>>()?;
        Ok(match (targets.pop(), targets.is_empty()) {
            (Some(driver), true) => Bench::of_model_and(driver)?,
            (Some(last), false) => {
                targets.push(last);
                Bench::of_peers(targets)?
            }
            (None, _) => {
                return Err(CommandError::Options(
                    "the reference driver alone has nothing to differ from: name another target, such as --target \
                     built:uml-c"
                        .to_owned(),
                ));
            }
        })
    }
}
