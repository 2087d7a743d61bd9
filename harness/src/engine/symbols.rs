//! Symbols: the numbers behind the names of a program, and the way back.
//!
//! The numbers of objects and cookies are chosen here, by the order in which a program first names them, so
//! that they are the same in every run. Those of handles and buffers are the driver's: they are bound when a
//! read shows them.

use std::collections::BTreeMap;

use reference_driver::uapi::PointerCookie;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::cast::Cast;
use super::fault::ScriptFault;
use crate::program::*;
use crate::target::{FileId, InstanceId, UNMAPPED};

/// What a process is to the target that it runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownProcess {
    pub(super) pid: i32,
    /// What a security module calls it, if the program is about that.
    pub(super) security_context: Option<Vec<u8>>,
}

/// The pointer of the first object of the first process.
const POINTERS: u64 = 0x7b00_0000_0000;
/// The cookie of that object.
const OBJECT_COOKIES: u64 = 0x7c00_0000_0000;
/// The first cookie of a notification.
const COOKIES: u64 = 0x7d00_0000_0000;
/// From the numbers of one process to those of the next.
const PROCESS_STRIDE: u64 = 0x1_0000_0000;
/// From one number to the next.
const STRIDE: u64 = 0x100;

/// What the harness chose, for a whole program.
#[derive(Debug)]
pub(super) struct Symbols {
    objects: FxHashMap<Name, PointerCookie>,
    /// The way back: the objects of each process by their pointers.
    names: FxHashMap<(usize, u64), Name>,
    cookies: FxHashMap<Name, u64>,
    files: BTreeMap<Name, FileId>,
    instances: BTreeMap<Name, InstanceId>,
    processes: Vec<(Name, i32)>,
    /// What a security module calls them.
    security_contexts: BTreeMap<Name, Vec<u8>>,
    /// How many objects each process has so far.
    object_counts: Vec<u64>,
}

/// What the driver chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bindings {
    handles: FxHashMap<Name, u32>,
    buffers: FxHashMap<Name, u64>,
    /// The last descriptor that a process got for a file.
    descriptors: BTreeMap<(usize, Name), u32>,
}

impl Bindings {
    /// The number of a handle.
    pub(super) fn handle(&self, handle: &Handle) -> Result<u32, ScriptFault> {
        match handle {
            Handle::Number(number) => Ok(*number),
            Handle::Symbol(name) => {
                self.handles.get(name).copied().ok_or_else(|| ScriptFault::UnboundHandle(name.clone()))
            }
        }
    }

    /// The address of a named buffer.
    pub(super) fn buffer(&self, name: &Name) -> Result<u64, ScriptFault> {
        self.buffers.get(name).copied().ok_or_else(|| ScriptFault::UnboundBuffer(name.clone()))
    }

    /// An address that a process hands to the driver.
    pub(super) fn address(&self, address: &Address) -> Result<u64, ScriptFault> {
        match address {
            Address::Number(number) => Ok(*number),
            Address::Buffer { buffer, offset } => Ok(self.buffer(buffer)?.wrapping_add(*offset)),
            Address::Unmapped => Ok(UNMAPPED),
        }
    }

    /// The number of a process' descriptor.
    pub(super) fn descriptor(&self, process: usize, descriptor: &Descriptor) -> Result<u32, ScriptFault> {
        match descriptor {
            Descriptor::Number(number) => Ok(*number),
            Descriptor::File(name) => self
                .descriptors
                .get(&(process, name.clone()))
                .copied()
                .ok_or_else(|| ScriptFault::NoDescriptor(name.clone())),
        }
    }

    /// A process has got a descriptor for a file.
    pub(super) fn bind_descriptor(&mut self, process: usize, name: Name, number: u32) {
        self.descriptors.insert((process, name), number);
    }

    /// A process has been made that has the descriptors of another.
    pub(super) fn fork(&mut self, parent: usize, child: usize) {
        let inherited = self.descriptors.iter().filter(|((process, _), _)| *process == parent);
        let inherited: Vec<_> =
            inherited.map(|((_, name), number)| ((child, name.clone()), *number)).collect();
        self.descriptors.extend(inherited);
    }

    /// Takes these in, too.
    pub(super) fn extend(&mut self, new: Bound) {
        self.handles.extend(new.handles);
        self.buffers.extend(new.buffers);
        self.descriptors.extend(new.descriptors);
    }
}

/// What a match has bound, in that order: of a name that was bound twice, the last counts. They are few.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bound {
    handles: Vec<(Name, u32)>,
    buffers: Vec<(Name, u64)>,
    descriptors: Vec<((usize, Name), u32)>,
}

/// What the driver chose according to a match that has not come to its end. If it fails, this is forgotten.
#[derive(Debug, Clone)]
pub(super) struct NewBindings<'a> {
    known: &'a Bindings,
    new: Bound,
}

impl<'a> NewBindings<'a> {
    /// Nothing but what is known.
    pub(super) fn after(known: &'a Bindings) -> NewBindings<'a> {
        NewBindings { known, new: Bound::default() }
    }

    /// The number of a handle.
    pub(super) fn handle(&self, handle: &Handle) -> Result<u32, ScriptFault> {
        let bound = match handle {
            Handle::Symbol(name) => last(&self.new.handles, name),
            Handle::Number(number) => Some(*number),
        };
        bound.map_or_else(|| self.known.handle(handle), Ok)
    }

    pub(super) fn bind_handle(&mut self, name: Name, number: u32) {
        self.new.handles.push((name, number));
    }

    pub(super) fn bind_buffer(&mut self, name: Name, address: u64) {
        self.new.buffers.push((name, address));
    }

    pub(super) fn bind_descriptor(&mut self, process: usize, name: Name, number: u32) {
        self.new.descriptors.push(((process, name), number));
    }

    /// An address that a process hands to the driver.
    pub(super) fn address(&self, address: &Address) -> Result<u64, ScriptFault> {
        let bound = match address {
            Address::Buffer { buffer, offset } => {
                last(&self.new.buffers, buffer).map(|start| start.wrapping_add(*offset))
            }
            Address::Number(_) | Address::Unmapped => None,
        };
        bound.map_or_else(|| self.known.address(address), Ok)
    }

    /// Those that are new.
    pub(super) fn into_new(self) -> Bound {
        self.new
    }
}

/// What a name was bound to last.
fn last<T: Copy>(bound: &[(Name, T)], name: &Name) -> Option<T> {
    bound.iter().rev().find(|(known, _)| known == name).map(|(_, value)| *value)
}

/// A map with room for the names of a usual program, so that it does not grow again and again.
fn roomy<K, V>() -> FxHashMap<K, V> {
    const USUAL_NAMES: usize = 14;
    FxHashMap::with_capacity_and_hasher(USUAL_NAMES, FxBuildHasher)
}

/// The numbers that the harness chose, the same on every target.
pub(crate) struct Chosen {
    /// Of each object.
    pub(crate) objects: BTreeMap<Name, PointerCookie>,
    /// Of each cookie of a notification.
    pub(crate) cookies: BTreeMap<Name, u64>,
}

/// The numbers that the names of a program stand for.
pub(crate) fn chosen(program: &Program) -> Result<Chosen, ScriptFault> {
    let cast = Cast::of(program)?;
    let nobody = KnownProcess { pid: 0, security_context: None };
    let symbols = Symbols::of(program, &cast, vec![nobody; cast.processes().len()])?;
    Ok(Chosen {
        objects: symbols.objects.into_iter().collect(),
        cookies: symbols.cookies.into_iter().collect(),
    })
}

impl Symbols {
    /// The symbols of a program, whose processes are these to the target.
    pub(super) fn of(
        program: &Program,
        cast: &Cast,
        processes: Vec<KnownProcess>,
    ) -> Result<Symbols, ScriptFault> {
        let names = cast.processes().iter().map(|process| process.name.clone());
        let mut symbols = Symbols {
            objects: roomy(),
            names: roomy(),
            cookies: FxHashMap::default(),
            files: BTreeMap::new(),
            instances: BTreeMap::new(),
            processes: names.clone().zip(processes.iter().map(|process| process.pid)).collect(),
            security_contexts: names
                .zip(processes)
                .filter_map(|(name, process)| Some((name, process.security_context?)))
                .collect(),
            object_counts: vec![0; cast.processes().len()],
        };
        let mut aliases: BTreeMap<Name, usize> = BTreeMap::new();
        for step in program.steps.iter().flat_map(|noted| noted.value.steps()) {
            let (first, alias) = match &step.actor {
                Actor::Thread(name) => (name, None),
                Actor::AnyOf { candidates, alias } => match candidates.first() {
                    Some(first) => (first, Some(alias)),
                    None => return Err(ScriptFault::UnknownThread(alias.clone())),
                },
            };
            let process = match aliases.get(first) {
                Some(process) => *process,
                None => cast.thread(first)?.process,
            };
            if let Some(alias) = alias {
                aliases.insert(alias.clone(), process);
            }
            symbols.number(process, &step.action);
        }
        Ok(symbols)
    }

    /// Gives a number to each name that first appears in what a process does next.
    pub(super) fn number(&mut self, process: usize, action: &Action) {
        Appearance { symbols: self, process }.action(action);
    }

    /// A process has come to be known.
    pub(super) fn introduce(&mut self, process: usize, known: KnownProcess) {
        let (name, pid) = &mut self.processes[process];
        *pid = known.pid;
        self.security_contexts.extend(known.security_context.map(|context| (name.clone(), context)));
    }

    /// The numbers of an object.
    pub(super) fn object(&self, name: &Name) -> PointerCookie {
        *self.objects.get(name).expect("every object that a program names was given its numbers first")
    }

    /// The numbers of a node.
    pub(super) fn node(&self, node: &Node) -> PointerCookie {
        match node {
            Node::Object(name) => self.object(name),
            Node::Explicit { pointer, cookie } => PointerCookie {
                pointer: match pointer {
                    Token::Number(number) => *number,
                    Token::Symbol(name) => self.object(name).pointer,
                },
                cookie: match cookie {
                    Token::Number(number) => *number,
                    Token::Symbol(name) => self.object(name).cookie,
                },
            },
        }
    }

    /// The number of a notification's cookie.
    pub(super) fn cookie(&self, token: &Token) -> u64 {
        match token {
            Token::Number(number) => *number,
            Token::Symbol(name) => {
                *self.cookies.get(name).expect("every cookie that a program names was given its number first")
            }
        }
    }

    /// What worlds know a file by.
    pub(super) fn file(&self, name: &Name) -> FileId {
        *self.files.get(name).expect("every file that a program names was given its number first")
    }

    /// What worlds know an instance of binderfs by.
    pub(super) fn instance(&self, name: &Name) -> InstanceId {
        *self.instances.get(name).expect("every instance that a program names was given its number first")
    }

    /// The name of a file.
    pub(super) fn file_named(&self, file: FileId) -> Option<&Name> {
        self.files.iter().find(|(_, known)| **known == file).map(|(name, _)| name)
    }

    /// The object of a process that these numbers stand for.
    pub(super) fn object_of(&self, process: usize, numbers: PointerCookie) -> Option<&Name> {
        let name = self.names.get(&(process, numbers.pointer))?;
        (self.object(name) == numbers).then_some(name)
    }

    /// The node that these numbers stand for in a process, as a script would write it.
    pub(super) fn node_named(&self, process: usize, numbers: PointerCookie) -> Node {
        if let Some(name) = self.object_of(process, numbers) {
            return Node::Object(name.clone());
        }
        let token = |number: u64, part: fn(PointerCookie) -> u64| {
            let known = self.objects.iter().find(|(_, numbers)| part(**numbers) == number);
            known.map_or(Token::Number(number), |(name, _)| Token::Symbol(name.clone()))
        };
        Node::Explicit {
            pointer: token(numbers.pointer, |numbers| numbers.pointer),
            cookie: token(numbers.cookie, |numbers| numbers.cookie),
        }
    }

    /// The cookie of a notification, as a script would write it.
    pub(super) fn cookie_named(&self, number: u64) -> Token {
        let known = self.cookies.iter().find(|(_, known)| **known == number);
        known.map_or(Token::Number(number), |(name, _)| Token::Symbol(name.clone()))
    }

    /// The process that a process id stands for, as a script would write it.
    pub(super) fn pid_named(&self, pid: i32) -> PidPattern {
        let known = self.processes.iter().find(|(_, known)| pid != 0 && *known == pid);
        known.map_or(PidPattern::Number(pid), |(name, _)| PidPattern::Process(name.clone()))
    }

    /// What a security module calls a process, as a script would write it. Where several are called so, the one that it
    /// is most likely about stands first among those given.
    pub(super) fn security_context_named(&self, context: &[u8], likely: &[&Name]) -> SecurityContextPattern {
        let is_of =
            |name: &Name| self.security_contexts.get(name).is_some_and(|known| is_called(known, context));
        let others = self.processes.iter().map(|(name, _)| name);
        match likely.iter().copied().chain(others).find(|name| is_of(name)) {
            Some(name) => SecurityContextPattern::Process(name.clone()),
            None => SecurityContextPattern::Text(String::from_utf8_lossy(context).into_owned()),
        }
    }

    /// Whether a security context, which came up to its first 0, is what a pattern asks for.
    pub(super) fn is_security_context(&self, pattern: &SecurityContextPattern, came: &[u8]) -> bool {
        match pattern {
            SecurityContextPattern::Process(name) => {
                self.security_contexts.get(name).is_some_and(|known| is_called(known, came))
            }
            SecurityContextPattern::Text(text) => text.as_bytes() == came,
        }
    }

    /// The process id that a pattern asks for.
    pub(super) fn pid(&self, pattern: &PidPattern) -> Result<i32, ScriptFault> {
        match pattern {
            PidPattern::Number(number) => Ok(*number),
            PidPattern::Process(name) => {
                let known = self.processes.iter().find(|(known, _)| known == name);
                known.map(|(_, pid)| *pid).ok_or_else(|| ScriptFault::UnknownProcess(name.clone()))
            }
        }
    }
}

/// Whether what came is what the security module calls a process. A module that does not count a final 0 gives none: then
/// nothing in memory says where the context ends.
fn is_called(known: &[u8], came: &[u8]) -> bool {
    match known.split_last() {
        Some((0, context)) => context == came,
        _ => came.starts_with(known),
    }
}

/// A walk through a program in the order in which it is read, that numbers each name where it first appears.
struct Appearance<'s> {
    symbols: &'s mut Symbols,
    /// The process whose step is being walked.
    process: usize,
}

impl Appearance<'_> {
    fn action(&mut self, action: &Action) {
        match action {
            Action::Write { commands, .. } => self.commands(commands),
            Action::Read { expected, .. } => self.read(expected),
            Action::WriteRead { commands, expected, .. } => {
                self.commands(commands);
                expected.iter().for_each(|expected| self.read(expected));
            }
            Action::Call { call: Call::Ioctl(Ioctl::SetContextMgrExt(Argument::Value(object))), .. } => {
                self.object(&object.object);
            }
            Action::Call { call: Call::Binderfs { instance, .. }, .. } => {
                let number = self.symbols.instances.len() as u32;
                self.symbols.instances.entry(instance.clone()).or_insert(InstanceId(number));
            }
            Action::Call { call: Call::Memfd(file) | Call::Dup(file), .. } => self.file(file),
            Action::Call { call: Call::Pipe { reading, writing }, .. } => {
                self.file(reading);
                self.file(writing);
            }
            Action::Call { call, expected } => {
                if let Call::Ioctl(Ioctl::GetNodeDebugInfo(Argument::Value(Token::Symbol(object)))) = call {
                    self.object(object);
                }
                self.told(expected);
            }
        }
    }

    fn commands(&mut self, commands: &[Command]) {
        for command in commands {
            match command {
                Command::Transaction { transaction, .. }
                | Command::TransactionSg { transaction, .. }
                | Command::Reply(transaction)
                | Command::ReplySg { transaction, .. } => self.payload(&transaction.data),
                Command::IncrefsDone(node) | Command::AcquireDone(node) => self.node(node),
                Command::RequestDeathNotification(_, cookie)
                | Command::ClearDeathNotification(_, cookie)
                | Command::RequestFreezeNotification(_, cookie)
                | Command::ClearFreezeNotification(_, cookie)
                | Command::DeadBinderDone(cookie)
                | Command::FreezeNotificationDone(cookie) => self.cookie(cookie),
                Command::AcquireResult(_)
                | Command::FreeBuffer(_)
                | Command::Increfs(_)
                | Command::Acquire(_)
                | Command::Release(_)
                | Command::Decrefs(_)
                | Command::AttemptAcquire(_)
                | Command::RegisterLooper
                | Command::EnterLooper
                | Command::ExitLooper
                | Command::Bytes(_) => {}
            }
        }
    }

    fn read(&mut self, expected: &ReadExpectation) {
        match expected {
            ReadExpectation::Parked | ReadExpectation::Failed { .. } => {}
            ReadExpectation::AnyOf(choices) => choices.iter().for_each(|choice| self.read(choice)),
            ReadExpectation::Returns(items) => {
                for item in items {
                    match item {
                        ReturnItem::One(pattern) => self.pattern(pattern),
                        ReturnItem::InAnyOrder(patterns) => patterns.iter().for_each(|p| self.pattern(p)),
                        ReturnItem::AnyOf(lists) => lists.iter().flatten().for_each(|p| self.pattern(p)),
                    }
                }
            }
        }
    }

    fn pattern(&mut self, pattern: &ReturnPattern) {
        match pattern {
            ReturnPattern::Transaction(transaction)
            | ReturnPattern::TransactionSecCtx { transaction, .. }
            | ReturnPattern::Reply(transaction) => {
                transaction.target.iter().for_each(|node| self.node(node));
                self.payload(&transaction.data);
            }
            ReturnPattern::Increfs(node)
            | ReturnPattern::Acquire(node)
            | ReturnPattern::Release(node)
            | ReturnPattern::Decrefs(node) => self.node(node),
            ReturnPattern::DeadBinder(cookie)
            | ReturnPattern::ClearDeathNotificationDone(cookie)
            | ReturnPattern::FrozenBinder { cookie, .. }
            | ReturnPattern::ClearFreezeNotificationDone(cookie) => self.cookie(cookie),
            ReturnPattern::Error(_)
            | ReturnPattern::Ok
            | ReturnPattern::AcquireResult(_)
            | ReturnPattern::DeadReply
            | ReturnPattern::TransactionComplete
            | ReturnPattern::Noop
            | ReturnPattern::SpawnLooper
            | ReturnPattern::Finished
            | ReturnPattern::FailedReply
            | ReturnPattern::FrozenReply
            | ReturnPattern::OnewaySpamSuspect
            | ReturnPattern::TransactionPendingFrozen => {}
        }
    }

    fn told(&mut self, expected: &CallExpectation) {
        match expected {
            CallExpectation::Tells(Told::NodeDebugInfo { node, .. }) => self.node(node),
            CallExpectation::AnyOf(choices) => choices.iter().for_each(|choice| self.told(choice)),
            _ => {}
        }
    }

    fn payload<H>(&mut self, items: &[DataItem<H>]) {
        for item in items {
            match item.without_place() {
                DataItem::Object(Object::Binder { object, .. }) => self.object(object),
                DataItem::Object(Object::Fd { descriptor, .. }) | DataItem::Descriptor(descriptor) => {
                    self.descriptor(descriptor);
                }
                DataItem::Object(Object::Buffer(buffer)) => self.payload(&buffer.content),
                _ => {}
            }
        }
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Object(name) => self.object(name),
            Node::Explicit { pointer, cookie } => {
                for token in [pointer, cookie] {
                    if let Token::Symbol(name) = token {
                        self.object(name);
                    }
                }
            }
        }
    }

    fn object(&mut self, name: &Name) {
        if self.symbols.objects.contains_key(name) {
            return;
        }
        let earlier = &mut self.symbols.object_counts[self.process];
        let place = self.process as u64 * PROCESS_STRIDE + *earlier * STRIDE;
        *earlier += 1;
        let numbers = PointerCookie { pointer: POINTERS + place, cookie: OBJECT_COOKIES + place };
        self.symbols.objects.insert(name.clone(), numbers);
        self.symbols.names.insert((self.process, numbers.pointer), name.clone());
    }

    fn descriptor(&mut self, descriptor: &Descriptor) {
        if let Descriptor::File(name) = descriptor {
            self.file(name);
        }
    }

    fn file(&mut self, name: &Name) {
        let number = self.symbols.files.len() as u32 + 1;
        self.symbols.files.entry(name.clone()).or_insert(FileId(number));
    }

    fn cookie(&mut self, token: &Token) {
        if let Token::Symbol(name) = token {
            let number = COOKIES + self.symbols.cookies.len() as u64 * STRIDE;
            self.symbols.cookies.entry(name.clone()).or_insert(number);
        }
    }
}
