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
    Action, Actor, Argument, Call, CallExpectation, Command, Context, Handle, Ioctl, PollEvents,
    ReadExpectation, ReturnItem, ReturnPattern, SecurityContextPattern, Step, Transaction,
    TransactionPattern, WriteExpectation, WriteReadOptions,
};

/// A step, with the operator in the column behind actors of this width.
pub(super) fn step(statement: &mut Statement, step: &Step, width: usize) {
    let actor = match &step.actor {
        Actor::Thread(name) => name.to_string(),
        Actor::AnyOf { candidates, alias } => {
            let candidates: Vec<&str> = candidates.iter().map(|name| name.as_str()).collect();
            format!("any of {{ {} }} as {alias}", candidates.join(" | "))
        }
    };
    statement.put(&format!("{actor:width$}  "));
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

    fn put(&mut self, name: &str, value: &str) {
        self.field(name).put(value);
    }

    fn close(self) {
        if !self.empty {
            self.statement.close(" }");
        }
    }
}

fn options_of(statement: &mut Statement, options: &WriteReadOptions) {
    let mut words = Vec::new();
    let mut put = |name: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("{name} {value}")));
    };
    let unmapped = |yes: bool| yes.then(|| "unmapped".to_owned());
    put("write_size", options.write_size.map(size));
    put("write_consumed", options.write_consumed.map(size));
    put("write_buffer", unmapped(options.write_buffer_unmapped));
    put("read_size", options.read_size.map(size));
    put("read_consumed", options.read_consumed.map(size));
    put("read_buffer", unmapped(options.read_buffer_unmapped));
    if !words.is_empty() {
        statement.put(&format!("({}) ", words.join(", ")));
    }
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
        failure(statement, written.errno.map(errno), written.consumed);
    }
}

/// ` EINVAL consumed 4`
fn failure(statement: &mut Statement, errno: Option<String>, consumed: Option<u64>) {
    errno.iter().for_each(|errno| statement.put(&format!(" {errno}")));
    consumed.iter().for_each(|consumed| statement.put(&format!(" consumed {}", size(*consumed))));
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
    let operand = match command {
        Command::Bytes(_) | Command::RegisterLooper | Command::EnterLooper | Command::ExitLooper => return,
        Command::Transaction { target, transaction: sent } => {
            return transaction(statement, Some(target), sent, None);
        }
        Command::TransactionSg { target, transaction: sent, buffers_size } => {
            return transaction(statement, Some(target), sent, *buffers_size);
        }
        Command::Reply(sent) => return transaction(statement, None, sent, None),
        Command::ReplySg { transaction: sent, buffers_size } => {
            return transaction(statement, None, sent, *buffers_size);
        }
        Command::AcquireResult(result) => result.to_string(),
        Command::FreeBuffer(buffer) => address(buffer),
        Command::Increfs(target)
        | Command::Acquire(target)
        | Command::Release(target)
        | Command::Decrefs(target)
        | Command::AttemptAcquire(target) => handle(target),
        Command::IncrefsDone(object) | Command::AcquireDone(object) => node(object),
        Command::RequestDeathNotification(target, cookie)
        | Command::ClearDeathNotification(target, cookie)
        | Command::RequestFreezeNotification(target, cookie)
        | Command::ClearFreezeNotification(target, cookie) => format!("{} {}", handle(target), token(cookie)),
        Command::DeadBinderDone(cookie) | Command::FreezeNotificationDone(cookie) => token(cookie),
    };
    statement.put(" ");
    statement.put(&operand);
}

fn transaction(
    statement: &mut Statement,
    target: Option<&Handle>,
    sent: &Transaction,
    buffers_size: Option<u64>,
) {
    let mut braces = Braces::new(statement);
    if let Some(target) = target {
        braces.put("handle", &handle(target));
    }
    code_and_flags(&mut braces, sent.code, sent.flags);
    if !sent.data.is_empty() {
        payload(braces.field("data"), &sent.data);
    }
    if let Some(places) = &sent.offsets {
        offsets(braces.field("offsets"), places);
    }
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            braces.put(name, &value);
        }
    };
    put("data_size", sent.data_size.map(size));
    put("offsets_size", sent.offsets_size.map(size));
    put("buffer", sent.buffer.as_ref().map(address));
    put("offsets_buffer", sent.offsets_buffer.as_ref().map(address));
    put("cookie", sent.cookie.map(hexadecimal));
    put("sender_pid", sent.sender_pid.map(|pid| pid.to_string()));
    put("sender_euid", sent.sender_euid.map(|euid| euid.to_string()));
    put("buffers_size", buffers_size.map(size));
    braces.close();
}

fn code_and_flags(braces: &mut Braces<'_>, code: u32, flags: u32) {
    if code != 0 {
        braces.put("code", &number(code.into()));
    }
    if flags != 0 {
        let statement = braces.field("flags");
        separated(statement, "|", &transaction_flags(flags), |statement, flag| statement.put(flag));
    }
}

fn offsets(statement: &mut Statement, offsets: &[u64]) {
    if offsets.is_empty() {
        return statement.put("[]");
    }
    statement.open("[ ");
    separated(statement, ",", offsets, |statement, offset| statement.put(&size(*offset)));
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
            failure(statement, Some(errno(*error)), *consumed);
        }
        ReadExpectation::AnyOf(choice) => choice_of(statement, "any of", choice, read_expectation),
    }
}

/// `any of { … | … }`
fn choice_of<T>(statement: &mut Statement, words: &str, choice: &[T], item: impl Fn(&mut Statement, &T)) {
    statement.open(&format!("{words} {{ "));
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
    let operand = match pattern {
        ReturnPattern::Ok
        | ReturnPattern::DeadReply
        | ReturnPattern::TransactionComplete
        | ReturnPattern::Noop
        | ReturnPattern::SpawnLooper
        | ReturnPattern::Finished
        | ReturnPattern::FailedReply
        | ReturnPattern::FrozenReply
        | ReturnPattern::OnewaySpamSuspect
        | ReturnPattern::TransactionPendingFrozen => return,
        ReturnPattern::Transaction(transaction) | ReturnPattern::Reply(transaction) => {
            return transaction_pattern(statement, transaction, None);
        }
        ReturnPattern::TransactionSecCtx { transaction, secctx } => {
            return transaction_pattern(statement, transaction, secctx.as_ref());
        }
        ReturnPattern::Error(number) | ReturnPattern::AcquireResult(number) => number.to_string(),
        ReturnPattern::Increfs(object)
        | ReturnPattern::Acquire(object)
        | ReturnPattern::Release(object)
        | ReturnPattern::Decrefs(object) => node(object),
        ReturnPattern::DeadBinder(cookie)
        | ReturnPattern::ClearDeathNotificationDone(cookie)
        | ReturnPattern::ClearFreezeNotificationDone(cookie) => token(cookie),
        ReturnPattern::FrozenBinder { cookie, is_frozen } => {
            format!("{{ cookie {}, is_frozen {is_frozen} }}", token(cookie))
        }
    };
    statement.put(&format!(" {operand}"));
}

fn transaction_pattern(
    statement: &mut Statement,
    pattern: &TransactionPattern,
    secctx: Option<&SecurityContextPattern>,
) {
    let mut braces = Braces::new(statement);
    if let Some(target) = &pattern.target {
        braces.put("target", &node(target));
    }
    code_and_flags(&mut braces, pattern.code, pattern.flags);
    if let Some(sender) = &pattern.pid {
        braces.put("pid", &pid(sender));
    }
    if let Some(euid) = pattern.euid {
        braces.put("euid", &euid.to_string());
    }
    if !pattern.data.is_empty() {
        payload(braces.field("data"), &pattern.data);
    }
    if let Some(places) = &pattern.offsets {
        offsets(braces.field("offsets"), places);
    }
    if let Some(secctx) = secctx {
        braces.put("secctx", &security_context(secctx));
    }
    braces.close();
    if let Some(name) = &pattern.capture {
        statement.put(&format!(" as {name}"));
    }
}

// What is called.

fn call_of(statement: &mut Statement, call: &Call) {
    match call {
        Call::Open { context, nonblock } => {
            statement.put("open");
            if *context != Context::default() {
                statement.put(&format!(" on {context}"));
            }
            if *nonblock {
                statement.put(" nonblock");
            }
        }
        Call::Close => statement.put("close"),
        Call::Flush => statement.put("flush"),
        Call::Mmap { size, write, shared, at } => {
            let write = if *write { " write" } else { "" };
            let shared = if *shared { " shared" } else { "" };
            let at = at.map(|place| format!(" at {}", hexadecimal(place.address()))).unwrap_or_default();
            statement.put(&format!("mmap {}{write}{shared}{at}", rounded_size(*size)));
        }
        Call::Munmap(None) => statement.put("munmap"),
        Call::Munmap(Some(part)) => statement.put(&format!("munmap {}", pages(*part))),
        Call::Mprotect { pages: part, protection } => {
            statement.put(&format!("mprotect {} {protection}", pages(*part)));
        }
        Call::Poll { timeout_ms } => statement.put(&format!("poll{}", timeout(*timeout_ms))),
        Call::Memfd(file) => statement.put(&format!("memfd {file}")),
        Call::Pipe { reading, writing } => statement.put(&format!("pipe {reading} {writing}")),
        Call::CloseDescriptor(file) => statement.put(&format!("close {file}")),
        Call::PollDescriptor(file) => statement.put(&format!("poll {file}")),
        Call::Signal(thread) => statement.put(&format!("signal {thread}")),
        Call::LimitDescriptors(more) => statement.put(&format!("limit_descriptors {more}")),
        Call::Epoll => statement.put("epoll"),
        Call::EpollWait { timeout_ms } => statement.put(&format!("epoll_wait{}", timeout(*timeout_ms))),
        Call::Listen => statement.put("listen"),
        Call::Report => statement.put("report"),
        Call::EpollClose => statement.put("epoll_close"),
        Call::Exit => statement.put("exit"),
        Call::Unshare => statement.put("unshare"),
        Call::Fork(process) => statement.put(&format!("fork {process}")),
        Call::Dup(file) => statement.put(&format!("dup {file}")),
        Call::Use(file) => statement.put(&format!("use {file}")),
        Call::SetPriority(nice) => statement.put(&format!("setpriority {nice}")),
        Call::GetPriority => statement.put("getpriority"),
        Call::SetScheduler(scheduling) => {
            statement.put(&format!("sched_setscheduler {}", ioctl::scheduling(scheduling)));
        }
        Call::GetScheduler => statement.put("sched_getscheduler"),
        Call::LimitNice(limit) => statement.put(&format!("limit_nice {limit}")),
        Call::DropCaches => statement.put("drop_caches"),
        Call::Await => statement.put("await"),
        Call::Count(counter) => statement.put(&format!("count {counter}")),
        Call::Ioctl(ioctl) => ioctl_of(statement, ioctl),
        Call::Binderfs { instance, call } => statement.put(&super::binderfs::call(instance, call)),
    }
}

/// How long a poll waits, if it does.
fn timeout(timeout_ms: u32) -> String {
    if timeout_ms == 0 { String::new() } else { format!(" {{ timeout_ms {timeout_ms} }}") }
}

pub(super) fn ioctl_of(statement: &mut Statement, ioctl: &Ioctl) {
    fn argument<T: ToString>(argument: &Argument<T>) -> String {
        or_unmapped(argument, T::to_string)
    }
    fn or_unmapped<T>(argument: &Argument<T>, text: impl Fn(&T) -> String) -> String {
        match argument {
            Argument::Value(value) => text(value),
            Argument::Unmapped => "unmapped".into(),
        }
    }
    let text = match ioctl {
        Ioctl::WriteReadUnmapped => "BINDER_WRITE_READ unmapped".into(),
        Ioctl::SetIdleTimeout(timeout) => format!("BINDER_SET_IDLE_TIMEOUT {}", argument(timeout)),
        Ioctl::SetMaxThreads(threads) => format!("BINDER_SET_MAX_THREADS {}", argument(threads)),
        Ioctl::SetIdlePriority(priority) => format!("BINDER_SET_IDLE_PRIORITY {}", argument(priority)),
        Ioctl::SetContextMgr => "BINDER_SET_CONTEXT_MGR".into(),
        Ioctl::ThreadExit => "BINDER_THREAD_EXIT".into(),
        Ioctl::Version(Argument::Value(())) => "BINDER_VERSION".into(),
        Ioctl::Version(Argument::Unmapped) => "BINDER_VERSION unmapped".into(),
        Ioctl::GetNodeDebugInfo(start) => {
            let start = or_unmapped(start, |pointer| format!("{{ ptr {} }}", token(pointer)));
            format!("BINDER_GET_NODE_DEBUG_INFO {start}")
        }
        Ioctl::GetNodeInfoForRef(request) => {
            format!("BINDER_GET_NODE_INFO_FOR_REF {}", or_unmapped(request, ioctl::node_info_request))
        }
        Ioctl::Freeze(request) => {
            format!("BINDER_FREEZE {}", or_unmapped(request, ioctl::freeze_request))
        }
        Ioctl::GetFrozenInfo(process) => {
            let process = or_unmapped(process, |process| format!("{{ pid {} }}", pid(process)));
            format!("BINDER_GET_FROZEN_INFO {process}")
        }
        Ioctl::EnableOnewaySpamDetection(enable) => {
            format!("BINDER_ENABLE_ONEWAY_SPAM_DETECTION {}", argument(enable))
        }
        Ioctl::GetExtendedError(Argument::Value(())) => "BINDER_GET_EXTENDED_ERROR".into(),
        Ioctl::GetExtendedError(Argument::Unmapped) => "BINDER_GET_EXTENDED_ERROR unmapped".into(),
        Ioctl::Raw { request, argument } => {
            format!("ioctl {request:#010x} {}", hexadecimal(*argument))
        }
        Ioctl::SetContextMgrExt(Argument::Unmapped) => "BINDER_SET_CONTEXT_MGR_EXT unmapped".into(),
        Ioctl::SetContextMgrExt(Argument::Value(object)) => {
            statement.put(&format!("BINDER_SET_CONTEXT_MGR_EXT {}", object.object));
            if object.flags != 0 {
                statement.put(" flags ");
                separated(statement, "|", &object_flags(object.flags), |statement, flag| statement.put(flag));
            }
            return;
        }
    };
    statement.put(&text);
}

pub(super) fn call_expectation(statement: &mut Statement, expected: &CallExpectation) {
    match expected {
        CallExpectation::Succeeds => statement.put("success"),
        CallExpectation::Value(value) => {
            statement.put(&u64::try_from(*value).map_or_else(|_| value.to_string(), number))
        }
        CallExpectation::Tells(told) => statement.put(&ioctl::told(told)),
        CallExpectation::Parked => statement.put("parked"),
        CallExpectation::Fails(error) => statement.put(&errno(*error)),
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
