//! Departures: the cases that did not come to what is expected, the programs that nobody wrote with which a target did
//! something else than its model, and the page of each.

use std::path::Path;

use askama::Template;

use super::cases::{ScriptLine, diagram, script_lines};
use super::comparison::{Comparison, compared};
use super::marks::Mark;
use super::overview::minute;
use super::stand_ins::{StandIns, passed};
use super::{Head, Pages, Site, SiteError, case_page, page_name};
use crate::engine::{Deviation, Verdict};
use crate::export::{Language, export};
use crate::report::case_result::CaseResult;
use crate::report::counted;
use crate::report::found::Whence;
use crate::report::human::quoted;
use crate::report::kept::RECORD;
use crate::report::results::{CaseDivergence, Provenance, Results};
use crate::script::Script;
use crate::suite::is_script;
use crate::target::is_guest;

/// A case that did not come to what is expected, or that targets did different things with.
#[derive(Debug, Clone)]
pub struct Departure<'r> {
    /// The case, as it was on the first of the targets.
    pub case: &'r CaseResult,
    /// The targets that did the same.
    pub targets: Vec<&'r str>,
    /// What kind of departure it is.
    pub kind: Kind,
    /// What should have come and what came.
    pub deviation: Option<Deviation>,
    /// Who did otherwise, if somebody did: the target, and the case there.
    pub beside: Option<(&'r str, &'r CaseResult)>,
    /// What the kernels' logs had, each with its target.
    pub logs: Vec<(&'r str, &'r [String])>,
    /// How it was come by, if it is no case of the suite.
    pub found: Option<&'r Whence>,
}

/// What kind of departure something is; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A target did something else than the script expects.
    Failed,
    /// No verdict could be had.
    Broken,
    /// A target does what is expected, and is known not to.
    Unexpected,
    /// Targets of one driver did different things.
    Parted,
    /// A campaign found it.
    Found,
    /// An input that a fuzzer had kept is not as it must be.
    Replayed,
    /// A target does something else, as it is known to.
    Known,
    /// Drivers did different things, as the script lets them.
    Choice,
}

impl Kind {
    /// What it is called.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Failed => "failed",
            Kind::Broken => "broken",
            Kind::Unexpected => "passed unexpectedly",
            Kind::Parted => "targets parted",
            Kind::Found => "found by fuzzing",
            Kind::Replayed => "replayed",
            Kind::Known => "known",
            Kind::Choice => "choice",
        }
    }

    /// Whether somebody has to look at it.
    pub fn is_news(self) -> bool {
        self < Kind::Known
    }

    /// The class that says what it looks like.
    pub fn class(self) -> &'static str {
        match self {
            Kind::Failed | Kind::Broken | Kind::Unexpected | Kind::Parted | Kind::Found | Kind::Replayed => {
                "bad"
            }
            Kind::Known => "known",
            Kind::Choice => "none",
        }
    }
}

/// All departures, the worst first.
pub(super) fn all<'r>(results: &'r Results, stand_ins: &'r StandIns) -> Vec<Departure<'r>> {
    let mut departures: Vec<Departure<'r>> = Vec::new();
    for run in &results.runs {
        for case in &run.cases {
            let kind = match &case.verdict {
                Verdict::Fail(_) => Kind::Failed,
                Verdict::Broken { .. } => Kind::Broken,
                Verdict::UnexpectedPass { .. } => Kind::Unexpected,
                Verdict::KnownDeviation { .. } => Kind::Known,
                Verdict::Pass | Verdict::Skip { .. } | Verdict::OtherDriver { .. } => continue,
            };
            let beside = || passed(results, case).or_else(|| stand_ins.of_case(case));
            note(&mut departures, &run.target, case, kind, None, beside);
        }
    }
    for program in &results.found {
        let kind = match &program.whence {
            Whence::Campaign { known: Some(_), .. } => Kind::Known,
            Whence::Campaign { known: None, .. } => Kind::Found,
            Whence::Replay { .. } => Kind::Replayed,
        };
        let beside = || program.beside.as_ref().map(|beside| (beside.target.as_str(), &beside.case));
        note(&mut departures, &program.target, &program.case, kind, Some(&program.whence), beside);
    }
    for (kind, parted) in [(Kind::Parted, &results.divergences), (Kind::Choice, &results.choices)] {
        for divergence in parted {
            if !departures.iter().any(|known| known.case.id == divergence.id && known.kind == Kind::Failed) {
                departures.extend(parting(results, divergence, kind));
            }
        }
    }
    departures.sort_by(|one, other| (one.kind, &one.case.id).cmp(&(other.kind, &other.case.id)));
    departures
}

/// Takes note of what a target did. Targets that did the same stand together.
fn note<'r>(
    departures: &mut Vec<Departure<'r>>,
    target: &'r str,
    case: &'r CaseResult,
    kind: Kind,
    found: Option<&'r Whence>,
    beside: impl FnOnce() -> Option<(&'r str, &'r CaseResult)>,
) {
    let same = departures.iter_mut().find(|other| {
        other.case.id == case.id
            && other.kind == kind
            && other.case.digest == case.digest
            && other.case.verdict == case.verdict
            && other.case.transcript == case.transcript
    });
    let log = Some((target, case.log.as_slice())).filter(|(_, log)| !log.is_empty());
    if let Some(same) = same {
        same.targets.push(target);
        same.logs.extend(log);
        return;
    }
    let deviation = match &case.verdict {
        Verdict::Fail(deviation) | Verdict::KnownDeviation { deviation, .. } => Some(deviation.clone()),
        _ => None,
    };
    let (targets, logs) = (vec![target], log.into_iter().collect());
    departures.push(Departure { case, targets, kind, deviation, beside: beside(), logs, found });
}

/// How many cases of the suite somebody has to look at.
pub fn to_look_at(results: &Results) -> usize {
    let none = StandIns::default();
    let departures = all(results, &none);
    departures.iter().filter(|departure| departure.found.is_none() && departure.kind.is_news()).count()
}

/// Two of the sides on which targets did different things, though all of them passed.
fn parting<'r>(results: &'r Results, parted: &'r CaseDivergence, kind: Kind) -> Option<Departure<'r>> {
    let [one, other, ..] = &parted.divergence.sides[..] else { return None };
    let case_of = |target: &str| {
        let run = results.runs.iter().find(|run| run.target == target)?;
        Some((run.target.as_str(), run.cases.iter().find(|case| case.id == parted.id)?))
    };
    let (_, case) = case_of(other.targets.first()?)?;
    let beside = case_of(one.targets.first()?)?;
    let deviation = parted.divergence.deviation();
    let targets = other.targets.iter().map(String::as_str).collect();
    Some(Departure { case, targets, kind, deviation, beside: Some(beside), logs: Vec::new(), found: None })
}

impl Departure<'_> {
    /// Its page, in the folder of the site.
    pub(super) fn page(&self) -> String {
        let target = self.targets.first().copied().unwrap_or_default();
        let name = match self.kind {
            Kind::Parted | Kind::Choice => format!("{target}-parted"),
            Kind::Replayed => format!("{target}-replayed"),
            _ => target.to_owned(),
        };
        let plain: String = name
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' })
            .collect();
        let is_plain = plain.len() < 60 && !plain.starts_with('.');
        let target = if is_plain { plain } else { page_name(&name).replace('/', "-") };
        format!("deviation/{}.{target}.html", page_name(&self.case.id))
    }

    /// What it is called: the case, or the file of a program that nobody wrote.
    pub(super) fn name(&self) -> String {
        let file = self.case.id.rsplit('/').next().unwrap_or(&self.case.id);
        match self.found {
            Some(_) => file.trim_end_matches(binderdrill_suites::EXTENSION).trim_end_matches('.').to_owned(),
            None => self.case.id.clone(),
        }
    }

    /// The line of the script at which it shows.
    pub(super) fn line(&self) -> Option<usize> {
        let step = self.deviation.as_ref()?.step?;
        self.case.lines.get(step).copied()
    }

    /// What is wrong, in one line.
    pub(super) fn summary(&self) -> String {
        let text = match (&self.case.verdict, &self.deviation) {
            (Verdict::Broken { reason } | Verdict::UnexpectedPass { reason }, _) => reason,
            (_, Some(deviation)) => &deviation.difference,
            _ => "",
        };
        text.lines().next().unwrap_or_default().to_owned()
    }
}

/// The page of a departure.
#[derive(Template)]
#[template(path = "deviation.html")]
struct Page<'a> {
    head: Head,
    departure: &'a Departure<'a>,
    /// The page of the case; none if it is not of the suite.
    case_page: Option<String>,
    /// What it is called, and what it is about.
    name: String,
    title: String,
    /// The first line of what follows the heading.
    says: String,
    known: Option<(&'a str, &'a str)>,
    broken: Option<&'a str>,
    beside: Option<&'a str>,
    verdicts: Vec<(&'a str, Mark)>,
    script: Vec<ScriptLine>,
    comparison: Comparison,
    diagram: String,
    commands: Vec<(&'static str, String)>,
    /// Each target with its driver.
    drivers: Vec<(&'a str, &'a str)>,
    made: Option<&'a Provenance>,
    begun: String,
    seed: Option<u64>,
    version: &'a str,
}

impl<'r> Site<'r> {
    pub(super) fn departures(&self, pages: &mut Pages) -> Result<(), SiteError> {
        for departure in &self.departures {
            let name = departure.page();
            let Departure { case, deviation, .. } = departure;
            let script = script_lines(&self.report.results, case, departure.line());
            let view = departure.found.is_none().then(|| self.cases.iter().find(|view| view.id == case.id));
            let of_run =
                self.report.results.runs.iter().find(|run| departure.targets.contains(&run.target.as_str()));
            let made = of_run.and_then(|run| run.provenance(&self.report.results));
            let page = Page {
                head: Head::new(
                    format!("{} – {}", departure.name(), departure.kind.word()),
                    &name,
                    "overview",
                ),
                departure,
                case_page: departure.found.is_none().then(|| case_page(&case.id)),
                name: departure.name(),
                title: title(departure),
                says: says(departure),
                known: match (&case.verdict, departure.found) {
                    (_, Some(Whence::Campaign { known: Some(reason), .. })) => {
                        Some((reason, "suites/divergences"))
                    }
                    (Verdict::KnownDeviation { reason, source, .. }, _) => Some((reason, source)),
                    (Verdict::UnexpectedPass { reason }, _) => Some((reason, "")),
                    _ => None,
                },
                broken: match &case.verdict {
                    Verdict::Broken { reason } => Some(reason),
                    _ => None,
                },
                beside: departure.beside.map(|(target, _)| target),
                verdicts: view.flatten().map(|view| view.marks()).unwrap_or_default(),
                script,
                comparison: compared(departure),
                diagram: diagram(case, self.programs.get(case.digest.as_str()), deviation.as_ref())?,
                commands: commands(departure, self.programs.get(case.digest.as_str()), &|target| {
                    self.options(target)
                }),
                drivers: self.drivers(departure),
                begun: made.map_or_else(String::new, |it| minute(&it.started)),
                made,
                seed: case.seed,
                version: &self.report.results.binderdrill,
            };
            pages.page(&name, &page)?;
        }
        Ok(())
    }

    /// The options that go with a target, as words of a command line.
    fn options(&self, target: &str) -> &str {
        let run = self.report.results.runs.iter().find(|run| run.target == target);
        run.map_or("", |run| &run.options)
    }

    /// The targets of a departure, and who did otherwise, each with its driver.
    fn drivers(&self, departure: &Departure<'r>) -> Vec<(&'r str, &'r str)> {
        let beside = departure.beside.map(|(target, _)| target);
        let driver = |target: &'r str| {
            let run = self.report.results.runs.iter().find(|run| run.target == target);
            let driver = run.and_then(|run| run.driver.as_deref());
            (target, driver.unwrap_or(if target.starts_with("reference") { "a model" } else { "not known" }))
        };
        departure.targets.iter().copied().chain(beside).map(driver).collect()
    }
}

/// What the case is about, or where a program comes from.
fn title(departure: &Departure<'_>) -> String {
    match departure.found {
        None => departure.case.title.clone(),
        Some(Whence::Campaign { seed, steps, steadiness, .. }) => format!(
            "A program that nobody wrote, from seed {seed}, made small from {}. It shows this in {steadiness}.",
            counted(*steps, "step")
        ),
        Some(Whence::Replay { .. }) => format!("An input that a fuzzer has kept: {}", departure.case.origin),
    }
}

/// What happened, in a sentence.
fn says(departure: &Departure<'_>) -> String {
    let targets = departure.targets.join(", ");
    let place = match departure.line() {
        Some(line) => format!("in line {line}"),
        None => "after the last step".to_owned(),
    };
    match departure.kind {
        _ if matches!(departure.case.verdict, Verdict::Broken { .. }) => {
            let what = if departure.found.is_some() { "program" } else { "case" };
            format!("The {what} could not be run to a verdict on {targets}.")
        }
        Kind::Broken | Kind::Failed => {
            format!("{targets} did something else than the script expects, {place}.")
        }
        Kind::Known if departure.found.is_some() => {
            format!("{targets} did something else than its model, {place}, as it is known to do.")
        }
        Kind::Known => {
            format!("{targets} did something else than the script expects, {place}, as it is known to do.")
        }
        Kind::Unexpected => format!("{targets} did all that the script expects, though it is known not to."),
        Kind::Found | Kind::Replayed => {
            let beside = departure.beside.map_or("its model", |(beside, _)| beside);
            format!("{targets} did something else than {beside}, {place}.")
        }
        Kind::Parted => format!("Targets with the same driver did different things, {place}."),
        Kind::Choice => format!("Drivers did different things, {place}. The script allows both."),
    }
}

/// How to see it again, with the options that go with targets.
fn commands<'o>(
    departure: &Departure<'_>,
    script: Option<&Script>,
    options: &dyn Fn(&str) -> &'o str,
) -> Vec<(&'static str, String)> {
    let with_options = |target: &str| quoted(target).to_string() + options(target);
    let target = with_options(departure.targets.first().copied().unwrap_or_default());
    let CaseResult { id, origin, seed, .. } = departure.case;
    let name = quoted(if departure.found.is_some() { origin } else { id });
    let seed = seed.map(|seed| format!(" --seed {seed}")).unwrap_or_default();
    let mut commands = match departure.found {
        Some(Whence::Campaign { command, .. }) => vec![
            (
                "Run the script again, beside its model",
                format!("binderdrill replay {name} --target {target}"),
            ),
            ("Run the program of the seed", command.clone()),
        ],
        Some(Whence::Replay { command }) => vec![("Replay it", command.clone())],
        None => vec![("Run the case again", format!("binderdrill run --target {target}{seed} {name}"))],
    };
    if departure.found.is_none()
        && let Some((beside, _)) = departure.beside
    {
        let option = if beside.starts_with(RECORD) { "against" } else { "target" };
        let both = format!("binderdrill run --{option} {} --target {target}{seed} {name}", quoted(beside));
        commands.push(("Compare the two", both));
    }
    let is_script = departure.found.is_none() || is_script(Path::new(origin));
    if is_script {
        commands
            .push(("See what each step does", format!("binderdrill trace --target {target}{seed} {name}")));
    }
    let guest = departure.targets.iter().find(|target| is_guest(target));
    let is_exportable = || is_script && script.is_some_and(|script| export(Language::C, script, id).is_ok());
    if let Some(guest) = guest.filter(|_| is_exportable()) {
        let alone = format!(
            "binderdrill export {name} --as c --out reproducer.c\n\
             gcc -O2 -static -pthread -o reproducer reproducer.c\n\
             binderdrill execute reproducer --target {}",
            with_options(guest)
        );
        commands.push(("Do it in a C program", alone));
    }
    commands
}
