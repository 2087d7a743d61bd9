//! The grammar of what stands before the steps: header lines and declarations.

use std::ops::Range;

use strum::IntoEnumIterator;

use super::super::cursor::{Cursor, Parsed};
use super::super::diagnostics::Diagnostic;
use super::super::names::{Meaning, MentionKind};
use super::super::tokens::Kind;
use super::operand::{integer, mentioned, number, size};
use crate::program::{Clause, Context, Declaration, DeviceSetUp, DriverKind, Feature, Process, Program};

/// Which header lines there have been, and where.
#[derive(Default)]
pub(super) struct HeaderLines {
    clause: Option<Range<usize>>,
    driver: Option<Range<usize>>,
    requires: Option<Range<usize>>,
    without: Option<Range<usize>>,
    unconfirmed: Option<Range<usize>>,
}

/// Whether a header line comes next.
pub(super) fn is_header(cursor: &mut Cursor<'_>) -> bool {
    let keywords = ["clause", "driver", "requires", "without", "unconfirmed"];
    keywords.iter().any(|keyword| cursor.is_line_of(keyword))
}

/// `clause: txn.3, txn.7`, `driver: rust`, `requires freeze, lsm`, `without pending_frozen`,
/// `unconfirmed: reason`
pub(super) fn header(cursor: &mut Cursor<'_>, lines: &mut HeaderLines, program: &mut Program) -> Parsed<()> {
    let keyword = cursor.word("a header line")?;
    let line = match keyword.value {
        "clause" => &mut lines.clause,
        "driver" => &mut lines.driver,
        "requires" => &mut lines.requires,
        "without" => &mut lines.without,
        _ => &mut lines.unconfirmed,
    };
    if let Some(first) = line {
        let message = format!("a second line of `{}`", keyword.value);
        return Err(Diagnostic::error(message, keyword.span, "expected one line with all of them")
            .related(first.clone(), "the first")
            .into());
    }
    *line = Some(keyword.span);
    match keyword.value {
        "clause" => {
            cursor.expect(":")?;
            separated(cursor, |cursor| clause(cursor, &mut program.clauses))
        }
        "driver" => {
            cursor.expect(":")?;
            let known: Vec<(&'static str, DriverKind)> =
                DriverKind::iter().map(|driver| (driver.into(), driver)).collect();
            program.driver = Some(cursor.known_word("driver", &known)?.value);
            Ok(())
        }
        "requires" => separated(cursor, |cursor| feature(cursor, &mut program.requires, &program.without)),
        "without" => separated(cursor, |cursor| feature(cursor, &mut program.without, &program.requires)),
        _ => {
            cursor.expect(":")?;
            let Kind::Reason(reason) = &cursor.peek().kind else {
                return Err(cursor.expected("a reason"));
            };
            cursor.advance();
            program.unconfirmed = Some(reason.clone());
            Ok(())
        }
    }
}

fn separated(cursor: &mut Cursor<'_>, mut item: impl FnMut(&mut Cursor<'_>) -> Parsed<()>) -> Parsed<()> {
    loop {
        item(cursor)?;
        if !cursor.accept(",") {
            return Ok(());
        }
    }
}

fn clause(cursor: &mut Cursor<'_>, clauses: &mut Vec<Clause>) -> Parsed<()> {
    let topic = cursor.name("a clause such as `txn.3`")?;
    cursor.expect(".")?;
    let number = integer::<u32>(cursor, "the number of a clause", false)?;
    let span = topic.span.start..number.span.end;
    if number.value == 0 {
        return Err(Diagnostic::error("there is no clause 0", span, "clauses are numbered from 1").into());
    }
    let clause = Clause { topic: topic.value, number: number.value };
    if clauses.contains(&clause) {
        return Err(Diagnostic::error("a clause is cited twice", span, "expected another clause").into());
    }
    clauses.push(clause);
    Ok(())
}

/// A feature for one of the two lines that name some.
fn feature(cursor: &mut Cursor<'_>, features: &mut Vec<Feature>, others: &[Feature]) -> Parsed<()> {
    let known: Vec<(&'static str, Feature)> =
        Feature::iter().map(|feature| (feature.into(), feature)).collect();
    let feature = cursor.known_word("feature", &known)?;
    if features.contains(&feature.value) || others.contains(&feature.value) {
        let message = "a feature is named twice";
        return Err(Diagnostic::error(message, feature.span, "expected another feature").into());
    }
    features.push(feature.value);
    Ok(())
}

/// Whether a declaration comes next.
pub(super) fn is_declaration(cursor: &mut Cursor<'_>) -> bool {
    cursor.is_line_of("process") || cursor.is_line_of("thread")
}

/// `process server context-manager`, `thread worker of server`
pub(super) fn declaration(cursor: &mut Cursor<'_>) -> Parsed<Declaration> {
    if cursor.accept_word("thread") {
        let what = "a new name for the thread";
        let name = mentioned(cursor, what, MentionKind::Binds(Meaning::Thread))?;
        cursor.expect_word("of")?;
        let process = mentioned(cursor, "the name of a process", MentionKind::Uses(Meaning::Process))?;
        return Ok(Declaration::Thread { name, process });
    }
    cursor.expect_word("process")?;
    Ok(Declaration::Process(process(cursor)?))
}

#[derive(Clone, Copy, PartialEq)]
enum Word {
    On,
    ContextManager,
    Uid,
    Nonblock,
    Mmap,
    Unmapped,
    Closed,
    Forked,
}

const WORDS: &[(&str, Word)] = &[
    ("on", Word::On),
    ("context-manager", Word::ContextManager),
    ("uid", Word::Uid),
    ("nonblock", Word::Nonblock),
    ("mmap", Word::Mmap),
    ("unmapped", Word::Unmapped),
    ("closed", Word::Closed),
    ("forked", Word::Forked),
];

/// What stands behind `on`.
pub(super) fn context(cursor: &mut Cursor<'_>) -> Parsed<Context> {
    let known: Vec<(&'static str, Context)> =
        Context::iter().map(|context| (context.into(), context)).collect();
    Ok(cursor.known_word("context", &known)?.value)
}

fn process(cursor: &mut Cursor<'_>) -> Parsed<Process> {
    let what = "a new name for the process";
    let name = mentioned(cursor, what, MentionKind::Binds(Meaning::Process))?;
    let mapped = DeviceSetUp::Mapped(DeviceSetUp::DEFAULT_MAPPING);
    let mut process = Process {
        name,
        context: Context::default(),
        context_manager: false,
        uid: None,
        nonblock: false,
        device: mapped,
    };
    let mut seen: Vec<(Word, Range<usize>)> = Vec::new();
    while !matches!(cursor.peek().kind, Kind::Newline | Kind::End | Kind::Comment(_)) {
        let word = cursor.known_word("word of a process", WORDS)?;
        let contradicts = |earlier: Word| {
            let of_the_device = |word| matches!(word, Word::Mmap | Word::Unmapped | Word::Closed);
            let needs_the_device = |word| matches!(word, Word::On | Word::ContextManager | Word::Nonblock);
            earlier == word.value
                || of_the_device(earlier) && of_the_device(word.value)
                || earlier == Word::Closed && needs_the_device(word.value)
                || needs_the_device(earlier) && word.value == Word::Closed
                || earlier == Word::Forked
                || word.value == Word::Forked
        };
        if let Some((_, first)) = seen.iter().find(|(earlier, _)| contradicts(*earlier)) {
            return Err(Diagnostic::error(
                "two words that contradict or repeat each other",
                word.span,
                "this cannot stand beside the other",
            )
            .related(first.clone(), "the other")
            .into());
        }
        seen.push((word.value, word.span));
        match word.value {
            Word::On => process.context = context(cursor)?,
            Word::ContextManager => process.context_manager = true,
            Word::Uid => process.uid = Some(number(cursor, "a user as a number")?),
            Word::Nonblock => process.nonblock = true,
            Word::Mmap => process.device = DeviceSetUp::Mapped(size(cursor, "a number of bytes")?),
            Word::Unmapped => process.device = DeviceSetUp::Opened,
            Word::Closed => process.device = DeviceSetUp::Closed,
            Word::Forked => process.device = DeviceSetUp::Forked,
        }
    }
    Ok(process)
}
