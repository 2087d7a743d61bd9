//! The report on what two targets did otherwise: each case side by side, then what only one of them ran.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::beside::write_beside;
use super::counted;
use super::style::{ASIDE, BAD, FAINT, GOOD, NAME, Styled};
use crate::difference::{Changed, Differences, Lacking, Side};

/// Of so many cases all are named.
const NAMED: usize = 6;

/// Writes all that is not the same, and how much is.
pub fn write_differences(out: &mut dyn Write, differences: &Differences) -> io::Result<()> {
    let Differences { left, right, changed, lacking, other_scripts, .. } = differences;
    for Changed { left: one, right: other } in changed {
        writeln!(out, "{} {}: {}", Styled(BAD, "DIFFERS"), Styled(NAME, &one.id), one.title)?;
        write_beside(out, (&left.name, one), (&right.name, other))?;
    }
    let mut reasons: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for Lacking { id, ran, reason } in lacking {
        reasons.entry((ran, reason)).or_default().push(id);
    }
    for ((ran, reason), cases) in reasons {
        writeln!(out, "{} {ran} ran {}: {reason}", Styled(ASIDE, "ONLY"), Styled(NAME, named(&cases)))?;
    }
    for Side { name, only, .. } in [left, right] {
        if !only.is_empty() {
            let only = Styled(NAME, named(only));
            writeln!(out, "{} {name} has results of {only}", Styled(ASIDE, "ONLY"))?;
        }
    }
    if !other_scripts.is_empty() {
        let changed = Styled(NAME, named(other_scripts));
        let what = "the script is another on the two, which says nothing of the drivers; not compared:";
        writeln!(out, "{} {what} {changed}", Styled(ASIDE, "CHANGED"))?;
    }
    if !changed.is_empty() || !lacking.is_empty() {
        writeln!(out)?;
    }
    for Side { name, driver, provenance, .. } in [left, right] {
        let driver = driver.as_deref().unwrap_or({
            let target = name.rsplit('@').next().unwrap_or(name);
            if target.starts_with("reference") { "a model" } else { "a driver that is not known" }
        });
        let ran = provenance.as_ref().map_or_else(String::new, |it| {
            let commit = it.commit.as_ref().map(|commit| format!(" by commit {commit}")).unwrap_or_default();
            format!(", run on {}{commit}", it.started.strftime("%-d %B %Y"))
        });
        writeln!(out, "{}", Styled(FAINT, format!("{name}: {driver}{ran}")))?;
    }
    let (style, verdict) = match (changed.len(), lacking.len()) {
        (0, 0) if differences.same == 0 => (BAD, "nothing could be compared".to_owned()),
        (0, 0) => (GOOD, "the two did the same".to_owned()),
        (changed, lacking) => {
            (BAD, format!("{changed} done otherwise, {lacking} run by only one of the two"))
        }
    };
    let not_compared = match other_scripts.len() {
        0 => String::new(),
        count => format!(", {count} with other scripts and not compared"),
    };
    writeln!(
        out,
        "{}, {} the same{not_compared}, of {}",
        Styled(style, verdict),
        differences.same,
        counted(differences.cases(), "case")
    )
}

/// Some cases by their names, of many only how many they are and the first.
pub fn named(cases: &[impl AsRef<str>]) -> String {
    let names: Vec<&str> = cases.iter().take(NAMED).map(AsRef::as_ref).collect();
    match cases.len() {
        ..=NAMED => names.join(", "),
        several => format!("{several} cases ({}, …)", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::of_all_kinds;

    #[test]
    fn what_two_targets_did_otherwise_is_shown_side_by_side() {
        let [reference, kernel, other] = <[_; 3]>::try_from(of_all_kinds().runs).unwrap();
        let mut text = Vec::new();
        let mut changed = other.clone();
        changed.cases[1].digest = "4567".to_owned();
        changed.cases[1].id = "topic/skipped".to_owned();
        for (left, right) in [(reference, kernel.clone()), (other, kernel.clone()), (changed, kernel)] {
            write_differences(&mut text, &Differences::between(left, right, |_| true)).unwrap();
            writeln!(text, "----").unwrap();
        }
        let text = anstream::adapter::strip_bytes(&text).into_vec();
        insta::assert_snapshot!(String::from_utf8(text).unwrap());
    }
}
