//! Nights: the line for a chat and the headline of the pages, which say the same.

use std::path::Path;

use super::{binderdrill, status, stderr, stdout};

/// A night on the case that passes, without a campaign; a script that is here is what fuzzers have kept. Gives its exit
/// status, and its line without the folder.
fn night(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let out = folder.to_str().unwrap();
    let fixed = ["nightly", "--out", out, "--only", "passes.drill", "--corpus", "passes.drill"];
    let output = binderdrill(&[&fixed[..], arguments].concat());
    let line = stdout(&output).trim_end().replace(out, "FOLDER");
    assert_eq!(line.lines().count(), 1, "{line}\n{}", stderr(&output));
    // What the pages begin with is in the line, but for what HTML writes otherwise.
    let overview = overview(folder);
    let (_, headline) = overview.split_once("<h1>").unwrap();
    let (headline, _) = headline.split_once("</h1>").unwrap();
    assert!(line.contains(headline), "{headline}: {line}");
    (status(&output), line)
}

fn overview(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("index.html")).unwrap()
}

/// Nights are told apart by the second in which they began.
fn wait_for_another_second() {
    std::thread::sleep(std::time::Duration::from_millis(1100));
}

#[test]
fn a_night_is_compared_with_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let two = ["--target", "reference", "--target", "reference:rust", "--fuzz-for", "0s"];
    let mut lines = vec![night(folder.path(), &two)];
    wait_for_another_second();
    lines.push(night(folder.path(), &two));
    wait_for_another_second();
    lines.push(night(folder.path(), &two[..2]));
    insta::assert_debug_snapshot!(lines);
}

#[test]
fn a_folder_with_other_things_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let precious = folder.path().join("case/precious");
    std::fs::create_dir(folder.path().join("case")).unwrap();
    std::fs::write(&precious, "mine").unwrap();
    let out = folder.path().to_str().unwrap();
    let output = binderdrill(&["nightly", "--target", "reference", "--only", "passes.drill", "--out", out]);
    assert_eq!((status(&output), stdout(&output)), (2, String::new()));
    assert!(stderr(&output).contains("has other things in it than a report"), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(precious).unwrap(), "mine");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_target_that_cannot_be_used_makes_a_night_incomplete() {
    let folder = tempfile::tempdir().unwrap();
    let targets = ["--target", "reference", "--target", "vm:./passes.drill"];
    let mut lines = vec![night(folder.path(), &targets)];
    let overview = overview(folder.path());
    assert!(overview.contains("vm:./passes.drill</th>"), "{overview}");
    assert!(overview.contains("is no Linux kernel"), "the page says why not: {overview}");
    wait_for_another_second();
    // Compared with another night, too; and also if no target is left.
    lines.push(night(folder.path(), &targets));
    wait_for_another_second();
    lines.push(night(folder.path(), &["--target", "vm:no-such"]));
    insta::assert_debug_snapshot!(lines);
}

#[test]
fn what_is_no_target_or_no_folder_of_inputs_is_refused_before_the_night() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    for (arguments, reason) in [
        (["--target", "nonsense:x"], "there is no target \"nonsense:x\""),
        (["--corpus", "no-such-folder"], "no-such-folder"),
    ] {
        let output =
            binderdrill(&[&["nightly", "--out", out, "--target", "reference"], &arguments[..]].concat());
        assert_eq!((status(&output), stdout(&output).as_str()), (2, ""));
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    }
}

#[test]
fn what_was_asked_for_and_did_not_run_makes_a_night_incomplete() {
    let folder = tempfile::tempdir().unwrap();
    let (status, line) = night(folder.path(), &["--target", "reference", "--fuzz-for", "9s"]);
    assert_eq!(status, 2);
    assert!(line.contains("Incomplete: no program was fuzzed"), "{line}");
}

#[test]
fn what_fuzzing_begins_with_is_replayed_though_nothing_else_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let output = binderdrill(&["nightly", "--out", out, "--only", "passes.drill", "--target", "reference"]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let line = stdout(&output);
    let (_, replayed) = line.split_once("; ").unwrap();
    let inputs: usize = replayed.split_once(" replayed, 0 otherwise").unwrap().0.parse().unwrap();
    assert!(inputs > 100, "{replayed}");
}
