//! The headline: what there is to know in ten seconds, on the overview and in the line for a chat.

use super::Report;
use super::changes::{Cause, Changes};
use crate::campaign::Tally;
use crate::report::counted;

/// What there is to know in ten seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    /// Whether it is good: `ok` or `bad`.
    pub class: &'static str,
    /// Whether anything is missing, has changed, or is to be looked at.
    pub sentence: String,
    /// How many of what that is about.
    pub beneath: String,
}

/// So many targets are named; of more it is said how many they are.
const NAMED: usize = 2;

/// A notice of so many letters can stand in a headline.
const SHORT: usize = 120;

impl Headline {
    /// That of a report, of which so many deviations are to be looked at.
    pub(super) fn of(report: &Report, changes: Option<&Changes>, news: usize) -> Headline {
        let results = &report.results;
        let found = results.campaign.as_ref().map_or(0, Tally::unlisted_kinds);
        let replayed: usize = results.replays.iter().map(|replayed| replayed.deviations).sum();
        let to_look_at = listed(&[
            (news, &|count| format!("{} to look at", counted(count, "deviation"))),
            (found, &|count| format!("fuzzing found {}", counted(count, "divergence"))),
            (replayed, &|count| format!("{} did otherwise", counted(count, "replayed input"))),
        ]);
        let missing = missing(report);
        let changed = changes.map(|changes| changed(changes, found)).unwrap_or_default();
        let sentence = match (changes, to_look_at.as_str(), changed.as_str()) {
            (None, "", _) if missing.is_empty() => {
                "All as expected, and no report before to compare with".to_owned()
            }
            (None, bad, _) if missing.is_empty() => {
                format!("{}, and no report before to compare with", capital(bad))
            }
            (None, bad, _) => bad.to_owned(),
            (Some(_), "", "") if missing.is_empty() => "Nothing has changed".to_owned(),
            // What is as bad as it was is not to be taken for good.
            (Some(_), bad, "") if missing.is_empty() => format!("Nothing has changed: still {bad}"),
            (Some(_), bad, "") => bad.to_owned(),
            (Some(_), _, changed) if missing.is_empty() => format!("Changed: {changed}"),
            (Some(_), _, changed) => format!("changed: {changed}"),
        };
        let sentence = match (missing.as_str(), sentence.as_str()) {
            ("", _) => sentence,
            (missing, "") => format!("Incomplete: {missing}"),
            (missing, besides) => format!("Incomplete: {missing}; {besides}"),
        };
        let cases: std::collections::HashSet<&str> =
            results.runs.iter().flat_map(|run| run.cases.iter().map(|case| case.id.as_str())).collect();
        let now = if to_look_at.is_empty() { "no deviation that is not known" } else { &to_look_at };
        let beneath =
            format!("{} on {}: {now}.", counted(cases.len(), "case"), counted(results.runs.len(), "target"));
        let is_worse = changes.is_some_and(|changes| changes.worse() > 0);
        let bad = !missing.is_empty() || !to_look_at.is_empty() || is_worse;
        Headline { class: if bad { "bad" } else { "ok" }, sentence, beneath }
    }
}

/// What the report should have and has not, in words; nothing if it is whole.
fn missing(report: &Report) -> String {
    let results = &report.results;
    let unusable: Vec<&str> = results.unusable.iter().map(|unusable| unusable.target.as_str()).collect();
    let broken: usize = results.replays.iter().map(|replayed| replayed.broken).sum();
    listed(&[
        (unusable.len(), &|count| match count > NAMED {
            true => format!("{count} targets could not be used"),
            false => format!("{} could not be used", unusable.join(" and ")),
        }),
        (broken, &|count| format!("{} could not be run", counted(count, "replayed input"))),
        (report.notices.len(), &|count| match &report.notices[..] {
            [notice] if notice.chars().count() <= SHORT && notice.lines().count() == 1 => notice.clone(),
            _ => format!("{} in the report", counted(count, "notice")),
        }),
    ])
}

/// What has changed that anybody has to look at, in words.
fn changed(changes: &Changes, found: usize) -> String {
    let (worse, better) = (changes.worse(), changes.better());
    let other = changes.changes.len() - worse - better;
    let gone_targets = changes.gone_targets.len();
    let verdicts = listed(&[
        (worse, &|count| format!("{} worse", counted(count, "case"))),
        (better, &|count| format!("{} better", counted(count, "case"))),
        (other, &|count| format!("{} otherwise", counted(count, "case"))),
    ]);
    // Whoever reads this must not look for it in the kernel.
    let scripts = listed(&[
        (changes.caused_by(Cause::Script), &|count| match count == changes.changes.len() {
            true => "script changed".to_owned(),
            false => format!("of {count} the script changed"),
        }),
        (changes.caused_by(Cause::Binderdrill), &|count| match count == changes.changes.len() {
            true => "by another binderdrill".to_owned(),
            false => format!("{count} by another binderdrill"),
        }),
    ]);
    let verdicts = if scripts.is_empty() { verdicts } else { format!("{verdicts} ({scripts})") };
    listed(&[
        (verdicts.len(), &|_| verdicts.clone()),
        (found, &|count| format!("fuzzing found {}", counted(count, "divergence"))),
        (changes.replays_worse, &|count| format!("{} worse", counted(count, "replayed input"))),
        (changes.replays_better, &|count| format!("{} better", counted(count, "replayed input"))),
        (gone_targets, &|count| format!("{} gone", counted(count, "target"))),
        (changes.gone_cases, &|count| format!("{} gone", counted(count, "case"))),
    ])
}

/// Those of these parts of which there are any.
fn listed(parts: &[(usize, &dyn Fn(usize) -> String)]) -> String {
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, words)| words(*count)).collect();
    parts.join(", ")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::site::Summary;
    use crate::report::{Replayed, Results, Unusable};

    fn report() -> Report {
        Report {
            results: Results::of(Vec::new()),
            notices: Vec::new(),
            since: Some(Summary::of(&Results::of(Vec::new()))),
            past: Vec::new(),
        }
    }

    fn deviating(inputs: &[&str]) -> Replayed {
        Replayed {
            target: "reference".to_owned(),
            inputs: 9,
            deviations: inputs.len(),
            deviating: inputs.iter().map(|input| (*input).to_owned()).collect(),
            ..Replayed::default()
        }
    }

    fn told(report: &Report) -> String {
        let Headline { class, sentence, .. } = report.headline();
        format!("{class}: {sentence}")
    }

    #[test]
    fn only_what_is_whole_and_the_same_has_not_changed() {
        let mut told_of = Vec::new();
        let mut night = report();
        told_of.push(told(&night));
        night.results.replays = vec![deviating(&["one", "two"])];
        told_of.push(told(&night));
        night.since = Some(Summary::of(&night.results));
        told_of.push(told(&night));
        night.since = None;
        told_of.push(told(&night));
        night = Report { notices: vec!["the campaign ran no program".to_owned()], ..report() };
        told_of.push(told(&night));
        let unusable =
            |target: &str| Unusable { target: target.to_owned(), reason: "it is silent".to_owned() };
        night.results.unusable = vec![unusable("built:uml-rust")];
        told_of.push(told(&night));
        night = Report { since: None, ..report() };
        told_of.push(told(&night));
        night.results.unusable = ["one", "two", "three"].map(unusable).into();
        night.results.replays = vec![deviating(&["one"])];
        told_of.push(told(&night));
        night.since = Some(Summary::of(&Results::of(Vec::new())));
        told_of.push(told(&night));
        insta::assert_snapshot!(told_of.join("\n"));
    }
}
