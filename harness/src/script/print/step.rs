//! Printing steps: who does it, what is written, what must be read, what is called.

use reference_driver::uapi::command_name;

use super::ioctl;
use super::layout::Statement;
use super::operand::{
    address, errno, handle, hexadecimal, node, number, object_flags, pages, pid, rounded_size,
    security_context, size, token, transaction_flags,
};
use super::payload::{bytes, payload};
use super::separated;
use crate::program::{
    Action, Actor, Argument, Call, CallExpectation, Command, Context, Errno, Handle, Ioctl, PollEvents,
    ReadExpectation, ReturnItem, ReturnPattern, SecurityContextPattern, Step, Transaction,
    TransactionPattern, WriteExpectation, WriteReadOptions,
};

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
        Action::Call { call, expected } => {
            statement.put("! ");
            call_of(statement, call);
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

/// Fields in braces. Without any field there are no braces either.
struct Braces<'s> {
    statement: &'s mut Statement,
    empty: bool,
}

impl<'s> Braces<'s> {
    fn new(statement: &'s mut Statement) -> Braces<'s> {
        Braces { statement, empty: true }
    }

    /// The statement, ready for the value of this field.
    fn field(&mut self, name: &str) -> &mut Statement {
        if self.empty {
            self.statement.open(" { ");
        } else {
            self.statement.separate(",");
        }
        self.empty = false;
        self.statement.put(name);
        self.statement.put(" ");
        self.statement
    }

    /// A field with a value, if there is one.
    fn put<T>(&mut self, name: &str, value: Option<T>, put: impl FnOnce(&mut Statement, T)) {
        if let Some(value) = value {
            put(self.field(name), value);
        }
    }

    fn close(self) {
        if !self.empty {
            self.statement.close(" }");
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

// What is written.

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

/// ` EINVAL consumed 4`
fn failure(statement: &mut Statement, error: Option<Errno>, consumed: Option<u64>) {
    if let Some(error) = error {
        statement.put(" ");
        errno(statement, error);
    }
    if let Some(consumed) = consumed {
        statement.put(" consumed ");
        size(statement, consumed);
    }
}

/// The word that a command begins with.
pub(super) fn command_word(command: &Command) -> &'static str {
    command.code().and_then(command_name).unwrap_or("bytes")
}

fn command(statement: &mut Statement, command: &Command) {
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

fn code_and_flags(braces: &mut Braces<'_>, code: u32, flags: u32) {
    if code != 0 {
        number(braces.field("code"), code.into());
    }
    if flags != 0 {
        transaction_flags(braces.field("flags"), flags);
    }
}

fn offsets(statement: &mut Statement, offsets: &[u64]) {
    if offsets.is_empty() {
        return statement.put("[]");
    }
    statement.open("[ ");
    separated(statement, ",", offsets, |statement, offset| size(statement, *offset));
    statement.close(" ]");
}

// What must be read.

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

/// `any of { … | … }`
fn choice_of<T>(statement: &mut Statement, words: &str, choice: &[T], item: impl Fn(&mut Statement, &T)) {
    statement.put(words);
    statement.open(" { ");
    separated(statement, "|", choice, |statement, alternative| {
        // Lines are broken between alternatives rather than within them.
        statement.open("");
        item(statement, alternative);
        statement.close("");
    });
    statement.close(" }");
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

// What is called.

fn call_of(statement: &mut Statement, call: &Call) {
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
        Call::Ioctl(ioctl) => ioctl_of(statement, ioctl),
        Call::Binderfs { instance, call } => super::binderfs::call(statement, instance, call),
    }
}

/// How long a poll waits, if it does.
fn timeout(statement: &mut Statement, timeout_ms: u32) {
    if timeout_ms != 0 {
        statement.put_formatted(format_args!(" {{ timeout_ms {timeout_ms} }}"));
    }
}

pub(super) fn ioctl_of(statement: &mut Statement, ioctl: &Ioctl) {
    fn word_and<T>(
        statement: &mut Statement,
        word: &str,
        argument: &Argument<T>,
        put: impl FnOnce(&mut Statement, &T),
    ) {
        statement.put(word);
        statement.put(" ");
        match argument {
            Argument::Value(value) => put(statement, value),
            Argument::Unmapped => statement.put("unmapped"),
        }
    }
    match ioctl {
        Ioctl::WriteReadUnmapped => statement.put("BINDER_WRITE_READ unmapped"),
        Ioctl::SetIdleTimeout(timeout) => {
            word_and(statement, "BINDER_SET_IDLE_TIMEOUT", timeout, |s, timeout| s.put_decimal(*timeout));
        }
        Ioctl::SetMaxThreads(threads) => {
            word_and(statement, "BINDER_SET_MAX_THREADS", threads, |s, threads| s.put_decimal(*threads));
        }
        Ioctl::SetIdlePriority(priority) => {
            word_and(statement, "BINDER_SET_IDLE_PRIORITY", priority, |s, priority| s.put_decimal(*priority));
        }
        Ioctl::SetContextMgr => statement.put("BINDER_SET_CONTEXT_MGR"),
        Ioctl::ThreadExit => statement.put("BINDER_THREAD_EXIT"),
        Ioctl::Version(Argument::Value(())) => statement.put("BINDER_VERSION"),
        Ioctl::Version(Argument::Unmapped) => statement.put("BINDER_VERSION unmapped"),
        Ioctl::GetNodeDebugInfo(start) => {
            word_and(statement, "BINDER_GET_NODE_DEBUG_INFO", start, |statement, pointer| {
                statement.put("{ ptr ");
                token(statement, pointer);
                statement.put(" }");
            });
        }
        Ioctl::GetNodeInfoForRef(request) => {
            word_and(statement, "BINDER_GET_NODE_INFO_FOR_REF", request, ioctl::node_info_request);
        }
        Ioctl::Freeze(request) => word_and(statement, "BINDER_FREEZE", request, ioctl::freeze_request),
        Ioctl::GetFrozenInfo(process) => {
            word_and(statement, "BINDER_GET_FROZEN_INFO", process, |statement, process| {
                statement.put("{ pid ");
                pid(statement, process);
                statement.put(" }");
            });
        }
        Ioctl::EnableOnewaySpamDetection(enable) => {
            let word = "BINDER_ENABLE_ONEWAY_SPAM_DETECTION";
            word_and(statement, word, enable, |statement, enable| statement.put_decimal(*enable));
        }
        Ioctl::GetExtendedError(Argument::Value(())) => statement.put("BINDER_GET_EXTENDED_ERROR"),
        Ioctl::GetExtendedError(Argument::Unmapped) => statement.put("BINDER_GET_EXTENDED_ERROR unmapped"),
        Ioctl::Raw { request, argument } => {
            statement.put_formatted(format_args!("ioctl {request:#010x} {argument:#x}"));
        }
        Ioctl::SetContextMgrExt(object) => {
            word_and(statement, "BINDER_SET_CONTEXT_MGR_EXT", object, |statement, object| {
                statement.put(object.object.as_str());
                if object.flags != 0 {
                    statement.put(" flags ");
                    object_flags(statement, object.flags);
                }
            });
        }
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
        CallExpectation::Events(events) => {
            separated(statement, "|", &names_of(*events), |statement, name| {
                statement.put(name);
            })
        }
        CallExpectation::AnyOf(choice) => {
            choice_of(statement, "any of", choice, |statement, alternative| match alternative {
                CallExpectation::Events(events) if names_of(*events).len() > 1 => {
                    statement.open("(");
                    call_expectation(statement, alternative);
                    statement.close(")");
                }
                _ => call_expectation(statement, alternative),
            });
        }
    }
}

fn names_of(events: PollEvents) -> Vec<&'static str> {
    let PollEvents { readable, error, hangup, invalid } = events;
    let known = [(readable, "POLLIN"), (error, "POLLERR"), (hangup, "POLLHUP"), (invalid, "POLLNVAL")];
    let names: Vec<&str> = known.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    if names.is_empty() { vec!["0"] } else { names }
}
