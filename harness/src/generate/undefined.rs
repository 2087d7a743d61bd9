//! What is undefined, or takes time, and is therefore not in generated programs. All of it is here.
//!
//! | What | Why |
//! |---|---|
//! | what is done behind a command that may wake another thread, in the same call | whether the other one has read by then is up to the scheduler |
//! | a read that sleeps, and then has nowhere to put what it is given | whether who sent that reads of the failure in the same call is up to the scheduler |
//! | what is done with an instance of binderfs that is not mounted | there is none; targets differ in what they say |
//! | a second thread of a process that waits for work of the process | which of them is given it is undefined (pool) |
//! | BINDER_FREEZE with a timeout | it sleeps for real, or its time passes while others go on |
//! | descriptors of files where they are not translated, and other numbers where an array of them may be | which numbers stand for a file is the kernel's choice |
//! | what is behind a payload in its sender's memory, once the process has had a file | a descriptor's number may be left there |
//! | descriptors that are closed | their number may be that of another one by then, which the harness itself may have (see `repair`) |
//! | data that are said to be in a received buffer, and addresses that are numbers | what lies behind a buffer or at an address is left over from something else |
//! | a read that goes on behind its own end | what stands in memory there is what an earlier read has left |
//! | a buffer that is freed twice, or a place behind one | another may lie there by then, wherever the driver put that (see `repair`) |
//! | a mapping that its process cannot read | a script has no word for a payload that lies there |
//! | reclaiming the memory of a driver in Rust | whether any is taken back is undefined (rust.53) |
//! | the end of a process that may have several openings of devices | which of them is forgotten first is undefined (close.12) |
//! | threads that go before all others | whom the end of a process wakes then finds always what others find seldom |
//! | ioctls that are not the driver's | the kernel answers them itself |
//! | races, `count`, `await` and a limit of descriptors | they are about a target's other sides |

use reference_driver::uapi::{BINDER_TYPE_FD, BINDER_TYPE_FDA};

use super::situation::{Frame, ProcessSituation, Situation};
use crate::program::*;
use crate::target::ThreadIndex;

/// The number of a descriptor that no process has.
const NO_DESCRIPTOR: u32 = 0x3fff_ffff;

/// Whether a thread may read now: no other one waits already for what its process is given.
pub(super) fn may_read(
    situation: &Situation,
    at: ThreadIndex,
    mut is_parked: impl FnMut(ThreadIndex) -> bool,
) -> bool {
    let process = &situation.processes[at.process];
    let waits = |thread: usize| process.threads[thread].stack.last() != Some(&Frame::Awaiting);
    if !waits(at.thread) {
        return true;
    }
    (0..process.threads.len()).all(|thread| {
        thread == at.thread || !waits(thread) || !is_parked(ThreadIndex { process: at.process, thread })
    })
}

/// Takes apart what is done while others sleep in a read, where one of them may be woken: leaves what wakes it, and gives the
/// rest, to be done later.
pub(super) fn split_overtaking(action: &mut Action, process: &ProcessSituation) -> Option<Action> {
    let reads = matches!(action, Action::WriteRead { .. });
    let (Action::Write { commands, .. } | Action::WriteRead { commands, .. }) = &mut *action else {
        return None;
    };
    let is_told = |at: &usize| may_wake(&commands[*at], &commands[at + 1..], process);
    let waking = (0..commands.len()).find(is_told)?;
    let behind = commands.split_off(waking + 1);
    // What is sent goes to other processes as a rule, and whoever has sent it reads on at once.
    if behind.is_empty() && (commands[waking].sent().is_some() || !reads) {
        return None;
    }
    let at_once = std::mem::replace(commands, behind);
    let options = WriteReadOptions::default();
    let first = Action::Write { options, commands: at_once, written: WriteExpectation::default() };
    let rest = match std::mem::replace(action, first) {
        Action::WriteRead { options, commands, .. } if commands.is_empty() => {
            Action::Read { options, expected: ReadExpectation::Parked }
        }
        rest => rest,
    };
    Some(rest)
}

fn sends_bytes(command: &Command) -> bool {
    command.sent().is_some_and(|(transaction, _)| objects(&transaction.data).next().is_none())
}

/// Whether another thread may find something because of a command of this process, which these others may change.
fn may_wake(command: &Command, behind: &[Command], process: &ProcessSituation) -> bool {
    match command {
        Command::RegisterLooper
        | Command::EnterLooper
        | Command::ExitLooper
        | Command::AcquireResult(_)
        | Command::AttemptAcquire(_)
        | Command::Bytes(_) => false,
        // At most the object that was called may be needed no more, which is nothing to those who send bytes.
        Command::FreeBuffer(Address::Buffer { buffer, .. }) => {
            let is_plain = process.buffers.iter().any(|known| known.is_plain && known.name == *buffer);
            !is_plain || !behind.iter().all(sends_bytes)
        }
        Command::FreeBuffer(_) => false,
        _ => true,
    }
}

/// Takes out of an action what is undefined in it. False if nothing of it is left.
pub(super) fn avoid(action: &mut Action, process: &ProcessSituation, driver: DriverKind) -> bool {
    match action {
        Action::Write { options, commands, .. } | Action::WriteRead { options, commands, .. } => {
            avoid_in_options(options);
            commands.iter_mut().for_each(|command| avoid_in_command(command, process));
        }
        Action::Read { options, .. } => avoid_in_options(options),
        Action::Call { call: Call::Exit, .. } => return !process.has_several_openings,
        Action::Call { call, .. } => return avoid_in_call(call, driver),
    }
    true
}

fn avoid_in_options(options: &mut WriteReadOptions) {
    let read_size = options.room();
    // Where something is said to be there already, the driver writes nothing before it sleeps.
    if options.read_consumed.is_some_and(|consumed| consumed > read_size || options.read_buffer_unmapped) {
        options.read_consumed = None;
    }
}

fn avoid_in_call(call: &mut Call, driver: DriverKind) -> bool {
    match call {
        Call::DropCaches => return driver != DriverKind::Rust,
        Call::SetScheduler(scheduling) => return !scheduling.policy.is_real_time(),
        Call::Await | Call::Unshare | Call::Count(_) | Call::LimitDescriptors(_) => return false,
        Call::Poll { timeout_ms } | Call::EpollWait { timeout_ms } => *timeout_ms = 0,
        Call::Mprotect { protection: protection @ Protection::None, .. } => *protection = Protection::Read,
        Call::Ioctl(Ioctl::Freeze(Argument::Value(request))) => request.timeout_ms = 0,
        Call::Ioctl(Ioctl::Raw { request, .. }) => return *request >> 8 & 0xff == u32::from(b'b'),
        _ => {}
    }
    true
}

fn avoid_in_command(command: &mut Command, process: &ProcessSituation) {
    let transaction = match command {
        Command::Transaction { transaction, .. }
        | Command::TransactionSg { transaction, .. }
        | Command::Reply(transaction)
        | Command::ReplySg { transaction, .. } => transaction,
        Command::FreeBuffer(address @ Address::Number(_)) => {
            *address = Address::Unmapped;
            return;
        }
        _ => return,
    };
    for address in [&mut transaction.buffer, &mut transaction.offsets_buffer].into_iter().flatten() {
        *address = Address::Unmapped;
    }
    if process.has_had_files {
        transaction.data_size = None;
        transaction.offsets_size = None;
    }
    let is_whole = transaction.offsets.is_none()
        && transaction.data_size.is_none()
        && transaction.offsets_size.is_none()
        && transaction.buffer.is_none()
        && transaction.offsets_buffer.is_none();
    let arrays: u64 = objects(&transaction.data)
        .map(|object| match object {
            Object::FdArray { count, .. } => *count,
            Object::Explicit { object_type: BINDER_TYPE_FDA, binder, .. } => *binder,
            _ => 0,
        })
        .fold(0, u64::saturating_add);
    let named = count_descriptors(&transaction.data);
    if arrays != 0 {
        avoid_numbers(&mut transaction.data);
    }
    avoid_in_items(&mut transaction.data, is_whole, is_whole && arrays == named);
}

/// Makes numbers in buffers such as no descriptor has.
fn avoid_numbers(items: &mut Payload) {
    for item in items {
        let mut item = item;
        while let DataItem::At(_, inner) = item {
            item = &mut **inner;
        }
        if let DataItem::Object(Object::Buffer(buffer)) = item {
            buffer.content = std::mem::take(&mut buffer.content).into_iter().map(without_numbers).collect();
            avoid_numbers(&mut buffer.content);
        }
    }
}

fn without_numbers(item: DataItem<Handle>) -> DataItem<Handle> {
    /// Of whichever of these bytes a number is made, it is too great for a descriptor.
    const NO_DESCRIPTORS: u8 = 0x3f;
    const MOST: u64 = 64;
    let size = match item {
        DataItem::Descriptor(_) | DataItem::Pointer(_) | DataItem::Object(_) => return item,
        DataItem::At(place, item) => return DataItem::At(place, Box::new(without_numbers(*item))),
        DataItem::U32(_) | DataItem::I32(_) => 4,
        DataItem::U64(_) | DataItem::I64(_) | DataItem::Str16(_) => 8,
        DataItem::Bytes(bytes) => bytes.len() as u64,
        DataItem::Zero(size) => size,
    };
    DataItem::Bytes(vec![NO_DESCRIPTORS; size.min(MOST) as usize])
}

/// The objects of a payload.
fn objects<H>(items: &[DataItem<H>]) -> impl Iterator<Item = &Object<H>> {
    items.iter().filter_map(|item| match item.without_place() {
        DataItem::Object(object) => Some(object),
        _ => None,
    })
}

/// How many descriptors stand in buffers.
fn count_descriptors<H>(items: &[DataItem<H>]) -> u64 {
    items
        .iter()
        .map(|item| match item.without_place() {
            DataItem::Descriptor(_) => 1,
            DataItem::Object(Object::Buffer(buffer)) => count_descriptors(&buffer.content),
            _ => 0,
        })
        .sum()
}

fn avoid_in_items(items: &mut Payload, fds_are_translated: bool, arrays_are_translated: bool) {
    for item in items {
        let mut item = item;
        while let DataItem::At(_, inner) = item {
            item = &mut **inner;
        }
        match item {
            DataItem::Descriptor(descriptor) if !arrays_are_translated => {
                *descriptor = Descriptor::Number(NO_DESCRIPTOR);
            }
            DataItem::Object(Object::Fd { descriptor, .. }) if !fds_are_translated => {
                *descriptor = Descriptor::Number(NO_DESCRIPTOR);
            }
            DataItem::Object(Object::Fd { descriptor: Descriptor::Number(number), .. })
            | DataItem::Descriptor(Descriptor::Number(number)) => *number = NO_DESCRIPTOR,
            DataItem::Object(Object::Explicit { object_type: BINDER_TYPE_FD, binder, .. }) => {
                *binder = NO_DESCRIPTOR.into();
            }
            DataItem::Object(Object::Buffer(buffer)) => {
                if let Some(address) = &mut buffer.buffer {
                    *address = Address::Unmapped;
                }
                avoid_in_items(&mut buffer.content, fds_are_translated, arrays_are_translated);
            }
            _ => {}
        }
    }
}
