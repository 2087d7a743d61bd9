//! Conversations: programs whose every step is chosen by what there is at that point, so that calls are answered, objects
//! passed on, buffers freed and requests acknowledged, mostly; and sometimes not.

use reference_driver::uapi::{
    FLAT_BINDER_FLAG_ACCEPTS_FDS, FLAT_BINDER_FLAG_TXN_SECURITY_CTX, TF_ACCEPT_FDS, TF_ONE_WAY, TF_UPDATE_TXN,
};

use smallvec::SmallVec;

use super::Emphasis;
use super::choices::Choices;
use super::payloads;
use super::settle::{Author, Settler};
use super::situation::{Frame, Notification};
use crate::program::*;
use crate::target::ThreadIndex;

/// The context manager's object, where it says so by BINDER_SET_CONTEXT_MGR_EXT.
const ROOT: &str = "root";

/// Writes a whole conversation.
pub(super) struct Conversation {
    pub(super) emphasis: Emphasis,
    pub(super) habits: Habits,
    pub(super) length: usize,
}

/// What is the same throughout a program, and different in another one.
pub(super) struct Habits {
    /// Whether the manager has yet to say that it takes descriptors.
    takes_descriptors: bool,
    /// A size that payloads often have, in bytes: a few of them fill the manager's mapping.
    bulk: Option<u64>,
}

/// Who takes part in a new program, and how.
pub(super) fn cast(choices: &mut Choices<'_, '_>) -> (Program, Habits) {
    let mut program = Program { opening: vec!["A generated program.".to_owned()], ..Program::default() };
    let takes_descriptors = choices.one_in(3);
    // A small mapping is filled for less.
    let filled = choices.one_in(4).then(|| choices.of([4096, 16 * 1024]));
    let bulk = filled
        .map(|size| size / 16 * (1 + choices.below(8) as u64) + choices.of([0, 8]) - choices.of([0, 8]));
    let processes = 2 + choices.below(3);
    let mut declare = |declaration| {
        program.declarations.push(Noted { before: Vec::new(), value: declaration, after: None });
    };
    for index in 0..processes {
        let word = if index == 0 { "manager".to_owned() } else { format!("app{index}") };
        let name = name(&word);
        let size = match (filled, choices.below(16)) {
            (Some(size), _) if index == 0 => size,
            (_, 0) => 4096,
            (_, 1) => 16 * 1024,
            (_, 2) => 1 << 20,
            _ => DeviceSetUp::DEFAULT_MAPPING,
        };
        let device =
            if index > 0 && choices.one_in(24) { DeviceSetUp::Opened } else { DeviceSetUp::Mapped(size) };
        declare(Declaration::Process(Process {
            name: name.clone(),
            context: Context::Binder,
            context_manager: index == 0 && !takes_descriptors,
            uid: (index > 0 && choices.one_in(4)).then_some(10_000 + index as u32),
            nonblock: choices.one_in(12),
            device,
        }));
        let more_threads = if index == 0 { choices.of([0, 1, 1]) } else { choices.of([1, 1, 0, 2]) };
        for thread in 0..more_threads {
            let thread = self::name(&format!("{word}-{}", thread + 2));
            declare(Declaration::Thread { name: thread, process: name.clone() });
        }
    }
    (program, Habits { takes_descriptors, bulk })
}

/// A name that is a word of letters, digits and hyphens.
fn name(word: &str) -> Name {
    Name::new(word).expect("letters, digits and hyphens within are a name")
}

impl Author for Conversation {
    fn write(&mut self, settler: &mut Settler<'_, '_, '_>) {
        let manager = ThreadIndex { process: 0, thread: 0 };
        settler.bulk = self.habits.bulk;
        if self.habits.takes_descriptors {
            let wanted = if settler.choices.one_in(2) { FLAT_BINDER_FLAG_TXN_SECURITY_CTX } else { 0 };
            let flags = FLAT_BINDER_FLAG_ACCEPTS_FDS | wanted;
            let object = ContextManagerObject { object: name(ROOT), flags };
            settler.propose(manager, ioctl(Ioctl::SetContextMgrExt(Argument::Value(object))));
        }
        for process in 0..settler.situation.processes.len() {
            let first = ThreadIndex { process, thread: 0 };
            if process > 0 && self.habits.bulk.is_some() && settler.choices.one_in(2) {
                settler.propose(first, ioctl(Ioctl::EnableOnewaySpamDetection(Argument::Value(1))));
            }
            let can_wait = process == 0 || settler.situation.processes[process].threads.len() > 1;
            if can_wait && !settler.choices.one_in(4) {
                settler.propose(first, enter());
                // In C the first read of a thread returns with nothing.
                settler.propose(first, read());
            }
        }
        let mut attempts = 0;
        while settler.steps() < self.length && attempts < 3 * self.length && !settler.choices.is_empty() {
            attempts += 1;
            invent(settler, self.emphasis);
        }
        end(settler);
    }
}

/// Has every thread read what there is for it, so that nothing is left untold.
pub(super) fn end(settler: &mut Settler<'_, '_, '_>) {
    for _ in 0..8 {
        let mut has_read = false;
        for thread in settler.idle_threads() {
            let process = &settler.situation.processes[thread.process];
            let is_in_use = process.is_open && !process.is_nonblock;
            let is_known = settler.situation.thread(thread).has_acted;
            has_read |= is_in_use && is_known && settler.propose(thread, read());
        }
        if !has_read {
            return;
        }
    }
}

/// What a thread can be up to.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Enter,
    Read,
    Call,
    Send,
    Reply,
    Count,
    Notify,
    Free,
    Strange,
    Look,
    Lifecycle,
    Freeze,
    File,
    Limit,
}

/// Invents a step, or a few that belong together.
pub(super) fn invent(settler: &mut Settler<'_, '_, '_>, emphasis: Emphasis) {
    settler.hear();
    let emphasis = match emphasis {
        Emphasis::Mix => settler.choices.of([
            Emphasis::CommandStreams,
            Emphasis::ReferenceCounts,
            Emphasis::MalformedTransactions,
        ]),
        one => one,
    };
    let idle = settler.idle_threads();
    let weights: SmallVec<[u32; 8]> = idle.iter().map(|thread| urgency(settler, *thread)).collect();
    let chosen = settler.choices.weighted(weights.iter().copied());
    let Some(thread) = chosen.map(|chosen| idle[chosen]) else { return };
    let mut scene = Scene { settler, thread, emphasis, commands: Vec::new() };
    scene.play();
}

/// How likely a thread is to be the next. Whoever is in the middle of something goes on with it, mostly: else nothing
/// would come to its end.
fn urgency(settler: &Settler<'_, '_, '_>, thread: ThreadIndex) -> u32 {
    let state = settler.situation.thread(thread);
    let may_read = settler.may_read(thread);
    match state.stack.last() {
        _ if state.must_read && may_read => 30,
        Some(_) => 20,
        None if can_call(settler, thread) => 6,
        None if may_read => 6,
        None => 1,
    }
}

/// Whether a thread knows somebody whom it can call.
fn can_call(settler: &Settler<'_, '_, '_>, thread: ThreadIndex) -> bool {
    let process = &settler.situation.processes[thread.process];
    process.is_open && (thread.process != 0 || process.handles.iter().any(|known| known.strong > 0))
}

/// A thread that is about to do something.
struct Scene<'s, 'r, 'c, 'u> {
    settler: &'s mut Settler<'r, 'c, 'u>,
    thread: ThreadIndex,
    emphasis: Emphasis,
    commands: Vec<Command>,
}

impl Scene<'_, '_, '_, '_> {
    fn play(&mut self) {
        let process = &self.settler.situation.processes[self.thread.process];
        let state = &process.threads[self.thread.thread];
        let (top, is_looper) = (state.stack.last().copied(), state.is_looper);
        let may_read = self.settler.may_read(self.thread);
        let must_read = may_read && state.must_read;
        let can_call = can_call(self.settler, self.thread);
        let serves = top.is_none() && (self.thread.process == 0 || !process.objects.is_empty());
        let has = |count: usize| u32::from(count > 0);
        let counts = match self.emphasis {
            Emphasis::ReferenceCounts => 3,
            _ => 1,
        };
        let is_open = process.is_open;
        let reading = match top {
            _ if must_read => 10_000,
            _ if !may_read => 0,
            Some(Frame::Awaiting) => 300,
            _ if serves => 100,
            _ => 16,
        };
        let calling = match top {
            Some(Frame::Awaiting) => 3,
            _ if !can_call => 1,
            _ => 80,
        };
        let owed = u32::from(process.objects.iter().any(|object| object.owes_increfs || object.owes_acquire));
        let others = || {
            let processes = self.settler.situation.processes.iter().enumerate();
            processes.filter(|(place, _)| *place != self.thread.process).map(|(_, process)| process)
        };
        let is_mourned = self.thread.process != 0 && others().any(|process| !process.deaths.is_empty());
        let is_watched = others().any(|process| !process.freezes.is_empty());
        let told = process.deaths.iter().chain(&process.freezes).any(|notification| notification.is_told);
        let notifications = process.handles.len() + process.deaths.len() + process.freezes.len();
        let weights = [
            (Deed::Enter, if is_looper || !is_open { 0 } else { 30 }),
            (Deed::Read, reading),
            (Deed::Call, calling),
            (Deed::Send, if can_call { 32 } else { 1 }),
            (Deed::Reply, if top == Some(Frame::Serving) { 200 } else { 0 }),
            (Deed::Count, counts * (10 * has(process.handles.len() + process.objects.len()) + 30 * owed)),
            (Deed::Notify, 12 * has(notifications) + if told { 60 } else { 0 }),
            (Deed::Free, counts * 30 * has(process.buffers.len())),
            (Deed::Strange, if matches!(self.emphasis, Emphasis::CommandStreams) { 12 } else { 1 }),
            (Deed::Look, 6),
            (
                Deed::Lifecycle,
                match is_open && process.is_mapped {
                    true if is_mourned => 16,
                    true => 3,
                    false => 20,
                },
            ),
            (Deed::Freeze, if is_watched { 30 } else { 3 }),
            (Deed::File, 4),
            (Deed::Limit, 3),
        ];
        let chosen = self.settler.choices.weighted(weights.iter().map(|(_, weight)| *weight));
        let Some(chosen) = chosen else { return };
        match weights[chosen].0 {
            Deed::Enter => {
                let command = if self.settler.choices.one_in(12) {
                    Command::RegisterLooper
                } else {
                    Command::EnterLooper
                };
                self.commands.push(command);
            }
            Deed::Read => {
                let options = self.read_options();
                let expected = ReadExpectation::Parked;
                self.settler.propose(self.thread, Action::Read { options, expected });
                return;
            }
            Deed::Call => self.transaction(0),
            Deed::Send => self.transaction(TF_ONE_WAY),
            Deed::Reply => {
                self.housekeeping();
                self.reply();
            }
            Deed::Count => self.count(),
            Deed::Notify => self.notify(),
            Deed::Free => self.free(),
            Deed::Strange => self.strange(),
            Deed::Look => return self.look(),
            Deed::Lifecycle => return self.lifecycle(),
            Deed::Freeze => return self.freeze(),
            Deed::File => return self.file(),
            Deed::Limit => return self.limit(),
        }
        while self.commands.len() < 8 && self.settler.choices.one_in(3) {
            match self.settler.choices.below(4) {
                0 => self.count(),
                1 => self.notify(),
                2 => self.free(),
                _ if can_call => self.transaction(TF_ONE_WAY),
                _ => {}
            }
        }
        self.write();
    }

    /// Hands the commands in, and reads perhaps.
    fn write(&mut self) {
        let commands = std::mem::take(&mut self.commands);
        let damaged = matches!(self.emphasis, Emphasis::CommandStreams) && self.settler.choices.one_in(16);
        let mut options = WriteReadOptions::default();
        if damaged {
            match self.settler.choices.below(4) {
                0 => options.write_size = Some(self.settler.choices.below(80) as u64),
                1 => options.write_consumed = Some(self.settler.choices.below(24) as u64 * 4),
                2 => options.write_buffer_unmapped = true,
                _ => options.write_consumed = Some(self.settler.choices.below(80) as u64),
            }
        }
        let calls = commands.iter().any(Command::awaits_reply);
        let reads = !self.settler.choices.one_in(if calls { 8 } else { 3 });
        self.settler.hear();
        let written = WriteExpectation::default();
        let action = match reads && self.settler.may_read(self.thread) {
            true => Action::WriteRead { options, commands, written, expected: Some(ReadExpectation::Parked) },
            false => Action::Write { options, commands, written },
        };
        self.settler.propose(self.thread, action);
    }

    fn read_options(&mut self) -> WriteReadOptions {
        let mut options = WriteReadOptions::default();
        let is_strange = self.settler.choices.one_in(24);
        if is_strange {
            match self.settler.choices.below(4) {
                0 => options.read_size = Some(4 + self.settler.choices.below(40) as u64 * 4),
                1 => options.read_consumed = Some(self.settler.choices.below(20) as u64 * 4),
                2 => options.read_buffer_unmapped = true,
                _ => options.read_size = Some(self.settler.choices.below(256) as u64),
            }
        }
        options
    }

    /// A handle that can be called, mostly.
    fn handle(&mut self) -> Handle {
        let Scene { settler, thread, .. } = self;
        if settler.choices.one_in(24) {
            return Handle::Number(settler.choices.below(5) as u32);
        }
        let process = &settler.situation.processes[thread.process];
        let live: SmallVec<[&Name; 16]> =
            process.handles.iter().filter(|known| known.strong > 0).map(|known| &known.name).collect();
        let any: SmallVec<[&Name; 16]> = process.handles.iter().map(|known| &known.name).collect();
        let zero = thread.process != 0 && settler.choices.one_in(3);
        let among = if settler.choices.one_in(12) { &any } else { &live };
        match settler.choices.pick(among) {
            Some(name) if !zero => Handle::Symbol((*name).clone()),
            _ => Handle::Number(0),
        }
    }

    fn transaction(&mut self, flags: u32) {
        let target = self.handle();
        let damage = self.damage();
        let (mut transaction, is_scattered) = self.payload(damage);
        transaction.flags |= flags;
        if flags & TF_ONE_WAY != 0 && self.settler.choices.one_in(6) {
            transaction.flags |= TF_UPDATE_TXN;
        }
        let buffers_size = if damage && is_scattered { self.wrong_room() } else { None };
        self.commands.push(if is_scattered || self.settler.choices.one_in(24) {
            Command::TransactionSg { target, transaction, buffers_size }
        } else {
            Command::Transaction { target, transaction }
        });
    }

    fn reply(&mut self) {
        let damage = self.damage();
        let (transaction, is_scattered) = self.payload(damage);
        let buffers_size = if damage && is_scattered { self.wrong_room() } else { None };
        self.commands.push(match is_scattered {
            true => Command::ReplySg { transaction, buffers_size },
            false => Command::Reply(transaction),
        });
    }

    /// A room for buffers that is not what they take, perhaps: as a rule it is too small by a little.
    fn wrong_room(&mut self) -> Option<u64> {
        match self.settler.choices.below(8) {
            0..4 => None,
            4..7 => Some(self.settler.choices.below(6) as u64 * 8),
            _ => Some(self.settler.choices.number() & 0xffff),
        }
    }

    fn damage(&mut self) -> bool {
        match self.emphasis {
            Emphasis::MalformedTransactions => self.settler.choices.one_in(3),
            _ => self.settler.choices.one_in(32),
        }
    }

    fn payload(&mut self, damage: bool) -> (Transaction, bool) {
        let new = [self.settler.new_name("o"), self.settler.new_name("o")];
        let process = &self.settler.situation.processes[self.thread.process];
        let made =
            payloads::transaction(&mut self.settler.choices, process, self.thread.process == 0, new, damage);
        let (mut transaction, is_scattered) = made;
        if let Some(size) = self.settler.bulk
            && self.settler.choices.one_in(2)
        {
            transaction.data.push(DataItem::Zero(size));
        }
        transaction.code = self.settler.steps() as u32 * 8 + self.commands.len() as u32 + 1;
        if !self.settler.choices.one_in(3) {
            transaction.flags |= TF_ACCEPT_FDS;
        }
        (transaction, is_scattered)
    }

    /// Answers what the driver has asked for, and frees what is not needed any more.
    fn housekeeping(&mut self) {
        let Scene { settler, thread, commands, .. } = self;
        let process = &settler.situation.processes[thread.process];
        for object in &process.objects {
            if object.owes_increfs && !settler.choices.one_in(8) {
                commands.push(Command::IncrefsDone(Node::Object(object.name.clone())));
            }
            if object.owes_acquire && !settler.choices.one_in(8) {
                commands.push(Command::AcquireDone(Node::Object(object.name.clone())));
            }
        }
        for notification in process.deaths.iter().filter(|known| known.is_told) {
            commands.push(Command::DeadBinderDone(notification.cookie.clone()));
        }
        for notification in process.freezes.iter().filter(|known| known.is_told) {
            commands.push(Command::FreezeNotificationDone(notification.cookie.clone()));
        }
        if let Some(buffer) = process.buffers.last() {
            for (handle, _) in &buffer.handles {
                if settler.choices.one_in(2) {
                    commands.push(Command::Acquire(Handle::Symbol(handle.clone())));
                }
            }
            if !settler.choices.one_in(4) {
                commands
                    .push(Command::FreeBuffer(Address::Buffer { buffer: buffer.name.clone(), offset: 0 }));
            }
        }
    }

    fn free(&mut self) {
        let Scene { settler, thread, commands, .. } = self;
        let process = &settler.situation.processes[thread.process];
        if let Some(buffer) = settler.choices.pick(&process.buffers) {
            let offset = if settler.choices.one_in(24) { 8 } else { 0 };
            commands.push(Command::FreeBuffer(Address::Buffer { buffer: buffer.name.clone(), offset }));
        }
    }

    fn count(&mut self) {
        let owed = self.owed();
        let Scene { settler, thread, commands, .. } = self;
        if let Some(command) = settler.choices.pick(&owed)
            && !settler.choices.one_in(4)
        {
            commands.push(command.clone());
            return;
        }
        let process = &settler.situation.processes[thread.process];
        let handle = match settler.choices.pick(&process.handles) {
            Some(known) if !settler.choices.one_in(12) => Handle::Symbol(known.name.clone()),
            _ => Handle::Number(settler.choices.below(4) as u32),
        };
        commands.push(match settler.choices.below(9) {
            0 | 1 => Command::Acquire(handle),
            2 | 3 => Command::Release(handle),
            4 => Command::Increfs(handle),
            5 => Command::Decrefs(handle),
            6 => match settler.choices.pick(&process.objects) {
                Some(object) => Command::AcquireDone(Node::Object(object.name.clone())),
                None => Command::Acquire(handle),
            },
            7 => match settler.choices.pick(&process.objects) {
                Some(object) => Command::IncrefsDone(Node::Object(object.name.clone())),
                None => Command::Increfs(handle),
            },
            _ => Command::Release(handle),
        });
    }

    /// The answers that the driver waits for.
    fn owed(&self) -> Vec<Command> {
        let process = &self.settler.situation.processes[self.thread.process];
        let mut owed = Vec::new();
        for object in &process.objects {
            let node = || Node::Object(object.name.clone());
            if object.owes_increfs {
                owed.push(Command::IncrefsDone(node()));
            }
            if object.owes_acquire {
                owed.push(Command::AcquireDone(node()));
            }
        }
        owed
    }

    fn notify(&mut self) {
        let new = Token::Symbol(self.settler.new_name("c"));
        let Scene { settler, thread, commands, .. } = self;
        let process = &settler.situation.processes[thread.process];
        let of_death = settler.choices.one_in(2);
        let known = if of_death { &process.deaths } else { &process.freezes };
        let told: Vec<&Notification> = known.iter().filter(|known| known.is_told).collect();
        if let Some(told) = settler.choices.pick(&told)
            && !settler.choices.one_in(4)
        {
            let cookie = told.cookie.clone();
            commands.push(match of_death {
                true => Command::DeadBinderDone(cookie),
                false => Command::FreezeNotificationDone(cookie),
            });
            return;
        }
        if process.handles.is_empty() && !settler.choices.one_in(12) {
            return;
        }
        let clear = settler.choices.one_in(3);
        let again = settler.choices.one_in(12);
        let handle = match settler.choices.pick(&process.handles) {
            Some(known) if !settler.choices.one_in(12) => Handle::Symbol(known.name.clone()),
            _ => Handle::Number(settler.choices.below(3) as u32),
        };
        commands.push(match settler.choices.pick(known) {
            Some(known) if clear => {
                let handle = if again { handle } else { known.handle.clone() };
                match of_death {
                    true => Command::ClearDeathNotification(handle, known.cookie.clone()),
                    false => Command::ClearFreezeNotification(handle, known.cookie.clone()),
                }
            }
            known => {
                let cookie = known.filter(|_| again).map_or(new, |known| known.cookie.clone());
                match of_death {
                    true => Command::RequestDeathNotification(handle, cookie),
                    false => Command::RequestFreezeNotification(handle, cookie),
                }
            }
        });
    }

    fn strange(&mut self) {
        let choices = &mut self.settler.choices;
        let handle = Handle::Number(choices.below(3) as u32);
        let number = choices.number();
        let command = match choices.below(12) {
            0 => Command::Bytes(choices.bytes(16)),
            1 => Command::AttemptAcquire(handle),
            2 => Command::AcquireResult(number as i32),
            3 => Command::ExitLooper,
            4 => Command::EnterLooper,
            5 => Command::RegisterLooper,
            6 => Command::DeadBinderDone(Token::Number(number)),
            7 => Command::FreezeNotificationDone(Token::Number(number)),
            8 => Command::ClearDeathNotification(handle, Token::Number(number)),
            9 => Command::FreeBuffer(Address::Unmapped),
            10 => Command::IncrefsDone(Node::Explicit {
                pointer: Token::Number(number),
                cookie: Token::Number(0),
            }),
            _ => Command::Reply(Transaction::default()),
        };
        self.commands.push(command);
    }

    /// Things that change nothing, and ought to.
    fn look(&mut self) {
        let handle = self.handle();
        let Scene { settler, thread, .. } = self;
        let process = &settler.situation.processes[thread.process];
        let object = settler.choices.pick(&process.objects).map(|object| object.name.clone());
        let pid = any_process(settler);
        let request = NodeInfoRequest {
            handle,
            strong_count: 0,
            weak_count: 0,
            reserved1: 0,
            reserved2: 0,
            reserved3: 0,
        };
        let watches = settler.situation.processes[thread.process].watches;
        let call = match settler.choices.below(8) {
            0 => Call::Poll { timeout_ms: 0 },
            1 if watches => Call::EpollWait { timeout_ms: 0 },
            1 => Call::Epoll,
            2 => Call::Ioctl(Ioctl::GetExtendedError(Argument::Value(()))),
            3 => Call::Ioctl(Ioctl::GetNodeDebugInfo(Argument::Value(
                object.map_or(Token::Number(0), Token::Symbol),
            ))),
            4 if settler.choices.one_in(2) => Call::Ioctl(Ioctl::GetNodeInfoForRef(Argument::Value(request))),
            5 => Call::Ioctl(Ioctl::GetFrozenInfo(Argument::Value(pid))),
            6 => Call::Ioctl(Ioctl::Version(Argument::Value(()))),
            _ => Call::Poll { timeout_ms: 0 },
        };
        settler.propose(*thread, ioctl_or_call(call));
    }

    fn lifecycle(&mut self) {
        let Scene { settler, thread, .. } = self;
        let process = &settler.situation.processes[thread.process];
        let (is_open, is_mapped, pages) = (process.is_open, process.is_mapped, process.pages);
        let is_mourned = thread.process != 0
            && settler.situation.processes.iter().any(|process| !process.deaths.is_empty());
        let call = match settler.choices.below(10) {
            _ if is_mourned && settler.choices.one_in(2) => Call::Exit,
            0 if settler.choices.one_in(2) => Call::Exit,
            1 => Call::Ioctl(Ioctl::ThreadExit),
            2 => Call::Flush,
            3 if settler.choices.one_in(2) => Call::Close,
            4 if settler.choices.one_in(2) => Call::Munmap(None),
            5 if thread.process != 0 => Call::Exit,
            6 => Call::Ioctl(Ioctl::SetContextMgr),
            7 => {
                let threads = settler.parked_threads();
                match settler.choices.pick(&threads) {
                    Some(name) => Call::Signal(name.clone()),
                    None => Call::Flush,
                }
            }
            _ if !is_open => Call::Open { context: Context::Binder, nonblock: false },
            _ if !is_mapped => Call::Mmap {
                size: 64 * 1024,
                write: false,
                shared: settler.choices.one_in(4),
                at: if settler.choices.one_in(2) { Place::new(PLACES.start) } else { None },
            },
            8 | 9 if let Some(pages) = pages => change_mapping(pages, settler),
            _ => Call::Ioctl(Ioctl::ThreadExit),
        };
        settler.propose(*thread, ioctl_or_call(call));
    }

    fn freeze(&mut self) {
        let Scene { settler, thread, .. } = self;
        let pid = any_process(settler);
        let enable = u32::from(settler.choices.one_in(2));
        let request = FreezeRequest { pid, enable, timeout_ms: 0 };
        settler.propose(*thread, ioctl(Ioctl::Freeze(Argument::Value(request))));
    }

    fn file(&mut self) {
        let Scene { settler, thread, .. } = self;
        let names = [settler.new_name("f"), settler.new_name("f")];
        let process = &settler.situation.processes[thread.process];
        let known = settler.choices.pick(&process.files).cloned();
        let [first, second] = names;
        let call = match (settler.choices.below(5), known) {
            (0, Some(file)) => Call::CloseDescriptor(file),
            (1, Some(file)) => Call::PollDescriptor(file),
            (2, _) => Call::Pipe { reading: first, writing: second },
            _ => Call::Memfd(first),
        };
        settler.propose(*thread, ioctl_or_call(call));
    }

    fn limit(&mut self) {
        let Scene { settler, thread, .. } = self;
        let ioctl_chosen = match settler.choices.below(4) {
            0 => Ioctl::SetMaxThreads(Argument::Value(settler.choices.below(4) as u32)),
            1 | 2 => Ioctl::EnableOnewaySpamDetection(Argument::Value(1)),
            _ => Ioctl::SetMaxThreads(Argument::Unmapped),
        };
        settler.propose(*thread, ioctl(ioctl_chosen));
    }
}

/// Something that leaves of a mapping less than it was, or more again.
fn change_mapping(whole: Pages, settler: &mut Settler<'_, '_, '_>) -> Call {
    let count = (whole.size() / PAGE) as usize;
    let first = settler.choices.below(count);
    let size = (1 + settler.choices.below(count - first)) as u64 * PAGE;
    let place = Place::new(whole.place().address() + first as u64 * PAGE).unwrap_or(whole.place());
    let pages = Pages::new(place, size).unwrap_or(whole);
    match settler.choices.below(6) {
        0 => Call::Munmap(Some(pages)),
        1 => Call::Mmap { size, write: false, shared: false, at: Some(place) },
        2 => Call::Mprotect { pages, protection: Protection::Write },
        3 | 4 => Call::Mprotect { pages, protection: Protection::None },
        _ => Call::Mprotect { pages, protection: Protection::Read },
    }
}

/// Any process, the one that asks among them.
fn any_process(settler: &mut Settler<'_, '_, '_>) -> PidPattern {
    let place = settler.choices.below(settler.situation.processes.len());
    PidPattern::Process(settler.situation.processes[place].name.clone())
}

/// A thread that waits for whatever there is for its process.
fn enter() -> Action {
    Action::WriteRead {
        options: WriteReadOptions::default(),
        commands: vec![Command::EnterLooper],
        written: WriteExpectation::default(),
        expected: Some(ReadExpectation::Parked),
    }
}

fn read() -> Action {
    Action::Read { options: WriteReadOptions::default(), expected: ReadExpectation::Parked }
}

fn ioctl(ioctl: Ioctl) -> Action {
    ioctl_or_call(Call::Ioctl(ioctl))
}

fn ioctl_or_call(call: Call) -> Action {
    Action::Call { call, expected: CallExpectation::Succeeds }
}
