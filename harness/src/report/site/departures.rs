//! Departures: the cases that did not come to what is expected, and the page of each.

use askama::Template;

use super::cases::{ScriptLine, diagram, script_lines};
use super::comparison::{Comparison, compared};
use super::marks::Mark;
use super::{Head, Pages, Site, SiteError, case_page, page_name};
use crate::engine::{Deviation, Verdict};
use crate::export::{Language, export};
use crate::report::human::quoted;
use crate::report::results::{CaseDivergence, CaseResult, Results};
use crate::report::transcript::remarks;
use crate::script::Script;
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
            Kind::Failed | Kind::Broken | Kind::Unexpected | Kind::Parted => "bad",
            Kind::Known => "known",
            Kind::Choice => "none",
        }
    }
}

/// All departures, the worst first.
pub(super) fn all(results: &Results) -> Vec<Departure<'_>> {
    let mut departures: Vec<Departure<'_>> = Vec::new();
    for run in &results.runs {
        for case in &run.cases {
            let kind = match &case.verdict {
                Verdict::Fail(_) => Kind::Failed,
                Verdict::Broken { .. } => Kind::Broken,
                Verdict::UnexpectedPass { .. } => Kind::Unexpected,
                Verdict::KnownDeviation { .. } => Kind::Known,
                Verdict::Pass | Verdict::Skip { .. } | Verdict::OtherDriver { .. } => continue,
            };
            let same = departures.iter_mut().find(|other| {
                other.case.id == case.id
                    && other.case.digest == case.digest
                    && other.case.verdict == case.verdict
                    && other.case.transcript == case.transcript
            });
            let log = Some((run.target.as_str(), case.log.as_slice())).filter(|(_, log)| !log.is_empty());
            if let Some(same) = same {
                same.targets.push(&run.target);
                same.logs.extend(log);
                continue;
            }
            let deviation = match &case.verdict {
                Verdict::Fail(deviation) | Verdict::KnownDeviation { deviation, .. } => {
                    Some(deviation.clone())
                }
                _ => None,
            };
            let beside = results.runs.iter().find_map(|other| {
                let passed = |other: &&CaseResult| {
                    other.id == case.id && other.digest == case.digest && other.verdict == Verdict::Pass
                };
                Some((other.target.as_str(), other.cases.iter().find(passed)?))
            });
            let targets = vec![run.target.as_str()];
            let logs = log.into_iter().collect();
            departures.push(Departure { case, targets, kind, deviation, beside, logs });
        }
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

/// How many departures somebody has to look at.
pub fn to_look_at(results: &Results) -> usize {
    all(results).iter().filter(|departure| departure.kind.is_news()).count()
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
    let told = |side: &crate::compare::Side| match &side.record {
        Some(record) => remarks(record).join("\n"),
        None if side.complaints.is_empty() => "nothing".to_owned(),
        None => side.complaints.join("\n"),
    };
    let deviation = Deviation {
        step: parted.divergence.step,
        expected: told(one),
        came: told(other),
        difference: format!(
            "{} and {} did different things",
            one.targets.join(", "),
            other.targets.join(", ")
        ),
    };
    let targets = other.targets.iter().map(String::as_str).collect();
    let (deviation, beside) = (Some(deviation), Some(beside));
    Some(Departure { case, targets, kind, deviation, beside, logs: Vec::new() })
}

impl Departure<'_> {
    /// Its page, in the folder of the site.
    pub(super) fn page(&self) -> String {
        let target = self.targets.first().copied().unwrap_or_default();
        let name = match self.kind {
            Kind::Parted | Kind::Choice => format!("{target}-parted"),
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
    case_page: String,
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
}

impl Site<'_> {
    pub(super) fn departures(&self, pages: &mut Pages) -> Result<(), SiteError> {
        for departure in &self.departures {
            let name = departure.page();
            let Departure { case, deviation, .. } = departure;
            let script = script_lines(&self.report.results, case, departure.line());
            let view = self.cases.iter().find(|view| view.id == case.id);
            let page = Page {
                head: Head::new(format!("{} – {}", case.id, departure.kind.word()), &name, "overview"),
                departure,
                case_page: case_page(&case.id),
                says: says(departure),
                known: match &case.verdict {
                    Verdict::KnownDeviation { reason, source, .. } => Some((reason, source)),
                    Verdict::UnexpectedPass { reason } => Some((reason, "")),
                    _ => None,
                },
                broken: match &case.verdict {
                    Verdict::Broken { reason } => Some(reason),
                    _ => None,
                },
                beside: departure.beside.map(|(target, _)| target),
                verdicts: view.map(|view| view.marks()).unwrap_or_default(),
                script,
                comparison: compared(departure),
                diagram: diagram(case, self.programs.get(case.digest.as_str()), deviation.as_ref())?,
                commands: commands(departure, self.programs.get(case.digest.as_str())),
            };
            pages.page(&name, &page)?;
        }
        Ok(())
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
        Kind::Failed => format!("{targets} did something else than the script expects, {place}."),
        Kind::Known => {
            format!("{targets} did something else than the script expects, {place}, as it is known to do.")
        }
        Kind::Unexpected => format!("{targets} did all that the script expects, though it is known not to."),
        Kind::Broken => format!("The case could not be run to a verdict on {targets}."),
        Kind::Parted => format!("Targets with the same driver did different things, {place}."),
        Kind::Choice => format!("Drivers did different things, {place}. The script allows both."),
    }
}

/// How to see it again.
fn commands(departure: &Departure<'_>, script: Option<&Script>) -> Vec<(&'static str, String)> {
    let target = quoted(departure.targets.first().copied().unwrap_or_default());
    let CaseResult { id, seed, .. } = departure.case;
    let seed = seed.map(|seed| format!(" --seed {seed}")).unwrap_or_default();
    let mut commands = vec![
        ("Run the case again", format!("binderdrill run --target {target}{seed} {}", quoted(id))),
        ("See what each step does", format!("binderdrill trace --target {target}{seed} {}", quoted(id))),
    ];
    if let Some((beside, _)) = departure.beside {
        let both =
            format!("binderdrill run --target {} --target {target}{seed} {}", quoted(beside), quoted(id));
        commands.insert(1, ("Compare the two", both));
    }
    let guest = departure.targets.iter().find(|target| is_guest(target));
    let is_exportable = || script.is_some_and(|script| export(Language::C, script, id).is_ok());
    if let Some(guest) = guest.filter(|_| is_exportable()) {
        let alone = format!(
            "binderdrill export {} --as c --out reproducer.c\n\
             gcc -O2 -static -pthread -o reproducer reproducer.c\n\
             binderdrill execute reproducer --target {}",
            quoted(id),
            quoted(guest)
        );
        commands.push(("Do it in a C program", alone));
    }
    commands
}
