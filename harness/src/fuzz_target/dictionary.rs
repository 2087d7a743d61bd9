//! The dictionary: the words and signs of scripts, for engines that put bytes together.

use std::collections::BTreeSet;
use std::fmt::Write;

use reference_driver::uapi::{COMMANDS, IOCTLS, OBJECT_TYPES, RETURNS, TRANSACTION_FLAGS};

use crate::suite;

/// The words of the protocol, and whatever else the suite uses that is no name: in the form that libFuzzer and AFL take.
pub fn dictionary() -> String {
    let mut words: BTreeSet<String> = BTreeSet::new();
    for family in [COMMANDS, IOCTLS, OBJECT_TYPES, RETURNS, TRANSACTION_FLAGS] {
        words.extend(family.iter().map(|(word, _)| (*word).to_owned()));
    }
    for case in suite::embedded() {
        if let Ok(script) = &case.script {
            words.extend(script.words().map(str::to_owned));
        }
    }
    let mut text = "# The words of scripts. Made by `binderdrill seeds --dictionary`.\n".to_owned();
    for word in words {
        let quoted = word.replace('\\', r"\\").replace('"', "\\\"");
        // Writing to a string never fails.
        let _ = writeln!(text, "\"{quoted}\"");
    }
    text
}
