//! The grammar of reports: `{ error BR_DEAD_REPLY, from_pid client, to_pid server, code 7 }`.

use reference_driver::uapi::TRANSACTION_FLAGS;

use super::super::cursor::{Cursor, Parsed};
use super::super::names::{Meaning, MentionKind};
use super::header;
use super::ioctl::{return_code, structure};
use super::operand::{flags, mentioned, number, required};
use super::returns::pid;
use crate::program::{Report, Told};

#[derive(Clone, Copy, PartialEq)]
enum Field {
    Error,
    Context,
    FromPid,
    FromTid,
    ToPid,
    ToTid,
    IsReply,
    Flags,
    Code,
    DataSize,
}

const FIELDS: &[(&str, Field)] = &[
    ("error", Field::Error),
    ("context", Field::Context),
    ("from_pid", Field::FromPid),
    ("from_tid", Field::FromTid),
    ("to_pid", Field::ToPid),
    ("to_tid", Field::ToTid),
    ("is_reply", Field::IsReply),
    ("flags", Field::Flags),
    ("code", Field::Code),
    ("data_size", Field::DataSize),
];

pub(super) fn report(cursor: &mut Cursor<'_>) -> Parsed<Told> {
    let (mut error, mut context, mut from_pid, mut from_tid) = (None, None, None, None);
    let (mut to_pid, mut to_tid, mut is_reply) = (None, None, false);
    let (mut transaction_flags, mut code, mut data_size) = (0, 0, 0);
    let thread = |cursor: &mut Cursor<'_>| mentioned(cursor, "a thread", MentionKind::Uses(Meaning::Thread));
    let start = structure(cursor, FIELDS, |cursor, field| {
        match field {
            Field::Error => error = Some(return_code(cursor)?),
            Field::Context => context = Some(header::context(cursor)?),
            Field::FromPid => from_pid = Some(pid(cursor)?),
            Field::FromTid => from_tid = Some(thread(cursor)?),
            Field::ToPid => to_pid = Some(pid(cursor)?),
            Field::ToTid => to_tid = Some(thread(cursor)?),
            Field::IsReply => is_reply = true,
            Field::Flags => transaction_flags = flags(cursor, TRANSACTION_FLAGS)?,
            Field::Code => code = number(cursor, "a code")?,
            Field::DataSize => data_size = number(cursor, "a number of bytes")?,
        }
        Ok(())
    })?;
    Ok(Told::Report(Box::new(Report {
        error: required(cursor, start, "error", error)?,
        context,
        from_pid,
        from_tid,
        to_pid,
        to_tid,
        is_reply,
        flags: transaction_flags,
        code,
        data_size,
    })))
}
