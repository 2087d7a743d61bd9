//! A case beside itself: what two drivers did with it, in words and as both transcripts.

use std::io::{self, Write};

use super::case_result::CaseResult;
use super::style::{NAME, Styled};
use super::transcript::{elide, plain_lines};
use crate::campaign::side_by_side;
use crate::engine::Verdict;

/// So much is shown of why a case is broken, in lines.
const LAST_WORDS: usize = 12;

/// Writes what became of a case in either place, and what was done there.
pub(super) fn write_beside(
    out: &mut dyn Write,
    left: (&str, &CaseResult),
    right: (&str, &CaseResult),
) -> io::Result<()> {
    let case = left.1;
    let clauses =
        if case.clauses.is_empty() { String::new() } else { format!(" ({})", case.clauses.join(", ")) };
    writeln!(out, "    {}{clauses}", case.origin)?;
    let width = left.0.chars().count().max(right.0.chars().count());
    for (whose, result) in [left, right] {
        let said = match &result.verdict {
            Verdict::Pass | Verdict::UnexpectedPass { .. } => "as the suite expects".to_owned(),
            Verdict::Fail(deviation) | Verdict::KnownDeviation { deviation, .. } => {
                let line = result.line.map(|line| format!("line {line}: ")).unwrap_or_default();
                format!("{line}expected {}, came {}", elide(&deviation.expected), elide(&deviation.came))
            }
            Verdict::Skip { reason } => format!("skipped: {reason}"),
            Verdict::OtherDriver { driver } => format!("the case is about the driver in {}", driver.title()),
            Verdict::Broken { reason } => format!("broken: {}", last_words(reason)),
        };
        let below = format!("\n{:indentation$}", "", indentation = width + 6);
        writeln!(out, "    {}  {}", Styled(NAME, format!("{whose:width$}")), said.replace('\n', &below))?;
    }
    write_both(out, left, right)?;
    writeln!(out)
}

/// Writes what was done in either place, side by side. What one of them did in a race that went well is not kept, and what
/// the other one did from there on stands alone.
fn write_both(out: &mut dyn Write, left: (&str, &CaseResult), right: (&str, &CaseResult)) -> io::Result<()> {
    let told = |case: &CaseResult| case.untold_from().map(|_| case.transcript.steps.len());
    let together = [left.1, right.1].into_iter().filter_map(told).min().unwrap_or(usize::MAX);
    let [(one, after_one), (other, after_other)] =
        [left.1, right.1].map(|case| case.transcript.split_at(together));
    let both = side_by_side((left.0, &one), (right.0, &other));
    both.lines().try_for_each(|line| writeln!(out, "      {line}"))?;
    for (whose, case) in [left, right] {
        if let Some(line) = case.untold_from() {
            writeln!(
                out,
                "      {whose}: from line {line} on threads race, and what came is kept only where it went wrong"
            )?;
        }
    }
    for ((whose, case), rest) in [(left, after_one), (right, after_other)] {
        let rest = plain_lines(&rest, &case.lines);
        if !rest.is_empty() {
            writeln!(out, "      {whose}, from there on:")?;
            rest.iter().try_for_each(|line| writeln!(out, "        {line}"))?;
        }
    }
    Ok(())
}

/// The beginning of why a case is broken, and what its kernel said the matter was; where it did not, its last words.
fn last_words(reason: &str) -> String {
    const TELLING: &[&str] =
        &["BUG", "panic", "Oops", "KASAN", "WARNING", "RIP:", "Call Trace", "blocked for more"];
    let lines: Vec<&str> = reason.trim_end().lines().collect();
    let Some((first, rest)) = lines.split_first().filter(|_| lines.len() > LAST_WORDS) else {
        return lines.join("\n");
    };
    let tells = |line: &&str| TELLING.iter().any(|word| line.contains(word));
    let telling: Vec<&str> = rest.iter().copied().filter(tells).take(LAST_WORDS).collect();
    let rest = if telling.is_empty() { &rest[rest.len() - LAST_WORDS..] } else { &telling };
    [&[*first, "..."], rest].concat().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_console_the_end_is_told() {
        let reason: String = (0..40).map(|line| format!("line {line}\n")).collect();
        let told = last_words(&reason);
        assert!(told.starts_with("line 0\n...\nline 28\n") && told.ends_with("line 39"), "{told}");
        let told = last_words(&reason.replace("line 7", "Kernel panic - not syncing"));
        assert_eq!(told, "line 0\n...\nKernel panic - not syncing");
    }
}
