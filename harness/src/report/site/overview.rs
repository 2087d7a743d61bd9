//! The overview: whether something changed, where, and what there is to look at.

use std::collections::BTreeSet;

use askama::Template;

use super::changes::{Change, Changes};
use super::departures::{Departure, Kind, to_look_at};
use super::headline::Headline;
use super::past::Summary;
use super::trend::{Plot, plots};
use super::{Head, Pages, Site, SiteError, case_page};
use crate::campaign::{Group, LaneTally, Tally};
use crate::report::case_result::CaseResult;
use crate::report::found::Whence;
use crate::report::results::{Counts, Provenance, Replayed, Results, TargetResults, Unusable};

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview<'a> {
    head: Head,
    headline: Headline,
    notices: &'a [String],
    /// When the report before was made.
    since: Option<String>,
    changes: Option<&'a Changes>,
    changed: Vec<Changed<'a>>,
    news: Vec<Row<'a>>,
    replayed: Vec<Row<'a>>,
    known: Vec<Row<'a>>,
    choices: Vec<Row<'a>>,
    runs: &'a [TargetResults],
    unusable: &'a [Unusable],
    topics: Vec<Topic<'a>>,
    totals: Vec<Cell>,
    plots: Vec<Plot>,
    reports: usize,
    made: Vec<Made<'a>>,
    version: &'a str,
    campaign: Option<&'a Tally>,
    lanes: Vec<Lane<'a>>,
    replays: Vec<Replays<'a>>,
}

struct Changed<'a> {
    change: &'a Change,
    page: String,
    word: &'static str,
    class: &'static str,
}

/// Whether a departure is one that has changed. What a campaign finds is new each time.
fn is_new(departure: &Departure<'_>, changes: &Changes) -> bool {
    let is_of = |change: &Change| {
        let mut targets = change.targets.iter();
        change.case == departure.case.id && targets.any(|target| departure.targets.contains(&target.as_str()))
    };
    departure.kind == Kind::Found || changes.changes.iter().any(is_of)
}

/// When and where some targets ran.
pub(super) struct Made<'a> {
    /// The targets; none if it is all of them.
    pub(super) targets: Vec<&'a str>,
    /// When and where; none if that is not known.
    pub(super) provenance: Option<&'a Provenance>,
    pub(super) begun: String,
}

/// When and where targets ran: those together of which it is the same.
pub(super) fn made(results: &Results) -> Vec<Made<'_>> {
    let mut made: Vec<Made<'_>> = Vec::new();
    for run in &results.runs {
        let provenance = run.provenance(results);
        match made.iter_mut().find(|made| made.provenance == provenance) {
            Some(same) => same.targets.push(&run.target),
            None => {
                let begun = provenance.map_or_else(String::new, |it| minute(&it.started));
                made.push(Made { targets: vec![&run.target], provenance, begun });
            }
        }
    }
    if let [all] = &mut made[..] {
        all.targets.clear();
    }
    made
}

/// What a campaign compared, and the kinds of divergences, each with its page if it has one.
struct Lane<'a> {
    tally: &'a LaneTally,
    groups: Vec<(&'a Group, Option<String>)>,
}

/// What was replayed on a target, and of how many inputs there are pages.
struct Replays<'a> {
    replayed: &'a Replayed,
    pages: usize,
}

struct Row<'a> {
    page: String,
    departure: &'a Departure<'a>,
    summary: String,
    reason: Option<&'a str>,
    /// Whether it was not so in the report before.
    is_new: bool,
}

struct Topic<'a> {
    name: &'a str,
    cells: Vec<Cell>,
}

/// What became of some cases on a target.
struct Cell {
    class: &'static str,
    passed: usize,
    others: String,
}

impl Cell {
    fn of<'r>(cases: impl IntoIterator<Item = &'r CaseResult>) -> Cell {
        let counts = Counts::of(cases);
        let bad = counts.failed + counts.broken + counts.unexpected_passes;
        let class = match (bad, counts.known_deviations, counts.passed) {
            (1.., ..) => "bad",
            (0, 1.., _) => "known",
            (0, 0, 1..) => "ok",
            (0, 0, 0) => "none",
        };
        let others = [
            (counts.failed, "failed"),
            (counts.broken, "broken"),
            (counts.unexpected_passes, "unexpected"),
            (counts.known_deviations, "known"),
            (counts.skipped, "skipped"),
        ];
        let others: Vec<String> = others
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        Cell { class, passed: counts.passed, others: others.join(", ") }
    }
}

impl Site<'_> {
    pub(super) fn overview(&self, pages: &mut Pages) -> Result<(), SiteError> {
        let report = self.report;
        let results = &report.results;
        let changes = report.changes();
        let rows = |wanted: &dyn Fn(&Departure<'_>) -> bool| -> Vec<Row<'_>> {
            let departures = self.departures.iter().filter(|departure| wanted(departure));
            departures
                .map(|departure| Row {
                    page: departure.page(),
                    departure,
                    summary: departure.summary(),
                    is_new: changes.as_ref().is_some_and(|changes| is_new(departure, changes)),
                    reason: match &departure.case.verdict {
                        crate::engine::Verdict::KnownDeviation { reason, .. } => Some(reason),
                        _ => None,
                    },
                })
                .collect()
        };
        let names: BTreeSet<&str> =
            results.runs.iter().flat_map(|run| run.cases.iter().map(CaseResult::topic)).collect();
        let topic = |name: &'_ str| -> Vec<Cell> {
            let cell = |run: &TargetResults| Cell::of(run.cases.iter().filter(|case| case.topic() == name));
            results.runs.iter().map(cell).collect()
        };
        let topics = names.iter().map(|name| Topic { name, cells: topic(name) }).collect();
        let since = report.since.as_ref().and_then(|since| since.started);
        let is_replayed = |departure: &Departure<'_>| departure.kind == Kind::Replayed;
        let mut news = rows(&|departure| departure.kind.is_news() && !is_replayed(departure));
        news.sort_by_key(|row| !row.is_new);
        let now = Summary::of(results);
        let headline = Headline::of(report, changes.as_ref(), to_look_at(results));
        let page = Overview {
            head: Head::new(headline.sentence.clone(), "index.html", "overview"),
            headline,
            notices: &report.notices,
            since: report.since.as_ref().map(|_| since.map_or("before".to_owned(), |since| minute(&since))),
            changed: changes
                .iter()
                .flat_map(|changes| &changes.changes)
                .map(|change| self.changed(change))
                .collect(),
            changes: changes.as_ref(),
            news,
            replayed: rows(&is_replayed),
            known: rows(&|departure| departure.kind == Kind::Known && departure.found.is_none()),
            choices: rows(&|departure| departure.kind == Kind::Choice),
            runs: &results.runs,
            unusable: &results.unusable,
            topics,
            totals: results.runs.iter().map(|run| Cell::of(&run.cases)).collect(),
            plots: plots(&report.past, &now),
            reports: report.past.len() + 1,
            made: made(results),
            version: &results.binderdrill,
            campaign: results.campaign.as_ref(),
            lanes: results
                .campaign
                .iter()
                .flat_map(|tally| &tally.lanes)
                .map(|lane| self.lane(lane))
                .collect(),
            replays: results.replays.iter().map(|replayed| self.replays(replayed)).collect(),
        };
        pages.page("index.html", &page)
    }

    fn lane<'a>(&self, tally: &'a LaneTally) -> Lane<'a> {
        let page = |group: &Group| {
            let shows = |departure: &&Departure<'_>| match departure.found {
                Some(Whence::Campaign { .. }) => {
                    group.file.as_deref() == Some(departure.case.origin.as_str())
                }
                _ => false,
            };
            self.departures.iter().find(shows).map(Departure::page)
        };
        Lane { tally, groups: tally.groups.iter().map(|group| (group, page(group))).collect() }
    }

    fn replays<'a>(&self, replayed: &'a Replayed) -> Replays<'a> {
        let of_target = self.departures.iter().filter(|departure| {
            departure.kind == Kind::Replayed && departure.targets.contains(&replayed.target.as_str())
        });
        Replays { replayed, pages: of_target.count() }
    }

    fn changed<'c>(&self, change: &'c Change) -> Changed<'c> {
        let target = change.targets.first().map(String::as_str).unwrap_or_default();
        let departure =
            self.departures_of(&change.case).find(|departure| departure.targets.contains(&target));
        let (word, class) = match change.direction {
            super::Direction::Worse => ("worse", "bad"),
            super::Direction::Better => ("better", "ok"),
            super::Direction::Other => ("otherwise", "known"),
        };
        let page = departure.map_or_else(|| case_page(&change.case), Departure::page);
        Changed { change, page, word, class }
    }
}

/// A time, to the minute.
pub(super) fn minute(time: &jiff::Timestamp) -> String {
    time.strftime("%-d %B %Y, %H:%M UTC").to_string()
}
