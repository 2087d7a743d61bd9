//! `binderdrill nightly`: all that is to be looked at in the morning. The suite on all targets, a campaign of some minutes,
//! what fuzzers have kept, and the report on all of it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::fuzz::{self, FuzzArguments, duration};
use super::rendering::{KcidbArguments, ResultsFormat};
use super::replay::{Input, inputs, replay_on};
use super::run::{Outcome, run_all};
use super::{CommandError, Format, RunArguments, Status, TargetArguments, complain, report};
use crate::generate::Emphasis;
use crate::report::site::{self, Changes, Past, Summary, file_stem};
use crate::report::{Results, write_compressed};

/// Where fuzzers keep their inputs in a tree of this project; they are replayed where it is.
const CORPORA: [&str; 2] = ["fuzz/findings", "fuzz/corpus"];

/// The folders of results and of what campaigns have found, beside the pages of the site.
const RESULTS: &str = "results";
const FINDINGS: &str = "findings";

#[derive(Debug, Args)]
pub(super) struct NightlyArguments {
    /// The folder of the site. It keeps the results of each night, and what campaigns have found
    #[arg(long, value_name = "FOLDER", default_value = "nightly")]
    out: PathBuf,
    /// A driver, as of `run` [default: as of `run --matrix`]
    #[arg(long = "target", value_name = "TARGET")]
    targets: Vec<String>,
    /// How long programs that nobody wrote are run; `0s` for none
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    fuzz_for: Duration,
    /// Folders of inputs that fuzzers have kept [default: fuzz/findings and fuzz/corpus, where they are, and on models what
    /// fuzzing begins with]. What earlier nights have found is always replayed
    #[arg(long, value_name = "FOLDER")]
    corpus: Vec<PathBuf>,
    /// The seed of the campaign's first program, and of the delays of races [default: the time, and as scripts say]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Run only these cases, as of `run`
    #[arg(long = "only", value_name = "FILTER")]
    filter: Vec<String>,
    #[command(flatten)]
    options: TargetArguments,
}

pub(super) fn nightly(arguments: &NightlyArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    // That there is no place for it must not be found out in the morning.
    fs::create_dir_all(arguments.out.join(RESULTS))?;
    fs::create_dir_all(arguments.out.join(crate::report::site::PAST))?;
    let started = Timestamp::now();
    let mut notices = Vec::new();
    let run = RunArguments {
        filter: arguments.filter.clone(),
        targets: arguments.targets.clone(),
        matrix: arguments.targets.is_empty(),
        seed: arguments.seed,
        options: arguments.options.clone(),
        jobs: None,
        records: None,
        against: Vec::new(),
        format: ResultsFormat::Json,
        kcidb: KcidbArguments::default(),
    };
    eprintln!("the suite");
    let outcome = run_all(&run, &mut io::sink())?;
    let mut worst = vec![outcome.status()];
    let Outcome { mut results, unusable, .. } = outcome;
    if unusable > 0 {
        notices.push(format!(
            "{unusable} targets could not be used: what was said of them stands in the log of this run"
        ));
    }
    // What could not boot for the suite cannot for the rest.
    let targets: Vec<String> = results.runs.iter().map(|run| run.target.clone()).collect();
    worst.push(fuzz(arguments, &targets, &mut results, &mut notices)?);
    worst.push(replay(arguments, &targets, &mut results, &mut notices)?);
    let path = arguments.out.join(RESULTS).join(format!("{}.json.gz", file_stem(started)));
    write_compressed(&path, &results)?;
    let now = Summary::of(&results);
    let before = Past::before(&arguments.out, now.started).summaries.pop();
    let changes = before.as_ref().map(|before| Changes::between(before, &now));
    let results = results.with_known_scripts();
    let status = overall(&worst);
    let line = line(&results, changes.as_ref(), status, &arguments.out);
    report::write(results, None, notices, &arguments.out, &mut io::sink())?;
    writeln!(out, "{line}")?;
    Ok(status)
}

/// Runs programs that nobody wrote on each driver beside its model.
fn fuzz(
    arguments: &NightlyArguments,
    targets: &[String],
    results: &mut Results,
    notices: &mut Vec<String>,
) -> Result<Status, CommandError> {
    let drivers: Vec<String> =
        targets.iter().filter(|target| !target.starts_with("reference")).cloned().collect();
    if arguments.fuzz_for.is_zero() || drivers.is_empty() {
        return Ok(Status::AsExpected);
    }
    eprintln!("programs that nobody wrote");
    let campaign = FuzzArguments {
        targets: std::iter::once("reference".to_owned()).chain(drivers).collect(),
        seed: arguments.seed,
        time: Some(arguments.fuzz_for),
        programs: None,
        corpus: None,
        emphasis: Emphasis::Mix,
        out: arguments.out.join(FINDINGS),
        jobs: None,
        format: Format::Json,
        options: arguments.options.clone(),
    };
    let (tally, failures) = fuzz::campaign(&campaign)?;
    let status = match (tally.unlisted(), failures.len()) {
        (1.., _) => Status::Deviation,
        (0, 0) => Status::AsExpected,
        _ => Status::CouldNotRun,
    };
    notices.extend(failures);
    results.campaign = Some(tally);
    Ok(status)
}

/// Replays what fuzzers have kept: on the models also what fuzzing begins with, which the suite is made of.
fn replay(
    arguments: &NightlyArguments,
    targets: &[String],
    results: &mut Results,
    notices: &mut Vec<String>,
) -> Result<Status, CommandError> {
    let usual = CORPORA.iter().map(PathBuf::from).filter(|_| arguments.corpus.is_empty());
    let own = [arguments.out.join(FINDINGS)];
    let is_filled = |path: &PathBuf| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    let paths: Vec<PathBuf> =
        usual.chain(own).filter(is_filled).chain(arguments.corpus.iter().cloned()).collect();
    let mut kept = inputs(&paths, None)?;
    // Beside each finding of a campaign stands what targets did, which is no input.
    kept.retain(|input| Path::new(input.name()).extension().is_none_or(|extension| extension != "txt"));
    let mut status = vec![Status::AsExpected];
    if kept.is_empty() {
        return Ok(Status::AsExpected);
    }
    eprintln!("what fuzzers have kept");
    for target in targets {
        let begins_with_seeds = target.starts_with("reference") && arguments.corpus.is_empty();
        let seeds = if begins_with_seeds { Input::seeds() } else { Vec::new() };
        let all: Vec<Input> = kept.iter().cloned().chain(seeds).collect();
        let mut told = anstream::StripStream::new(Vec::new());
        match replay_on(target, &arguments.options, &all, &mut told) {
            Ok(mut replayed) => {
                replayed.told = match replayed.deviations + replayed.broken {
                    0 => String::new(),
                    _ => String::from_utf8_lossy(&told.into_inner()).into_owned(),
                };
                status.push(super::replay::status_of(&replayed));
                results.replays.push(replayed);
            }
            Err(error @ (CommandError::SetUp(_) | CommandError::Target(_))) => {
                complain(&format!("{target}: {error}"));
                notices.push(format!("nothing was replayed on {target}: {error}"));
                status.push(Status::CouldNotRun);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(overall(&status))
}

/// A deviation is worse than that something could not be run.
fn overall(all: &[Status]) -> Status {
    let has = |status: Status| all.contains(&status);
    match (has(Status::Deviation), has(Status::CouldNotRun)) {
        (true, _) => Status::Deviation,
        (false, true) => Status::CouldNotRun,
        (false, false) => Status::AsExpected,
    }
}

/// What there is to say in a chat.
fn line(results: &Results, changes: Option<&Changes>, status: Status, folder: &Path) -> String {
    let counts = results.counts();
    let verdict = match status {
        Status::AsExpected => "as expected",
        Status::Deviation => "DEVIATIONS",
        // Those about patches say so too, and no night has a patch.
        Status::CouldNotRun | Status::DoesNotApply | Status::DoesNotCompile => "INCOMPLETE",
    };
    let changed = match changes {
        None => "no night before".to_owned(),
        Some(changes) if changes.is_nothing() => "nothing changed".to_owned(),
        Some(changes) => format!("{} worse, {} better", changes.worse(), changes.better()),
    };
    let fuzzed = results.campaign.as_ref().map_or(String::new(), |tally| {
        format!("; {} programs fuzzed, {} diverge", tally.programs(), tally.unlisted())
    });
    let kept: usize = results.replays.iter().map(|replayed| replayed.inputs).sum();
    let otherwise: usize = results.replays.iter().map(|replayed| replayed.deviations).sum();
    let replayed = if kept > 0 { format!("; {kept} replayed, {otherwise} otherwise") } else { String::new() };
    format!(
        "binderdrill: {verdict}, {changed}: {} passed, {} to look at, {} known on {} targets{fuzzed}{replayed}: {}",
        counts.passed,
        site::to_look_at(results),
        counts.known_deviations,
        results.runs.len(),
        folder.join("index.html").display()
    )
}
