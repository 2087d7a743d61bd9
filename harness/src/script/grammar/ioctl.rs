//! The grammar of the structures that ioctls are given and of those that they fill in:
//! `{ pid app, enable 1 }`, `{ sync_recv 1, async_recv 0 }`.

use reference_driver::uapi::RETURNS;

use super::super::cursor::{Cursor, Parsed};
use super::super::names::{Meaning, MentionKind};
use super::super::tokens::Kind;
use super::operand::{Number, errno, handle, node, number, required, token};
use super::returns::pid;
use crate::program::{Argument, FreezeRequest, NodeInfoRequest, PidPattern, Token, Told, TransactionId};

/// `4`, `unmapped`
pub(super) fn argument<T: Number>(cursor: &mut Cursor<'_>) -> Parsed<Argument<T>> {
    or_unmapped(cursor, |cursor| {
        if cursor.peek().kind != Kind::Number {
            return Err(cursor.expected("a number or `unmapped`"));
        }
        number(cursor, "a number")
    })
}

/// `unmapped`, or nothing at all.
pub(super) fn no_argument(cursor: &mut Cursor<'_>) -> Parsed<Argument<()>> {
    or_unmapped(cursor, |_| Ok(()))
}

/// `unmapped`, or something else.
pub(super) fn or_unmapped<T>(
    cursor: &mut Cursor<'_>,
    value: impl FnOnce(&mut Cursor<'_>) -> Parsed<T>,
) -> Parsed<Argument<T>> {
    if cursor.accept_word("unmapped") {
        return Ok(Argument::Unmapped);
    }
    value(cursor).map(Argument::Value)
}

/// A structure in braces, each of whose fields is a number or whatever `value` reads in its place.
pub(super) fn structure<F: Copy + PartialEq>(
    cursor: &mut Cursor<'_>,
    known: &[(&'static str, F)],
    value: impl FnMut(&mut Cursor<'_>, F) -> Parsed<()>,
) -> Parsed<usize> {
    let start = cursor.peek().span.start;
    if !cursor.is_sign("{") {
        let names: Vec<String> = known.iter().map(|(name, _)| format!("{name} …")).collect();
        return Err(cursor.expected(format_args!("`{{ {} }}`", names.join(", "))));
    }
    cursor.fields(known, value)?;
    Ok(start)
}

#[derive(Clone, Copy, PartialEq)]
enum FreezeField {
    Pid,
    Enable,
    Timeout,
}

/// `{ pid app, enable 1, timeout_ms 100 }`
pub(super) fn freeze_request(cursor: &mut Cursor<'_>) -> Parsed<FreezeRequest> {
    let known =
        [("pid", FreezeField::Pid), ("enable", FreezeField::Enable), ("timeout_ms", FreezeField::Timeout)];
    let (mut target, mut enable, mut timeout_ms) = (None, None, 0);
    let start = structure(cursor, &known, |cursor, field| {
        match field {
            FreezeField::Pid => target = Some(pid(cursor)?),
            FreezeField::Enable => enable = Some(number(cursor, "0 or 1")?),
            FreezeField::Timeout => timeout_ms = number(cursor, "a number of milliseconds")?,
        }
        Ok(())
    })?;
    Ok(FreezeRequest {
        pid: required(cursor, start, "pid", target)?,
        enable: required(cursor, start, "enable", enable)?,
        timeout_ms,
    })
}

/// `{ pid app }`
pub(super) fn frozen_process(cursor: &mut Cursor<'_>) -> Parsed<PidPattern> {
    let mut target = None;
    let start = structure(cursor, &[("pid", ())], |cursor, ()| {
        target = Some(pid(cursor)?);
        Ok(())
    })?;
    required(cursor, start, "pid", target)
}

/// `{ ptr foo }`
pub(super) fn pointer(cursor: &mut Cursor<'_>) -> Parsed<Token> {
    let mut pointer = None;
    let start = structure(cursor, &[("ptr", ())], |cursor, ()| {
        let what = "an object or a number";
        pointer = Some(token(cursor, what, MentionKind::Introduces(Meaning::Object))?);
        Ok(())
    })?;
    required(cursor, start, "ptr", pointer)
}

#[derive(Clone, Copy, PartialEq)]
enum NodeInfoField {
    Handle,
    StrongCount,
    WeakCount,
    Reserved1,
    Reserved2,
    Reserved3,
}

/// `{ handle h }`
pub(super) fn node_info_request(cursor: &mut Cursor<'_>) -> Parsed<NodeInfoRequest> {
    let known = [
        ("handle", NodeInfoField::Handle),
        ("strong_count", NodeInfoField::StrongCount),
        ("weak_count", NodeInfoField::WeakCount),
        ("reserved1", NodeInfoField::Reserved1),
        ("reserved2", NodeInfoField::Reserved2),
        ("reserved3", NodeInfoField::Reserved3),
    ];
    let mut target = None;
    let (mut strong_count, mut weak_count, mut reserved) = (0, 0, [0; 3]);
    let start = structure(cursor, &known, |cursor, field| {
        let place = match field {
            NodeInfoField::Handle => {
                target = Some(handle(cursor)?);
                return Ok(());
            }
            NodeInfoField::StrongCount => &mut strong_count,
            NodeInfoField::WeakCount => &mut weak_count,
            NodeInfoField::Reserved1 => &mut reserved[0],
            NodeInfoField::Reserved2 => &mut reserved[1],
            NodeInfoField::Reserved3 => &mut reserved[2],
        };
        *place = number(cursor, "a number")?;
        Ok(())
    })?;
    let handle = required(cursor, start, "handle", target)?;
    let [reserved1, reserved2, reserved3] = reserved;
    Ok(NodeInfoRequest { handle, strong_count, weak_count, reserved1, reserved2, reserved3 })
}

/// `{ sync_recv 1, async_recv 0 }`
pub(super) fn frozen_info(cursor: &mut Cursor<'_>) -> Parsed<Told> {
    let (sync_recv, async_recv) = two_numbers(cursor, ["sync_recv", "async_recv"])?;
    Ok(Told::FrozenInfo { sync_recv, async_recv })
}

/// `{ strong_count 1, weak_count 1 }`
pub(super) fn node_info_for_ref(cursor: &mut Cursor<'_>) -> Parsed<Told> {
    let (strong_count, weak_count) = two_numbers(cursor, ["strong_count", "weak_count"])?;
    Ok(Told::NodeInfoForRef { strong_count, weak_count })
}

/// A structure of two fields, both of which must be there.
fn two_numbers(cursor: &mut Cursor<'_>, names: [&'static str; 2]) -> Parsed<(u32, u32)> {
    let mut values = [None, None];
    let start = structure(cursor, &[(names[0], 0_usize), (names[1], 1)], |cursor, field| {
        values[field] = Some(number(cursor, "a number")?);
        Ok(())
    })?;
    Ok((required(cursor, start, names[0], values[0])?, required(cursor, start, names[1], values[1])?))
}

#[derive(Clone, Copy, PartialEq)]
enum ErrorField {
    Id,
    Command,
    Param,
}

/// `{ id nonzero, command BR_FAILED_REPLY, param EINVAL }`
pub(super) fn extended_error(cursor: &mut Cursor<'_>) -> Parsed<Told> {
    let known = [("id", ErrorField::Id), ("command", ErrorField::Command), ("param", ErrorField::Param)];
    let (mut id, mut command, mut param) = (None, None, None);
    let start = structure(cursor, &known, |cursor, field| {
        match field {
            ErrorField::Id => id = Some(transaction_id(cursor)?),
            ErrorField::Command => command = Some(return_code(cursor)?),
            ErrorField::Param => param = Some(negative_errno(cursor)?),
        }
        Ok(())
    })?;
    Ok(Told::ExtendedError {
        id,
        command: required(cursor, start, "command", command)?,
        param: required(cursor, start, "param", param)?,
    })
}

/// `0`, `nonzero`
fn transaction_id(cursor: &mut Cursor<'_>) -> Parsed<TransactionId> {
    if cursor.accept_word("nonzero") {
        return Ok(TransactionId::NonZero);
    }
    let token = cursor.peek();
    if cursor.text(token) == "0" {
        cursor.advance();
        return Ok(TransactionId::Zero);
    }
    Err(cursor.expected("`0` or `nonzero`"))
}

/// `BR_FAILED_REPLY`, `0x7211`
pub(super) fn return_code(cursor: &mut Cursor<'_>) -> Parsed<u32> {
    if cursor.peek().kind == Kind::Number {
        return number(cursor, "a return");
    }
    Ok(cursor.known_word("return", RETURNS)?.value)
}

/// `EINVAL`, which the driver tells negated; or a number.
fn negative_errno(cursor: &mut Cursor<'_>) -> Parsed<i32> {
    if cursor.peek().kind == Kind::Number {
        return number(cursor, "the name of an error or a number");
    }
    Ok(-errno(cursor, "the name of an error or a number")?.0)
}

#[derive(Clone, Copy, PartialEq)]
enum NodeDebugField {
    Node,
    HasStrongRef,
    HasWeakRef,
}

/// `{ node foo, has_strong_ref 1, has_weak_ref 1 }`
pub(super) fn node_debug_info(cursor: &mut Cursor<'_>) -> Parsed<Told> {
    let known = [
        ("node", NodeDebugField::Node),
        ("has_strong_ref", NodeDebugField::HasStrongRef),
        ("has_weak_ref", NodeDebugField::HasWeakRef),
    ];
    let (mut found, mut strong, mut weak) = (None, None, None);
    let start = structure(cursor, &known, |cursor, field| {
        match field {
            NodeDebugField::Node => found = Some(node(cursor)?),
            NodeDebugField::HasStrongRef => strong = Some(number(cursor, "0 or 1")?),
            NodeDebugField::HasWeakRef => weak = Some(number(cursor, "0 or 1")?),
        }
        Ok(())
    })?;
    Ok(Told::NodeDebugInfo {
        node: required(cursor, start, "node", found)?,
        has_strong_ref: required(cursor, start, "has_strong_ref", strong)?,
        has_weak_ref: required(cursor, start, "has_weak_ref", weak)?,
    })
}
