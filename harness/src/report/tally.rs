//! What a campaign has come to, for people.

use std::io::{self, Write};

use super::style::{ASIDE, BAD, FAINT, GOOD, NAME, Styled};
use crate::campaign::{Group, LaneTally, Tally};

/// Writes what each lane did, and the kinds of divergences with one program for each, the most frequent first.
pub fn write_tally(out: &mut dyn Write, tally: &Tally) -> io::Result<()> {
    for lane in &tally.lanes {
        writeln!(out, "{}", Styled(NAME, &lane.name))?;
        writeln!(
            out,
            "  {} programs of {:.1} steps in {:.1} s, {:.1} a second; making them took {:.0} % of the time",
            lane.programs,
            lane.steps as f64 / lane.programs.max(1) as f64,
            tally.seconds,
            lane.programs_per_second,
            lane.making * 100.0
        )?;
        writeln!(
            out,
            "  depth: {:.1} % of steps succeed, {:.2} transactions completed a program",
            lane.succeeded * 100.0,
            lane.completed_per_program
        )?;
        let mut time: Vec<_> = lane.time.iter().collect();
        time.sort_by(|(_, first), (_, second)| second.total_cmp(first));
        for (part, time) in time {
            writeln!(out, "  {time:>8.0} us a program: {part}")?;
        }
        let mut groups: Vec<&Group> = lane.groups.iter().collect();
        groups.sort_by_key(|group| (group.known.is_some(), std::cmp::Reverse(group.programs)));
        for group in groups {
            write_group(out, group)?;
        }
        let style = if lane.unlisted > 0 { BAD } else { GOOD };
        let divergent = format!("{} programs diverge", lane.unlisted);
        writeln!(
            out,
            "  {}, {} as listed{}; {} of the last {} ({:.3} %)",
            Styled(style, divergent),
            lane.listed,
            skipped(lane),
            lane.unlisted_of_last,
            lane.last,
            lane.unlisted_of_last as f64 * 100.0 / lane.last.max(1) as f64
        )?;
    }
    writeln!(out, "seed {}", tally.seed)
}

/// How many programs nothing was compared on, if there are any.
fn skipped(lane: &LaneTally) -> String {
    match lane.skipped {
        0 => String::new(),
        skipped => format!(", {skipped} skipped, as a target lacks what they require"),
    }
}

fn write_group(out: &mut dyn Write, group: &Group) -> io::Result<()> {
    let style = if group.known.is_some() { ASIDE } else { BAD };
    writeln!(out, "  {} {}", Styled(style, format!("{:>6}", group.programs)), group.signature)?;
    let unsteady = group.steadiness.filter(|steadiness| !steadiness.is_steady());
    let remarks =
        [unsteady.map(|steadiness| format!("in {steadiness}")), group.known.clone(), group.file.clone()];
    for remark in remarks.into_iter().flatten() {
        writeln!(out, "         {}", Styled(FAINT, remark))?;
    }
    Ok(())
}

impl std::fmt::Display for LaneTally {
    /// On one line, for those who watch.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {} programs, {:.1} a second, {:.2} transactions each, {} diverge ({} kinds), {} as listed{}",
            self.name,
            self.programs,
            self.programs_per_second,
            self.completed_per_program,
            self.unlisted,
            self.groups.iter().filter(|group| group.known.is_none()).count(),
            self.listed,
            skipped(self)
        )
    }
}
