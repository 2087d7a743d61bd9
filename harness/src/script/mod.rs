//! The script language: how a program is written by and for people.
//!
//! [`parse`] reads a script into a [`Program`] and says where its parts stand; [`print()`] writes the one canonical
//! script of a program; [`lint()`] points at what may not mean what its author thinks. The language itself is
//! described in `docs/script-language.md`. A script is cut into tokens, the grammar makes statements of them,
//! and then come the rules that concern more than one statement: what names stand for, who is parked.

mod cursor;
mod diagnostics;
mod grammar;
mod lint;
mod names;
mod print;
mod rules;
mod tokens;

pub(crate) use diagnostics::near_miss;
pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub(crate) use lint::features_of_program;
pub use lint::lint;
pub(crate) use print::fragment;
pub use print::print;
pub(crate) use rules::bytes_of;
pub use rules::{MOST_PROCESSES, MOST_STEPS, MOST_THREADS};

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

#[cfg(test)]
use crate::program::Name;
use crate::program::Program;
use names::Mention;
use tokens::Kind;

/// The most bytes that a script may have.
pub const LARGEST_SCRIPT: usize = 1024 * 1024;
/// The most errors that are looked for; behind that, reading gives up.
const MOST_DIAGNOSTICS: usize = 100;

/// A script that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// What it says.
    pub program: Program,
    /// Where it says so.
    pub positions: Positions,
    /// The text that was read.
    pub source: Arc<str>,
    mentions: Vec<Mention>,
}

impl Script {
    /// The words in it that are neither names nor part of clauses or bytes, each as often as it stands there.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        let names: HashSet<usize> = self.mentions.iter().map(|mention| mention.span.start).collect();
        let (tokens, _) = tokens::tokens(&self.source, 0);
        let is_sign =
            |place: usize, sign| tokens.get(place).is_some_and(|token| token.kind == Kind::Sign(sign));
        let is_byte = |word: &str| word.len() == 2 && word.bytes().all(|digit| digit.is_ascii_hexdigit());
        let mut is_in_bytes = false;
        let mut words = Vec::new();
        for (place, token) in tokens.iter().enumerate() {
            let word = &self.source[token.span.clone()];
            is_in_bytes = word == "bytes" || is_in_bytes && is_byte(word);
            let is_other = is_in_bytes && word != "bytes" || is_sign(place + 1, ".");
            if token.kind == Kind::Word && !is_other && !names.contains(&token.span.start) {
                words.push(word);
            }
        }
        words.into_iter()
    }

    /// All names that stand in it, each as often as it does.
    #[cfg(test)]
    pub(crate) fn names(&self) -> impl Iterator<Item = &Name> {
        self.mentions.iter().map(|mention| &mention.name)
    }
}

/// Where the parts of a script stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions {
    /// Of each declaration of the program, in the same order.
    pub declarations: Vec<Position>,
    /// Of each step of the program, in the same order.
    pub steps: Vec<Position>,
}

/// Where a statement stands in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// The bytes of the script from its first word to its last, without comments.
    pub bytes: Range<usize>,
}

/// Reads a script, or says all that is wrong with it.
pub fn parse(source: &[u8]) -> Result<Script, Diagnostics> {
    let source = text(source)?;
    let (tokens, mut diagnostics) = tokens::tokens(&source, MOST_DIAGNOSTICS);
    let reading = grammar::read(&source, &tokens, MOST_DIAGNOSTICS);
    diagnostics.extend(reading.diagnostics.iter().cloned());

    let excused: HashSet<&str> = reading.unread.iter().copied().collect();
    let complete = diagnostics.is_empty();
    diagnostics.extend(names::check(&reading.mentions, &excused));
    diagnostics.extend(rules::check(&reading, &excused, complete));
    if !diagnostics.is_empty() {
        return Err(Diagnostics::new(source.clone(), diagnostics));
    }
    let grammar::Reading { program, positions, mentions, .. } = reading;
    Ok(Script { program, positions, source: source.clone(), mentions })
}

/// The text of a script, if it is text.
fn text(source: &[u8]) -> Result<Arc<str>, Diagnostics> {
    let refuse = |diagnostic| Err(Diagnostics::without_source(diagnostic));
    if source.len() > LARGEST_SCRIPT {
        return refuse(
            Diagnostic::of_file(format!("a script of {} bytes is too large", source.len()))
                .help(format!("a script has at most {LARGEST_SCRIPT} bytes; split it into several cases")),
        );
    }
    let broken = match std::str::from_utf8(source) {
        Ok(text) if !text.contains('\0') => return Ok(Arc::from(text)),
        Ok(text) => text.find('\0').unwrap_or_default(),
        Err(error) => error.valid_up_to(),
    };
    let before = String::from_utf8_lossy(&source[..broken]);
    let line = 1 + before.matches('\n').count();
    let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
    refuse(
        Diagnostic::of_file(format!(
            "this is no text: byte 0x{:02x} at line {line}, column {column} is not part of a text in UTF-8",
            source[broken]
        ))
        .help("a script is a text in UTF-8; this may be a binary file or have another encoding"),
    )
}
