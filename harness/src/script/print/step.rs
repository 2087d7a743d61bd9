//! Printing steps: who does it, and what is written, read or called.

use super::call::{call, call_expectation};
use super::command::command;
use super::layout::Statement;
use super::lists::separated;
use super::operand::{failure, size};
use super::returns::read_expectation;
use crate::program::{Action, Actor, CallExpectation, Command, Step, WriteExpectation, WriteReadOptions};

/// A step, with the operator in the column behind actors of this width.
pub(super) fn step(statement: &mut Statement, step: &Step, width: usize) {
    statement.pad(width, |statement| actor(statement, &step.actor));
    statement.put("  ");
    match &step.action {
        Action::Write { options, commands, written } => {
            statement.put("> ");
            write(statement, options, commands, written);
        }
        Action::Read { options, expected } => {
            statement.put("< ");
            options_of(statement, options);
            read_expectation(statement, expected);
        }
        Action::WriteRead { options, commands, written, expected } => {
            statement.put(">< ");
            write(statement, options, commands, written);
            if let Some(expected) = expected {
                statement.separate(" ->");
                read_expectation(statement, expected);
            }
        }
        Action::Call { call: called, expected } => {
            statement.put("! ");
            call(statement, called);
            if *expected != CallExpectation::Succeeds {
                statement.put(" = ");
                call_expectation(statement, expected);
            }
        }
    }
}

fn actor(statement: &mut Statement, actor: &Actor) {
    match actor {
        Actor::Thread(name) => statement.put(name.as_str()),
        Actor::AnyOf { candidates, alias } => {
            statement.put("any of { ");
            for (index, candidate) in candidates.iter().enumerate() {
                if index > 0 {
                    statement.put(" | ");
                }
                statement.put(candidate.as_str());
            }
            statement.put_formatted(format_args!(" }} as {alias}"));
        }
    }
}

fn options_of(statement: &mut Statement, options: &WriteReadOptions) {
    if *options == WriteReadOptions::default() {
        return;
    }
    let mut between = "(";
    let mut put = |name: &str, is_there: bool, value: Option<u64>| {
        if is_there {
            statement.put_formatted(format_args!("{between}{name} "));
            between = ", ";
            match value {
                Some(value) => size(statement, value),
                None => statement.put("unmapped"),
            }
        }
    };
    put("write_size", options.write_size.is_some(), options.write_size);
    put("write_consumed", options.write_consumed.is_some(), options.write_consumed);
    put("write_buffer", options.write_buffer_unmapped, None);
    put("read_size", options.read_size.is_some(), options.read_size);
    put("read_consumed", options.read_consumed.is_some(), options.read_consumed);
    put("read_buffer", options.read_buffer_unmapped, None);
    statement.put(") ");
}

fn write(
    statement: &mut Statement,
    options: &WriteReadOptions,
    commands: &[Command],
    written: &WriteExpectation,
) {
    options_of(statement, options);
    if commands.is_empty() {
        statement.put("nothing");
    }
    separated(statement, ",", commands, command);
    if *written != WriteExpectation::default() {
        statement.put(" =");
        failure(statement, written.errno, written.consumed);
    }
}
