//! KTAP: results as kselftest prints them, for the programs that read what tests of the kernel print.
//!
//! Each target is a test, and its cases are that test's subtests. Where there are several targets, the last test says
//! whether they did the same.

use std::io::{self, Write};

use super::case_result::CaseResult;
use super::outcome::{COMPARISON, NOTHING_COMPARED, Outcome, UNUSABLE, told, told_divergence};
use super::results::{Counts, Results, TargetResults, Unusable};

/// What the subtests of a test are indented by.
const INDENTATION: &str = "  ";

/// Writes results as KTAP.
pub fn write_ktap(out: &mut dyn Write, results: &Results) -> io::Result<()> {
    let compares = results.runs.len() > 1;
    writeln!(out, "KTAP version 1")?;
    let tests = results.runs.len() + results.unusable.len();
    writeln!(out, "1..{}", tests + usize::from(compares))?;
    for (place, run) in results.runs.iter().enumerate() {
        write_run(out, place + 1, run)?;
    }
    for (place, Unusable { target, reason }) in results.unusable.iter().enumerate() {
        write_diagnostics(out, "", reason)?;
        let directive = directive("ERROR", UNUSABLE);
        writeln!(out, "not ok {} {}{directive}", results.runs.len() + place + 1, name(target))?;
    }
    if compares {
        for divergence in &results.divergences {
            write_diagnostics(out, "", &told_divergence(results, divergence))?;
        }
        let result = if results.divergences.is_empty() { "ok" } else { "not ok" };
        let skipped = match results.compared() {
            0 => format!(" # SKIP {NOTHING_COMPARED}"),
            _ => String::new(),
        };
        writeln!(out, "{result} {} {COMPARISON}{skipped}", tests + 1)?;
    }
    Ok(())
}

fn write_run(out: &mut dyn Write, number: usize, run: &TargetResults) -> io::Result<()> {
    writeln!(out, "{INDENTATION}KTAP version 1")?;
    writeln!(out, "{INDENTATION}# Subtest: {}", name(&run.target))?;
    writeln!(out, "{INDENTATION}1..{}", run.cases.len())?;
    if let Some(driver) = &run.driver {
        write_diagnostics(out, INDENTATION, &format!("driver {driver}"))?;
    }
    for (place, case) in run.cases.iter().enumerate() {
        write_subtest(out, place + 1, case)?;
    }
    let Counts {
        passed, failed, known_deviations, unexpected_passes, skipped, of_other_driver, broken, ..
    } = run.counts;
    writeln!(
        out,
        "{INDENTATION}# Totals: pass:{passed} fail:{failed} xfail:{known_deviations} xpass:{unexpected_passes} \
         skip:{} error:{broken}",
        skipped + of_other_driver
    )?;
    let result = if failed + unexpected_passes + broken == 0 { "ok" } else { "not ok" };
    writeln!(out, "{result} {number} {}", name(&run.target))
}

fn write_subtest(out: &mut dyn Write, number: usize, case: &CaseResult) -> io::Result<()> {
    write_diagnostics(out, INDENTATION, &told(case))?;
    let (result, directive) = match Outcome::of(case) {
        Outcome::Passed => ("ok", String::new()),
        Outcome::Failed { .. } => ("not ok", String::new()),
        Outcome::Known { reason } => ("ok", directive("XFAIL", &reason)),
        Outcome::Skipped { reason } => ("ok", directive("SKIP", &reason)),
        Outcome::Broken { message } => ("not ok", directive("ERROR", &message)),
    };
    writeln!(out, "{INDENTATION}{result} {number} {}{directive}", name(&case.id))
}

/// What stands behind a result. A hash sign would begin another directive.
fn directive(word: &str, reason: &str) -> String {
    format!(" # {word} {}", reason.replace('#', "_")).trim_end().to_owned()
}

/// Text that is no result, a line each.
fn write_diagnostics(out: &mut dyn Write, indentation: &str, text: &str) -> io::Result<()> {
    let is_odd = |letter: char| letter.is_control() && letter != '\t';
    for line in text.split('\n') {
        if !line.trim().is_empty() {
            // Two blanks, for with one the log of a kernel could name a test.
            writeln!(out, "{indentation}#  {}", line.replace(is_odd, "").trim_end())?;
        }
    }
    Ok(())
}

/// A name as a result can have it: in one line, and without a hash sign.
fn name(name: &str) -> String {
    let is_odd = |letter: char| letter.is_control() || letter == '#';
    name.replace(is_odd, "_").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::Verdict;
    use crate::report::tests::{hostile, of_all_kinds};

    fn ktap(results: &Results) -> String {
        let mut text = Vec::new();
        write_ktap(&mut text, results).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_target_that_could_not_be_used_is_not_ok() {
        let mut results = of_all_kinds();
        results.runs.truncate(1);
        let reason = "it does not boot:\nKernel panic - not syncing".to_owned();
        results.unusable = vec![Unusable { target: "vm:./bzImage".to_owned(), reason }];
        insta::assert_snapshot!(ktap(&results));
    }

    #[test]
    fn what_became_of_cases_is_told_in_ktap() {
        insta::assert_snapshot!(ktap(&of_all_kinds()));
    }

    /// The results that a reader finds at a depth: whether each is `ok`, its number, its name and its directive.
    fn read(text: &str, indentation: &str) -> Vec<(bool, usize, String, String)> {
        let result = |line: &str| {
            let line = line.strip_prefix(indentation)?;
            let (is_ok, rest) = match line.strip_prefix("not ok ") {
                Some(rest) => (false, rest),
                None => (true, line.strip_prefix("ok ")?),
            };
            let (number, rest) = rest.split_once(' ')?;
            let (name, directive) = rest.split_once(" # ").unwrap_or((rest, ""));
            Some((is_ok, number.parse().ok()?, name.to_owned(), directive.to_owned()))
        };
        text.lines().filter_map(result).collect()
    }

    /// Checks each line: nothing but versions, plans, results and diagnostics, numbered from 1 up to what the plans say.
    fn check(results: &Results) {
        let text = ktap(results);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("KTAP version 1"));
        let top = read(&text, "");
        assert_eq!(lines.next(), Some(format!("1..{}", top.len()).as_str()));
        assert!(top.iter().map(|result| result.1).eq(1..=top.len()));
        for (run, result) in results.runs.iter().zip(&top) {
            assert_eq!(result.2, name(&run.target));
            let mut subtests = 0;
            assert_eq!(lines.next(), Some("  KTAP version 1"));
            assert_eq!(lines.next(), Some(format!("  # Subtest: {}", result.2).as_str()));
            assert_eq!(lines.next(), Some(format!("  1..{}", run.cases.len()).as_str()));
            for line in lines.by_ref() {
                let Some(inner) = line.strip_prefix("  ") else {
                    assert!(line.starts_with("ok ") || line.starts_with("not ok "), "{line}");
                    break;
                };
                if inner.starts_with('#') {
                    assert!(inner.starts_with("#  ") || inner.starts_with("# Totals: "), "{inner}");
                    continue;
                }
                let [(is_ok, number, read_name, directive)] = &read(inner, "")[..] else { panic!("{inner}") };
                let case = &run.cases[subtests];
                subtests += 1;
                assert_eq!((*number, read_name), (subtests, &name(&case.id)));
                let word = directive.split(' ').next().unwrap_or_default();
                let expected = match case.verdict {
                    Verdict::Pass => (true, ""),
                    Verdict::Fail(_) | Verdict::UnexpectedPass { .. } => (false, ""),
                    Verdict::KnownDeviation { .. } => (true, "XFAIL"),
                    Verdict::Skip { .. } | Verdict::OtherDriver { .. } => (true, "SKIP"),
                    Verdict::Broken { .. } => (false, "ERROR"),
                };
                assert_eq!((*is_ok, word), expected, "{line}");
                assert!(!directive.contains('#'), "{line}");
            }
            assert_eq!(subtests, run.cases.len());
        }
    }

    #[test]
    fn each_line_is_one_that_ktap_has() {
        check(&of_all_kinds());
    }

    proptest! {
        #[test]
        fn hostile_words_are_no_results(words in "(ok|not ok|# SKIP|1\\.\\.|# Subtest: |[\\x00-\\x7f]|\n  |\u{1b}\\[1m| 1 ){0,8}") {
            check(&hostile(&words));
        }
    }
}
