//! Printing returns: what must be read.

use super::command::{code_and_flags, offsets};
use super::layout::Statement;
use super::lists::{Braces, choice_of, separated};
use super::operand::{failure, node, pid, security_context, token};
use super::payload::payload;
use crate::program::{
    ReadExpectation, ReturnItem, ReturnPattern, SecurityContextPattern, TransactionPattern,
};

pub(super) fn read_expectation(statement: &mut Statement, expected: &ReadExpectation) {
    match expected {
        ReadExpectation::Parked => statement.put("parked"),
        ReadExpectation::Returns(items) if items.is_empty() => statement.put("nothing"),
        ReadExpectation::Returns(items) => separated(statement, ",", items, item),
        ReadExpectation::Failed { errno: error, consumed } => {
            statement.put("=");
            failure(statement, Some(*error), *consumed);
        }
        ReadExpectation::AnyOf(choice) => choice_of(statement, "any of", choice, read_expectation),
    }
}

fn item(statement: &mut Statement, item: &ReturnItem) {
    match item {
        ReturnItem::One(one) => pattern(statement, one),
        ReturnItem::InAnyOrder(all) => choice_of(statement, "in any order", all, pattern),
        ReturnItem::AnyOf(lists) => choice_of(statement, "any of", lists, |statement, list| {
            if list.is_empty() {
                statement.put("nothing");
            }
            separated(statement, ",", list, pattern);
        }),
    }
}

pub(super) fn return_word(pattern: &ReturnPattern) -> &'static str {
    match pattern {
        ReturnPattern::Error(_) => "BR_ERROR",
        ReturnPattern::Ok => "BR_OK",
        ReturnPattern::Transaction(_) => "BR_TRANSACTION",
        ReturnPattern::TransactionSecCtx { .. } => "BR_TRANSACTION_SEC_CTX",
        ReturnPattern::Reply(_) => "BR_REPLY",
        ReturnPattern::AcquireResult(_) => "BR_ACQUIRE_RESULT",
        ReturnPattern::DeadReply => "BR_DEAD_REPLY",
        ReturnPattern::TransactionComplete => "BR_TRANSACTION_COMPLETE",
        ReturnPattern::Increfs(_) => "BR_INCREFS",
        ReturnPattern::Acquire(_) => "BR_ACQUIRE",
        ReturnPattern::Release(_) => "BR_RELEASE",
        ReturnPattern::Decrefs(_) => "BR_DECREFS",
        ReturnPattern::Noop => "BR_NOOP",
        ReturnPattern::SpawnLooper => "BR_SPAWN_LOOPER",
        ReturnPattern::Finished => "BR_FINISHED",
        ReturnPattern::DeadBinder(_) => "BR_DEAD_BINDER",
        ReturnPattern::ClearDeathNotificationDone(_) => "BR_CLEAR_DEATH_NOTIFICATION_DONE",
        ReturnPattern::FailedReply => "BR_FAILED_REPLY",
        ReturnPattern::FrozenReply => "BR_FROZEN_REPLY",
        ReturnPattern::OnewaySpamSuspect => "BR_ONEWAY_SPAM_SUSPECT",
        ReturnPattern::TransactionPendingFrozen => "BR_TRANSACTION_PENDING_FROZEN",
        ReturnPattern::FrozenBinder { .. } => "BR_FROZEN_BINDER",
        ReturnPattern::ClearFreezeNotificationDone(_) => "BR_CLEAR_FREEZE_NOTIFICATION_DONE",
    }
}

pub(super) fn pattern(statement: &mut Statement, pattern: &ReturnPattern) {
    statement.put(return_word(pattern));
    match pattern {
        ReturnPattern::Ok
        | ReturnPattern::DeadReply
        | ReturnPattern::TransactionComplete
        | ReturnPattern::Noop
        | ReturnPattern::SpawnLooper
        | ReturnPattern::Finished
        | ReturnPattern::FailedReply
        | ReturnPattern::FrozenReply
        | ReturnPattern::OnewaySpamSuspect
        | ReturnPattern::TransactionPendingFrozen => {}
        ReturnPattern::Transaction(transaction) | ReturnPattern::Reply(transaction) => {
            transaction_pattern(statement, transaction, None);
        }
        ReturnPattern::TransactionSecCtx { transaction, secctx } => {
            transaction_pattern(statement, transaction, secctx.as_ref());
        }
        ReturnPattern::Error(number) | ReturnPattern::AcquireResult(number) => {
            statement.put(" ");
            statement.put_decimal(*number);
        }
        ReturnPattern::Increfs(object)
        | ReturnPattern::Acquire(object)
        | ReturnPattern::Release(object)
        | ReturnPattern::Decrefs(object) => {
            statement.put(" ");
            node(statement, object);
        }
        ReturnPattern::DeadBinder(cookie)
        | ReturnPattern::ClearDeathNotificationDone(cookie)
        | ReturnPattern::ClearFreezeNotificationDone(cookie) => {
            statement.put(" ");
            token(statement, cookie);
        }
        ReturnPattern::FrozenBinder { cookie, is_frozen } => {
            statement.put(" { cookie ");
            token(statement, cookie);
            statement.put_formatted(format_args!(", is_frozen {is_frozen} }}"));
        }
    }
}

fn transaction_pattern(
    statement: &mut Statement,
    pattern: &TransactionPattern,
    secctx: Option<&SecurityContextPattern>,
) {
    let mut braces = Braces::new(statement);
    braces.put("target", pattern.target.as_ref(), node);
    code_and_flags(&mut braces, pattern.code, pattern.flags);
    braces.put("pid", pattern.pid.as_ref(), pid);
    braces.put("euid", pattern.euid, Statement::put_decimal);
    if !pattern.data.is_empty() {
        payload(braces.field("data"), &pattern.data);
    }
    braces.put("offsets", pattern.offsets.as_deref(), offsets);
    braces.put("secctx", secctx, security_context);
    braces.close();
    if let Some(name) = &pattern.capture {
        statement.put(" as ");
        statement.put(name.as_str());
    }
}
