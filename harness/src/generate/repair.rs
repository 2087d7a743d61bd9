//! Repair: what an action refers to and is not there is replaced by something that is.

use smallvec::SmallVec;

use super::choices::Choices;
use super::situation::Situation;
use crate::engine::Rehearsal;
use crate::program::*;
use crate::target::ThreadIndex;

/// The most bytes of zeroes in an item, and the furthest place that an item can be given.
const LARGEST_ITEM: u64 = 0x2_0000;
/// The most bytes of returns that a read can be given room for.
const LARGEST_READ: u64 = 0x1000;
/// The most commands of a step.
const MOST_COMMANDS: usize = 16;
/// The most items of a payload.
const MOST_ITEMS: usize = 24;
/// The most bytes that a process maps.
const LARGEST_MAPPING: u64 = 8 << 20;

/// What is needed to make an action fit.
pub(super) struct Repair<'s, 'r, 'c, 'u> {
    pub(super) rehearsal: &'s mut Rehearsal<'r>,
    pub(super) situation: &'s Situation,
    pub(super) choices: &'s mut Choices<'c, 'u>,
    pub(super) thread: ThreadIndex,
}

impl Repair<'_, '_, '_, '_> {
    /// Makes an action fit. False if there is nothing left of it.
    pub(super) fn action(&mut self, action: &mut Action) -> bool {
        // How much was consumed of a write that is cut off is only told when the read returns. One that parks could not
        // say what it expects.
        if let Action::WriteRead { options, commands, .. } = action
            && (options.write_size.is_some() || options.write_consumed.is_some())
        {
            *action = Action::Write {
                options: options.clone(),
                commands: std::mem::take(commands),
                written: WriteExpectation::default(),
            };
        }
        match action {
            Action::Write { options, commands, .. } => {
                self.options(options);
                self.commands(commands);
                options.read_size = None;
                options.read_consumed = None;
                options.read_buffer_unmapped = false;
                true
            }
            Action::Read { options, .. } => {
                self.options(options);
                options.write_size = None;
                options.write_consumed = None;
                options.write_buffer_unmapped = false;
                true
            }
            Action::WriteRead { options, commands, .. } => {
                self.options(options);
                self.commands(commands);
                // Without any room it would be a write, which is written otherwise.
                options.read_size.is_none_or(|size| size > 0)
            }
            Action::Call { call, .. } => self.call(call),
        }
    }

    fn options(&mut self, options: &mut WriteReadOptions) {
        if let Some(size) = &mut options.read_size {
            *size = (*size).min(LARGEST_READ);
            if *size == WriteReadOptions::DEFAULT_READ_SIZE {
                options.read_size = None;
            }
        }
        for number in [&mut options.write_size, &mut options.write_consumed] {
            if number.is_some_and(|number| number > LARGEST_READ) {
                *number = None;
            }
        }
    }

    fn commands(&mut self, commands: &mut Vec<Command>) {
        commands.truncate(MOST_COMMANDS);
        commands.retain_mut(|command| self.command(command));
    }

    fn command(&mut self, command: &mut Command) -> bool {
        match command {
            Command::Transaction { target, transaction }
            | Command::TransactionSg { target, transaction, .. } => {
                self.handle(target);
                self.transaction(transaction);
            }
            Command::Reply(transaction) | Command::ReplySg { transaction, .. } => {
                self.transaction(transaction);
            }
            Command::FreeBuffer(address) => self.address(address),
            Command::Increfs(handle)
            | Command::Acquire(handle)
            | Command::Release(handle)
            | Command::Decrefs(handle)
            | Command::AttemptAcquire(handle) => self.handle(handle),
            Command::IncrefsDone(node) | Command::AcquireDone(node) => return self.node(node),
            Command::RequestDeathNotification(handle, cookie)
            | Command::RequestFreezeNotification(handle, cookie) => {
                self.handle(handle);
                self.new_cookie(cookie);
            }
            Command::ClearDeathNotification(handle, cookie)
            | Command::ClearFreezeNotification(handle, cookie) => {
                self.handle(handle);
                self.cookie(cookie);
            }
            Command::DeadBinderDone(cookie) | Command::FreezeNotificationDone(cookie) => self.cookie(cookie),
            Command::Bytes(bytes) => return !bytes.is_empty(),
            Command::AcquireResult(_)
            | Command::RegisterLooper
            | Command::EnterLooper
            | Command::ExitLooper => {}
        }
        true
    }

    fn handle(&mut self, handle: &mut Handle) {
        let Handle::Symbol(name) = handle else { return };
        if self.rehearsal.handle_number(name).is_some() {
            return;
        }
        let process = &self.situation.processes[self.thread.process];
        *handle = match self.choices.pick(&process.handles) {
            Some(known) => Handle::Symbol(known.name.clone()),
            None => Handle::Number(0),
        };
    }

    /// What is freed is a buffer that has not been before this step: where a freed one was, there may be another.
    fn address(&mut self, address: &mut Address) {
        let Address::Buffer { buffer, offset } = address else { return };
        // No buffer begins there, since they all begin at multiples of 8.
        *offset = if *offset == 0 { 0 } else { 4 };
        let process = &self.situation.processes[self.thread.process];
        if process.buffers.iter().any(|known| known.name == *buffer) {
            return;
        }
        *address = match self.choices.pick(&process.buffers) {
            Some(known) => Address::Buffer { buffer: known.name.clone(), offset: 0 },
            None => Address::Unmapped,
        };
    }

    /// A node is an object of this process, or spelt out in numbers.
    fn node(&mut self, node: &mut Node) -> bool {
        if let Node::Explicit { pointer, cookie } = node {
            let is_number = |token: &Token| matches!(token, Token::Number(_));
            if is_number(pointer) && is_number(cookie) {
                return true;
            }
        } else if let Node::Object(name) = node
            && self.is_object(name)
        {
            return true;
        }
        let process = &self.situation.processes[self.thread.process];
        match self.choices.pick(&process.objects) {
            Some(object) => *node = Node::Object(object.name.clone()),
            None => return false,
        }
        true
    }

    fn is_object(&self, name: &Name) -> bool {
        self.situation.objects.contains(name)
    }

    /// An object that is sent is one of this process, or a new one.
    fn object(&mut self, name: &mut Name) {
        if self.is_object(name) {
            return;
        }
        let process = &self.situation.processes[self.thread.process];
        *name = match self.choices.pick(&process.objects) {
            Some(object) if self.rehearsal.is_taken(name) => object.name.clone(),
            _ => self.rehearsal.new_name(Some(name.clone()), "o"),
        };
    }

    fn new_cookie(&mut self, cookie: &mut Token) {
        let Token::Symbol(name) = cookie else { return };
        if !self.is_cookie(name) {
            *name = self.rehearsal.new_name(Some(name.clone()), "c");
        }
    }

    fn cookie(&mut self, cookie: &mut Token) {
        let Token::Symbol(name) = cookie else { return };
        if self.is_cookie(name) {
            return;
        }
        let process = &self.situation.processes[self.thread.process];
        let known: Vec<&Token> =
            process.deaths.iter().chain(&process.freezes).map(|known| &known.cookie).collect();
        *cookie = self.choices.pick(&known).map_or(Token::Number(0x17), |known| (*known).clone());
    }

    fn is_cookie(&self, name: &Name) -> bool {
        self.situation.cookies.contains(name)
    }

    fn transaction(&mut self, transaction: &mut Transaction) {
        self.items(&mut transaction.data, true);
        let buffers: SmallVec<[bool; 16]> = transaction
            .data
            .iter()
            .filter_map(|item| match item.without_place() {
                DataItem::Object(object) => Some(matches!(object, Object::Buffer(_))),
                _ => None,
            })
            .collect();
        pointers(&mut transaction.data, &buffers);
        if let Some(offsets) = &mut transaction.offsets {
            offsets.truncate(64);
        }
    }

    fn items(&mut self, items: &mut Payload, may_hold_objects: bool) {
        items.truncate(MOST_ITEMS);
        items.retain(|item| may_hold_objects || !matches!(item.without_place(), DataItem::Object(_)));
        let mut end = 0;
        for item in items.iter_mut() {
            if let DataItem::At(place, inner) = item {
                let is_nested = matches!(**inner, DataItem::At(..));
                if *place < end || *place > LARGEST_ITEM || is_nested {
                    *item = item.without_place().clone();
                }
            }
            self.item(item);
            end = end_of(item, end);
        }
    }

    fn item(&mut self, item: &mut DataItem<Handle>) {
        match item {
            DataItem::At(_, inner) => self.item(inner),
            DataItem::Zero(length) => *length = (*length).min(LARGEST_ITEM),
            DataItem::Descriptor(descriptor) => self.descriptor(descriptor),
            DataItem::Object(Object::Binder { object, .. }) => self.object(object),
            DataItem::Object(Object::Handle { handle, .. }) => self.handle(handle),
            DataItem::Object(Object::Fd { descriptor, .. }) => self.descriptor(descriptor),
            DataItem::Object(Object::Buffer(buffer)) => self.items(&mut buffer.content, false),
            _ => {}
        }
    }

    fn descriptor(&mut self, descriptor: &mut Descriptor) {
        let Descriptor::File(name) = descriptor else { return };
        if self.has_file(name) {
            return;
        }
        *descriptor = match self.file() {
            Some(name) => Descriptor::File(name),
            None => Descriptor::Number(99),
        };
    }

    /// Whether the process has a descriptor for a file. The number of one that is closed may be another one's by now.
    fn has_file(&self, name: &Name) -> bool {
        let process = &self.situation.processes[self.thread.process];
        process.files.contains(name) && self.rehearsal.has_descriptor(self.thread.process, name)
    }

    /// A file that the process has a descriptor for.
    fn file(&mut self) -> Option<Name> {
        let process = &self.situation.processes[self.thread.process];
        let known: Vec<&Name> = process.files.iter().filter(|file| self.has_file(file)).collect();
        self.choices.pick(&known).map(|file| (*file).clone())
    }

    fn call(&mut self, call: &mut Call) -> bool {
        match call {
            Call::Memfd(file) => *file = self.rehearsal.new_name(Some(file.clone()), "f"),
            Call::Pipe { reading, writing } => {
                *reading = self.rehearsal.new_name(Some(reading.clone()), "f");
                *writing = self.rehearsal.new_name(Some(writing.clone()), "f");
            }
            Call::Dup(file) => *file = self.rehearsal.new_name(Some(file.clone()), "f"),
            Call::CloseDescriptor(file) | Call::PollDescriptor(file) | Call::Use(file)
                if !self.has_file(file) =>
            {
                let Some(known) = self.file() else { return false };
                *file = known;
            }
            Call::Signal(thread) => {
                let process = self.rehearsal.thread(thread).map(|thread| thread.process);
                return process.is_some_and(|process| !self.situation.processes[process].is_unborn);
            }
            Call::Fork(child) => {
                let mut processes = self.situation.processes.iter();
                return processes.any(|process| process.name == *child && process.is_unborn);
            }
            Call::Binderfs { instance, call: BinderfsCall::Mount { .. } } => {
                *instance = self.rehearsal.new_name(Some(instance.clone()), "fs");
            }
            Call::Binderfs { instance, .. } => return self.situation.instances.contains(instance),
            Call::Mmap { size, .. } => *size = (*size).min(LARGEST_MAPPING),
            Call::Ioctl(ioctl) => return self.ioctl(ioctl),
            _ => {}
        }
        true
    }

    fn ioctl(&mut self, ioctl: &mut Ioctl) -> bool {
        match ioctl {
            Ioctl::SetContextMgrExt(Argument::Value(manager)) => self.object(&mut manager.object),
            Ioctl::GetNodeDebugInfo(Argument::Value(token @ Token::Symbol(_))) => {
                let Token::Symbol(name) = &*token else { return false };
                if !self.is_object(name) {
                    *token = Token::Number(0);
                }
            }
            Ioctl::GetNodeInfoForRef(Argument::Value(request)) => self.handle(&mut request.handle),
            Ioctl::Freeze(Argument::Value(request)) => return self.pid(&request.pid),
            Ioctl::GetFrozenInfo(Argument::Value(pid)) => return self.pid(pid),
            _ => {}
        }
        true
    }

    fn pid(&self, pid: &PidPattern) -> bool {
        match pid {
            PidPattern::Process(name) => {
                let mut processes = self.situation.processes.iter();
                processes.any(|process| process.name == *name && !process.is_unborn)
            }
            PidPattern::Number(number) => *number == 0,
        }
    }
}

/// A pointer to a buffer is to one that there is.
fn pointers(items: &mut Payload, buffers: &[bool]) {
    for item in items {
        let mut item = item;
        while let DataItem::At(_, inner) = item {
            item = &mut **inner;
        }
        match item {
            DataItem::Pointer(index) if buffers.get(*index as usize) != Some(&true) => {
                *item = DataItem::U64(0x17);
            }
            DataItem::Object(Object::Buffer(buffer)) => pointers(&mut buffer.content, buffers),
            _ => {}
        }
    }
}

/// Where an item ends before which so many bytes are; never less than it does.
fn end_of(item: &DataItem<Handle>, end: u64) -> u64 {
    match item {
        DataItem::At(place, inner) => end_of(inner, *place),
        DataItem::U32(_) | DataItem::I32(_) | DataItem::Descriptor(_) => end + 4,
        DataItem::U64(_) | DataItem::I64(_) | DataItem::Pointer(_) => end + 8,
        DataItem::Str16(text) => end + 16 + 4 * text.len() as u64,
        DataItem::Bytes(bytes) => end + bytes.len() as u64,
        DataItem::Zero(length) => end + length,
        DataItem::Object(object) => end + 3 + object.size(),
    }
}
