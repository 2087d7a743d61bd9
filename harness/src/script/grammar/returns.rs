//! The grammar of what a read must give: `parked`, `BR_REPLY { … } as reply`, `= EAGAIN`, and choices of these.

use std::ops::Range;

use reference_driver::uapi::{RETURNS, TRANSACTION_FLAGS};

use super::super::cursor::{Cursor, Parsed, Spanned, shortened};
use super::super::diagnostics::{Diagnostic, near_miss};
use super::super::names::{Meaning, MentionKind};
use super::super::tokens::Kind;
use super::command::{cookie, offsets};
use super::operand::{errno, flags, handle_pattern, mentioned, node, number, required, size};
use super::payload::{payload, string};
use crate::program::{
    Errno, PidPattern, ReadExpectation, ReturnItem, ReturnPattern, SecurityContextPattern, TransactionPattern,
};

/// What is expected where a read's expectation begins.
pub(super) const EXPECTED: &str = "a return (BR_…), `parked`, `nothing`, `any of`, `in any order` or `=`";

/// All that stands behind `<` or `->`.
pub(super) fn read_expectation(cursor: &mut Cursor<'_>) -> Parsed<ReadExpectation> {
    if cursor.is_word("any") {
        let choice = any_of(cursor, alternative)?;
        if !cursor.accept(",") {
            return Ok(ReadExpectation::AnyOf(choice.into_iter().map(|choice| choice.value).collect()));
        }
        let lists = choice.into_iter().map(list_of_returns).collect::<Parsed<_>>()?;
        return Ok(ReadExpectation::Returns(items(cursor, vec![ReturnItem::AnyOf(lists)])?));
    }
    alternative(cursor)
}

/// An expectation that is no `any of` itself.
fn alternative(cursor: &mut Cursor<'_>) -> Parsed<ReadExpectation> {
    if cursor.accept_word("parked") {
        return Ok(ReadExpectation::Parked);
    }
    if cursor.accept_word("nothing") {
        return Ok(ReadExpectation::Returns(Vec::new()));
    }
    if cursor.accept("=") {
        let errno = errno(cursor, "an error such as EAGAIN")?;
        let consumed =
            if cursor.accept_word("consumed") { Some(size(cursor, "a number of bytes")?) } else { None };
        return Ok(ReadExpectation::Failed { errno, consumed });
    }
    Ok(ReadExpectation::Returns(items(cursor, Vec::new())?))
}

/// Items separated by commas, behind those that have been read.
fn items(cursor: &mut Cursor<'_>, mut items: Vec<ReturnItem>) -> Parsed<Vec<ReturnItem>> {
    loop {
        items.push(item(cursor)?);
        if !cursor.accept(",") {
            return Ok(items);
        }
    }
}

fn item(cursor: &mut Cursor<'_>) -> Parsed<ReturnItem> {
    if cursor.is_word("any") {
        let lists =
            any_of(
                cursor,
                |cursor| {
                    if cursor.accept_word("nothing") { Ok(Vec::new()) } else { patterns(cursor) }
                },
            )?;
        return Ok(ReturnItem::AnyOf(lists.into_iter().map(|list| list.value).collect()));
    }
    if cursor.is_word("in") {
        let start = cursor.advance().span.start;
        cursor.expect_word("any")?;
        cursor.expect_word("order")?;
        let construct = Spanned { value: "in any order", span: start..cursor.end_of_previous() };
        let all = cursor.alternatives(construct, false, pattern)?;
        return Ok(ReturnItem::InAnyOrder(all.into_iter().map(|pattern| pattern.value).collect()));
    }
    Ok(ReturnItem::One(pattern(cursor)?))
}

/// `any of { … | … }`
pub(super) fn any_of<T>(
    cursor: &mut Cursor<'_>,
    alternative: impl FnMut(&mut Cursor<'_>) -> Parsed<T>,
) -> Parsed<Vec<Spanned<T>>> {
    let start = cursor.peek().span.start;
    cursor.expect_word("any")?;
    cursor.expect_word("of")?;
    let construct = Spanned { value: "any of", span: start..cursor.end_of_previous() };
    cursor.alternatives(construct, true, alternative)
}

fn patterns(cursor: &mut Cursor<'_>) -> Parsed<Vec<ReturnPattern>> {
    let mut patterns = Vec::new();
    loop {
        patterns.push(pattern(cursor)?);
        if !cursor.accept(",") {
            return Ok(patterns);
        }
    }
}

/// The alternative of an `any of` of which it has turned out that it is part of a longer list.
fn list_of_returns(alternative: Spanned<ReadExpectation>) -> Parsed<Vec<ReturnPattern>> {
    let only_returns = match alternative.value {
        ReadExpectation::Returns(items) => items
            .into_iter()
            .map(|item| if let ReturnItem::One(pattern) = item { Some(pattern) } else { None })
            .collect(),
        _ => None,
    };
    only_returns.ok_or_else(|| {
        Diagnostic::error(
            "an alternative within a list of returns that is no list of returns",
            alternative.span,
            "expected returns (BR_…) or `nothing`",
        )
        .help("what a whole read may give is a choice that nothing stands beside")
        .into()
    })
}

fn pattern(cursor: &mut Cursor<'_>) -> Parsed<ReturnPattern> {
    let at = cursor.peek();
    let word = cursor.word(EXPECTED)?;
    Ok(match word.value {
        "BR_ERROR" => ReturnPattern::Error(number(cursor, "a number")?),
        "BR_OK" => ReturnPattern::Ok,
        "BR_TRANSACTION" => ReturnPattern::Transaction(transaction(cursor, FIELDS)?.0),
        "BR_TRANSACTION_SEC_CTX" => {
            let (transaction, secctx) = transaction(cursor, SEC_CTX_FIELDS)?;
            ReturnPattern::TransactionSecCtx { transaction, secctx }
        }
        "BR_REPLY" => ReturnPattern::Reply(transaction(cursor, FIELDS)?.0),
        "BR_ACQUIRE_RESULT" => ReturnPattern::AcquireResult(number(cursor, "a number")?),
        "BR_DEAD_REPLY" => ReturnPattern::DeadReply,
        "BR_TRANSACTION_COMPLETE" => ReturnPattern::TransactionComplete,
        "BR_INCREFS" => ReturnPattern::Increfs(node(cursor)?),
        "BR_ACQUIRE" => ReturnPattern::Acquire(node(cursor)?),
        "BR_RELEASE" => ReturnPattern::Release(node(cursor)?),
        "BR_DECREFS" => ReturnPattern::Decrefs(node(cursor)?),
        "BR_NOOP" => ReturnPattern::Noop,
        "BR_SPAWN_LOOPER" => ReturnPattern::SpawnLooper,
        "BR_FINISHED" => ReturnPattern::Finished,
        "BR_DEAD_BINDER" => ReturnPattern::DeadBinder(cookie(cursor)?),
        "BR_CLEAR_DEATH_NOTIFICATION_DONE" => ReturnPattern::ClearDeathNotificationDone(cookie(cursor)?),
        "BR_FAILED_REPLY" => ReturnPattern::FailedReply,
        "BR_FROZEN_REPLY" => ReturnPattern::FrozenReply,
        "BR_ONEWAY_SPAM_SUSPECT" => ReturnPattern::OnewaySpamSuspect,
        "BR_TRANSACTION_PENDING_FROZEN" => ReturnPattern::TransactionPendingFrozen,
        "BR_FROZEN_BINDER" => frozen_binder(cursor)?,
        "BR_CLEAR_FREEZE_NOTIFICATION_DONE" => ReturnPattern::ClearFreezeNotificationDone(cookie(cursor)?),
        other => return Err(unknown(other, at.span.clone()).into()),
    })
}

fn unknown(word: &str, span: Range<usize>) -> Diagnostic {
    if word.starts_with("BC_") {
        let message = format!("`{}` is a command, not a return", shortened(word));
        return Diagnostic::error(message, span, "expected a return (BR_…)")
            .help("`>` writes commands and `<` reads returns; `>< COMMANDS -> RETURNS` does both");
    }
    if word == "BR_ATTEMPT_ACQUIRE" {
        return Diagnostic::error(
            "no driver sends BR_ATTEMPT_ACQUIRE",
            span,
            "expected a return that can come",
        );
    }
    if let Ok(errno) = word.parse::<Errno>() {
        let message = format!("`{errno}` is an error, not a return");
        return Diagnostic::error(message, span, format!("did you mean `= {errno}`?"));
    }
    let known = RETURNS.iter().map(|(name, _)| *name).chain(["parked", "nothing"]);
    let label = match near_miss(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("expected {EXPECTED}"),
    };
    Diagnostic::error(format!("unknown return `{}`", shortened(word)), span, label)
}

#[derive(Clone, Copy, PartialEq)]
enum FrozenField {
    Cookie,
    IsFrozen,
}

/// `{ cookie frost, is_frozen 1 }`
fn frozen_binder(cursor: &mut Cursor<'_>) -> Parsed<ReturnPattern> {
    let known = [("cookie", FrozenField::Cookie), ("is_frozen", FrozenField::IsFrozen)];
    let start = cursor.peek().span.start;
    let (mut found_cookie, mut is_frozen) = (None, None);
    cursor.fields(&known, |cursor, field| {
        match field {
            FrozenField::Cookie => found_cookie = Some(cookie(cursor)?),
            FrozenField::IsFrozen => is_frozen = Some(number(cursor, "0 or 1")?),
        }
        Ok(())
    })?;
    let cookie = required(cursor, start, "cookie", found_cookie)?;
    let is_frozen = required(cursor, start, "is_frozen", is_frozen)?;
    Ok(ReturnPattern::FrozenBinder { cookie, is_frozen })
}

#[derive(Clone, Copy, PartialEq)]
enum Field {
    Target,
    Code,
    Flags,
    Pid,
    Euid,
    Data,
    Offsets,
    Secctx,
}

const SEC_CTX_FIELDS: &[(&str, Field)] = &[
    ("target", Field::Target),
    ("code", Field::Code),
    ("flags", Field::Flags),
    ("pid", Field::Pid),
    ("euid", Field::Euid),
    ("data", Field::Data),
    ("offsets", Field::Offsets),
    ("secctx", Field::Secctx),
];
/// All but `secctx`.
const FIELDS: &[(&str, Field)] = SEC_CTX_FIELDS.split_at(SEC_CTX_FIELDS.len() - 1).0;

/// `{ code 7, data [ … ] } as call`, each part of which may be left out, and the security context.
fn transaction(
    cursor: &mut Cursor<'_>,
    known: &[(&'static str, Field)],
) -> Parsed<(TransactionPattern, Option<SecurityContextPattern>)> {
    let mut pattern = TransactionPattern::default();
    let mut secctx = None;
    if cursor.is_sign("{") {
        cursor.fields(known, |cursor, field| {
            match field {
                Field::Target => pattern.target = Some(node(cursor)?),
                Field::Code => pattern.code = number(cursor, "a code")?,
                Field::Flags => pattern.flags = flags(cursor, TRANSACTION_FLAGS)?,
                Field::Pid => pattern.pid = Some(pid(cursor)?),
                Field::Euid => pattern.euid = Some(number(cursor, "a user as a number")?),
                Field::Data => pattern.data = payload(cursor, handle_pattern)?,
                Field::Offsets => pattern.offsets = Some(offsets(cursor)?),
                Field::Secctx => secctx = Some(security_context(cursor)?),
            }
            Ok(())
        })?;
    }
    if cursor.accept_word("as") {
        let what = "a new name for the buffer";
        pattern.capture = Some(mentioned(cursor, what, MentionKind::Binds(Meaning::Buffer))?);
    }
    Ok((pattern, secctx))
}

/// `client`, `"kernel"`
fn security_context(cursor: &mut Cursor<'_>) -> Parsed<SecurityContextPattern> {
    if cursor.peek().kind == Kind::Word {
        let what = "a process or a string";
        let process = mentioned(cursor, what, MentionKind::Uses(Meaning::Process))?;
        return Ok(SecurityContextPattern::Process(process));
    }
    Ok(SecurityContextPattern::Text(string(cursor)?))
}

/// `client`, `0`
pub(super) fn pid(cursor: &mut Cursor<'_>) -> Parsed<PidPattern> {
    if cursor.peek().kind == Kind::Number {
        return Ok(PidPattern::Number(number(cursor, "a process id")?));
    }
    Ok(PidPattern::Process(mentioned(cursor, "a process or a number", MentionKind::Uses(Meaning::Process))?))
}
