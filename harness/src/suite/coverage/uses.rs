//! Uses: which words of the protocol one program uses, and how.

use std::collections::{BTreeMap, BTreeSet};

use reference_driver::uapi::{
    BINDER_TYPE_BINDER, BINDER_TYPE_FD, BINDER_TYPE_FDA, BINDER_TYPE_HANDLE, BINDER_TYPE_PTR,
    BINDER_TYPE_WEAK_BINDER, BINDER_TYPE_WEAK_HANDLE, BUFFER_FLAGS, COMMANDS, FLAT_OBJECT_FLAGS, IOCTLS,
    TRANSACTION_FLAGS, argument_size, command_name, ioctl_name, object_type_name,
};

use crate::engine::{USUAL_BINDER_FLAGS, buffer_flags, objects};
use crate::program::{
    Action, Actor, Address, Argument, BinderfsCall, Call, CallExpectation, Command, ContextManagerObject,
    DataItem, Handle, Ioctl, Name, Node, Object, Program, ReadExpectation, ReturnItem, ReturnPattern, Step,
    Token, WriteExpectation, WriteReadOptions,
};
use crate::script::fragment;

/// The words that a program uses.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// Those in good use.
    pub(super) good: BTreeSet<&'static str>,
    /// Those in bad use.
    pub(super) bad: BTreeSet<&'static str>,
}

/// A transaction or reply of which its sender has not been told yet what became of it.
struct Sent {
    /// Whether the sender waits for a reply, and is told of success by that alone.
    awaits_reply: bool,
    words: Vec<&'static str>,
}

/// Goes through the steps of a program.
#[derive(Default)]
struct Walk<'p> {
    uses: Uses,
    /// What each thread has sent, the last one last.
    sent: BTreeMap<&'p Name, Vec<Sent>>,
}

impl Uses {
    pub(super) fn of(program: &Program) -> Uses {
        let mut walk = Walk::default();
        for step in program.steps.iter().flat_map(|noted| noted.value.steps()) {
            walk.step(step);
        }
        let Walk { mut uses, sent } = walk;
        // What nobody complains of has gone well.
        uses.good.extend(sent.into_values().flatten().flat_map(|sent| sent.words));
        uses
    }

    fn add(&mut self, word: &'static str, bad: bool) {
        if bad {
            self.bad.insert(word)
        } else {
            self.good.insert(word)
        };
    }
}

impl<'p> Walk<'p> {
    fn step(&mut self, step: &'p Step) {
        let thread = match &step.actor {
            Actor::Thread(name) | Actor::AnyOf { alias: name, .. } => name,
        };
        match &step.action {
            Action::Write { options, commands, written } => {
                self.uses.add("BINDER_WRITE_READ", written.errno.is_some());
                self.write(thread, options, commands, written);
            }
            Action::Read { expected, .. } => self.read(thread, expected),
            Action::WriteRead { options, commands, written, expected } => {
                self.write(thread, options, commands, written);
                match expected {
                    Some(expected) => self.read(thread, expected),
                    None => self.uses.add("BINDER_WRITE_READ", true),
                }
            }
            Action::Call { call: Call::Ioctl(ioctl), expected } => {
                for word in ioctl_word(ioctl).into_iter().chain(object_flags_of(ioctl)) {
                    self.call(word, expected);
                }
            }
            Action::Call { call: Call::Binderfs { call: BinderfsCall::Add(_), .. }, expected } => {
                self.call("BINDER_CTL_ADD", expected);
            }
            Action::Call { call, .. } => self.uses.good.extend(system_call_word(call)),
        }
    }

    fn call(&mut self, word: &'static str, expected: &CallExpectation) {
        match expected {
            CallExpectation::AnyOf(choice) => choice.iter().for_each(|expected| self.call(word, expected)),
            expected => self.uses.add(word, matches!(expected, CallExpectation::Fails(_))),
        }
    }

    fn write(
        &mut self,
        thread: &'p Name,
        options: &WriteReadOptions,
        commands: &[Command],
        written: &WriteExpectation,
    ) {
        let done = match written {
            _ if options.write_buffer_unmapped => 0,
            WriteExpectation { consumed: Some(consumed), .. } => commands_within(commands, *consumed),
            WriteExpectation { errno: Some(_), .. } => commands.len().saturating_sub(1),
            WriteExpectation { errno: None, consumed: None } => commands.len(),
        };
        for command in &commands[..done] {
            self.command(thread, command);
        }
        if let (Some(_), Some(stop)) = (written.errno, commands.get(done)) {
            self.uses.bad.extend(words_of(stop).into_iter().map(|(word, _)| word));
        }
    }

    fn command(&mut self, thread: &'p Name, command: &Command) {
        let (bad, good): (Vec<_>, Vec<_>) = words_of(command).into_iter().partition(|(_, bad)| *bad);
        self.uses.bad.extend(bad.into_iter().map(|(word, _)| word));
        let words = good.into_iter().map(|(word, _)| word);
        if command.sent().is_none() {
            return self.uses.good.extend(words);
        }
        let awaits_reply = command.awaits_reply();
        self.sent.entry(thread).or_default().push(Sent { awaits_reply, words: words.collect() });
    }

    fn read(&mut self, thread: &'p Name, expected: &ReadExpectation) {
        self.uses.add("BINDER_WRITE_READ", matches!(expected, ReadExpectation::Failed { .. }));
        match expected {
            ReadExpectation::Parked | ReadExpectation::Failed { .. } => {}
            ReadExpectation::Returns(items) => {
                if !matches!(items.first(), Some(ReturnItem::One(ReturnPattern::SpawnLooper))) {
                    // It opens the read, and scripts leave it out.
                    self.uses.good.insert("BR_NOOP");
                }
                items.iter().for_each(|item| match item {
                    ReturnItem::One(one) => self.returned(thread, one),
                    ReturnItem::InAnyOrder(all) => all.iter().for_each(|one| self.returned(thread, one)),
                    ReturnItem::AnyOf(lists) => {
                        lists.iter().flatten().for_each(|one| self.returned(thread, one));
                    }
                });
            }
            ReadExpectation::AnyOf(choice) => choice.iter().for_each(|expected| self.read(thread, expected)),
        }
    }

    fn returned(&mut self, thread: &'p Name, came: &ReturnPattern) {
        self.uses.good.insert(fragment::return_word(came));
        if let Some(pattern) = came.arrival() {
            self.uses.good.extend(flag_words(TRANSACTION_FLAGS, pattern.flags));
            self.uses.good.extend(object_words(&pattern.data, |_| false).into_iter().map(|(word, _)| word));
            self.uses.good.extend(flags_of_objects(&pattern.data, 0));
        }
        let sent = self.sent.entry(thread).or_default();
        let last = |awaits_reply: bool| sent.iter().rposition(|sent| sent.awaits_reply == awaits_reply);
        let (answered, bad) = match came {
            ReturnPattern::TransactionComplete => (last(false), false),
            ReturnPattern::Reply(_) => (last(true), false),
            ReturnPattern::DeadReply
            | ReturnPattern::FailedReply
            | ReturnPattern::FrozenReply
            | ReturnPattern::Error(_) => (sent.len().checked_sub(1), true),
            _ => return,
        };
        let words = answered.map(|index| sent.remove(index).words).unwrap_or_default();
        words.into_iter().for_each(|word| self.uses.add(word, bad));
    }
}

/// How many of some commands lie within so many bytes from the first one.
fn commands_within(commands: &[Command], bytes: u64) -> usize {
    let mut end = 0;
    let ends = commands.iter().map(|command| {
        end += length(command);
        end
    });
    ends.take_while(|end| *end <= bytes).count()
}

/// The bytes that a command takes in a write buffer.
fn length(command: &Command) -> u64 {
    match command {
        Command::Bytes(bytes) => bytes.len() as u64,
        command => {
            let word = fragment::command_word(command);
            let code = COMMANDS.iter().find(|(name, _)| *name == word).map_or(0, |(_, code)| *code);
            size_of::<u32>() as u64 + argument_size(code) as u64
        }
    }
}

/// The words of a command and of all that is in it, and whether each is in bad use by itself.
fn words_of(command: &Command) -> Vec<(&'static str, bool)> {
    let bad = match command {
        Command::Bytes(bytes) => {
            let code = bytes.first_chunk().map(|code| u32::from_le_bytes(*code));
            return code.and_then(command_name).map(|word| (word, false)).into_iter().collect();
        }
        Command::Transaction { target: handle, .. }
        | Command::TransactionSg { target: handle, .. }
        | Command::Increfs(handle)
        | Command::Acquire(handle)
        | Command::Release(handle)
        | Command::Decrefs(handle)
        | Command::AttemptAcquire(handle) => is_untold(handle),
        Command::RequestDeathNotification(handle, _)
        | Command::ClearDeathNotification(handle, _)
        | Command::RequestFreezeNotification(handle, _)
        | Command::ClearFreezeNotification(handle, _) => is_untold(handle),
        Command::FreeBuffer(address) => !matches!(address, Address::Buffer { offset: 0, .. }),
        Command::IncrefsDone(node) | Command::AcquireDone(node) => matches!(node, Node::Explicit { .. }),
        Command::DeadBinderDone(cookie) | Command::FreezeNotificationDone(cookie) => {
            matches!(cookie, Token::Number(_))
        }
        Command::Reply(_)
        | Command::ReplySg { .. }
        | Command::AcquireResult(_)
        | Command::RegisterLooper
        | Command::EnterLooper
        | Command::ExitLooper => false,
    };
    let mut words = vec![(fragment::command_word(command), bad)];
    words.extend(command.sent().into_iter().flat_map(|(sent, _)| {
        let flags = flag_words(TRANSACTION_FLAGS, sent.flags);
        let flags = flags.chain(flags_of_objects(&sent.data, USUAL_BINDER_FLAGS)).map(|word| (word, false));
        flags.chain(object_words(&sent.data, is_untold)).collect::<Vec<_>>()
    }));
    words
}

/// The flags of one family that are set.
fn flag_words(family: &[(&'static str, u32)], flags: u32) -> impl Iterator<Item = &'static str> {
    family.iter().filter(move |(_, flag)| flags & flag != 0).map(|(word, _)| *word)
}

/// The flags that the objects of a payload bear, those of nodes and those of buffers.
fn flags_of_objects<H>(data: &[DataItem<H>], usual: u32) -> Vec<&'static str> {
    let mut words = Vec::new();
    for object in objects(data) {
        let (family, flags) = match object {
            Object::Binder { flags, .. } => (FLAT_OBJECT_FLAGS, flags.unwrap_or(usual)),
            Object::Handle { flags, .. } => (FLAT_OBJECT_FLAGS, flags.unwrap_or(0)),
            Object::Buffer(buffer) => (BUFFER_FLAGS, buffer_flags(buffer)),
            Object::Explicit { .. } | Object::Fd { .. } | Object::FdArray { .. } => continue,
        };
        words.extend(flag_words(family, flags));
    }
    words
}

/// The flags of the object that an ioctl makes the context manager's.
fn object_flags_of(ioctl: &Ioctl) -> impl Iterator<Item = &'static str> {
    let flags = match ioctl {
        Ioctl::SetContextMgrExt(Argument::Value(ContextManagerObject { flags, .. })) => *flags,
        _ => 0,
    };
    flag_words(FLAT_OBJECT_FLAGS, flags)
}

/// The types of the objects of a payload, and whether each names a handle that is bad.
fn object_words<H>(data: &[DataItem<H>], is_bad: impl Fn(&H) -> bool) -> Vec<(&'static str, bool)> {
    let word = |object: &Object<H>| {
        let (object_type, bad) = match object {
            Object::Binder { weak: false, .. } => (BINDER_TYPE_BINDER, false),
            Object::Binder { weak: true, .. } => (BINDER_TYPE_WEAK_BINDER, false),
            Object::Handle { weak: false, handle, .. } => (BINDER_TYPE_HANDLE, is_bad(handle)),
            Object::Handle { weak: true, handle, .. } => (BINDER_TYPE_WEAK_HANDLE, is_bad(handle)),
            Object::Explicit { object_type, .. } => (*object_type, false),
            Object::Fd { .. } => (BINDER_TYPE_FD, false),
            Object::FdArray { .. } => (BINDER_TYPE_FDA, false),
            Object::Buffer(_) => (BINDER_TYPE_PTR, false),
        };
        object_type_name(object_type).map(|word| (word, bad))
    };
    objects(data).filter_map(word).collect()
}

/// Whether a handle is a number that the driver has not told the process.
fn is_untold(handle: &Handle) -> bool {
    matches!(handle, Handle::Number(number) if *number != 0)
}

/// The request that an ioctl makes, if the protocol has it.
fn ioctl_word(ioctl: &Ioctl) -> Option<&'static str> {
    if let Ioctl::Raw { request, .. } = ioctl {
        return ioctl_name(*request);
    }
    let text = fragment::ioctl(ioctl);
    let word = text.split(' ').next();
    IOCTLS.iter().map(|(name, _)| *name).find(|name| Some(*name) == word)
}

/// The system calls that are no ioctls, by the words of scripts.
pub(super) const SYSTEM_CALLS: &[&str] = &[
    "open",
    "close",
    "flush",
    "mmap",
    "munmap",
    "mprotect",
    "poll",
    "epoll",
    "epoll_wait",
    "listen",
    "report",
    "epoll_close",
    "exit",
    "fork",
    "dup",
    "use",
    "memfd",
    "pipe",
    "signal",
    "limit_descriptors",
    "mount",
    "umount",
    "unlink",
    "unshare",
    "read",
    "setpriority",
    "getpriority",
    "sched_setscheduler",
    "sched_getscheduler",
    "limit_nice",
    "drop_caches",
];

fn system_call_word(call: &Call) -> Option<&'static str> {
    let text = fragment::call(call);
    let word = text.split(' ').next();
    SYSTEM_CALLS.iter().copied().find(|known| Some(*known) == word)
}
