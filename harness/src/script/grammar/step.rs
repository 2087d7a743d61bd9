//! The grammar of steps: `ACTOR > …`, `ACTOR < …`, `ACTOR >< … -> …`, `ACTOR ! …`.

use std::ops::Range;

use super::super::cursor::{Cursor, Parsed, Spanned};
use super::super::diagnostics::Diagnostic;
use super::super::names::{Meaning, MentionKind};
use super::call::call_and_expectation;
use super::command::commands;
use super::operand::{errno, mentioned, size};
use super::returns::{EXPECTED, any_of, read_expectation};
use crate::program::{Action, Actor, Step, WriteExpectation, WriteReadOptions};

/// What a thread does, and where its name stands.
pub(super) fn step(cursor: &mut Cursor<'_>) -> Parsed<(Step, Range<usize>)> {
    let start = cursor.peek().span.start;
    let actor = actor(cursor)?;
    let span = start..cursor.end_of_previous();
    let action = action(cursor)?;
    Ok((Step { actor, action }, span))
}

fn actor(cursor: &mut Cursor<'_>) -> Parsed<Actor> {
    if !cursor.is_word("any") {
        let name = cursor.name("a declaration or the name of a thread")?;
        if !["><", ">", "<", "!"].iter().any(|sign| cursor.is_sign(sign)) {
            return Err(cursor.expected("`>`, `<`, `><` or `!`"));
        }
        cursor.mention(MentionKind::Uses(Meaning::Thread), &name);
        return Ok(Actor::Thread(name.value));
    }
    let start = cursor.peek().span.start;
    let candidates = any_of(cursor, |cursor| {
        mentioned(cursor, "the name of a thread", MentionKind::Uses(Meaning::Thread))
    })?;
    for (index, candidate) in candidates.iter().enumerate() {
        if candidates[..index].iter().any(|earlier| earlier.value == candidate.value) {
            let message = format!("the thread `{}` stands here twice", candidate.value);
            return Err(Diagnostic::error(message, candidate.span.clone(), "expected another thread").into());
        }
    }
    cursor.expect_word("as")?;
    let what = "a new name for the thread that has been woken";
    let alias = mentioned(cursor, what, MentionKind::Binds(Meaning::Thread))?;
    if !cursor.is_sign("<") {
        return Err(Diagnostic::error(
            "one of several threads can only be awaited",
            start..cursor.end_of_previous(),
            "expected `<` behind this",
        )
        .into());
    }
    Ok(Actor::AnyOf { candidates: candidates.into_iter().map(|candidate| candidate.value).collect(), alias })
}

fn action(cursor: &mut Cursor<'_>) -> Parsed<Action> {
    if cursor.accept(">") {
        let options = options(cursor, WRITE_OPTIONS, "`>` reads nothing: `><` writes, then reads")?;
        let commands = commands(cursor)?;
        let written = written(cursor)?;
        if cursor.is_sign("->") {
            let span = cursor.peek().span.clone();
            let message = "`->` behind `>`, which reads nothing";
            return Err(Diagnostic::error(
                message,
                span,
                "a step that writes and then reads begins with `><`",
            )
            .into());
        }
        return Ok(Action::Write { options, commands, written });
    }
    if cursor.accept("<") {
        let options = options(cursor, READ_OPTIONS, "`<` writes nothing: `><` writes, then reads")?;
        return Ok(Action::Read { options, expected: read_expectation(cursor)? });
    }
    if cursor.accept("><") {
        let options = options(cursor, OPTIONS, "")?;
        let commands = commands(cursor)?;
        let written = written(cursor)?;
        let expected = match (written.errno, cursor.is_sign("->")) {
            (None, _) => {
                if !cursor.accept("->") {
                    return Err(cursor.expected(format_args!("`->` and {EXPECTED}")));
                }
                Some(read_expectation(cursor)?)
            }
            (Some(_), false) => None,
            (Some(_), true) => {
                let span = cursor.peek().span.clone();
                return Err(Diagnostic::error(
                    "nothing is read when the writing fails",
                    span,
                    "expected the end of the line",
                )
                .help("a read that fails is written behind the arrow: `-> = EFAULT`")
                .into());
            }
        };
        return Ok(Action::WriteRead { options, commands, written, expected });
    }
    cursor.expect("!")?;
    let (call, expected) = call_and_expectation(cursor)?;
    Ok(Action::Call { call, expected })
}

/// `= EINVAL consumed 4`, `= consumed 68`, if it comes next.
fn written(cursor: &mut Cursor<'_>) -> Parsed<WriteExpectation> {
    let mut written = WriteExpectation::default();
    if cursor.accept("=") {
        let what = "an error such as EINVAL, or `consumed`";
        if !cursor.is_word("consumed") {
            written.errno = Some(errno(cursor, what)?);
        }
        if cursor.accept_word("consumed") {
            written.consumed = Some(size(cursor, "a number of bytes")?);
        }
    }
    Ok(written)
}

#[derive(Clone, Copy, PartialEq)]
enum Field {
    WriteSize,
    WriteConsumed,
    WriteBuffer,
    ReadSize,
    ReadConsumed,
    ReadBuffer,
}

const OPTIONS: &[(&str, Field)] = &[
    ("write_size", Field::WriteSize),
    ("write_consumed", Field::WriteConsumed),
    ("write_buffer", Field::WriteBuffer),
    ("read_size", Field::ReadSize),
    ("read_consumed", Field::ReadConsumed),
    ("read_buffer", Field::ReadBuffer),
];
const WRITE_OPTIONS: &[(&str, Field)] = OPTIONS.split_at(3).0;
const READ_OPTIONS: &[(&str, Field)] = OPTIONS.split_at(3).1;

/// `(write_size 3, read_buffer unmapped)`, if it comes next. Options that are not for this operator are
/// answered with `why_not`.
fn options(
    cursor: &mut Cursor<'_>,
    allowed: &[(&'static str, Field)],
    why_not: &str,
) -> Parsed<WriteReadOptions> {
    let mut options = WriteReadOptions::default();
    if !cursor.is_sign("(") {
        return Ok(options);
    }
    let mut seen: Vec<Spanned<Field>> = Vec::new();
    cursor.bracketed("(", ")", |cursor| {
        let option = cursor.known_word("option", OPTIONS)?;
        if !allowed.iter().any(|(_, field)| *field == option.value) {
            let message = "an option that is not for this operator";
            return Err(Diagnostic::error(message, option.span, why_not).into());
        }
        if let Some(first) = seen.iter().find(|seen| seen.value == option.value) {
            return Err(Diagnostic::error("an option twice", option.span, "each stands at most once")
                .related(first.span.clone(), "first given here")
                .into());
        }
        seen.push(option.clone());
        match option.value {
            Field::WriteSize => options.write_size = Some(size(cursor, "a number of bytes")?),
            Field::WriteConsumed => options.write_consumed = Some(size(cursor, "a number of bytes")?),
            Field::ReadSize => options.read_size = Some(size(cursor, "a number of bytes")?),
            Field::ReadConsumed => options.read_consumed = Some(size(cursor, "a number of bytes")?),
            Field::WriteBuffer => {
                cursor.expect_word("unmapped")?;
                options.write_buffer_unmapped = true;
            }
            Field::ReadBuffer => {
                cursor.expect_word("unmapped")?;
                options.read_buffer_unmapped = true;
            }
        }
        Ok(())
    })?;
    if seen.is_empty() {
        let end = cursor.end_of_previous();
        return Err(
            Diagnostic::error("no option at all", end - 1..end, "expected an option in `( … )`").into()
        );
    }
    Ok(options)
}
