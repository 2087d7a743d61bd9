//! `binderdrill nightly`: all that is to be looked at in the morning. The suite on all targets, a campaign of some minutes,
//! what fuzzers have kept, and the report on all of it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::fuzz::{self, Conducted, FuzzArguments, duration};
use super::rendering::{KcidbArguments, ResultsFormat};
use super::replay::{Input, inputs, replay_on};
use super::run::{RunArguments, run_all, without};
use super::{CommandError, Format, Status, TargetArguments, report, tell};
use crate::generate::Emphasis;
use crate::report::site::{self, Report, file_stem};
use crate::report::{Results, write_compressed};
use crate::suite::FileError;

/// Where fuzzers keep their inputs in a tree of this project; they are replayed where it is.
const CORPORA: [&str; 2] = ["fuzz/findings", "fuzz/corpus"];

/// The folders of results and of what campaigns have found, beside the pages of the site.
const RESULTS: &str = "results";
const FINDINGS: &str = "findings";

/// How long a campaign is that nobody has said anything of.
const FUZZ_FOR: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Args)]
pub(super) struct NightlyArguments {
    /// The folder of the site. It keeps the results of each night, and what campaigns have found
    #[arg(long, value_name = "FOLDER", default_value = "nightly")]
    out: PathBuf,
    /// A driver, as of `run` [default: as of `run --matrix`]
    #[arg(long = "target", value_name = "TARGET")]
    targets: Vec<String>,
    /// How long programs that nobody wrote are run; `0s` for none [default: 5m, where a target is no model]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    fuzz_for: Option<Duration>,
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
    site::prepare(&arguments.out)?;
    let results = arguments.out.join(RESULTS);
    fs::create_dir_all(&results).map_err(|source| FileError { path: results, source })?;
    // Nor that a folder of inputs is not there.
    inputs(&arguments.corpus, None)?;
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
    // What tonight's campaign finds is told as such, and replayed from tomorrow on.
    let kept = kept_inputs(arguments, &mut notices);
    tell("the suite");
    let outcome = run_all(&run, &mut io::sink())?;
    let mut worst = vec![outcome.status()];
    let mut results = outcome.results;
    // What could not boot for the suite cannot for the rest.
    let targets: Vec<String> = results.runs.iter().map(|run| run.target.clone()).collect();
    worst.push(fuzz(arguments, &targets, &mut results, &mut notices)?);
    worst.push(replay(arguments, &targets, &kept, &mut results, &mut notices)?);
    let path = arguments.out.join(RESULTS).join(format!("{}.json.gz", file_stem(started)));
    write_compressed(&path, &results).map_err(|source| FileError { path, source })?;
    let (report, _) = report::write(results.with_known_scripts(), None, notices, &arguments.out)?;
    worst.push(report::status(&report.notices));
    writeln!(out, "{}", line(&report, &arguments.out))?;
    Ok(Status::of_all(&worst))
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
    let time = arguments.fuzz_for.unwrap_or(FUZZ_FOR);
    if time.is_zero() {
        return Ok(Status::AsExpected);
    }
    if drivers.is_empty() {
        if arguments.fuzz_for.is_some() {
            notices
                .push("no program was fuzzed: none of the targets is a driver beside its model".to_owned());
        }
        return Ok(Status::AsExpected);
    }
    tell("programs that nobody wrote");
    let campaign = FuzzArguments {
        targets: std::iter::once("reference".to_owned()).chain(drivers).collect(),
        seed: arguments.seed,
        time: Some(time),
        programs: None,
        corpus: None,
        emphasis: Emphasis::Mix,
        out: arguments.out.join(FINDINGS),
        jobs: None,
        format: Format::Json,
        options: arguments.options.clone(),
    };
    let Conducted { tally, failures, idle, found, was_interrupted } = match fuzz::campaign(&campaign) {
        Ok(ran) => ran,
        Err(error) => {
            // The night is not lost over it.
            notices.push(format!("no program was fuzzed: {error}"));
            return Ok(Status::CouldNotRun);
        }
    };
    let status = if tally.unlisted() > 0 { Status::Deviation } else { Status::AsExpected };
    if was_interrupted {
        let (seconds, all) = (tally.seconds, time.as_secs());
        notices.push(format!("the campaign was interrupted after {seconds:.0} of {all} seconds"));
    }
    notices.extend(idle);
    notices.extend(failures);
    results.campaign = Some(tally);
    results.keep_found(found);
    Ok(status)
}

/// What fuzzers have kept.
fn kept_inputs(arguments: &NightlyArguments, notices: &mut Vec<String>) -> Vec<Input> {
    let usual = CORPORA.iter().map(PathBuf::from).filter(|_| arguments.corpus.is_empty());
    let own = [arguments.out.join(FINDINGS)];
    let is_filled = |path: &PathBuf| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    let paths: Vec<PathBuf> =
        usual.chain(own).filter(is_filled).chain(arguments.corpus.iter().cloned()).collect();
    inputs(&paths, None).unwrap_or_else(|error| {
        notices.push(format!("what fuzzers have kept was not replayed: {error}"));
        Vec::new()
    })
}

/// Replays what fuzzers have kept: on the models also what fuzzing begins with, which the suite is made of.
fn replay(
    arguments: &NightlyArguments,
    targets: &[String],
    kept: &[Input],
    results: &mut Results,
    notices: &mut Vec<String>,
) -> Result<Status, CommandError> {
    let mut status = Vec::new();
    for target in targets {
        let begins_with_seeds = target.starts_with("reference") && arguments.corpus.is_empty();
        let seeds = if begins_with_seeds { Input::seeds() } else { Vec::new() };
        let all: Vec<Input> = kept.iter().cloned().chain(seeds).collect();
        if all.is_empty() {
            continue;
        }
        tell(&format!("what fuzzers have kept, on {target}"));
        let mut told = anstream::StripStream::new(Vec::new());
        match replay_on(target, &arguments.options, &all, &mut told) {
            Ok((mut replayed, found)) => {
                results.keep_found(found);
                replayed.told = match replayed.deviations + replayed.broken {
                    0 => String::new(),
                    _ => String::from_utf8_lossy(&told.into_inner()).into_owned(),
                };
                status.push(super::replay::status_of(&replayed));
                results.replays.push(replayed);
            }
            Err(error) => {
                let unusable = without(target, error)?;
                notices.push(format!("nothing was replayed on {target}: {}", unusable.reason));
            }
        }
    }
    Ok(Status::of_all(&status))
}

/// What there is to say in a chat.
fn line(report: &Report, folder: &Path) -> String {
    let results = &report.results;
    let counts = results.counts();
    let fuzzed = results.campaign.as_ref().map_or(String::new(), |tally| {
        format!("; {} programs fuzzed, {} diverge", tally.programs(), tally.unlisted())
    });
    let kept: usize = results.replays.iter().map(|replayed| replayed.inputs).sum();
    let otherwise: usize = results.replays.iter().map(|replayed| replayed.deviations).sum();
    format!(
        "binderdrill: {}. {} passed, {} to look at, {} known on {}{fuzzed}; {kept} replayed, {otherwise} \
         otherwise: {}",
        report.headline().sentence,
        counts.passed,
        site::to_look_at(results),
        counts.known_deviations,
        crate::report::counted(results.runs.len(), "target"),
        folder.join("index.html").display()
    )
}
