//! Cases: a page for each, with its script and its diagram, and the list of all of them.

use std::collections::{BTreeMap, HashMap};

use askama::Template;

use super::departures::Kind;
use super::marks::Mark;
use super::{Head, Pages, Site, SiteError, case_page};
use crate::engine::{Deviation, Verdict};
use crate::program::Declaration;
use crate::report::case_result::CaseResult;
use crate::report::diagram::{Diagram, Layout};
use crate::report::human::quoted;
use crate::report::results::Results;
use crate::script::Script;

/// A case, and what became of it on each target.
#[derive(Debug, Clone)]
pub(super) struct CaseView<'r> {
    pub(super) id: &'r str,
    pub(super) title: &'r str,
    pub(super) clauses: &'r [String],
    /// The targets that it ran on.
    pub(super) results: Vec<(&'r str, &'r CaseResult)>,
}

/// All cases, in the order of their ids.
pub(super) fn all(results: &Results) -> Vec<CaseView<'_>> {
    let mut views: BTreeMap<&str, CaseView<'_>> = BTreeMap::new();
    for run in &results.runs {
        for case in &run.cases {
            let CaseResult { id, title, clauses, .. } = case;
            let view = views.entry(id).or_insert(CaseView { id, title, clauses, results: Vec::new() });
            view.results.push((&run.target, case));
        }
    }
    views.into_values().collect()
}

impl<'r> CaseView<'r> {
    pub(super) fn topic(&self) -> &'r str {
        self.results.first().map_or("", |(_, case)| case.topic())
    }

    /// What became of it, target by target.
    pub(super) fn marks(&self) -> Vec<(&'r str, Mark)> {
        self.results.iter().map(|(target, case)| (*target, Mark::of(&case.verdict))).collect()
    }

    /// What became of it on one target.
    pub(super) fn mark(&self, target: &str) -> Option<Mark> {
        self.results.iter().find(|(name, _)| *name == target).map(|(_, case)| Mark::of(&case.verdict))
    }

    /// Why it was not run to a verdict there, if it was not.
    fn reasons(&self) -> Vec<(&'r str, &'r str)> {
        let reason = |(target, case): &(&'r str, &'r CaseResult)| match &case.verdict {
            Verdict::Skip { reason } => Some((*target, reason.as_str())),
            _ => None,
        };
        self.results.iter().filter_map(reason).collect()
    }

    /// The targets that did what is expected, those together that did the very same.
    fn done(&self) -> Vec<(&'r CaseResult, Vec<&'r str>)> {
        let mut done: Vec<(&CaseResult, Vec<&str>)> = Vec::new();
        for (target, case) in &self.results {
            if case.transcript.steps.is_empty() || !matches!(case.verdict, Verdict::Pass) {
                continue;
            }
            match done
                .iter_mut()
                .find(|(other, _)| other.transcript == case.transcript && other.lines == case.lines)
            {
                Some((_, targets)) => targets.push(target),
                None => done.push((case, vec![target])),
            }
        }
        done
    }
}

/// A line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScriptLine {
    pub(super) number: usize,
    pub(super) text: String,
    pub(super) is_comment: bool,
    pub(super) is_marked: bool,
}

/// The script of a case, with one line marked.
pub(super) fn script_lines(results: &Results, case: &CaseResult, marked: Option<usize>) -> Vec<ScriptLine> {
    let Some(text) = results.scripts.get(&case.digest) else { return Vec::new() };
    let line = |(index, line): (usize, &str)| ScriptLine {
        number: index + 1,
        text: line.to_owned(),
        is_comment: line.trim_start().starts_with('#'),
        is_marked: marked == Some(index + 1),
    };
    text.lines().enumerate().map(line).collect()
}

#[derive(Template)]
#[template(path = "diagram.svg", escape = "html")]
struct Drawing {
    layout: Layout,
    alternative: String,
}

/// The diagram of what a case did; nothing if it did nothing.
pub(super) fn diagram(
    case: &CaseResult,
    script: Option<&Script>,
    deviation: Option<&Deviation>,
) -> Result<String, SiteError> {
    if case.transcript.steps.is_empty() {
        return Ok(String::new());
    }
    let processes: Vec<(String, String)> = script.map_or_else(Vec::new, |script| {
        let declared = script.program.declarations.iter().map(|noted| match &noted.value {
            Declaration::Process(process) => (process.name.to_string(), process.name.to_string()),
            Declaration::Thread { name, process } => (name.to_string(), process.to_string()),
        });
        declared.collect()
    });
    let diagram = Diagram::of(&case.transcript, &case.lines, &processes, deviation);
    Ok(Drawing { layout: diagram.layout(), alternative: diagram.alternative() }.render()?)
}

/// What one or several targets did.
struct Drawn {
    targets: String,
    diagram: String,
    /// The line from which on nothing is known, since threads race there.
    unseen: Option<usize>,
}

/// A clause that a case shows.
struct Cited<'a> {
    name: &'a str,
    /// Its place in the handbook, if it has one.
    place: Option<String>,
}

#[derive(Template)]
#[template(path = "case.html")]
struct Page<'a> {
    head: Head,
    view: &'a CaseView<'a>,
    marks: Vec<(&'a str, Mark)>,
    reasons: Vec<(&'a str, &'a str)>,
    clauses: Vec<Cited<'a>>,
    departures: Vec<(String, String, Kind)>,
    script: Vec<ScriptLine>,
    drawn: Vec<Drawn>,
    origin: &'a str,
    commands: Vec<String>,
}

#[derive(Template)]
#[template(path = "cases.html")]
struct List<'a> {
    head: Head,
    targets: Vec<&'a str>,
    topics: Vec<(&'a str, Vec<Listed<'a>>)>,
}

struct Listed<'a> {
    page: String,
    id: &'a str,
    title: &'a str,
    marks: Vec<Option<Mark>>,
}

impl Site<'_> {
    pub(super) fn cases(&self, pages: &mut Pages) -> Result<(), SiteError> {
        self.list(pages)?;
        let places: HashMap<&str, String> = self
            .specification
            .pages
            .iter()
            .flat_map(|page| {
                page.clauses.iter().map(|clause| (clause.name, super::handbook::place(page, clause)))
            })
            .collect();
        for view in &self.cases {
            self.case(pages, view, &places)?;
        }
        Ok(())
    }

    fn case(
        &self,
        pages: &mut Pages,
        view: &CaseView<'_>,
        places: &HashMap<&str, String>,
    ) -> Result<(), SiteError> {
        let name = case_page(view.id);
        let Some((_, case)) = view.results.first() else { return Ok(()) };
        let drawn = view.done().into_iter().map(|(case, targets)| {
            let script = self.programs.get(case.digest.as_str());
            Ok(Drawn {
                targets: targets.join(", "),
                diagram: diagram(case, script, None)?,
                unseen: case.untold_from(),
            })
        });
        let cited = |clause: &'_ String| (clause.as_str().to_owned(), places.get(clause.as_str()).cloned());
        let cited: Vec<(String, Option<String>)> = view.clauses.iter().map(cited).collect();
        let page = Page {
            head: Head::new(view.id, &name, "cases"),
            view,
            marks: view.marks(),
            reasons: view.reasons(),
            clauses: cited.iter().map(|(name, place)| Cited { name, place: place.clone() }).collect(),
            departures: self
                .departures_of(view.id)
                .map(|departure| {
                    let text = match departure.kind {
                        Kind::Parted | Kind::Choice => departure.summary(),
                        _ => format!("{}: {}", departure.targets.join(", "), departure.summary()),
                    };
                    (departure.page(), text, departure.kind)
                })
                .collect(),
            script: script_lines(&self.report.results, case, None),
            drawn: drawn.collect::<Result<_, SiteError>>()?,
            origin: &case.origin,
            commands: vec![
                format!("binderdrill run {}", quoted(view.id)),
                format!("binderdrill trace {}", quoted(&case.origin)),
            ],
        };
        pages.page(&name, &page)
    }

    fn list(&self, pages: &mut Pages) -> Result<(), SiteError> {
        let targets = self.targets();
        let mut topics: BTreeMap<&str, Vec<Listed<'_>>> = BTreeMap::new();
        for view in &self.cases {
            topics.entry(view.topic()).or_default().push(Listed {
                page: case_page(view.id),
                id: view.id,
                title: view.title,
                marks: targets.iter().map(|target| view.mark(target)).collect(),
            });
        }
        let head = Head::new("Cases", "cases.html", "cases");
        pages.page("cases.html", &List { head, targets, topics: topics.into_iter().collect() })
    }
}
