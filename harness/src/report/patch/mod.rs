//! Verdicts on patches: for people, each change with both traces side by side, then one table; and as pages.

mod own_lines;
mod pages;

pub use own_lines::write_own_lines;
pub use pages::{prepare_patch_pages, write_patch_pages};

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};

use crate::patch::{Change, ChangeKind, CountedLines, KernelVerdict, OwnLines, PatchVerdict};
use own_lines::share;

use crate::report::beside::write_beside;
use crate::report::human::write_table;
use crate::report::style::{ASIDE, BAD, FAINT, GOOD, NAME, Styled};
use crate::report::tally::write_tally;

/// So many changes of a kernel are shown whole; of the others only what they are.
const SHOWN: usize = 10;

/// Writes what patches are called, above what they change.
pub fn write_title(out: &mut dyn Write, titles: &[String]) -> io::Result<()> {
    writeln!(out, "{}\n", Styled(NAME, titles.join("; ")))
}

/// Writes what a patched kernel does otherwise than its base.
pub fn write_changes(out: &mut dyn Write, kernel: &KernelVerdict) -> io::Result<()> {
    if let Some(reason) = &kernel.does_not_boot {
        writeln!(out, "{} {}: it does not boot", Styled(BAD, "BROKEN"), Styled(NAME, &kernel.patched))?;
        reason.lines().try_for_each(|line| writeln!(out, "    {line}"))?;
        writeln!(out)?;
    }
    for (place, change) in kernel.changes.iter().enumerate() {
        write_change(out, change, place < SHOWN)?;
    }
    if let left @ 1.. = kernel.changes.len().saturating_sub(SHOWN) {
        writeln!(out, "{}\n", Styled(FAINT, format!("of {left} more, --format json tells all")))?;
    }
    if !kernel.unsteady.is_empty() {
        let unsteady = kernel.unsteady.join(", ");
        writeln!(out, "{} {unsteady}: now this, now that, also on the base\n", Styled(ASIDE, "UNSTEADY"))?;
    }
    if let left_out @ 1.. = kernel.left_out {
        let told = format!("{left_out} cases were not run, since guests died over too many before them\n");
        writeln!(out, "{}", Styled(BAD, told))?;
    }
    Ok(())
}

fn write_change(out: &mut dyn Write, change: &Change, whole: bool) -> io::Result<()> {
    let (style, word) = match change.kind {
        ChangeKind::Broken => (BAD, "BROKEN"),
        ChangeKind::Fixed => (GOOD, "FIXED"),
        ChangeKind::Changed => (ASIDE, "CHANGED"),
    };
    let Change { base, patched, .. } = change;
    writeln!(out, "{} {}: {}", Styled(style, word), Styled(NAME, &base.id), base.title)?;
    if !whole {
        return Ok(());
    }
    write_beside(out, ("base", base), ("patched", patched))
}

/// Writes the table of all that was checked.
pub fn write_verdicts(out: &mut dyn Write, patches: &[PatchVerdict]) -> io::Result<()> {
    for patch in patches {
        if let Some(campaign) = &patch.campaign {
            write_tally(out, campaign)?;
            writeln!(out)?;
        }
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let header = ["patch", "kernel", "fixed", "broken", "changed", "unsteady", "unchanged", "own lines"];
    table.set_header(header);
    for patch in patches {
        for (place, kernel) in patch.kernels.iter().enumerate() {
            let own = patch.own_lines.as_ref().filter(|_| place == 0).map_or_else(String::new, share);
            let count = |kind| kernel.count(kind).to_string();
            let broken = match &kernel.does_not_boot {
                Some(_) => "does not boot".to_owned(),
                None => count(ChangeKind::Broken),
            };
            table.add_row([
                elide_title(&patch.titles),
                kernel.kernel.clone(),
                count(ChangeKind::Fixed),
                broken,
                count(ChangeKind::Changed),
                kernel.unsteady.len().to_string(),
                kernel.unchanged.to_string(),
                own,
            ]);
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    write_table(out, &table)?;
    writeln!(out)?;
    for (patch, kernel) in
        patches.iter().flat_map(|patch| patch.kernels.iter().map(move |kernel| (patch, kernel)))
    {
        let title =
            if patches.len() > 1 { format!("{}: ", elide_title(&patch.titles)) } else { String::new() };
        let kept = if kernel.base_was_kept { " (what the base did was kept)" } else { "" };
        let times = format!("built in {:.1} s, cases run in {:.1} s{kept}", kernel.building, kernel.seconds);
        writeln!(out, "{title}{} on {}: {}", kernel.patched, kernel.kernel, Styled(FAINT, times))?;
    }
    for own_lines in patches.iter().filter_map(|patch| patch.own_lines.as_ref()) {
        if let OwnLines::Counted(CountedLines { counted_on: Some(target), building, seconds, .. }) = own_lines
        {
            let times = format!("built in {building:.1} s, cases run in {seconds:.1} s");
            writeln!(out, "{target} to count what runs: {}", Styled(FAINT, times))?;
        }
    }
    let kernels = || patches.iter().flat_map(|patch| &patch.kernels);
    let first = kernels().find_map(|kernel| Some((kernel, kernel.changes.first()?)));
    if let Some((kernel, change)) = first {
        writeln!(
            out,
            "to see a change again: binderdrill run --target {} --target {} {}",
            kernel.base, kernel.patched, change.base.id
        )?;
    }
    Ok(())
}

/// The title of a patch, or of the first of several, as far as a table has room for it.
fn elide_title(titles: &[String]) -> String {
    const ROOM: usize = 40;
    let first = titles.first().map_or("", String::as_str);
    let more = if titles.len() > 1 { format!(" and {} more", titles.len() - 1) } else { String::new() };
    match first.chars().count() {
        ..=ROOM => format!("{first}{more}"),
        _ => format!("{}…{more}", first.chars().take(ROOM - 1).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Verdict;
    use crate::patch::own_lines_tests::own_lines;
    use crate::patch::verdict_tests::{case, dies, fails, verdict};

    #[test]
    fn changes_are_shown_side_by_side_and_counted() {
        let mut kernel = verdict();
        let base = [case("context/one", "EBUSY", Verdict::Pass), case("death/two", "EBUSY", Verdict::Pass)];
        let patched = [case("context/one", "EPERM", fails("EPERM")), case("death/two", "", dies())];
        kernel.judge(&base, &patched, |_| Ok::<_, ()>(Vec::new())).unwrap();
        kernel.unsteady.push("race/three".to_owned());
        let patch = PatchVerdict {
            titles: vec!["binder: say EPERM to a second context manager, as it is not allowed".to_owned()],
            files: vec!["drivers/android/binder.c".to_owned()],
            kernels: vec![kernel],
            own_lines: Some(own_lines()),
            campaign: None,
        };
        let mut text = Vec::new();
        write_changes(&mut text, &patch.kernels[0]).unwrap();
        write_verdicts(&mut text, &[patch]).unwrap();
        let text = anstream::adapter::strip_bytes(&text).into_vec();
        insta::assert_snapshot!(String::from_utf8(text).unwrap());
    }
}
