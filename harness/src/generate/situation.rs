//! The situation: what there is at some point of a program that commands can refer to, as far as its steps tell. It
//! serves to choose by, and may be wrong about what is rare; what really came of a step is in its expectation.

use reference_driver::uapi::TF_ONE_WAY;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use std::collections::BTreeSet;

use crate::program::*;
use crate::script::bytes_of;
use crate::target::ThreadIndex;

/// What there is.
#[derive(Debug, Default)]
pub(super) struct Situation {
    pub(super) processes: Vec<ProcessSituation>,
    /// The names of all objects so far, and of all cookies.
    pub(super) objects: FxHashSet<Name>,
    pub(super) cookies: FxHashSet<Name>,
    /// The instances of binderfs that have been mounted.
    pub(super) instances: BTreeSet<Name>,
}

/// What a process has.
#[derive(Debug)]
pub(super) struct ProcessSituation {
    pub(super) name: Name,
    /// No other process has forked it yet.
    pub(super) is_unborn: bool,
    pub(super) is_alive: bool,
    pub(super) is_open: bool,
    pub(super) is_mapped: bool,
    /// The pages of its mapping, if it has chosen them.
    pub(super) pages: Option<Pages>,
    pub(super) is_nonblock: bool,
    pub(super) watches: bool,
    pub(super) threads: SmallVec<[ThreadSituation; 3]>,
    pub(super) objects: Vec<LocalObject>,
    pub(super) handles: Vec<KnownHandle>,
    pub(super) buffers: Vec<ReceivedBuffer>,
    pub(super) deaths: Vec<Notification>,
    pub(super) freezes: Vec<Notification>,
    pub(super) files: Vec<Name>,
    /// It has had a file, whose number may be left somewhere in its memory.
    pub(super) has_had_files: bool,
    /// An opening of a device may outlive that it closes its descriptor.
    keeps_openings: bool,
    /// It may have several openings of devices.
    pub(super) has_several_openings: bool,
}

/// A thread, and what it is in the middle of.
#[derive(Debug)]
pub(super) struct ThreadSituation {
    /// What it is in the middle of, the innermost last.
    pub(super) stack: SmallVec<[Frame; 16]>,
    pub(super) is_looper: bool,
    pub(super) has_acted: bool,
    /// It has failed to do something, and does nothing else before it has read of it.
    pub(super) must_read: bool,
}

/// Something that a thread is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// A call that it has taken and not answered.
    Serving,
    /// A call that it has made.
    Awaiting,
}

/// An object of a process, and which of the driver's requests for it have not been answered.
#[derive(Debug)]
pub(super) struct LocalObject {
    pub(super) name: Name,
    pub(super) owes_increfs: bool,
    pub(super) owes_acquire: bool,
}

/// A handle that has a name.
#[derive(Debug)]
pub(super) struct KnownHandle {
    pub(super) name: Name,
    pub(super) strong: i32,
    pub(super) weak: i32,
}

/// A buffer that has not been freed.
#[derive(Debug)]
pub(super) struct ReceivedBuffer {
    pub(super) name: Name,
    /// The handles in it, and whether they are weak.
    pub(super) handles: Vec<(Name, bool)>,
    /// No object is in it, and no oneway message waits for its end: nobody learns that it is freed.
    pub(super) is_plain: bool,
}

/// A death or freeze notification that was asked for.
#[derive(Debug)]
pub(super) struct Notification {
    pub(super) handle: Handle,
    pub(super) cookie: Token,
    /// It was told, and that has not been answered.
    pub(super) is_told: bool,
    pub(super) is_cleared: bool,
}

impl Situation {
    /// The situation before the first step.
    pub(super) fn of(declarations: &[Noted<Declaration>]) -> Situation {
        let mut situation = Situation::default();
        let thread = || ThreadSituation {
            stack: SmallVec::new(),
            is_looper: false,
            has_acted: false,
            must_read: false,
        };
        for noted in declarations {
            match &noted.value {
                Declaration::Process(process) => situation.processes.push(ProcessSituation {
                    name: process.name.clone(),
                    is_unborn: process.device == DeviceSetUp::Forked,
                    is_alive: process.device != DeviceSetUp::Forked,
                    is_open: !matches!(process.device, DeviceSetUp::Closed | DeviceSetUp::Forked),
                    is_mapped: matches!(process.device, DeviceSetUp::Mapped(_)),
                    pages: None,
                    is_nonblock: process.nonblock,
                    watches: false,
                    threads: SmallVec::from_iter([thread()]),
                    objects: Vec::new(),
                    handles: Vec::new(),
                    buffers: Vec::new(),
                    deaths: Vec::new(),
                    freezes: Vec::new(),
                    files: Vec::new(),
                    has_had_files: false,
                    keeps_openings: false,
                    has_several_openings: false,
                }),
                Declaration::Thread { process, .. } => {
                    let owner = situation.processes.iter_mut().find(|known| known.name == *process);
                    owner.into_iter().for_each(|owner| owner.threads.push(thread()));
                }
            }
        }
        situation
    }

    pub(super) fn thread(&self, at: ThreadIndex) -> &ThreadSituation {
        &self.processes[at.process].threads[at.thread]
    }

    /// Takes in what a step did.
    pub(super) fn follow(&mut self, at: ThreadIndex, action: &Action) {
        self.name_all(action);
        if let Action::Call { call: Call::Fork(child), expected } = action {
            self.fork(at.process, child, !matches!(expected, CallExpectation::Fails(_)));
        }
        let process = &mut self.processes[at.process];
        process.threads[at.thread].has_acted = true;
        match action {
            Action::Write { options, commands, written } => {
                process.wrote(at.thread, options, commands, written);
            }
            Action::Read { expected, .. } => process.read(at.thread, expected),
            Action::WriteRead { options, commands, written, expected } => {
                process.wrote(at.thread, options, commands, written);
                expected.iter().for_each(|expected| process.read(at.thread, expected));
            }
            Action::Call { call, expected } => process.called(at.thread, call, expected),
        }
    }
}

impl Situation {
    /// A process has forked another one, or has failed to.
    fn fork(&mut self, parent: usize, child: &Name, is_done: bool) {
        let parent = &self.processes[parent];
        let (is_open, is_nonblock, files) = (parent.is_open, parent.is_nonblock, parent.files.clone());
        let (keeps_openings, has_several_openings) = (parent.keeps_openings, parent.has_several_openings);
        if let Some(child) = self.processes.iter_mut().find(|process| process.name == *child) {
            child.is_unborn = false;
            child.is_alive = is_done;
            child.is_open = is_done && is_open;
            child.is_nonblock = is_nonblock;
            child.files.clone_from(&files);
            child.keeps_openings = keeps_openings;
            child.has_several_openings = has_several_openings;
        }
    }

    /// Notes the names of objects and cookies that an action may bring up.
    fn name_all(&mut self, action: &Action) {
        match action {
            Action::Write { commands, .. } | Action::WriteRead { commands, .. } => {
                for command in commands {
                    match command {
                        Command::Transaction { transaction, .. }
                        | Command::TransactionSg { transaction, .. }
                        | Command::Reply(transaction)
                        | Command::ReplySg { transaction, .. } => {
                            for item in &transaction.data {
                                if let DataItem::Object(Object::Binder { object, .. }) = item.without_place()
                                {
                                    self.objects.insert(object.clone());
                                }
                            }
                        }
                        Command::RequestDeathNotification(_, Token::Symbol(cookie))
                        | Command::RequestFreezeNotification(_, Token::Symbol(cookie)) => {
                            self.cookies.insert(cookie.clone());
                        }
                        _ => {}
                    }
                }
            }
            Action::Call { call: Call::Ioctl(Ioctl::SetContextMgrExt(Argument::Value(manager))), .. } => {
                self.objects.insert(manager.object.clone());
            }
            Action::Call {
                call: Call::Binderfs { instance, call: BinderfsCall::Mount { .. } },
                expected: CallExpectation::Succeeds,
            } => {
                self.instances.insert(instance.clone());
            }
            _ => {}
        }
    }
}

impl ProcessSituation {
    pub(super) fn handle(&mut self, name: &Name) -> Option<&mut KnownHandle> {
        self.handles.iter_mut().find(|known| known.name == *name)
    }

    fn count(&mut self, handle: &Handle, strong: i32, weak: i32) {
        if let Handle::Symbol(name) = handle
            && let Some(known) = self.handle(name)
        {
            known.strong = (known.strong + strong).max(0);
            known.weak = (known.weak + weak).max(0);
        }
    }

    /// Nothing that the process had of the device is left.
    fn lose_all(&mut self) {
        self.is_mapped = false;
        self.pages = None;
        self.objects.clear();
        self.handles.clear();
        self.buffers.clear();
        self.deaths.clear();
        self.freezes.clear();
        for thread in &mut self.threads {
            thread.stack.clear();
            thread.is_looper = false;
        }
    }

    fn called(&mut self, thread: usize, call: &Call, expected: &CallExpectation) {
        if matches!(expected, CallExpectation::Fails(_)) {
            return;
        }
        match call {
            Call::Open { nonblock, .. } => {
                self.is_open = true;
                self.is_nonblock = *nonblock;
                self.has_several_openings |= self.keeps_openings;
            }
            Call::Binderfs { call: BinderfsCall::Open { .. }, .. } => {
                self.has_several_openings |= self.keeps_openings;
            }
            Call::Dup(_) => self.keeps_openings = true,
            Call::Close => {
                self.keeps_openings |= self.is_mapped;
                self.is_open = false;
                self.lose_all();
            }
            Call::Exit => {
                self.is_alive = false;
                self.is_open = false;
                self.lose_all();
            }
            Call::Mmap { size, at, .. } => {
                self.is_mapped = true;
                self.pages = at.and_then(|place| Pages::new(place, size.next_multiple_of(PAGE)));
            }
            Call::Munmap(None) => self.is_mapped = false,
            Call::Epoll => self.watches = true,
            Call::EpollClose => self.watches = false,
            Call::CloseDescriptor(file) => self.files.retain(|known| known != file),
            Call::Memfd(file) => self.gain(file),
            Call::Pipe { reading, writing } => self.files.extend([reading.clone(), writing.clone()]),
            Call::Ioctl(Ioctl::ThreadExit) => {
                self.threads[thread].stack.clear();
                self.threads[thread].is_looper = false;
            }
            Call::Ioctl(Ioctl::SetContextMgrExt(Argument::Value(manager))) => self.has(&manager.object),
            _ => {}
        }
    }

    fn wrote(
        &mut self,
        thread: usize,
        options: &WriteReadOptions,
        commands: &[Command],
        written: &WriteExpectation,
    ) {
        self.threads[thread].must_read |= written.errno.is_none() && written.consumed.is_some();
        // Of a write that does not begin or end where it should it cannot be told which commands were done.
        let is_strange = options.write_size.is_some() || options.write_consumed.is_some();
        let mut left = if is_strange { u64::MAX } else { written.consumed.unwrap_or(u64::MAX) };
        for command in commands {
            let size = bytes_of(command) as u64;
            if left < size {
                return;
            }
            left -= size;
            self.commanded(thread, command);
        }
    }

    fn commanded(&mut self, thread: usize, command: &Command) {
        let looper = &mut self.threads[thread];
        match command {
            Command::Transaction { transaction, .. } | Command::TransactionSg { transaction, .. } => {
                if transaction.flags & TF_ONE_WAY == 0 && looper.stack.last() != Some(&Frame::Awaiting) {
                    looper.stack.push(Frame::Awaiting);
                }
                self.sent(transaction);
            }
            Command::Reply(transaction) | Command::ReplySg { transaction, .. } => {
                if looper.stack.last() == Some(&Frame::Serving) {
                    looper.stack.pop();
                }
                self.sent(transaction);
            }
            Command::FreeBuffer(Address::Buffer { buffer, offset: 0 }) => {
                let place = self.buffers.iter().position(|known| known.name == *buffer);
                let Some(place) = place else { return };
                for (handle, is_weak) in self.buffers.remove(place).handles {
                    self.count(&Handle::Symbol(handle), -i32::from(!is_weak), -i32::from(is_weak));
                }
            }
            Command::Increfs(handle) => self.count(handle, 0, 1),
            Command::Acquire(handle) => self.count(handle, 1, 0),
            Command::Release(handle) => self.count(handle, -1, 0),
            Command::Decrefs(handle) => self.count(handle, 0, -1),
            Command::IncrefsDone(Node::Object(name)) => {
                self.object(name).into_iter().for_each(|object| object.owes_increfs = false);
            }
            Command::AcquireDone(Node::Object(name)) => {
                self.object(name).into_iter().for_each(|object| object.owes_acquire = false);
            }
            Command::EnterLooper | Command::RegisterLooper => looper.is_looper = true,
            Command::ExitLooper => looper.is_looper = false,
            Command::RequestDeathNotification(handle, cookie) => {
                self.deaths.push(Notification::new(handle, cookie));
            }
            Command::ClearDeathNotification(_, cookie) => clear(&mut self.deaths, cookie),
            Command::DeadBinderDone(cookie) => answered(&mut self.deaths, cookie),
            Command::RequestFreezeNotification(handle, cookie) => {
                self.freezes.push(Notification::new(handle, cookie));
            }
            Command::ClearFreezeNotification(_, cookie) => clear(&mut self.freezes, cookie),
            Command::FreezeNotificationDone(cookie) => answered(&mut self.freezes, cookie),
            _ => {}
        }
    }

    fn object(&mut self, name: &Name) -> Option<&mut LocalObject> {
        self.objects.iter_mut().find(|object| object.name == *name)
    }

    /// The process has sent this object.
    fn has(&mut self, name: &Name) {
        if self.object(name).is_none() {
            self.objects.push(LocalObject { name: name.clone(), owes_increfs: false, owes_acquire: false });
        }
    }

    fn sent(&mut self, transaction: &Transaction) {
        for item in &transaction.data {
            if let DataItem::Object(Object::Binder { object, .. }) = item.without_place() {
                self.has(object);
            }
        }
    }

    fn read(&mut self, thread: usize, expected: &ReadExpectation) {
        let ReadExpectation::Returns(items) = expected else { return };
        self.threads[thread].must_read = false;
        for item in items {
            if let ReturnItem::One(pattern) = item {
                self.returned(thread, pattern);
            }
        }
    }

    fn returned(&mut self, thread: usize, pattern: &ReturnPattern) {
        let stack = &mut self.threads[thread].stack;
        match pattern {
            ReturnPattern::Transaction(transaction)
            | ReturnPattern::TransactionSecCtx { transaction, .. } => {
                if transaction.flags & TF_ONE_WAY == 0 {
                    stack.push(Frame::Serving);
                }
                self.received(transaction);
            }
            ReturnPattern::Reply(transaction) => {
                if stack.last() == Some(&Frame::Awaiting) {
                    stack.pop();
                }
                self.received(transaction);
            }
            ReturnPattern::DeadReply | ReturnPattern::FailedReply | ReturnPattern::FrozenReply
                if stack.last() == Some(&Frame::Awaiting) =>
            {
                stack.pop();
            }
            ReturnPattern::Increfs(Node::Object(name)) => {
                self.object(name).into_iter().for_each(|object| object.owes_increfs = true);
            }
            ReturnPattern::Acquire(Node::Object(name)) => {
                self.object(name).into_iter().for_each(|object| object.owes_acquire = true);
            }
            ReturnPattern::DeadBinder(cookie) => told(&mut self.deaths, cookie),
            ReturnPattern::ClearDeathNotificationDone(cookie) => {
                self.deaths.retain(|notification| notification.cookie != *cookie);
            }
            ReturnPattern::FrozenBinder { cookie, .. } => told(&mut self.freezes, cookie),
            ReturnPattern::ClearFreezeNotificationDone(cookie) => {
                self.freezes.retain(|notification| notification.cookie != *cookie);
            }
            _ => {}
        }
    }

    fn received(&mut self, transaction: &TransactionPattern) {
        let mut handles = Vec::new();
        for item in &transaction.data {
            match item.without_place() {
                DataItem::Object(Object::Handle { weak, handle, .. }) => {
                    let (HandlePattern::Bind(name) | HandlePattern::Is(Handle::Symbol(name))) = handle else {
                        continue;
                    };
                    if self.handle(name).is_none() {
                        self.handles.push(KnownHandle { name: name.clone(), strong: 0, weak: 0 });
                    }
                    self.count(&Handle::Symbol(name.clone()), i32::from(!weak), i32::from(*weak));
                    handles.push((name.clone(), *weak));
                }
                DataItem::Object(Object::Fd { descriptor: Descriptor::File(file), .. })
                    if !self.files.contains(file) =>
                {
                    self.gain(file);
                }
                // Those of an array are closed when the buffer is freed, and are what the name stands for from here on.
                DataItem::Object(Object::Buffer(buffer)) => {
                    for item in &buffer.content {
                        if let DataItem::Descriptor(Descriptor::File(file)) = item.without_place() {
                            self.files.retain(|known| known != file);
                        }
                    }
                }
                _ => {}
            }
        }
        if let Some(name) = &transaction.capture {
            let has_objects =
                transaction.data.iter().any(|item| matches!(item.without_place(), DataItem::Object(_)));
            let is_plain = !has_objects && transaction.flags & TF_ONE_WAY == 0;
            self.buffers.push(ReceivedBuffer { name: name.clone(), handles, is_plain });
        }
    }

    fn gain(&mut self, file: &Name) {
        self.files.push(file.clone());
        self.has_had_files = true;
    }
}

impl Notification {
    fn new(handle: &Handle, cookie: &Token) -> Notification {
        Notification { handle: handle.clone(), cookie: cookie.clone(), is_told: false, is_cleared: false }
    }
}

fn clear(notifications: &mut [Notification], cookie: &Token) {
    let known = notifications.iter_mut().find(|known| known.cookie == *cookie);
    known.into_iter().for_each(|known| known.is_cleared = true);
}

fn told(notifications: &mut [Notification], cookie: &Token) {
    let known = notifications.iter_mut().find(|known| known.cookie == *cookie);
    known.into_iter().for_each(|known| known.is_told = true);
}

fn answered(notifications: &mut [Notification], cookie: &Token) {
    let known = notifications.iter_mut().find(|known| known.cookie == *cookie && known.is_told);
    known.into_iter().for_each(|known| known.is_told = false);
}
