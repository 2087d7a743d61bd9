//! Printing calls other than BINDER_WRITE_READ, and what must come of them.

use super::layout::Statement;
use super::lists::{choice_of, separated};
use super::operand::{errno, hexadecimal, number, pages, rounded_size};
use super::{binderfs, ioctl};
use crate::program::{Call, CallExpectation, Context, PollEvents};

pub(super) fn call(statement: &mut Statement, call: &Call) {
    match call {
        Call::Open { context, nonblock } => {
            statement.put("open");
            if *context != Context::default() {
                statement.put_formatted(format_args!(" on {context}"));
            }
            if *nonblock {
                statement.put(" nonblock");
            }
        }
        Call::Close => statement.put("close"),
        Call::Flush => statement.put("flush"),
        Call::Mmap { size, write, shared, at } => {
            statement.put("mmap ");
            rounded_size(statement, *size);
            if *write {
                statement.put(" write");
            }
            if *shared {
                statement.put(" shared");
            }
            if let Some(place) = at {
                statement.put(" at ");
                hexadecimal(statement, place.address());
            }
        }
        Call::Munmap(None) => statement.put("munmap"),
        Call::Munmap(Some(part)) => {
            statement.put("munmap ");
            pages(statement, *part);
        }
        Call::Mprotect { pages: part, protection } => {
            statement.put("mprotect ");
            pages(statement, *part);
            statement.put_formatted(format_args!(" {protection}"));
        }
        Call::Poll { timeout_ms } => {
            statement.put("poll");
            timeout(statement, *timeout_ms);
        }
        Call::Memfd(file) => statement.put_formatted(format_args!("memfd {file}")),
        Call::Pipe { reading, writing } => {
            statement.put_formatted(format_args!("pipe {reading} {writing}"));
        }
        Call::CloseDescriptor(file) => statement.put_formatted(format_args!("close {file}")),
        Call::PollDescriptor(file) => statement.put_formatted(format_args!("poll {file}")),
        Call::Signal(thread) => statement.put_formatted(format_args!("signal {thread}")),
        Call::LimitDescriptors(more) => statement.put_formatted(format_args!("limit_descriptors {more}")),
        Call::Epoll => statement.put("epoll"),
        Call::EpollWait { timeout_ms } => {
            statement.put("epoll_wait");
            timeout(statement, *timeout_ms);
        }
        Call::Listen => statement.put("listen"),
        Call::Report => statement.put("report"),
        Call::EpollClose => statement.put("epoll_close"),
        Call::Exit => statement.put("exit"),
        Call::Unshare => statement.put("unshare"),
        Call::Fork(process) => statement.put_formatted(format_args!("fork {process}")),
        Call::Dup(file) => statement.put_formatted(format_args!("dup {file}")),
        Call::Use(file) => statement.put_formatted(format_args!("use {file}")),
        Call::SetPriority(nice) => statement.put_formatted(format_args!("setpriority {nice}")),
        Call::GetPriority => statement.put("getpriority"),
        Call::SetScheduler(scheduling) => {
            statement.put("sched_setscheduler ");
            ioctl::scheduling(statement, scheduling);
        }
        Call::GetScheduler => statement.put("sched_getscheduler"),
        Call::LimitNice(limit) => statement.put_formatted(format_args!("limit_nice {limit}")),
        Call::DropCaches => statement.put("drop_caches"),
        Call::Await => statement.put("await"),
        Call::Count(counter) => statement.put_formatted(format_args!("count {counter}")),
        Call::Ioctl(ioctl) => ioctl::ioctl(statement, ioctl),
        Call::Binderfs { instance, call } => binderfs::call(statement, instance, call),
    }
}

/// How long a poll waits, if it does.
fn timeout(statement: &mut Statement, timeout_ms: u32) {
    if timeout_ms != 0 {
        statement.put_formatted(format_args!(" {{ timeout_ms {timeout_ms} }}"));
    }
}

pub(super) fn call_expectation(statement: &mut Statement, expected: &CallExpectation) {
    match expected {
        CallExpectation::Succeeds => statement.put("success"),
        CallExpectation::Value(value) => match u64::try_from(*value) {
            Ok(value) => number(statement, value),
            Err(_) => statement.put_decimal(*value),
        },
        CallExpectation::Tells(told) => ioctl::told(statement, told),
        CallExpectation::Parked => statement.put("parked"),
        CallExpectation::Fails(error) => errno(statement, *error),
        CallExpectation::Events(events) if *events == PollEvents::default() => statement.put("0"),
        CallExpectation::Events(events) => {
            separated(statement, "|", &events.names(), |statement, name| statement.put(name));
        }
        CallExpectation::AnyOf(choice) => {
            choice_of(statement, "any of", choice, |statement, alternative| match alternative {
                CallExpectation::Events(events) if events.names().len() > 1 => {
                    statement.open("(");
                    call_expectation(statement, alternative);
                    statement.close(")");
                }
                _ => call_expectation(statement, alternative),
            });
        }
    }
}
