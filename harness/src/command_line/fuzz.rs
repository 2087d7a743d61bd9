//! `binderdrill fuzz`: a campaign on several targets.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use strum::IntoEnumIterator;

use super::{CommandError, Format, Status, TargetArguments, complain, remark, tell, write_json};
use crate::campaign::{Bench, Campaign, Event, Finding, Lane, LaneTally, Source, Tally};
use crate::engine::SetUpError;
use crate::generate::Emphasis;
use crate::program::Program;
use crate::report::{FoundProgram, named, quoted, write_tally};
use crate::suite::{self, Case};
use crate::target::is_guest;

/// How often it is said how far a campaign is, where there is no terminal.
const REPORT_EVERY: Duration = Duration::from_secs(20);

/// The same on a terminal.
const REDRAW_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct FuzzArguments {
    /// Two drivers or more, named as for `run`. `reference` stands for the model of each of the others; without it, all
    /// must do the same as the first
    #[arg(long = "target", value_name = "TARGET", required = true)]
    pub(super) targets: Vec<String>,
    /// The seed of the first program; that of each further one is greater by one [default: the time]
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// How long, such as 90s, 10m or 2h [default: until it is interrupted]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(super) time: Option<Duration>,
    /// How many programs each of the drivers is given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) programs: Option<u64>,
    /// A folder of scripts to change and cross [default: the suite]
    #[arg(long, value_name = "FOLDER")]
    pub(super) corpus: Option<PathBuf>,
    /// What generated programs are mostly about: command-streams, reference-counts, malformed-transactions or mix
    #[arg(long, value_name = "WHAT", default_value = "mix", value_parser = emphasis)]
    pub(super) emphasis: Emphasis,
    /// Where to write programs on which drivers part ways, as cases, with what each did
    #[arg(long, value_name = "FOLDER", default_value = "findings")]
    pub(super) out: PathBuf,
    /// How many guests of each driver run programs at a time [default: so that there are as many as processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) jobs: Option<u16>,
    /// How to write the summary
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(super) format: Format,
    #[command(flatten)]
    pub(super) options: TargetArguments,
}

fn emphasis(text: &str) -> Result<Emphasis, String> {
    let known: Vec<String> = Emphasis::iter().map(|emphasis| emphasis.to_string()).collect();
    Emphasis::from_str(text).map_err(|_| format!("there is {}", known.join(", ")))
}

/// Reads `90s`, `10m` or `2h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a number of seconds, minutes or hours is wanted, such as 90s, 10m or 2h".to_owned();
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * unit))
}

pub(super) fn fuzz(arguments: &FuzzArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    let Conducted { tally, failures, idle, .. } = campaign(arguments)?;
    match arguments.format {
        Format::Human => write_tally(out, &tally)?,
        Format::Json => write_json(out, &tally)?,
    }
    failures.iter().chain(&idle).for_each(|complaint| complain(complaint));
    Ok(match (tally.unlisted(), failures.is_empty() && idle.is_empty()) {
        (1.., _) => Status::Deviation,
        (0, true) => Status::AsExpected,
        (0, false) => Status::CouldNotRun,
    })
}

/// What a campaign has come to.
pub(super) struct Conducted {
    /// The figures.
    pub(super) tally: Tally,
    /// What has failed in it.
    pub(super) failures: Vec<String>,
    /// What has compared nothing, where no failure says why.
    pub(super) idle: Vec<String>,
    /// What it has found, each with its script.
    pub(super) found: Vec<(FoundProgram, String)>,
    /// Whether somebody asked for its end.
    pub(super) was_interrupted: bool,
}

/// Runs a campaign.
pub(super) fn campaign(arguments: &FuzzArguments) -> Result<Conducted, CommandError> {
    arguments.options.check(&arguments.targets)?;
    let compared = arguments.compared()?;
    takes_findings(&arguments.out)?;
    let campaign = Campaign {
        seed: arguments.seed.unwrap_or_else(|| fastrand::u64(..1 << 32)),
        programs: arguments.programs,
        time: arguments.time,
        source: Source { emphasis: arguments.emphasis, corpus: arguments.corpus()? },
    };
    let mut lanes = Vec::new();
    for targets in &compared {
        // What cannot be at all is said before anything runs.
        arguments.targets(targets)?;
        lanes.push(arguments.lane(targets, compared.len()));
    }
    tell(&format!("seed {}", campaign.seed));
    let mut watch = Watch {
        arguments,
        compared: &compared,
        tally: Tally::new(campaign.seed, lanes.iter().map(|lane| lane.name.clone())),
        started: Instant::now(),
        said: Instant::now(),
        progress: ProgressBar::new_spinner(),
        failures: Vec::new(),
        found: Vec::new(),
    };
    let heeded = interruption::heed();
    campaign.run(&lanes, &interruption::ASKED, |event| watch.note(event));
    drop(heeded);
    watch.progress.finish_and_clear();
    let Watch { tally, failures, found, .. } = watch;
    let was_interrupted = interruption::ASKED.load(Ordering::Relaxed);
    let idle = idle(&tally, &failures, campaign.time.is_some());
    Ok(Conducted { tally, failures, idle, found, was_interrupted })
}

/// What has compared nothing in a campaign, which may have been given some time, and where none of these failures says why.
fn idle(tally: &Tally, failures: &[String], was_timed: bool) -> Vec<String> {
    let idle = tally.lanes.iter().filter(|lane| lane.programs == lane.skipped);
    let says_why = |lane: &LaneTally, failure: &String| {
        failure.strip_prefix(&lane.name).is_some_and(|rest| rest.starts_with(": "))
    };
    let untold = idle.filter(|lane| !failures.iter().any(|failure| says_why(lane, failure)));
    let told = untold.map(|lane| {
        let why = match (lane.programs, was_timed) {
            (1.., _) => "no program was run on all targets: each requires what one of them lacks",
            (0, true) => "no program was run in the time there was for it",
            (0, false) => "no program was run: nothing was left of any when it was made fit to be compared",
        };
        format!("{}: {why}", lane.name)
    });
    told.collect()
}

/// Makes sure, before anything is run, that what is found can be written. The folder is made when something is.
pub(super) fn takes_findings(folder: &Path) -> Result<(), CommandError> {
    let made_in = |path: &&Path| path.as_os_str().is_empty() || path.symlink_metadata().is_ok();
    let nearest = folder.ancestors().find(made_in).filter(|path| !path.as_os_str().is_empty());
    tempfile::tempfile_in(nearest.unwrap_or(Path::new("."))).map(drop).map_err(|error| {
        CommandError::Options(format!(
            "nothing that is found can be written to {}: {error}",
            folder.display()
        ))
    })
}

impl FuzzArguments {
    /// The targets that are compared with each other, by their names: each driver with its model, or all.
    fn compared(&self) -> Result<Vec<Vec<String>>, CommandError> {
        let (models, drivers): (Vec<&String>, Vec<&String>) =
            self.targets.iter().partition(|target| target.as_str() == "reference");
        let is_model = |target: &&String| target.starts_with("reference");
        match (models.first(), drivers.as_slice()) {
            (Some(model), drivers) if !drivers.is_empty() && !drivers.iter().any(is_model) => {
                Ok(drivers.iter().map(|driver| vec![(*model).clone(), (*driver).clone()]).collect())
            }
            _ if self.targets.len() < 2 => Err(CommandError::Options(
                "one target alone has nothing to differ from: name two, such as --target reference --target built:uml-c"
                    .to_owned(),
            )),
            _ => Ok(vec![self.targets.clone()]),
        }
    }

    fn corpus(&self) -> Result<Vec<Program>, CommandError> {
        let Some(folder) = &self.corpus else {
            return Ok(suite::embedded()
                .into_iter()
                .filter_map(|case| Some(case.script.ok()?.program))
                .collect());
        };
        let place = folder.display();
        let (mut programs, mut misread) = (Vec::new(), Vec::new());
        for case in suite::cases_at(folder)? {
            match case.script {
                Ok(script) => programs.push(script.program),
                Err(_) => misread.push(case.id),
            }
        }
        match (programs.is_empty(), misread.is_empty()) {
            (true, true) => {
                let error =
                    format!("there is no script (*.{}) in the folder {place}", binderdrill_suites::EXTENSION);
                return Err(CommandError::Options(error));
            }
            (true, false) => {
                let error = format!(
                    "no script of {place} can be read: `binderdrill check {}` tells why",
                    quoted(&misread[0])
                );
                return Err(CommandError::Options(error));
            }
            (false, true) => {}
            (false, false) => remark(&format!(
                "left out of the corpus, as they cannot be read (`binderdrill check` tells why): {}",
                named(&misread)
            )),
        }
        Ok(programs)
    }

    /// These targets, but for the model that stands beside a driver.
    fn targets(&self, names: &[String]) -> Result<Vec<Box<dyn crate::target::Target>>, CommandError> {
        let targets = names.iter().filter(|name| !self.stands_for_models(names) || *name != "reference");
        Ok(targets.map(|name| self.options.target(name, false)).collect::<Result<_, _>>()?)
    }

    fn stands_for_models(&self, names: &[String]) -> bool {
        matches!(names, [model, driver] if model == "reference" && !driver.starts_with("reference"))
    }

    /// A lane for these targets, one of so many.
    fn lane<'a>(&'a self, names: &'a [String], lanes: usize) -> Lane<'a> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let most = self.jobs.map_or((processors / lanes).max(1), usize::from);
        let are_many = names.iter().all(|name| is_guest(name) || name.starts_with("reference"));
        let bench = || {
            let targets = self.targets(names).map_err(|error| SetUpError(error.to_string()))?;
            match self.stands_for_models(names) {
                true => {
                    targets.into_iter().next().map(Bench::of_model_and).expect("a driver beside its model")
                }
                false => Bench::of_peers(targets),
            }
        };
        Lane { name: names.join(", "), benches: if are_many { most } else { 1 }, bench: Box::new(bench) }
    }

    /// The command that runs the program of a seed once more.
    fn replay(&self, targets: &[String], seed: u64) -> String {
        let mut words = vec!["binderdrill fuzz".to_owned()];
        words.extend(targets.iter().map(|target| format!("--target {}", quoted(target))));
        words.push(format!("--seed {seed} --programs 1"));
        if let Some(corpus) = &self.corpus {
            words.push(format!("--corpus {}", quoted(&corpus.display().to_string())));
        }
        if self.emphasis != Emphasis::Mix {
            words.push(format!("--emphasis {}", self.emphasis));
        }
        words.join(" ") + &self.options.words(targets)
    }
}

/// Who listens to a campaign, and says how far it is.
struct Watch<'a> {
    arguments: &'a FuzzArguments,
    compared: &'a [Vec<String>],
    tally: Tally,
    started: Instant,
    /// When it was last said how far it is.
    said: Instant,
    progress: ProgressBar,
    failures: Vec<String>,
    found: Vec<(FoundProgram, String)>,
}

impl Watch<'_> {
    fn note(&mut self, event: Event) {
        match event {
            Event::Ready => {}
            Event::Ran(ran) => {
                self.tally.count(ran, self.started.elapsed());
                self.say_how_far();
            }
            Event::Took(took) => self.tally.lanes[took.lane].note_time(took),
            Event::Found(finding) => self.keep(&finding),
            Event::Failed { lane, error } => {
                self.failures.push(format!("{}: {error}", self.tally.lanes[lane].name));
            }
        }
    }

    /// Writes a finding.
    fn keep(&mut self, finding: &Finding) {
        let targets = &self.compared[finding.lane];
        let replay = self.arguments.replay(targets, finding.seed);
        let names: Vec<&str> = targets.iter().map(String::as_str).collect();
        let signature = &finding.difference.signature;
        let written = finding.write(&self.arguments.out, &names, &replay);
        let known = finding.known.clone();
        let group = self.tally.lanes[finding.lane].group_mut(signature, known.is_some());
        match written {
            Ok((path, script)) => {
                let path = path.display().to_string();
                if known.is_none() {
                    let line = format!("{}: {signature} ({}, {path})", names.join(", "), finding.steadiness);
                    self.progress.suspend(|| tell(&line));
                }
                if let Some(group) = group {
                    group.steadiness = Some(finding.steadiness);
                    group.file = Some(path.clone());
                }
                let case = Case::new(path.clone(), path, script.as_bytes());
                self.found.push((FoundProgram::of_campaign(finding, &case, &names, replay, known), script));
            }
            Err(error) => {
                // The finding is not lost with it.
                let out = self.arguments.out.display();
                self.failures.push(format!("{signature} is not written to {out}: {error}; again: {replay}"));
            }
        }
    }

    fn say_how_far(&mut self) {
        let is_shown = io::stderr().is_terminal();
        if self.said.elapsed() < if is_shown { REDRAW_EVERY } else { REPORT_EVERY } {
            return;
        }
        self.said = Instant::now();
        let lanes: Vec<String> = self.tally.lanes.iter().map(|lane| lane.to_string()).collect();
        match is_shown {
            true => self.progress.set_message(lanes.join("; ")),
            false => lanes.iter().for_each(|lane| tell(lane)),
        }
    }
}

/// Ctrl-C ends a campaign in order; a second one, a while later, ends the program.
mod interruption {
    use std::sync::atomic::AtomicI64;

    use nix::sys::signal::{raise, signal};
    use nix::time::{ClockId, clock_gettime};

    use super::*;

    /// Somebody has asked for the end.
    pub(super) static ASKED: AtomicBool = AtomicBool::new(false);

    /// When that was, in milliseconds of a clock that only goes on.
    static ASKED_AT: AtomicI64 = AtomicI64::new(0);

    /// What comes so many milliseconds after the first signal at the latest is the same wish, told twice: some send a signal to a
    /// process and then to its group.
    const ONE_WISH: i64 = 1000;

    extern "C" fn ask(number: nix::libc::c_int) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map_or(0, |time| time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000);
        match ASKED_AT.compare_exchange(0, now.max(1), Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => ASKED.store(true, Ordering::SeqCst),
            Err(first) if now - first > ONE_WISH => {
                if let Ok(asked) = Signal::try_from(number) {
                    // SAFETY: the default is no handler.
                    let _ = unsafe { signal(asked, SigHandler::SigDfl) };
                    let _ = raise(asked);
                }
            }
            Err(_) => {}
        }
    }

    /// Signals are heeded for as long as this lives, one at a time. It has what they did before.
    pub(super) struct Heeded(Vec<(Signal, SigAction)>);

    pub(super) fn heed() -> Heeded {
        // What was asked of an earlier campaign was for that one.
        ASKED_AT.store(0, Ordering::SeqCst);
        ASKED.store(false, Ordering::SeqCst);
        let action = SigAction::new(SigHandler::Handler(ask), SaFlags::SA_RESTART, SigSet::empty());
        let heeded = [Signal::SIGINT, Signal::SIGTERM].into_iter().filter_map(|signal| {
            // SAFETY: the handler reads a clock, stores to atomics, and sets and raises a signal, all of which are safe at any
            // moment. Without it, the program just ends.
            Some((signal, unsafe { sigaction(signal, &action) }.ok()?))
        });
        Heeded(heeded.collect())
    }

    impl Drop for Heeded {
        fn drop(&mut self) {
            for (signal, before) in &self.0 {
                // SAFETY: it is what was there before.
                let _ = unsafe { sigaction(*signal, before) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compares_nothing_is_named() {
        let names = ["reference, vm:a", "reference, vm:a-b", "reference, vm:c", "reference, vm:d"];
        let mut tally = Tally::new(1, names.into_iter().map(str::to_owned));
        tally.lanes[2].programs = 3;
        (tally.lanes[3].programs, tally.lanes[3].skipped) = (2, 2);
        let failures = ["reference, vm:a-b: it does not boot".to_owned()];
        let idle = idle(&tally, &failures, true);
        let told: Vec<&str> = idle.iter().map(|line| line.split(':').nth(1).unwrap_or_default()).collect();
        assert_eq!(told, ["a", "d"], "{idle:?}");
    }

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for wrong in ["", "m", "10", "-1s", "1d", "ä"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
