//! Printing parts of a script on one line each, for messages that speak of them.

use super::layout::Statement;
use super::payload::{self, PayloadHandle};
use super::step as steps;
use super::{call as calls, command, ioctl, operand, returns};
use crate::program::{
    Call, CallExpectation, Command, DataItem, Ioctl, Node, PidPattern, ReadExpectation, ReturnPattern,
    SecurityContextPattern, Step, Token, Told,
};

/// One line, whatever its length.
fn line(put: impl FnOnce(&mut Statement)) -> String {
    let mut statement = Statement::default();
    put(&mut statement);
    statement.line()
}

/// A whole step.
pub(crate) fn step(step: &Step) -> String {
    line(|statement| steps::step(statement, step, 0))
}

/// What a read must give.
pub(crate) fn read_expectation(expected: &ReadExpectation) -> String {
    line(|statement| returns::read_expectation(statement, expected))
}

/// A return.
pub(crate) fn return_pattern(pattern: &ReturnPattern) -> String {
    line(|statement| returns::pattern(statement, pattern))
}

/// The word that a return begins with.
pub(crate) fn return_word(pattern: &ReturnPattern) -> &'static str {
    returns::return_word(pattern)
}

/// What an ioctl tells.
pub(crate) fn told(told: &Told) -> String {
    line(|statement| ioctl::told(statement, told))
}

/// The word that a command begins with.
pub(crate) fn command_word(command: &Command) -> &'static str {
    command::command_word(command)
}

/// A call other than BINDER_WRITE_READ.
pub(crate) fn call(call: &Call) -> String {
    line(|statement| calls::call(statement, call))
}

/// An ioctl.
pub(crate) fn ioctl(ioctl: &Ioctl) -> String {
    line(|statement| ioctl::ioctl(statement, ioctl))
}

/// What must come of a call, as after `=`; `success` where a script says nothing.
pub(crate) fn call_expectation(expected: &CallExpectation) -> String {
    line(|statement| calls::call_expectation(statement, expected))
}

/// An item of a payload.
pub(crate) fn data_item<H: PayloadHandle>(item: &DataItem<H>) -> String {
    line(|statement| payload::item(statement, item))
}

/// A local object.
pub(crate) fn node(node: &Node) -> String {
    line(|statement| operand::node(statement, node))
}

/// A cookie.
pub(crate) fn token(token: &Token) -> String {
    line(|statement| operand::token(statement, token))
}

/// A process that a transaction comes from.
pub(crate) fn pid(pid: &PidPattern) -> String {
    line(|statement| operand::pid(statement, pid))
}

/// A security context.
pub(crate) fn security_context(context: &SecurityContextPattern) -> String {
    line(|statement| operand::security_context(statement, context))
}

/// Flags of a transaction.
pub(crate) fn transaction_flags(flags: u32) -> String {
    line(|statement| operand::transaction_flags(statement, flags))
}

/// The type of an object.
pub(crate) fn object_type(object_type: u32) -> String {
    line(|statement| operand::object_type(statement, object_type))
}
