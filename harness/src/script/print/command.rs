//! Printing commands: what is written.

use reference_driver::uapi::command_name;

use super::layout::Statement;
use super::lists::{Braces, separated};
use super::operand::{address, handle, hexadecimal, node, number, size, token, transaction_flags};
use super::payload::{bytes, payload};
use crate::program::{Command, Handle, Transaction};

/// The word that a command begins with.
pub(super) fn command_word(command: &Command) -> &'static str {
    command.code().and_then(command_name).unwrap_or("bytes")
}

pub(super) fn command(statement: &mut Statement, command: &Command) {
    if let Command::Bytes(values) = command {
        return bytes(statement, values);
    }
    statement.put(command_word(command));
    match command {
        Command::Bytes(_) | Command::RegisterLooper | Command::EnterLooper | Command::ExitLooper => {}
        Command::Transaction { target, transaction: sent } => {
            transaction(statement, Some(target), sent, None)
        }
        Command::TransactionSg { target, transaction: sent, buffers_size } => {
            transaction(statement, Some(target), sent, *buffers_size);
        }
        Command::Reply(sent) => transaction(statement, None, sent, None),
        Command::ReplySg { transaction: sent, buffers_size } => {
            transaction(statement, None, sent, *buffers_size);
        }
        Command::AcquireResult(result) => {
            statement.put(" ");
            statement.put_decimal(*result);
        }
        Command::FreeBuffer(buffer) => {
            statement.put(" ");
            address(statement, buffer);
        }
        Command::Increfs(target)
        | Command::Acquire(target)
        | Command::Release(target)
        | Command::Decrefs(target)
        | Command::AttemptAcquire(target) => {
            statement.put(" ");
            handle(statement, target);
        }
        Command::IncrefsDone(object) | Command::AcquireDone(object) => {
            statement.put(" ");
            node(statement, object);
        }
        Command::RequestDeathNotification(target, cookie)
        | Command::ClearDeathNotification(target, cookie)
        | Command::RequestFreezeNotification(target, cookie)
        | Command::ClearFreezeNotification(target, cookie) => {
            statement.put(" ");
            handle(statement, target);
            statement.put(" ");
            token(statement, cookie);
        }
        Command::DeadBinderDone(cookie) | Command::FreezeNotificationDone(cookie) => {
            statement.put(" ");
            token(statement, cookie);
        }
    }
}

fn transaction(
    statement: &mut Statement,
    target: Option<&Handle>,
    sent: &Transaction,
    buffers_size: Option<u64>,
) {
    let mut braces = Braces::new(statement);
    braces.put("handle", target, handle);
    code_and_flags(&mut braces, sent.code, sent.flags);
    if !sent.data.is_empty() {
        payload(braces.field("data"), &sent.data);
    }
    braces.put("offsets", sent.offsets.as_deref(), offsets);
    braces.put("data_size", sent.data_size, size);
    braces.put("offsets_size", sent.offsets_size, size);
    braces.put("buffer", sent.buffer.as_ref(), address);
    braces.put("offsets_buffer", sent.offsets_buffer.as_ref(), address);
    braces.put("cookie", sent.cookie, hexadecimal);
    braces.put("sender_pid", sent.sender_pid, Statement::put_decimal);
    braces.put("sender_euid", sent.sender_euid, Statement::put_decimal);
    braces.put("buffers_size", buffers_size, size);
    braces.close();
}

pub(super) fn code_and_flags(braces: &mut Braces<'_>, code: u32, flags: u32) {
    if code != 0 {
        number(braces.field("code"), code.into());
    }
    if flags != 0 {
        transaction_flags(braces.field("flags"), flags);
    }
}

pub(super) fn offsets(statement: &mut Statement, offsets: &[u64]) {
    if offsets.is_empty() {
        return statement.put("[]");
    }
    statement.open("[ ");
    separated(statement, ",", offsets, |statement, offset| size(statement, *offset));
    statement.close(" ]");
}
