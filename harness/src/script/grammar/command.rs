//! The grammar of commands: `BC_REPLY { data [ u32 0 ] }, BC_FREE_BUFFER call`.

use std::ops::Range;

use reference_driver::uapi::{COMMANDS, TRANSACTION_FLAGS};

use super::super::cursor::{Cursor, Parsed, shortened};
use super::super::diagnostics::{Diagnostic, near_miss};
use super::super::names::{Meaning, MentionKind};
use super::super::tokens::Kind;
use super::operand::{address, flags, handle, node, number, required, size, token};
use super::payload::{bytes, payload};
use crate::program::{Command, Handle, Token, Transaction};

/// Commands separated by commas, or `nothing`.
pub(super) fn commands(cursor: &mut Cursor<'_>) -> Parsed<Vec<Command>> {
    if cursor.accept_word("nothing") {
        return Ok(Vec::new());
    }
    let mut commands = Vec::new();
    loop {
        commands.push(command(cursor)?);
        if !cursor.accept(",") {
            return Ok(commands);
        }
    }
}

fn command(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let at = cursor.peek();
    let word = cursor.word("a command (BC_…), `bytes` or `nothing`")?;
    Ok(match word.value {
        "BC_TRANSACTION" => {
            let Call { target, transaction, .. } = call(cursor, false)?;
            Command::Transaction { target, transaction }
        }
        "BC_REPLY" => Command::Reply(reply(cursor, false)?.transaction),
        "BC_TRANSACTION_SG" => {
            let Call { target, transaction, buffers_size } = call(cursor, true)?;
            Command::TransactionSg { target, transaction, buffers_size }
        }
        "BC_REPLY_SG" => {
            let fields = reply(cursor, true)?;
            Command::ReplySg { transaction: fields.transaction, buffers_size: fields.buffers_size }
        }
        "BC_ACQUIRE_RESULT" => Command::AcquireResult(number(cursor, "a number")?),
        "BC_FREE_BUFFER" => Command::FreeBuffer(address(cursor)?),
        "BC_INCREFS" => Command::Increfs(handle(cursor)?),
        "BC_ACQUIRE" => Command::Acquire(handle(cursor)?),
        "BC_RELEASE" => Command::Release(handle(cursor)?),
        "BC_DECREFS" => Command::Decrefs(handle(cursor)?),
        "BC_INCREFS_DONE" => Command::IncrefsDone(node(cursor)?),
        "BC_ACQUIRE_DONE" => Command::AcquireDone(node(cursor)?),
        "BC_ATTEMPT_ACQUIRE" => Command::AttemptAcquire(handle(cursor)?),
        "BC_REGISTER_LOOPER" => Command::RegisterLooper,
        "BC_ENTER_LOOPER" => Command::EnterLooper,
        "BC_EXIT_LOOPER" => Command::ExitLooper,
        "BC_REQUEST_DEATH_NOTIFICATION" => {
            Command::RequestDeathNotification(handle(cursor)?, new_cookie(cursor)?)
        }
        "BC_CLEAR_DEATH_NOTIFICATION" => Command::ClearDeathNotification(handle(cursor)?, cookie(cursor)?),
        "BC_DEAD_BINDER_DONE" => Command::DeadBinderDone(cookie(cursor)?),
        "BC_REQUEST_FREEZE_NOTIFICATION" => {
            Command::RequestFreezeNotification(handle(cursor)?, new_cookie(cursor)?)
        }
        "BC_CLEAR_FREEZE_NOTIFICATION" => Command::ClearFreezeNotification(handle(cursor)?, cookie(cursor)?),
        "BC_FREEZE_NOTIFICATION_DONE" => Command::FreezeNotificationDone(cookie(cursor)?),
        "bytes" => Command::Bytes(bytes(cursor)?),
        other => return Err(unknown(other, at.span.clone()).into()),
    })
}

fn unknown(word: &str, span: Range<usize>) -> Diagnostic {
    if word.starts_with("BR_") {
        let message = format!("`{}` is a return, not a command", shortened(word));
        return Diagnostic::error(message, span, "expected a command (BC_…)")
            .help("`>` writes commands and `<` reads returns; `>< COMMANDS -> RETURNS` does both");
    }
    let known = COMMANDS.iter().map(|(name, _)| *name).chain(["bytes", "nothing"]);
    let label = match near_miss(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "expected a command (BC_…), `bytes` or `nothing`".into(),
    };
    Diagnostic::error(format!("unknown command `{}`", shortened(word)), span, label)
}

/// The cookie of a request, which may be new.
fn new_cookie(cursor: &mut Cursor<'_>) -> Parsed<Token> {
    token(cursor, "a cookie", MentionKind::Introduces(Meaning::Cookie))
}

/// A cookie that some request has named.
pub(super) fn cookie(cursor: &mut Cursor<'_>) -> Parsed<Token> {
    token(cursor, "a cookie", MentionKind::Uses(Meaning::Cookie))
}

#[derive(Clone, Copy, PartialEq)]
enum Field {
    Handle,
    Code,
    Flags,
    Data,
    Offsets,
    DataSize,
    OffsetsSize,
    Buffer,
    OffsetsBuffer,
    Cookie,
    SenderPid,
    SenderEuid,
    BuffersSize,
}

/// The fields of all transactions. Those of calls have `handle` before, those of the SG commands `buffers_size`
/// behind them.
const FIELDS: &[(&str, Field)] = &[
    ("handle", Field::Handle),
    ("code", Field::Code),
    ("flags", Field::Flags),
    ("data", Field::Data),
    ("offsets", Field::Offsets),
    ("data_size", Field::DataSize),
    ("offsets_size", Field::OffsetsSize),
    ("buffer", Field::Buffer),
    ("offsets_buffer", Field::OffsetsBuffer),
    ("cookie", Field::Cookie),
    ("sender_pid", Field::SenderPid),
    ("sender_euid", Field::SenderEuid),
    ("buffers_size", Field::BuffersSize),
];

struct Call {
    target: Handle,
    transaction: Transaction,
    buffers_size: Option<u64>,
}

#[derive(Default)]
struct Fields {
    target: Option<Handle>,
    transaction: Transaction,
    buffers_size: Option<u64>,
}

/// The braces of BC_TRANSACTION and BC_TRANSACTION_SG.
fn call(cursor: &mut Cursor<'_>, scatter_gather: bool) -> Parsed<Call> {
    let start = cursor.peek().span.start;
    if !cursor.is_sign("{") {
        return Err(cursor.expected("`{ handle …, code …, data [ … ] }`"));
    }
    let known = if scatter_gather { FIELDS } else { &FIELDS[..FIELDS.len() - 1] };
    let fields = transaction_fields(cursor, known)?;
    let target = required(cursor, start, "handle", fields.target)?;
    Ok(Call { target, transaction: fields.transaction, buffers_size: fields.buffers_size })
}

/// The braces of BC_REPLY and BC_REPLY_SG, which may be left out.
fn reply(cursor: &mut Cursor<'_>, scatter_gather: bool) -> Parsed<Fields> {
    if cursor.peek().kind != Kind::Sign("{") {
        return Ok(Fields::default());
    }
    let known = if scatter_gather { &FIELDS[1..] } else { &FIELDS[1..FIELDS.len() - 1] };
    transaction_fields(cursor, known)
}

fn transaction_fields(cursor: &mut Cursor<'_>, known: &[(&'static str, Field)]) -> Parsed<Fields> {
    let mut fields = Fields::default();
    let transaction = &mut fields.transaction;
    cursor.fields(known, |cursor, field| {
        match field {
            Field::Handle => fields.target = Some(handle(cursor)?),
            Field::Code => transaction.code = number(cursor, "a code")?,
            Field::Flags => transaction.flags = flags(cursor, TRANSACTION_FLAGS)?,
            Field::Data => transaction.data = payload(cursor, handle)?,
            Field::Offsets => transaction.offsets = Some(offsets(cursor)?),
            Field::DataSize => transaction.data_size = Some(size(cursor, "a number of bytes")?),
            Field::OffsetsSize => transaction.offsets_size = Some(size(cursor, "a number of bytes")?),
            Field::Buffer => transaction.buffer = Some(address(cursor)?),
            Field::OffsetsBuffer => transaction.offsets_buffer = Some(address(cursor)?),
            Field::Cookie => transaction.cookie = Some(number(cursor, "a cookie as a number")?),
            Field::SenderPid => transaction.sender_pid = Some(number(cursor, "a process id as a number")?),
            Field::SenderEuid => transaction.sender_euid = Some(number(cursor, "a user as a number")?),
            Field::BuffersSize => fields.buffers_size = Some(size(cursor, "a number of bytes")?),
        }
        Ok(())
    })?;
    Ok(fields)
}

/// `[ 0, 24 ]`
pub(super) fn offsets(cursor: &mut Cursor<'_>) -> Parsed<Vec<u64>> {
    let mut offsets = Vec::new();
    cursor.bracketed("[", "]", |cursor| {
        offsets.push(size(cursor, "a number of bytes from the start of the payload")?);
        Ok(())
    })?;
    Ok(offsets)
}
