//! Side by side: what two targets did with one program, in two columns, with a mark where they differ.

use std::fmt::Write;

use similar::{ChangeTag, TextDiff};

use crate::engine::Transcript;
use crate::report::plain_lines;

/// The narrowest and the widest left column.
const WIDTHS: std::ops::RangeInclusive<usize> = 20..=76;

/// What the two did, the first on the left. A `|` stands between lines that differ, a `<` or a `>` beside those that only
/// one side has.
pub fn side_by_side(left: (&str, &Transcript), right: (&str, &Transcript)) -> String {
    let [ours, theirs] = [left.1, right.1].map(|transcript| plain_lines(transcript, &[]));
    let longest = ours.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let width = longest.clamp(*WIDTHS.start(), *WIDTHS.end());
    let mut text = String::new();
    put(&mut text, width, left.0, ' ', right.0);
    put(&mut text, width, &"-".repeat(left.0.chars().count()), ' ', &"-".repeat(right.0.chars().count()));
    let [ours, theirs] = [&ours, &theirs].map(|lines| lines.iter().map(String::as_str).collect::<Vec<_>>());
    let diff = TextDiff::from_slices(&ours, &theirs);
    for operation in diff.ops() {
        let mut removed = Vec::new();
        let mut added = Vec::new();
        for change in diff.iter_changes(operation) {
            let line = change.value();
            match change.tag() {
                ChangeTag::Equal => put(&mut text, width, line, ' ', line),
                ChangeTag::Delete => removed.push(line),
                ChangeTag::Insert => added.push(line),
            }
        }
        for place in 0..removed.len().max(added.len()) {
            let (mark, one, other) = match (removed.get(place), added.get(place)) {
                (Some(one), Some(other)) => ('|', *one, *other),
                (Some(one), None) => ('<', *one, ""),
                (None, other) => ('>', "", other.copied().unwrap_or_default()),
            };
            put(&mut text, width, one, mark, other);
        }
    }
    text
}

/// A line of both columns. What is too long for the left one goes on below.
fn put(text: &mut String, width: usize, left: &str, mark: char, right: &str) {
    let pieces = |side: &str| -> Vec<String> {
        let letters: Vec<char> = side.chars().collect();
        letters.chunks(width).map(|piece| piece.iter().collect()).collect()
    };
    let (left, right) = (pieces(left), pieces(right));
    for place in 0..left.len().max(right.len()).max(1) {
        let piece = |side: &[String]| side.get(place).cloned().unwrap_or_default();
        let line = format!("{:width$} {mark} {}", piece(&left), piece(&right));
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use reference_driver::Profile;

    use super::*;
    use crate::script::parse;
    use crate::target::{ReferenceTarget, Target};

    #[test]
    fn two_drivers_are_shown_side_by_side() {
        let script = b"# A first read.\n\nprocess server\n\nserver < parked\n";
        let script = parse(script).unwrap_or_else(|wrong| panic!("{}", wrong.render("script", false)));
        let run = |profile: Profile| ReferenceTarget::new(profile).run(&script.program).unwrap().transcript;
        let (c, rust) = (run(Profile::C), run(Profile::RUST));
        insta::assert_snapshot!(side_by_side(("reference", &c), ("reference:rust", &rust)));
    }
}
