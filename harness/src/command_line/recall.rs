//! `binderdrill recall`: which of the historical bugs of the driver the suite finds again.

use std::io::Write;
use std::time::Instant;

use clap::Args;

use super::trial::{self, Base, Trial, in_order, watched};
use super::{CommandError, Format, GuestArguments, Status, give_seed, write_json};
use crate::kernel::{KernelError, SourceChoice, Store};
use crate::patch::{
    BugKind, Changes, KernelVerdict, KnownBug, Patch, RecallResults, Recalled, Repeated, known_bugs,
};
use crate::report::{CaseResult, write_recall};
use crate::suite::{self, Case};
use crate::target::qemu;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct RecallArguments {
    /// Which bugs, by their names or parts of these [default: all]
    #[arg(value_name = "NAME")]
    bugs: Vec<String>,
    /// Which cases are run, as of `run` [default: all]
    #[arg(long, value_name = "FILTER")]
    suite: Vec<String>,
    /// How often the cases that race are run, with other delays each time, until one catches a bug that is a race
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Only of bugs that are races: make the moment long in which each happens, with a delay in the kernel with the bug and
    /// in the one without. That says whether a case would catch it, and not how soon; only cases that race are run
    #[arg(long)]
    widened: bool,
    /// Run the kernels without bugs anew, even if what they did is kept
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    guests: GuestArguments,
}

const AFTER_HELP: &str = "Exit status: 0 if every bug that a case is about is caught, 1 if one is missed, 2 if one \
                          could not be tried.";

pub(super) fn recall(arguments: &RecallArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    let mut cases = suite::select(&arguments.suite)?;
    let mut bugs = select(known_bugs()?, &arguments.bugs)?;
    if arguments.widened {
        cases.retain(|case| case.race().is_some());
        bugs.retain(|bug| bug.window.is_some());
        if cases.is_empty() || bugs.is_empty() {
            return Err(CommandError::Options(
                "--widened is for bugs of which suites/known-bugs/windows/ has a patch, and for cases that race: there is \
                 none among these"
                    .to_owned(),
            ));
        }
    }
    let store = Store::of_user()?;
    let trial = Trial::new(&store, &arguments.guests, arguments.again);
    let recall = Recall { trial, cases: &cases, rounds: arguments.rounds, widened: arguments.widened };
    let recalled: Vec<Recalled> = bugs.iter().map(|bug| recall.bug(bug)).collect::<Result<_, _>>()?;
    let results = RecallResults::of(recalled);
    match arguments.guests.format {
        Format::Human => write_recall(out, &results.bugs)?,
        Format::Json => write_json(out, &results)?,
    }
    let any = |is: fn(&Recalled) -> bool| results.bugs.iter().any(is);
    Ok(Status::of(any(Recalled::is_missed), any(|bug| bug.untried.is_some())))
}

/// The bugs that are asked for.
fn select(bugs: Vec<KnownBug>, names: &[String]) -> Result<Vec<KnownBug>, CommandError> {
    if let Some(unknown) = names.iter().find(|name| !bugs.iter().any(|bug| bug.name.contains(name.as_str())))
    {
        let known: Vec<&str> = bugs.iter().map(|bug| bug.name.as_str()).collect();
        return Err(CommandError::Options(format!(
            "{unknown:?} is no known bug, nor a part of the name of one: these are {}",
            known.join(", ")
        )));
    }
    let wanted =
        |bug: &KnownBug| names.is_empty() || names.iter().any(|name| bug.name.contains(name.as_str()));
    Ok(bugs.into_iter().filter(wanted).collect())
}

/// Bugs are brought back.
struct Recall<'a> {
    trial: Trial<'a>,
    cases: &'a [Case],
    rounds: u32,
    widened: bool,
}

impl Recall<'_> {
    /// Brings a bug back, and runs everything on the kernel that has it.
    fn bug(&self, bug: &KnownBug) -> Result<Recalled, CommandError> {
        let plain = trial::of_source(&SourceChoice::Newest, std::slice::from_ref(&bug.patch));
        let orders = plain.into_iter().map(|order| if bug.memory { watched(&order) } else { Some(order) });
        // A bug is of one driver.
        let order = orders.flatten().next().expect("of a source there is a kernel for each patch");
        let mut recalled = Recalled::of(bug, format!("built:{}", order.name()?));
        let base = Base::Source(order);
        recalled.widened = self.widened;
        let window = bug.window.as_ref().filter(|_| self.widened);
        let building = Instant::now();
        let built = self.build(bug, &base, window);
        recalled.building = building.elapsed().as_secs_f64();
        let (without, with) = match built {
            Ok(built) => built,
            Err(
                error @ (CommandError::DoesNotApply(_) | CommandError::Kernel(KernelError::Build { .. })),
            ) => {
                recalled.untried = Some(error.to_string());
                return Ok(recalled);
            }
            Err(error) => return Err(error),
        };
        let running = Instant::now();
        let (base, _) = self.trial.run_base(&without, self.cases)?;
        recalled.patched = Some(with.clone());
        match self.run(bug, &mut recalled, (&without, &with), &base.cases) {
            Err(CommandError::SetUp(error)) => recalled.untried = Some(error.to_string()),
            other => other?,
        }
        recalled.seconds = running.elapsed().as_secs_f64();
        // Nobody boots it again so soon that this would be worth its room.
        qemu::forget_snapshots(&with)?;
        let caught = recalled.caught_by.len();
        self.trial.say(&bug.name, &format!("{caught} cases catch it"));
        Ok(recalled)
    }

    /// Builds the kernel without a bug and the one with it, as targets.
    fn build(
        &self,
        bug: &KnownBug,
        base: &Base,
        window: Option<&Patch>,
    ) -> Result<(String, String), CommandError> {
        let before = self.trial.apply(base, &Changes::default(), window.map_or(&[], std::slice::from_ref))?;
        let after = self.trial.apply(base, &before, std::slice::from_ref(&bug.patch))?;
        let without = self.trial.build(base, &before, "the base")?;
        Ok((without, self.trial.build_patched(base, &after, &bug.patch.title)?.target()))
    }

    /// Runs all cases, then those that race until one of them catches a bug that is a race.
    fn run(
        &self,
        bug: &KnownBug,
        recalled: &mut Recalled,
        (without, with): (&str, &str),
        base: &[CaseResult],
    ) -> Result<(), CommandError> {
        self.round(recalled, (without, with), base, self.cases)?;
        let racing: Vec<Case> = self.cases.iter().filter(|case| case.race().is_some()).cloned().collect();
        if bug.kind == BugKind::Sequence || racing.is_empty() {
            return Ok(());
        }
        let base: Vec<CaseResult> = in_order(&racing, base.to_vec());
        while recalled.caught_by.is_empty() && recalled.rounds < self.rounds {
            let mut racing = racing.clone();
            racing.iter_mut().for_each(|case| give_seed(Some(u64::from(recalled.rounds)), case));
            self.round(recalled, (without, with), &base, &racing)?;
        }
        Ok(())
    }

    /// Runs cases on the kernel that has the bug. What the other one does too, now and then, catches nothing.
    fn round(
        &self,
        recalled: &mut Recalled,
        (without, with): (&str, &str),
        base: &[CaseResult],
        cases: &[Case],
    ) -> Result<(), CommandError> {
        let patched = in_order(cases, self.trial.run(with, cases)?.cases);
        recalled.rounds += 1;
        let mut verdict = KernelVerdict::between(recalled.kernel.clone(), without, with);
        verdict.judge(base, &patched, |differing| {
            let differs = |case: &&Case| differing.contains(&case.id.as_str());
            let again: Vec<Case> = cases.iter().filter(differs).cloned().collect();
            let base = self.trial.run(without, &again)?.cases;
            Ok::<_, CommandError>(vec![Repeated { base, patched: Vec::new() }])
        })?;
        recalled.take(&verdict);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bugs_are_named_by_parts_of_their_names() {
        let all = known_bugs().unwrap();
        let names = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            let bugs = select(all.clone(), &wanted)?;
            Ok::<_, CommandError>(bugs.into_iter().map(|bug| bug.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), all.len());
        assert_eq!(names(&["2019-2215"]).unwrap(), ["cve-2019-2215"]);
        let error = names(&["cve", "log4j"]).unwrap_err().to_string();
        assert!(error.starts_with("\"log4j\" is no known bug") && error.contains("cve-2019-2215"), "{error}");
    }
}
