//! The driver: its state as a whole, and the system calls that change it.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::buffer::{Allocator, PAGE};
use crate::caller::Caller;
use crate::context::{Context, ContextIndex};
use crate::death::Death;
use crate::freeze_notification::FreezeListener;
use crate::memory::{Fault, UserMemory};
use crate::node::Node;
use crate::polling::{PollQueues, Polled};
use crate::priority::Scheduling;
use crate::process::Process;
use crate::profile::Profile;
use crate::read::ParkedRead;
use crate::reference::{Handles, Reference};
use crate::report::{Findings, Report};
use crate::statistics::Statistics;
use crate::table::{Key, Table};
use crate::thread::{Parked, Thread};
use crate::transaction::Transaction;
use crate::uapi::*;

/// A loaded driver, with everything that processes have done to it so far.
///
/// Its methods are the system calls on its devices. Each takes who calls and a view of the caller's memory, and
/// returns at once. A call that would sleep says [`Completion::Parked`]; what another call wakes is told by
/// [`Driver::take_woken`], and goes on when it is resumed.
#[derive(Debug)]
pub struct Driver {
    pub(crate) profile: Profile,
    pub(crate) contexts: Vec<Context>,
    pub(crate) processes: Table<Process>,
    pub(crate) threads: Table<Thread>,
    pub(crate) nodes: Table<Node>,
    pub(crate) references: Table<Reference>,
    pub(crate) deaths: Table<Death>,
    pub(crate) transactions: Table<Transaction>,
    /// Threads that sleep no longer and have not been resumed.
    pub(crate) woken: Vec<(Key<Process>, i32)>,
    /// Processes with work deferred.
    pub(crate) deferred: Vec<Key<Process>>,
    /// Threads that wait to freeze a device which has been released.
    pub(crate) overdue: Vec<(Key<Process>, i32)>,
    pub(crate) freezes: Table<FreezeListener>,
    /// How many transactions have been begun.
    pub(crate) begun_transactions: u32,
    pub(crate) statistics: Statistics,
    /// The processes that there are, by their serial numbers.
    pub(crate) processes_by_serial: FxHashMap<u64, Key<Process>>,
    /// How many processes there have been.
    serials: u64,
    /// The processes that have ended.
    pub(crate) ended_pids: FxHashSet<i32>,
    /// The devices that have been frozen after they were released, by their serial numbers.
    pub(crate) frozen_after_release: FxHashSet<u64>,
    pub(crate) poll_queues: PollQueues,
    /// What has been reported; `None` if nobody listens.
    pub(crate) reports: Option<Vec<Report>>,
    pub(crate) findings: Findings,
    /// What the scheduler knows of threads, by their ids.
    pub(crate) scheduling: FxHashMap<i32, Scheduling>,
    /// The roots of the user namespaces that processes are in, by their ids.
    pub(crate) namespace_roots: FxHashMap<i32, u32>,
    /// The RLIMIT_NICE of processes that have one, by their ids.
    pub(crate) nice_limits: FxHashMap<i32, u32>,
    /// What the security module calls every process; `None` without such a module.
    pub(crate) security_context: Option<Arc<[u8]>>,
}

/// An opening of a device: what file descriptors stand for, in one process or in several.
pub type Device = Key<Process>;

/// How a system call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Completion {
    /// It returned.
    Done(Result<(), Errno>),
    /// It sleeps. It goes on with [`Driver::resume`] when it has been woken.
    Parked,
}

impl From<Fault> for Errno {
    fn from(_: Fault) -> Errno {
        Errno::EFAULT
    }
}

/// What closing a descriptor leaves to be done later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Deferred {
    pub(crate) flush: bool,
    pub(crate) release: bool,
}

/// How many processes a driver has room for at once. It finds room for more.
const FEW: usize = 4;

impl Driver {
    /// A driver that has just been loaded, with so many devices.
    pub fn new(profile: Profile, contexts: usize) -> Driver {
        Driver {
            profile,
            contexts: std::iter::repeat_with(Context::default).take(contexts).collect(),
            processes: Table::with_capacity(FEW),
            threads: Table::with_capacity(2 * FEW),
            nodes: Table::default(),
            references: Table::default(),
            deaths: Table::default(),
            transactions: Table::default(),
            woken: Vec::new(),
            deferred: Vec::new(),
            overdue: Vec::new(),
            freezes: Table::default(),
            begun_transactions: 0,
            statistics: Statistics::default(),
            processes_by_serial: FxHashMap::default(),
            serials: 0,
            ended_pids: FxHashSet::default(),
            frozen_after_release: FxHashSet::default(),
            poll_queues: PollQueues::default(),
            reports: None,
            findings: Findings::default(),
            scheduling: FxHashMap::default(),
            namespace_roots: FxHashMap::default(),
            nice_limits: FxHashMap::default(),
            security_context: None,
        }
    }

    /// The same driver, on a system whose security module calls every process so. Some modules end that with a 0.
    pub fn with_security_context(self, context: Arc<[u8]>) -> Driver {
        Driver { security_context: Some(context), ..self }
    }

    /// The same driver, each of whose devices has had a context manager of this user, who is the only one to have it again.
    pub fn with_managers_user(mut self, euid: u32) -> Driver {
        self.contexts.iter_mut().for_each(|context| context.manager_euid = Some(euid));
        self
    }

    /// Opens a device. ENXIO if there is no such device.
    pub fn open(&mut self, caller: Caller, context: ContextIndex, nonblock: bool) -> Result<Device, Errno> {
        if context >= self.contexts.len() {
            return Err(Errno::ENXIO);
        }
        self.statistics.processes.create();
        self.serials += 1;
        let serial = self.serials;
        let allocator = Allocator::new(&self.profile);
        let handles = Handles::new(self.profile.handles_end_as_a_tree);
        let Caller { pid, euid, .. } = caller;
        let opened_at = self.priority(caller.tid);
        let process = Process {
            context,
            pid,
            euid,
            opened_at,
            nonblock,
            serial,
            handles,
            allocator,
            ..Process::default()
        };
        let device = self.processes.insert(process);
        self.processes_by_serial.insert(serial, device);
        Ok(device)
    }

    /// Maps so many bytes of a device at an address that the kernel has chosen.
    ///
    /// EINVAL for no bytes, or if the caller is not of the process that opened the device; EPERM with
    /// PROT_WRITE; EBUSY if the device has been mapped before, even if it is no longer.
    pub fn mmap(
        &mut self,
        device: Device,
        caller: Caller,
        address: u64,
        size: u64,
        write: bool,
    ) -> Result<(), Errno> {
        let process = &mut self.processes[device];
        let size = size.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)?;
        if size == 0 || process.pid != caller.pid {
            return Err(Errno::EINVAL);
        }
        if write {
            return Err(Errno::EPERM);
        }
        process.allocator.map(address, size)
    }

    /// The process takes away what it has mapped of the device at these addresses.
    pub fn munmap(&mut self, device: Device, addresses: Range<u64>) {
        let takes_transactions = !self.profile.unmapping_ends_transactions;
        self.processes[device].allocator.unmap(&addresses, takes_transactions);
    }

    /// The process lets itself read what it has mapped of the device at these addresses, or not.
    pub fn mprotect(&mut self, device: Device, addresses: Range<u64>, readable: bool) {
        self.processes[device].allocator.protect(&addresses, readable);
    }

    /// Whether the calling thread would find something to read, and where it can wait for that. EINVAL if it cannot read
    /// there at all.
    pub fn poll(&mut self, device: Device, caller: Caller) -> Result<Polled, Errno> {
        self.admit(device, caller)?;
        let thread = self.calling_thread(device, caller.tid);
        let takes_process_work = self.is_free_for_process_work(thread);
        Ok(Polled { is_readable: self.has_work(thread, takes_process_work), queue: self.poll_queue(thread) })
    }

    /// Makes sure that a thread can have a part in what a device is for: of any process, or only of that which opened it.
    fn admit(&self, device: Device, caller: Caller) -> Result<(), Errno> {
        let is_of_another = self.processes[device].pid != caller.pid;
        if is_of_another && self.profile.threads_are_of_one_process { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// An ioctl of any kind.
    pub fn ioctl(
        &mut self,
        device: Device,
        caller: Caller,
        request: u32,
        argument: u64,
        memory: &mut dyn UserMemory,
    ) -> Completion {
        if !matches!(
            request,
            BINDER_VERSION
                | BINDER_FREEZE
                | BINDER_GET_FROZEN_INFO
                | BINDER_GET_NODE_DEBUG_INFO
                | BINDER_GET_NODE_INFO_FOR_REF
        ) && let Err(errno) = self.admit(device, caller)
        {
            return Completion::Done(Err(errno));
        }
        self.admit_to_scheduler(caller);
        let thread = self.calling_thread(device, caller.tid);
        if request == BINDER_WRITE_READ {
            return self.write_read(thread, caller, argument, memory);
        }
        if request == BINDER_FREEZE {
            return self.freeze(thread, argument, memory);
        }
        if request == BINDER_THREAD_EXIT {
            self.release_thread(thread);
            return Completion::Done(Ok(()));
        }
        let result = self.simple_ioctl(thread, caller, request, argument, memory);
        self.finish(thread, result)
    }

    /// Goes on with a parked call of a woken thread. A thread that is not parked has nothing to go on with: that
    /// is the adapter's mistake, and answered with EINVAL.
    pub fn resume(&mut self, device: Device, tid: i32, memory: &mut dyn UserMemory) -> Completion {
        match self.parked_thread(device, tid) {
            Some((thread, Parked::Read(read))) => self.go_on_reading(thread, read, memory),
            Some((thread, Parked::Freeze(freeze))) => self.go_on_freezing(thread, freeze, false),
            None => Completion::Done(Err(Errno::EINVAL)),
        }
    }

    /// A signal that ends its process reaches a thread in its parked call, which ends with EINTR.
    pub fn interrupt(&mut self, device: Device, tid: i32, memory: &mut dyn UserMemory) -> Completion {
        match self.parked_thread(device, tid) {
            Some((thread, Parked::Read(read))) => self.interrupt_read(thread, &read, memory),
            Some((thread, Parked::Freeze(freeze))) => self.interrupt_freeze(thread, &freeze),
            None => Completion::Done(Err(Errno::EINVAL)),
        }
    }

    /// A signal reaches a thread in its parked call, whose handler wants calls begun anew. That is done with all but
    /// reads, which end with EINTR all the same.
    pub fn signal(&mut self, device: Device, tid: i32, memory: &mut dyn UserMemory) -> Completion {
        match self.parked_thread(device, tid) {
            Some((thread, Parked::Read(read))) => self.interrupt_read(thread, &read, memory),
            Some((thread, Parked::Freeze(freeze))) => {
                let _ = self.interrupt_freeze(thread, &freeze);
                self.freeze(thread, freeze.argument(), memory)
            }
            None => Completion::Done(Err(Errno::EINVAL)),
        }
    }

    /// So many milliseconds have passed for a thread since it began to sleep in its call. `None` if it goes on to sleep,
    /// or does not.
    pub fn time_out(&mut self, device: Device, tid: i32, milliseconds: u32) -> Option<Completion> {
        let thread = *self.processes[device].threads.get(&tid)?;
        match self.threads[thread].parked {
            Some(Parked::Freeze(ref freeze)) if freeze.is_over_after(milliseconds) => {}
            Some(Parked::Freeze(_) | Parked::Read(_)) | None => return None,
        }
        match self.unpark(thread)? {
            Parked::Freeze(freeze) => Some(self.go_on_freezing(thread, freeze, true)),
            Parked::Read(_) => None,
        }
    }

    /// A descriptor of the device is closed, be it the last or not. The driver acts on it later.
    pub fn flush(&mut self, device: Device) {
        self.defer(device, Deferred { flush: true, release: false });
    }

    /// The last descriptor of the device is closed, and nobody is in a call on it. The driver acts on it later,
    /// and the device must not be used again.
    pub fn release(&mut self, device: Device) {
        self.defer(device, Deferred { flush: false, release: true });
    }

    /// A process has ended: what it has sent no longer says from whom it comes.
    pub fn process_ended(&mut self, pid: i32) {
        self.ended_pids.insert(pid);
    }

    /// The threads that have been woken since this was last asked, in that order. Each must be resumed.
    pub fn take_woken(&mut self) -> Vec<(Device, i32)> {
        std::mem::take(&mut self.woken)
    }

    /// The threads whose BINDER_FREEZE, since this was last asked, has come to wait for a device that has been
    /// released. A real driver forgets that device only when their time is up: see [`Driver::time_out`].
    pub fn take_overdue(&mut self) -> Vec<(Device, i32)> {
        std::mem::take(&mut self.overdue)
    }

    /// Which driver is being modelled.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// What the driver has counted.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The kernel reclaims the memory that it can do without.
    pub fn reclaim_pages(&mut self) {
        let processes: Vec<_> = self.processes.iter().map(|(key, _)| key).collect();
        for process in processes {
            self.processes[process].allocator.reclaim_pages();
        }
    }

    /// How many buffers of a device's mapping are in use.
    pub fn buffers_in_use(&self, device: Device) -> usize {
        self.processes[device].allocator.in_use()
    }

    /// What a process sees at an address of its mapping; `None` where it is not mapped or would fault.
    pub fn mapped_memory(&self, device: Device, address: u64, length: usize) -> Option<&[u8]> {
        self.processes[device].allocator.seen_at(address, length)
    }

    /// Copies from a process: from its mapping of the device, or from the rest of its memory.
    pub(crate) fn read_memory(
        &self,
        process: Key<Process>,
        memory: &dyn UserMemory,
        address: u64,
        bytes: &mut [u8],
    ) -> Result<(), Fault> {
        let process = &self.processes[process];
        if process.sees_in_mapping(memory, address) {
            bytes.copy_from_slice(process.allocator.seen_at(address, bytes.len()).ok_or(Fault)?);
            return Ok(());
        }
        memory.read(address, bytes).or_else(|Fault| {
            bytes.copy_from_slice(self.seen_in_any_mapping(memory, address, bytes.len())?);
            Ok(())
        })
    }

    /// What a process sees at an address in whichever of its mappings of devices has it.
    pub(crate) fn seen_in_any_mapping(
        &self,
        memory: &dyn UserMemory,
        address: u64,
        length: usize,
    ) -> Result<&[u8], Fault> {
        let mut processes = self.processes.iter().map(|(_, process)| process);
        let process = processes.find(|process| process.sees_in_mapping(memory, address)).ok_or(Fault)?;
        process.allocator.seen_at(address, length).ok_or(Fault)
    }

    /// BINDER_WRITE_READ: writes what there is to write, then reads if there is room to.
    fn write_read(
        &mut self,
        thread: Key<Thread>,
        caller: Caller,
        argument: u64,
        memory: &mut dyn UserMemory,
    ) -> Completion {
        let process = self.threads[thread].process;
        let Ok(mut request) = self.argument::<WriteRead>(process, memory, argument) else {
            return self.finish(thread, Err(Fault.into()));
        };
        let mut result = Ok(());
        if request.write_size > 0 {
            result = self.write(thread, caller, &mut request, memory);
        }
        if result.is_ok() && request.read_size > 0 {
            return self.read(thread, argument, request, memory);
        }
        if result.is_err() {
            request.read_consumed = 0;
        }
        let stored = memory.put(argument, &request).map_err(Errno::from);
        self.finish(thread, stored.and(result))
    }

    /// Ends an ioctl of a thread that lives on.
    pub(crate) fn finish(&mut self, thread: Key<Thread>, result: Result<(), Errno>) -> Completion {
        self.threads[thread].need_return = false;
        Completion::Done(result)
    }

    /// The ioctls that neither sleep nor end the thread.
    fn simple_ioctl(
        &mut self,
        thread: Key<Thread>,
        caller: Caller,
        request: u32,
        argument: u64,
        memory: &mut dyn UserMemory,
    ) -> Result<(), Errno> {
        const INVALID: Errno = Errno::EINVAL;
        let device = self.threads[thread].process;
        let unusable = if self.profile.bad_arguments_fault { Fault.into() } else { INVALID };
        match request {
            BINDER_SET_MAX_THREADS => {
                let threads: u32 = self.argument(device, memory, argument).map_err(|Fault| unusable)?;
                self.processes[device].max_threads = threads;
            }
            BINDER_SET_CONTEXT_MGR => {
                self.set_context_manager(device, caller, &FlatObject::default())?;
            }
            BINDER_SET_CONTEXT_MGR_EXT => {
                let object: FlatObject = self.argument(device, memory, argument).map_err(|Fault| unusable)?;
                self.set_context_manager(device, caller, &object)?;
            }
            BINDER_VERSION => {
                memory.put(argument, &CURRENT_PROTOCOL_VERSION).map_err(|Fault| unusable)?;
            }
            BINDER_GET_NODE_DEBUG_INFO => self.node_debug_info(device, argument, memory)?,
            BINDER_GET_NODE_INFO_FOR_REF => self.node_info_for_ref(device, argument, memory)?,
            BINDER_GET_FROZEN_INFO => self.frozen_info(device, argument, memory)?,
            BINDER_ENABLE_ONEWAY_SPAM_DETECTION => {
                let enable: u32 = self.argument(device, memory, argument)?;
                self.processes[device].detects_oneway_spam = enable != 0;
            }
            BINDER_GET_EXTENDED_ERROR => self.tell_extended_error(thread, argument, memory)?,
            _ => return Err(INVALID),
        }
        Ok(())
    }

    pub(crate) fn argument<T: zerocopy::FromBytes + zerocopy::IntoBytes>(
        &self,
        device: Device,
        memory: &dyn UserMemory,
        address: u64,
    ) -> Result<T, Fault> {
        let mut value = T::new_zeroed();
        self.read_memory(device, memory, address, value.as_mut_bytes())?;
        Ok(value)
    }

    fn interrupt_read(
        &mut self,
        thread: Key<Thread>,
        read: &ParkedRead,
        memory: &mut dyn UserMemory,
    ) -> Completion {
        self.finish_read(thread, read.argument, read.request, Err(Errno::EINTR), memory)
    }

    fn parked_thread(&mut self, device: Device, tid: i32) -> Option<(Key<Thread>, Parked)> {
        let thread = *self.processes[device].threads.get(&tid)?;
        Some((thread, self.unpark(thread)?))
    }

    fn defer(&mut self, device: Device, more: Deferred) {
        let deferred = &mut self.processes[device].deferred;
        if *deferred == Deferred::default() {
            self.deferred.push(device);
        }
        deferred.flush |= more.flush;
        deferred.release |= more.release;
    }
}
