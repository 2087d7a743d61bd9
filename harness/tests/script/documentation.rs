//! The examples of `docs/script-language.md`, held against the language; and what the README has.

use binderdrill::engine::Verdict;
use binderdrill::script::{lint, parse, print};
use binderdrill::target::{ReferenceTarget, Target};
use reference_driver::Profile;

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/script-language.md"));

/// The fenced blocks of the page with this label, each with the line that it begins on.
fn blocks(label: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    let mut fenced = false;
    for (index, line) in PAGE.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), _) if fenced => {
                blocks.extend(open.take());
                fenced = false;
            }
            (Some(found), _) => {
                fenced = true;
                open = (found == label).then(|| (index + 2, String::new()));
            }
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(!fenced, "a fence is not closed");
    blocks
}

#[test]
fn examples_are_canonical_scripts() {
    let examples = blocks("drill");
    assert!(examples.len() >= 8, "{} examples", examples.len());
    for (line, text) in examples {
        let script = parse(text.as_bytes())
            .unwrap_or_else(|wrong| panic!("{}", wrong.render(&format!("example of line {line}"), false)));
        assert_eq!(print(&script.program), text, "the example of line {line} is not canonical");
        let warnings = lint(&script);
        assert!(warnings.is_empty(), "{}", warnings.render(&format!("example of line {line}"), false));
    }
}

/// On the reference driver, in which every example can run that is not about the driver in Rust.
#[test]
fn examples_pass() {
    for (line, text) in blocks("drill") {
        let script = parse(text.as_bytes()).expect("a script, as the test above says");
        let run = ReferenceTarget::new(Profile::C).run(&script.program).expect("a reference driver");
        assert_eq!(run.verdict, Verdict::Pass, "the example of line {line}");
    }
}

#[test]
fn wrong_examples_are_refused() {
    let examples = blocks("drill-error");
    assert!(examples.len() >= 2, "{} examples", examples.len());
    for (line, text) in examples {
        assert!(parse(text.as_bytes()).is_err(), "the example of line {line} is a script");
    }
}

/// What the page says of limits is what the program keeps to.
#[test]
fn limits_are_those_of_the_page() {
    use binderdrill::script::{LARGEST_SCRIPT, MOST_PROCESSES, MOST_STEPS, MOST_THREADS};
    assert_eq!(LARGEST_SCRIPT, 1 << 20);
    let rows = [
        format!("| processes | {MOST_PROCESSES} |"),
        format!("| threads, the first ones of processes among them | {MOST_THREADS} |"),
        format!("| steps | {MOST_STEPS} |"),
        format!("| characters of a name | {} |", binderdrill::program::Name::LONGEST),
    ];
    for row in rows {
        assert!(PAGE.contains(&row), "{row}");
    }
}

/// The page names every word that the protocol has for scripts.
#[test]
fn every_word_is_on_the_page() {
    use binderdrill::program::{Counter, Feature};
    use reference_driver::uapi::{COMMANDS, RETURNS, TRANSACTION_FLAGS};
    use strum::IntoEnumIterator;

    let protocol = COMMANDS.iter().chain(RETURNS).chain(TRANSACTION_FLAGS).map(|(name, _)| name.to_string());
    let words = protocol
        .chain(Feature::iter().map(|feature| feature.to_string()))
        .chain(Counter::iter().map(|counter| counter.to_string()));
    let missing: Vec<String> =
        words.filter(|word| word != "BR_ATTEMPT_ACQUIRE" && !PAGE.contains(&format!("`{word}"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Each of those whom the README is for finds a section, and the first command is followed by what it prints.
#[test]
fn the_readme_has_a_section_for_each_reader() {
    let readme = include_str!("../../../README.md");
    for section in
        ["Two commands", "Run on a real kernel", "Check a patch", "Write a case", "Fuzz", "Nightly report"]
    {
        assert!(readme.contains(&format!("\n## {section}\n")), "{section}");
    }
    let (_, printed) = readme.split_once("What the first command prints:").unwrap();
    let (printed, _) = printed.split_once("\n## ").unwrap();
    let last = printed.lines().rfind(|line| !line.is_empty()).unwrap();
    assert!(last.contains(" passed, ") && last.contains(" on reference in "), "{last}");
}
