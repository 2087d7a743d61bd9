//! Mutating and crossing over: new programs out of others. Whatever is changed is settled again, so that what a change
//! has taken away is replaced, and what it has set off is expected.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::Emphasis;
use super::choices::Choices;
use super::conversation::invent;
use super::settle::{Author, Settler};
use crate::program::*;
use crate::target::ThreadIndex;

/// Something that is to be done.
#[derive(Debug, Clone)]
pub(super) enum Proposal {
    /// This.
    Given(Step),
    /// Whatever makes sense there.
    Invented,
}

/// An author whose steps are there already, or are yet to be invented.
pub(super) struct Proposals(pub(super) Vec<Proposal>);

impl Author for Proposals {
    fn write(&mut self, settler: &mut Settler<'_, '_, '_>) {
        // A thread that was chosen out of several is called by its own name from then on.
        let mut aliases: BTreeMap<Name, ThreadIndex> = BTreeMap::new();
        for proposal in std::mem::take(&mut self.0) {
            let Proposal::Given(step) = proposal else {
                invent(settler, Emphasis::Mix);
                continue;
            };
            let thread = match &step.actor {
                Actor::Thread(name) => aliases.get(name).copied().or_else(|| settler.thread(name)),
                Actor::AnyOf { candidates, alias } => {
                    let threads = candidates
                        .iter()
                        .filter_map(|name| aliases.get(name).copied().or_else(|| settler.thread(name)));
                    let chosen = threads.into_iter().find(|thread| settler.is_woken(*thread));
                    chosen.inspect(|thread| {
                        aliases.insert(alias.clone(), *thread);
                    })
                }
            };
            if let Some(thread) = thread {
                settler.propose(thread, step.action);
            }
        }
    }
}

/// The steps of a program. Races come apart.
pub(super) fn proposals(program: &Program) -> Vec<Proposal> {
    let steps = program.steps.iter().flat_map(|noted| noted.value.steps());
    steps.cloned().map(Proposal::Given).collect()
}

/// Changes a few things.
pub(super) fn change(proposals: &mut Vec<Proposal>, choices: &mut Choices<'_, '_>) {
    for _ in 0..1 + choices.below(4) {
        if proposals.is_empty() {
            proposals.push(Proposal::Invented);
            continue;
        }
        let at = choices.below(proposals.len());
        match choices.below(10) {
            0 => drop(proposals.remove(at)),
            1 => {
                let copy = proposals[at].clone();
                let to = choices.below(proposals.len() + 1);
                proposals.insert(to, copy);
            }
            2 => {
                let moved = proposals.remove(at);
                let to = choices.below(proposals.len() + 1);
                proposals.insert(to, moved);
            }
            3 => {
                let end = (at + 1 + choices.below(4)).min(proposals.len());
                proposals.drain(at..end);
            }
            4 | 5 => proposals.insert(at, Proposal::Invented),
            6 => proposals[at] = Proposal::Invented,
            _ => {
                if let Proposal::Given(step) = &mut proposals[at] {
                    change_action(&mut step.action, choices);
                }
            }
        }
    }
}

fn change_action(action: &mut Action, choices: &mut Choices<'_, '_>) {
    match action {
        Action::Write { options, commands, .. } => {
            if choices.one_in(8) {
                change_options(options, choices);
            } else {
                change_commands(commands, choices);
            }
            if choices.one_in(8) {
                *action = Action::WriteRead {
                    options: options.clone(),
                    commands: std::mem::take(commands),
                    written: WriteExpectation::default(),
                    expected: Some(ReadExpectation::Parked),
                };
            }
        }
        Action::WriteRead { options, commands, .. } => {
            if choices.one_in(8) {
                change_options(options, choices);
            } else {
                change_commands(commands, choices);
            }
        }
        Action::Read { options, .. } => change_options(options, choices),
        Action::Call { call, .. } => change_call(call, choices),
    }
}

fn change_options(options: &mut WriteReadOptions, choices: &mut Choices<'_, '_>) {
    match choices.below(6) {
        0 => options.write_size = Some(choices.below(160) as u64),
        1 => options.write_consumed = Some(choices.below(160) as u64),
        2 => options.write_buffer_unmapped = !options.write_buffer_unmapped,
        3 => options.read_size = Some(1 + choices.below(320) as u64),
        4 => options.read_consumed = Some(choices.below(160) as u64),
        _ => options.read_buffer_unmapped = !options.read_buffer_unmapped,
    }
}

fn change_commands(commands: &mut Vec<Command>, choices: &mut Choices<'_, '_>) {
    if commands.is_empty() {
        commands.push(Command::Bytes(vec![choices.byte()]));
        return;
    }
    let at = choices.below(commands.len());
    match choices.below(6) {
        0 => drop(commands.remove(at)),
        1 => {
            let copy = commands[at].clone();
            commands.push(copy);
        }
        2 => {
            let to = choices.below(commands.len());
            commands.swap(at, to);
        }
        _ => change_command(&mut commands[at], choices),
    }
}

/// A name that nothing has: it is replaced by one that there is when the program is settled.
fn nobody() -> Name {
    Name::new("nobody-s").expect("letters and a hyphen are a name")
}

fn change_command(command: &mut Command, choices: &mut Choices<'_, '_>) {
    match command {
        Command::Transaction { target, transaction } => match choices.below(4) {
            0 => change_handle(target, choices),
            1 => {
                *command = Command::TransactionSg {
                    target: target.clone(),
                    transaction: std::mem::take(transaction),
                    buffers_size: None,
                }
            }
            _ => change_transaction(transaction, choices),
        },
        Command::TransactionSg { target, transaction, buffers_size } => match choices.below(4) {
            0 => change_handle(target, choices),
            1 => *buffers_size = Some(choices.number()),
            _ => change_transaction(transaction, choices),
        },
        Command::Reply(transaction) => change_transaction(transaction, choices),
        Command::ReplySg { transaction, buffers_size } => match choices.below(4) {
            0 => *buffers_size = Some(choices.number()),
            _ => change_transaction(transaction, choices),
        },
        Command::AcquireResult(result) => *result = choices.number() as i32,
        Command::FreeBuffer(address) => {
            *address = match choices.below(3) {
                0 => Address::Unmapped,
                _ => Address::Buffer { buffer: nobody(), offset: 0 },
            }
        }
        Command::Increfs(handle) => {
            *command = counting(handle.clone(), choices);
        }
        Command::Acquire(handle) | Command::Release(handle) | Command::Decrefs(handle) => {
            if choices.one_in(2) {
                change_handle(handle, choices);
            } else {
                *command = counting(handle.clone(), choices);
            }
        }
        Command::IncrefsDone(node) => *command = Command::AcquireDone(node.clone()),
        Command::AcquireDone(node) => *command = Command::IncrefsDone(node.clone()),
        Command::AttemptAcquire(handle) => change_handle(handle, choices),
        Command::RequestDeathNotification(handle, cookie)
        | Command::ClearDeathNotification(handle, cookie)
        | Command::RequestFreezeNotification(handle, cookie)
        | Command::ClearFreezeNotification(handle, cookie) => {
            if choices.one_in(2) {
                change_handle(handle, choices);
            } else {
                change_cookie(cookie, choices);
            }
        }
        Command::DeadBinderDone(cookie) | Command::FreezeNotificationDone(cookie) => {
            change_cookie(cookie, choices);
        }
        Command::RegisterLooper => *command = Command::EnterLooper,
        Command::EnterLooper => *command = Command::ExitLooper,
        Command::ExitLooper => *command = Command::RegisterLooper,
        Command::Bytes(bytes) => {
            if bytes.is_empty() || choices.one_in(3) {
                bytes.push(choices.byte());
            } else {
                let at = choices.below(bytes.len());
                bytes[at] = choices.byte();
            }
        }
    }
}

fn counting(handle: Handle, choices: &mut Choices<'_, '_>) -> Command {
    match choices.below(4) {
        0 => Command::Increfs(handle),
        1 => Command::Acquire(handle),
        2 => Command::Release(handle),
        _ => Command::Decrefs(handle),
    }
}

fn change_handle(handle: &mut Handle, choices: &mut Choices<'_, '_>) {
    *handle = match choices.below(3) {
        0 => Handle::Number(choices.below(4) as u32),
        _ => Handle::Symbol(nobody()),
    };
}

fn change_cookie(cookie: &mut Token, choices: &mut Choices<'_, '_>) {
    *cookie = match choices.below(4) {
        0 => Token::Number(choices.number()),
        _ => Token::Symbol(nobody()),
    };
}

fn change_transaction(transaction: &mut Transaction, choices: &mut Choices<'_, '_>) {
    let number = choices.number();
    match choices.below(16) {
        0 => transaction.flags ^= 1 << choices.below(8),
        1 => transaction.code = number as u32,
        2 => transaction.data_size = Some(number),
        3 => transaction.offsets_size = Some(number),
        4 => transaction.buffer = Some(Address::Unmapped),
        5 => transaction.offsets_buffer = Some(Address::Unmapped),
        6 => transaction.offsets = Some((0..choices.below(4)).map(|_| choices.number()).collect()),
        7 => {
            transaction.offsets = None;
            transaction.data_size = None;
            transaction.offsets_size = None;
        }
        8 => transaction.data.push(DataItem::Object(Object::Binder {
            weak: choices.one_in(3),
            object: nobody(),
            flags: None,
        })),
        9 => transaction.data.push(DataItem::Object(Object::Handle {
            weak: choices.one_in(3),
            handle: Handle::Symbol(nobody()),
            flags: None,
        })),
        _ if transaction.data.is_empty() => transaction.data.push(DataItem::U32(number as u32)),
        10 => {
            let at = choices.below(transaction.data.len());
            transaction.data.remove(at);
        }
        11 => {
            let at = choices.below(transaction.data.len());
            let copy = transaction.data[at].clone();
            transaction.data.push(copy);
        }
        _ => {
            let at = choices.below(transaction.data.len());
            change_item(&mut transaction.data[at], choices);
        }
    }
}

fn change_item(item: &mut DataItem<Handle>, choices: &mut Choices<'_, '_>) {
    let number = choices.number();
    match item {
        DataItem::U32(value) => *value = number as u32,
        DataItem::I32(value) => *value = number as i32,
        DataItem::U64(value) => *value = number,
        DataItem::I64(value) => *value = number as i64,
        DataItem::Str16(text) => text.push('x'),
        DataItem::Bytes(bytes) => bytes.push(number as u8),
        DataItem::Zero(length) => *length = 1 + number % 0x4000,
        DataItem::At(place, inner) => match choices.one_in(2) {
            true => *place = number & 0xfff,
            false => change_item(inner, choices),
        },
        DataItem::Descriptor(descriptor) => *descriptor = Descriptor::File(nobody()),
        DataItem::Pointer(index) => *index = number as u32 & 3,
        DataItem::Object(object) => change_object(object, choices, number),
    }
}

fn change_object(object: &mut Object<Handle>, choices: &mut Choices<'_, '_>, number: u64) {
    match object {
        Object::Binder { weak, object, flags } => match choices.below(3) {
            0 => *weak = !*weak,
            1 => *object = nobody(),
            _ => *flags = Some(number as u32 & 0x1ff),
        },
        Object::Handle { weak, handle, .. } => match choices.below(3) {
            0 => *weak = !*weak,
            _ => change_handle(handle, choices),
        },
        Object::Explicit { object_type, binder, cookie, .. } => match choices.below(3) {
            0 => *object_type = number as u32,
            1 => *binder = number,
            _ => *cookie = number,
        },
        Object::Fd { descriptor, cookie, .. } => match choices.below(2) {
            0 => *descriptor = Descriptor::File(nobody()),
            _ => *cookie = number,
        },
        Object::FdArray { count, parent, .. } => match choices.below(3) {
            0 => *count = number,
            1 => parent.index = number & 7,
            _ => parent.offset = number & 0x3f,
        },
        Object::Buffer(buffer) => match choices.below(5) {
            0 => buffer.length = Some(number),
            1 => buffer.parent = Some(Parent { index: number & 7, offset: choices.below(16) as u64 * 4 }),
            2 => buffer.parent = None,
            3 => buffer.buffer = Some(Address::Unmapped),
            _ => buffer.flags = Some(number as u32 & 3),
        },
    }
}

fn change_call(call: &mut Call, choices: &mut Choices<'_, '_>) {
    let number = choices.number();
    match call {
        Call::Ioctl(Ioctl::Freeze(Argument::Value(request))) => request.enable = number as u32 & 1,
        Call::Ioctl(Ioctl::SetMaxThreads(argument)) => *argument = Argument::Value(number as u32 & 7),
        Call::Mmap { size, .. } => *size = 4096 << choices.below(8),
        _ => {
            *call = match choices.below(6) {
                0 => Call::Poll { timeout_ms: 0 },
                1 => Call::Flush,
                2 => Call::Ioctl(Ioctl::ThreadExit),
                3 => Call::Close,
                4 => Call::Ioctl(Ioctl::GetExtendedError(Argument::Value(()))),
                _ => Call::Exit,
            }
        }
    }
}

/// A program that begins as one and goes on as another, with the processes of both. Those of the same place are the same.
pub(super) fn cross(
    first: &Program,
    second: &Program,
    choices: &mut Choices<'_, '_>,
) -> (Program, Vec<Proposal>) {
    let mut program = first.without_steps();
    let mut second = second.clone();
    call_like(&mut second, first);
    for mut declaration in second.declarations {
        let name = declared(&declaration.value);
        if !program.declarations.iter().any(|known| declared(&known.value) == name) {
            if let Declaration::Process(process) = &mut declaration.value {
                process.context_manager = false;
            }
            program.declarations.push(declaration);
        }
    }
    let mine = first.steps.iter().flat_map(|noted| noted.value.steps());
    let theirs = second.steps.into_iter().flat_map(|noted| noted.value.into_steps());
    let mut steps = Vec::new();
    if choices.one_in(2) {
        // One behind the other.
        let (mine, theirs): (Vec<&Step>, Vec<Step>) = (mine.collect(), theirs.collect());
        let (cut, from) = (choices.below(mine.len() + 1), choices.below(theirs.len() + 1));
        steps.extend(mine.into_iter().take(cut).cloned());
        steps.extend(theirs.into_iter().skip(from));
    } else {
        // Both at the same time.
        let (mut mine, mut theirs) = (mine.cloned(), theirs);
        loop {
            let before = steps.len();
            let is_theirs = choices.one_in(2);
            let run = 1 + choices.below(6);
            match is_theirs {
                true => steps.extend(theirs.by_ref().take(run)),
                false => steps.extend(mine.by_ref().take(run)),
            }
            if steps.len() == before {
                steps.extend(mine);
                steps.extend(theirs);
                break;
            }
        }
    }
    (program, steps.into_iter().map(Proposal::Given).collect())
}

/// The name that a declaration gives.
fn declared(declaration: &Declaration) -> &Name {
    match declaration {
        Declaration::Process(process) => &process.name,
        Declaration::Thread { name, .. } => name,
    }
}

/// Has the processes and threads of a program be called like those of another one as far as that has as many, and gives
/// everything else names of its own.
fn call_like(program: &mut Program, other: &Program) {
    let processes = |program: &Program| -> Vec<(Name, Vec<Name>)> {
        let mut processes: Vec<(Name, Vec<Name>)> = Vec::new();
        for noted in &program.declarations {
            match &noted.value {
                Declaration::Process(process) => processes.push((process.name.clone(), Vec::new())),
                Declaration::Thread { name, process } => {
                    let owner = processes.iter_mut().find(|(known, _)| known == process);
                    owner.into_iter().for_each(|(_, threads)| threads.push(name.clone()));
                }
            }
        }
        processes
    };
    let mut roles: FxHashMap<Name, Name> = FxHashMap::default();
    for ((name, threads), (role, their_threads)) in processes(program).into_iter().zip(processes(other)) {
        roles.insert(name, role);
        roles.extend(threads.into_iter().zip(their_threads));
    }
    program.each_name(&mut |name| match roles.get(name) {
        Some(role) => name.clone_from(role),
        None => *name = name.another(),
    });
}
