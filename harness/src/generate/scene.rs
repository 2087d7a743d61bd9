//! Scenes: what a thread does next, chosen by what there is for it: commands that answer what it has been told, pass on what
//! it has and free what it needs no more, mostly; and sometimes not.

mod calls;

use reference_driver::uapi::{TF_ACCEPT_FDS, TF_ONE_WAY, TF_UPDATE_TXN};
use smallvec::SmallVec;

use super::Emphasis;
use super::conversation::can_call;
use super::payloads;
use super::settle::Settler;
use super::situation::{Frame, Notification};
use crate::program::*;
use crate::target::ThreadIndex;

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

/// A thread that is about to do something.
pub(super) struct Scene<'s, 'r, 'c, 'u> {
    settler: &'s mut Settler<'r, 'c, 'u>,
    thread: ThreadIndex,
    emphasis: Emphasis,
    commands: Vec<Command>,
}

impl<'s, 'r, 'c, 'u> Scene<'s, 'r, 'c, 'u> {
    pub(super) fn of(
        settler: &'s mut Settler<'r, 'c, 'u>,
        thread: ThreadIndex,
        emphasis: Emphasis,
    ) -> Scene<'s, 'r, 'c, 'u> {
        Scene { settler, thread, emphasis, commands: Vec::new() }
    }

    /// Chooses what it does, and does it.
    pub(super) fn play(&mut self) {
        let can_call = can_call(self.settler, self.thread);
        let weights = self.inclinations(can_call);
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

    /// How likely it does what.
    fn inclinations(&self, can_call: bool) -> [(Deed, u32); 14] {
        let process = &self.settler.situation.processes[self.thread.process];
        let state = &process.threads[self.thread.thread];
        let (top, is_looper) = (state.stack.last().copied(), state.is_looper);
        let may_read = self.settler.may_read(self.thread);
        let must_read = may_read && state.must_read;
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
        [
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
        ]
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
}
