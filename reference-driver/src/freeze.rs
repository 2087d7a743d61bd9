//! Freezing: a process that is frozen is not called, and what is sent to it waits.
//!
//! BINDER_FREEZE does not stop a process; it keeps calls from it, so that whoever stops it loses none. It is done to
//! every open device of a process id, one after the other. Freezing may wait until the transactions of a device are
//! done with. The driver has no clock: the thread sleeps, and the adapter says when the time is up.

use crate::driver::{Completion, Driver};
use crate::memory::UserMemory;
use crate::node::Node;
use crate::process::Process;
use crate::profile::Profile;
use crate::table::Key;
use crate::thread::{Parked, Thread};
use crate::transaction::Transaction;
use crate::uapi::*;
use crate::work::{Place, Work, WorkQueue};

/// What freezing has done to a process.
#[derive(Debug, Default)]
pub(crate) struct Freezer {
    pub(crate) is_frozen: bool,
    /// Nobody waits any more for it to be frozen: BINDER_FREEZE has succeeded.
    pub(crate) has_settled: bool,
    /// It has been called while frozen.
    pub(crate) sync_received: bool,
    /// It has been sent oneway messages while frozen.
    pub(crate) async_received: bool,
    /// Threads that sleep until no transaction to it is left.
    waiting: Vec<Key<Thread>>,
}

impl Freezer {
    pub(crate) fn waiting(&self) -> &[Key<Thread>] {
        &self.waiting
    }
}

/// A BINDER_FREEZE that waits for transactions to be done with.
#[derive(Debug, Clone)]
pub(crate) struct ParkedFreeze {
    /// Where its argument is.
    argument: u64,
    target: Target,
    /// Those that come after it, the next at the end.
    rest: Vec<Target>,
    patience: Patience,
}

/// A device that is to be frozen, and may be released meanwhile.
#[derive(Debug, Clone, Copy)]
struct Target {
    device: Key<Process>,
    /// Which device that was: its key may come to stand for another.
    serial: u64,
}

impl ParkedFreeze {
    pub(crate) fn argument(&self) -> u64 {
        self.argument
    }

    /// Whether it sleeps no longer when so many milliseconds have passed. One that does not wait must not have begun to.
    pub(crate) fn is_over_after(&self, milliseconds: u32) -> bool {
        match self.patience {
            Patience::None => false,
            Patience::Milliseconds(limit) => limit <= milliseconds,
            Patience::TooMuch => true,
        }
    }
}

/// How long a BINDER_FREEZE waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Not at all.
    None,
    Milliseconds(u32),
    /// So long that the driver in C does not wait, and takes the time that is left for an error.
    TooMuch,
}

impl Patience {
    fn of(timeout_ms: u32, profile: &Profile) -> Patience {
        match timeout_ms {
            0 => Patience::None,
            0x8000_0000.. if profile.long_timeouts_fail => Patience::TooMuch,
            milliseconds => Patience::Milliseconds(milliseconds),
        }
    }
}

/// How far a BINDER_FREEZE has come.
enum Progress {
    Done(Result<(), Errno>),
    Waits(ParkedFreeze),
}

impl Driver {
    /// BINDER_FREEZE.
    pub(crate) fn freeze(
        &mut self,
        thread: Key<Thread>,
        argument: u64,
        memory: &mut dyn UserMemory,
    ) -> Completion {
        let device = self.threads[thread].process;
        let Ok(info) = self.argument::<FreezeInfo>(device, memory, argument) else {
            return self.finish(thread, Err(Errno::EFAULT));
        };
        let devices = self.devices_of(info.pid);
        if devices.is_empty() && !self.profile.nobody_can_be_frozen {
            return self.finish(thread, Err(Errno::EINVAL));
        }
        if info.enable == 0 {
            for target in devices.into_iter().rev() {
                self.reset_freezer(target.device, false);
                self.announce_freeze(target.device, false);
            }
            return self.finish(thread, Ok(()));
        }
        let mut rest = devices;
        if self.profile.freezes_by_context {
            // Contexts have their numbers in the order in which they were made.
            rest.sort_by_key(|target| {
                std::cmp::Reverse((self.processes[target.device].context, target.serial))
            });
        }
        let patience = Patience::of(info.timeout_ms, &self.profile);
        let progress = self.freeze_each(argument, rest, patience);
        self.conclude(thread, progress)
    }

    /// BINDER_GET_FROZEN_INFO.
    pub(crate) fn frozen_info(
        &self,
        device: Key<Process>,
        argument: u64,
        memory: &mut dyn UserMemory,
    ) -> Result<(), Errno> {
        let mut info: FrozenStatusInfo = self.argument(device, memory, argument)?;
        let devices = self.devices_of(info.pid);
        if devices.is_empty() {
            return Err(Errno::EINVAL);
        }
        (info.sync_recv, info.async_recv) = (0, 0);
        for Target { device, .. } in devices {
            let freezer = &self.processes[device].freezer;
            let pending = self.has_pending_transactions(device);
            info.sync_recv |= u32::from(freezer.sync_received) | u32::from(pending) << 1;
            info.async_recv |= u32::from(freezer.async_received);
        }
        memory.put(argument, &info)?;
        Ok(())
    }

    /// The open devices of a process id, the oldest first.
    fn devices_of(&self, pid: u32) -> Vec<Target> {
        let same = self.processes.iter().filter(|(_, process)| process.pid as u32 == pid);
        let mut devices: Vec<_> =
            same.map(|(device, process)| Target { device, serial: process.serial }).collect();
        devices.sort_unstable_by_key(|target| target.serial);
        devices
    }

    /// A device that was to be frozen, unless it has been released.
    fn living(&self, target: Target) -> Option<Key<Process>> {
        let process = self.processes.get(target.device)?;
        (process.serial == target.serial).then_some(target.device)
    }

    /// Freezes or thaws a device. What it received is forgotten.
    fn reset_freezer(&mut self, device: Key<Process>, is_frozen: bool) {
        let freezer = &mut self.processes[device].freezer;
        *freezer = Freezer { is_frozen, waiting: std::mem::take(&mut freezer.waiting), ..Freezer::default() };
    }

    /// Freezes these devices, from the end, until one fails or has to be waited for.
    fn freeze_each(&mut self, argument: u64, mut rest: Vec<Target>, patience: Patience) -> Progress {
        while let Some(target) = rest.pop() {
            let Some(device) = self.living(target) else {
                self.freeze_released(target);
                continue;
            };
            self.reset_freezer(device, true);
            if patience != Patience::None && self.processes[device].outstanding_transactions > 0 {
                return Progress::Waits(ParkedFreeze { argument, target, rest, patience });
            }
            if let Err(errno) = self.settle_freeze(device, patience) {
                return Progress::Done(Err(errno));
            }
        }
        Progress::Done(Ok(()))
    }

    /// Has a device frozen that has been waited for long enough, or not at all: EAGAIN, and it is thawed again, if
    /// there still are transactions.
    fn settle_freeze(&mut self, target: Key<Process>, patience: Patience) -> Result<(), Errno> {
        let errno = match patience {
            // Which error depends on how long it has waited; this is that of one that has not.
            Patience::TooMuch => Errno::ENOENT,
            _ if self.has_pending_transactions(target) => Errno::EAGAIN,
            _ => {
                let freezer = &mut self.processes[target].freezer;
                // The driver in Rust freezes whatever has become of the process meanwhile.
                freezer.is_frozen |= self.profile.freezing_settles_anew;
                freezer.has_settled = true;
                self.announce_freeze(target, true);
                return Ok(());
            }
        };
        self.processes[target].freezer.is_frozen = false;
        Err(errno)
    }

    /// Whether transactions are on their way to a process, or one of its threads is in a call.
    fn has_pending_transactions(&self, process: Key<Process>) -> bool {
        let state = &self.processes[process];
        let in_call = |thread: &Key<Thread>| self.threads[*thread].transaction_stack.is_some();
        state.outstanding_transactions > 0 || state.threads.values().any(in_call)
    }

    /// Goes on with a freeze whose thread has been woken, or whose time is up. Nobody is woken by a device that is
    /// released: that it has no transactions any more shows only when the time is up.
    pub(crate) fn go_on_freezing(
        &mut self,
        thread: Key<Thread>,
        freeze: ParkedFreeze,
        time_is_up: bool,
    ) -> Completion {
        let device = self.living(freeze.target);
        let at_rest = device.is_some_and(|device| self.processes[device].outstanding_transactions == 0);
        if !at_rest && !time_is_up {
            return self.conclude(thread, Progress::Waits(freeze));
        }
        let settled = match device {
            Some(device) => self.settle_freeze(device, freeze.patience),
            None => {
                self.freeze_released(freeze.target);
                Ok(())
            }
        };
        let progress = match settled {
            Ok(()) => self.freeze_each(freeze.argument, freeze.rest, freeze.patience),
            Err(errno) => Progress::Done(Err(errno)),
        };
        self.conclude(thread, progress)
    }

    /// Freezes a device that has been released meanwhile: to the driver in Rust its objects are frozen then, dead as they are.
    fn freeze_released(&mut self, target: Target) {
        if self.profile.freezing_settles_anew {
            self.frozen_after_release.insert(target.serial);
        }
    }

    /// Ends a BINDER_FREEZE, or puts its thread to sleep.
    fn conclude(&mut self, thread: Key<Thread>, progress: Progress) -> Completion {
        match progress {
            Progress::Done(result) => self.finish(thread, result),
            Progress::Waits(freeze) => {
                if let Some(device) = self.living(freeze.target) {
                    self.processes[device].freezer.waiting.push(thread);
                }
                self.threads[thread].parked = Some(Parked::Freeze(freeze));
                Completion::Parked
            }
        }
    }

    /// Takes a thread from among those that wait for a device to come to rest.
    pub(crate) fn stop_waiting_to_freeze(&mut self, thread: Key<Thread>, freeze: &ParkedFreeze) {
        if let Some(device) = self.living(freeze.target) {
            self.processes[device].freezer.waiting.retain(|waiting| *waiting != thread);
        }
    }

    /// A signal ends a BINDER_FREEZE: what was being frozen is thawed.
    pub(crate) fn interrupt_freeze(&mut self, thread: Key<Thread>, freeze: &ParkedFreeze) -> Completion {
        match self.living(freeze.target) {
            Some(device) => self.processes[device].freezer.is_frozen = false,
            None => {
                self.frozen_after_release.remove(&freeze.target.serial);
            }
        }
        self.finish(thread, Err(Errno::EINTR))
    }

    /// A transaction is on its way to a process.
    pub(crate) fn begin_outstanding(&mut self, transaction: Key<Transaction>, process: Key<Process>) {
        self.transactions[transaction].is_outstanding = true;
        self.processes[process].outstanding_transactions += 1;
    }

    /// A transaction to a process is done with. The last one wakes who waits to freeze it.
    pub(crate) fn end_outstanding(&mut self, transaction: Key<Transaction>) {
        let state = &mut self.transactions[transaction];
        if !std::mem::take(&mut state.is_outstanding) {
            return;
        }
        let Some(process) = state.to_process else { return };
        let state = &mut self.processes[process];
        state.outstanding_transactions -= 1;
        if state.outstanding_transactions == 0 && state.freezer.is_frozen {
            for thread in state.freezer.waiting.clone() {
                self.wake_parked(thread);
            }
        }
    }

    /// A device is being released, and is not frozen any more. Whoever waits to freeze it is not woken, and may keep the
    /// driver from forgetting the device until the time is up.
    pub(crate) fn abandon_freezing(&mut self, device: Key<Process>) {
        for thread in std::mem::take(&mut self.processes[device].freezer).waiting {
            if self.profile.freezing_keeps_devices {
                let Thread { process, tid, .. } = self.threads[thread];
                self.overdue.push((process, tid));
            }
        }
    }

    /// Whether a frozen process refuses a transaction. What it was sent is noted.
    pub(crate) fn refuses_as_frozen(&mut self, process: Key<Process>, is_oneway: bool) -> bool {
        let freezer = &mut self.processes[process].freezer;
        if !freezer.is_frozen {
            return false;
        }
        freezer.sync_received |= !is_oneway;
        freezer.async_received |= is_oneway;
        !is_oneway
    }

    /// TF_UPDATE_TXN: the first of the messages that a frozen process has not got yet, and that this one is another
    /// version of, goes. It looks through the messages that wait for the node, as the kernel does.
    pub(crate) fn supersede(
        &mut self,
        transaction: Key<Transaction>,
        node: Key<Node>,
        process: Key<Process>,
    ) {
        let updates = self.transactions[transaction].flags & TF_UPDATE_TXN != 0;
        if !updates || !self.processes[process].freezer.is_frozen {
            return;
        }
        let waiting = self.queue(WorkQueue::Asynchronous(node));
        let outdated = waiting.positions().find_map(|position| match waiting.entry(position) {
            Some(Work::Transaction(earlier)) if self.is_same_message(*earlier, transaction, process) => {
                Some((position, *earlier))
            }
            _ => None,
        });
        let Some((position, outdated)) = outdated else { return };
        self.dequeue(Place { queue: WorkQueue::Asynchronous(node), position });
        self.processes[process].outstanding_transactions -= 1;
        let outdated = self.transactions.remove(outdated);
        self.statistics.transactions.delete();
        if let Some(buffer) = outdated.buffer {
            self.release_buffer(process, buffer, u64::MAX);
        }
    }

    /// Whether two messages to a node are alike in all but what they carry, and come from the same process.
    fn is_same_message(&self, one: Key<Transaction>, other: Key<Transaction>, process: Key<Process>) -> bool {
        let sender = |transaction: &Transaction| {
            transaction.buffer.map(|buffer| self.processes[process].allocator.buffers[buffer].sender_pid)
        };
        let (one, other) = (&self.transactions[one], &self.transactions[other]);
        one.flags == other.flags && one.code == other.code && sender(one) == sender(other)
    }
}
