//! A process of a world on a device: an agent, seen from the harness.

use std::cell::OnceCell;
use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::agent::DISMISSAL;
use super::lodger::{Berth, Lodger};
use super::message::{OP_ACT_AS, OP_IOCTL, OP_PLAY, OP_RENEW, Request};
use super::nursery::Nursery;
use super::observation::{Glance, Parked, Watch, exists};
use super::part::Lines;
use super::relay::Leg;
use super::shared_memory::SharedMemory;
use crate::program::{Name, PAGE};
use crate::script::MOST_THREADS;
use crate::target::mappings::Mappings;
use crate::target::{FIRST_DESCRIPTOR, Image, Piece, ProcessSpecification, TargetError};

/// How long an answer is awaited before it is asked whether the process is still there.
const LIFE_SIGN: Duration = Duration::from_millis(20);

/// How many bytes are read ahead, at most: as many as a payload and its offsets mostly have.
const READ_AHEAD: u64 = 256;

/// What has been read before anybody asked for it. As all is at rest between two calls, it does not change before the next.
struct ReadAhead {
    address: u64,
    bytes: Vec<u8>,
}

/// An agent and its threads.
pub struct Process {
    pub(super) name: Name,
    pub(super) pid: i32,
    pub(super) alive: bool,
    /// The user that it has been made, if it is another than the harness'.
    uid: Option<u32>,
    /// It cannot be made as good as new.
    pub(super) is_spent: bool,
    /// Threads have set their own priorities.
    pub(super) sets_priorities: bool,
    /// It is in a user namespace of its own.
    pub(super) is_apart: bool,
    /// Whether the kernel tells in what its threads sleep.
    are_places_told: bool,
    /// That of each of its threads when it is new.
    nice_value: Option<i64>,
    pub(super) threads: Vec<Thread>,
    /// Over which it is given descriptors; `None` until it is forked.
    line: Option<OwnedFd>,
    /// The process itself, if it lives in the harness' address space.
    lodger: Option<Lodger>,
    memory: SharedMemory,
    read_ahead: Option<ReadAhead>,
    /// The opening that its calls go to.
    pub(super) device: Option<OpeningIndex>,
    /// The openings that it has made and not closed.
    pub(super) held: Vec<OpeningIndex>,
    /// What it has mapped.
    pub(super) mapped: Mappings<OpeningIndex>,
}

/// Which of the openings of a world, in the order in which they were asked for.
pub type OpeningIndex = usize;

/// An opened device: it lasts as long as a descriptor, a mapping, a call or a transaction on its way uses it.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// Other descriptors of it than the one of its opener may be there.
    pub(super) is_shared: bool,
}

/// A thread of an agent.
pub struct Thread {
    pub(super) name: Name,
    pub(super) tid: i32,
    pub(super) state: State,
    /// What it was asked for last is to poll until there is something.
    pub(super) polls: bool,
    /// What it was asked for last is to read, perhaps.
    pub(super) may_read: bool,
    /// What it did when all was at rest the last time, if it was parked then.
    pub(super) rest: Option<Parked>,
    /// The opening that it has been asked to make.
    pub(super) opens: Option<OpeningIndex>,
    /// It has done an ioctl since it was as good as new, in which a driver may have changed its priority.
    has_called: bool,
    /// Made when it is first looked at.
    watch: OnceCell<Option<Watch>>,
}

/// How a driver has left a process, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// It has changed nothing of it.
    AsItShould,
    /// A thread has another priority than it had, as one has that was lent it and has not ended what it was lent it for; or it
    /// cannot be told.
    Unusual,
    /// Memory is changed where nothing should have written.
    Spoilt,
}

/// What the harness knows of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits for a request.
    Idle,
    /// It has been given a request, and has not been seen to answer.
    Calling {
        /// The opening that the call is on.
        device: Option<OpeningIndex>,
    },
    /// It has answered.
    Returned(i64),
}

impl Process {
    /// Has an agent forked that is the process with this index of its world, and waits until its threads are ready.
    pub(super) fn start(
        nursery: &Nursery,
        place: usize,
        specification: &ProcessSpecification,
        patience: Duration,
    ) -> Result<Process, TargetError> {
        let ProcessSpecification { name, threads, .. } = specification;
        check_count(name, threads.len())?;
        let broken = |what: &str, error| broken(name.as_str(), what, error);
        let memory = SharedMemory::new(place, threads.len())
            .map_err(|errno| broken("no memory to share", errno.into()))?;
        let mut process = Process::unborn(nursery, specification, memory);
        if specification.forked {
            return Ok(process);
        }
        let (line, theirs) = line().map_err(|errno| broken("no socket", errno.into()))?;
        let born = nursery.agent(specification.uid, theirs.as_fd(), &process.memory);
        process.come_to_life(born.map_err(|error| broken("no process", error))?, line, patience)?;
        Ok(process)
    }

    /// One with this memory that is not there yet.
    fn unborn(nursery: &Nursery, specification: &ProcessSpecification, memory: SharedMemory) -> Process {
        let ProcessSpecification { name, threads, uid, forked } = specification;
        Process {
            name: name.clone(),
            pid: 0,
            alive: false,
            uid: *uid,
            is_spent: *forked,
            sets_priorities: false,
            is_apart: false,
            are_places_told: nursery.are_places_told(),
            nice_value: nursery.nice_value(),
            threads: threads.iter().cloned().map(Thread::new).collect(),
            line: None,
            lodger: None,
            memory,
            read_ahead: None,
            device: None,
            held: Vec::new(),
            mapped: Mappings::default(),
        }
    }

    /// Has an agent begin to live in the harness' address space as the process with this index of its world, and waits until its
    /// threads, of which there are so many, are ready.
    pub(super) fn lodge(
        nursery: &Nursery,
        device: &Path,
        place: usize,
        threads: usize,
        patience: Duration,
    ) -> Result<Process, TargetError> {
        let name = Name::new("player").expect("letters are a name");
        check_count(&name, threads)?;
        let memory = SharedMemory::of_lodger(place, threads)
            .map_err(|errno| broken(name.as_str(), "no memory to share", errno.into()))?;
        let threads = vec![name.clone(); threads];
        let specification = ProcessSpecification { name, threads, uid: None, forked: false };
        let mut process = Process::unborn(nursery, &specification, memory);
        process.begin_to_lodge(device, Vec::new(), patience)?;
        Ok(process)
    }

    /// Has another agent take the place of this lodger, which ends if it has not.
    pub(super) fn lodge_anew(&mut self, device: &Path, patience: Duration) -> Result<(), TargetError> {
        self.forget();
        let berths = self.lodger.take().map(Lodger::evict).unwrap_or_default();
        self.memory
            .renew()
            .map_err(|errno| broken(self.name.as_str(), "no memory to share", errno.into()))?;
        (self.uid, self.is_spent, self.sets_priorities, self.read_ahead) = (None, false, false, None);
        let renew = |thread: &Thread| Thread::new(thread.name.clone());
        self.threads = self.threads.iter().map(renew).collect();
        self.begin_to_lodge(device, berths, patience)
    }

    fn begin_to_lodge(
        &mut self,
        device: &Path,
        berths: Vec<Berth>,
        patience: Duration,
    ) -> Result<(), TargetError> {
        let lodger = Lodger::start(device, &self.memory, berths)
            .map_err(|error| broken(self.name.as_str(), "no process", error))?;
        let pid = lodger.pid();
        self.lodger = Some(lodger);
        self.get_ready(pid, patience)
    }

    /// Has all threads of a lodger act as this user, if they do not.
    pub(super) fn act_as(&mut self, uid: Option<u32>, patience: Duration) -> Result<(), TargetError> {
        if self.uid == uid {
            return Ok(());
        }
        let own = nix::unistd::geteuid().as_raw();
        let request = Request {
            operation: OP_ACT_AS,
            detail: uid.unwrap_or(own),
            argument: own.into(),
            address: 0,
            begin: 0,
        };
        for thread in 0..self.threads.len() {
            self.ask(thread, request, None);
            match self.await_answer(thread, patience) {
                Ok(0) => {}
                Ok(errno) => {
                    let errno = Errno::from_raw(-errno as i32);
                    return Err(TargetError::Failed(format!("{}: no change of user: {errno}", self.name)));
                }
                Err(_) => return Err(TargetError::Died(self.name.clone())),
            }
            self.threads[thread].state = State::Idle;
        }
        self.uid = uid;
        Ok(())
    }

    /// It is there, with this id and this line. Waits until its threads are ready.
    pub(super) fn come_to_life(
        &mut self,
        pid: i32,
        line: OwnedFd,
        patience: Duration,
    ) -> Result<(), TargetError> {
        self.line = Some(line);
        self.get_ready(pid, patience)
    }

    /// Waits until its threads are ready.
    fn get_ready(&mut self, pid: i32, patience: Duration) -> Result<(), TargetError> {
        (self.pid, self.alive) = (pid, true);
        for thread in 0..self.threads.len() {
            self.threads[thread].state = State::Calling { device: None };
            let ready = self.await_answer(thread, patience).map_err(|silence| match silence {
                _ if self.uid.is_some() && !nix::unistd::geteuid().is_root() => {
                    TargetError::Unsupported("acting as another user takes root".to_owned())
                }
                Silence::Died => TargetError::Died(self.name.clone()),
                Silence::Lasting => {
                    TargetError::Hangs(format!("the process {} does not get ready", self.name))
                }
            })?;
            self.threads[thread].tid = ready as i32;
            self.threads[thread].state = State::Idle;
        }
        Ok(())
    }

    /// The memory that it shares, to be given to it.
    pub(super) fn memory(&self) -> &SharedMemory {
        &self.memory
    }

    /// The same, for who has something to put there.
    pub(super) fn memory_mut(&mut self) -> &mut SharedMemory {
        &mut self.memory
    }

    /// Gives it the line and the memory of another one, that it has just been asked to make.
    pub(super) fn hand_over(&self, line: &OwnedFd, memory: &SharedMemory) -> nix::Result<()> {
        let over = self.line.as_ref().ok_or(Errno::EBADF)?;
        let raw = [line.as_raw_fd(), memory.file().as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&raw)];
        sendmsg::<()>(over.as_raw_fd(), &[IoSlice::new(&[0])], &rights, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(())
    }

    /// Gives a thread a request, which concerns this opening.
    pub(super) fn ask(&mut self, thread: usize, request: Request, device: Option<OpeningIndex>) {
        let asked = &mut self.threads[thread];
        asked.state = State::Calling { device };
        asked.has_called |= matches!(request.operation, OP_IOCTL | OP_PLAY);
        self.memory.desk(thread).ask(request);
    }

    /// A turn of a thread, which plays the part that begins at this place.
    pub(super) fn leg(&self, thread: usize, start: u32) -> Leg {
        Leg::new(self.memory.desk(thread), start)
    }

    /// Takes note that a thread will be asked to play a part by others.
    pub(super) fn note_asked_by_others(&mut self, thread: usize) {
        self.threads[thread].has_called = true;
    }

    /// Whether a thread has come to the end of all that it was asked to play.
    pub(super) fn has_played(&self, thread: usize) -> bool {
        self.memory.desk(thread).answer() == Some(0)
    }

    /// Takes note of the answer of a thread that is in a call, if there is one.
    pub(super) fn note_answer(&mut self, thread: usize) {
        if let Some(result) = self.memory.desk(thread).answer() {
            self.threads[thread].state = State::Returned(result);
        }
    }

    /// Waits until a thread has answered, but no longer than this.
    pub(super) fn wait_for_answer(&self, thread: usize, most: Duration) {
        self.memory.desk(thread).wait_for_answer(most);
    }

    /// The answer of a thread that has been asked something.
    pub(super) fn await_answer(&mut self, thread: usize, patience: Duration) -> Result<i64, Silence> {
        let mut start = None;
        loop {
            self.note_answer(thread);
            if let State::Returned(result) = self.threads[thread].state {
                return Ok(result);
            }
            if start.get_or_insert_with(Instant::now).elapsed() > patience {
                return Err(Silence::Lasting);
            }
            self.wait_for_answer(thread, LIFE_SIGN);
            if self.memory.desk(thread).answer().is_none() && self.is_gone() {
                return Err(Silence::Died);
            }
        }
    }

    /// Whether it can be what this asks for, as the process with this index, if it is as good as new.
    pub(super) fn suits(&self, place: usize, specification: &ProcessSpecification) -> bool {
        let ProcessSpecification { uid, threads, forked, .. } = specification;
        !forked && self.memory.place() == place && self.uid == *uid && self.threads.len() == threads.len()
    }

    /// Is this one from here on.
    pub(super) fn become_one(&mut self, specification: &ProcessSpecification) {
        self.name.clone_from(&specification.name);
        for (thread, name) in self.threads.iter_mut().zip(&specification.threads) {
            thread.name.clone_from(name);
        }
    }

    /// It is going to play this.
    pub(super) fn learn(&self, lines: Lines) {
        if let Some(lodger) = &self.lodger {
            lodger.learn(lines);
        }
    }

    /// Which process of its world it is, or can be.
    pub(super) fn place(&self) -> usize {
        self.memory.place()
    }

    /// Ends a lodger, if it lives, and waits until it is gone.
    pub(super) fn evict(&mut self) {
        self.forget();
        self.lodger.iter_mut().for_each(Lodger::end);
    }

    /// Asks for it to be made as good as new: to have nothing open, nothing mapped, and memory without a trace of what was
    /// there. Nobody may use it before [`Process::is_as_new`] of the thread that does it. `None` if it cannot be.
    pub(super) fn ask_to_renew(&mut self) -> Option<usize> {
        // What it has mapped beside the one mapping may lie anywhere among its own memory.
        let mapped = self.mapped.at_most_one_piece().ok()?;
        self.ask_to_renew_but_for(mapped, false)
    }

    /// The same, where it has mapped devices at these addresses only, and maybe at places that the script has chosen.
    pub(super) fn ask_to_renew_but_for(&mut self, mapped: Range<u64>, has_places: bool) -> Option<usize> {
        if !self.alive || self.is_spent {
            return None;
        }
        let request = Request {
            operation: OP_RENEW,
            detail: has_places.into(),
            argument: mapped.end - mapped.start,
            address: mapped.start,
            begin: 0,
        };
        match self.threads.iter().position(|thread| !thread.is_in_call()) {
            Some(idle) => {
                self.ask(idle, request, None);
                Some(idle)
            }
            None => {
                self.memory.desk(0).leave(request);
                self.call_back(0).then_some(0)
            }
        }
    }

    /// Waits until a thread has done what [`Process::ask_to_renew`] asks for, and says whether the process is of use again.
    pub(super) fn is_as_new(&mut self, renewer: usize, patience: Duration) -> bool {
        let cleared = self.is_renewed(renewer, patience) && self.memory.clear().is_ok();
        cleared && self.has_usual_priorities()
    }

    /// The same of one of which it is known what of its memory it has used, if the driver has done to it what it should:
    /// whether it has, [`Process::condition`] tells later.
    pub(super) fn is_as_new_by_all_accounts(&mut self, renewer: usize, patience: Duration) -> bool {
        let is_renewed = self.is_renewed(renewer, patience);
        // Else a thread may still use it.
        if is_renewed {
            self.memory.clear_known();
        }
        is_renewed
    }

    /// How a driver has left it. Who has ended has no priorities any more.
    pub(super) fn condition(&mut self) -> Condition {
        let has_usual_priorities = !self.alive || self.sets_priorities || self.has_usual_priorities();
        match self.memory.has_nothing_unknown() {
            Ok(false) => Condition::Spoilt,
            Ok(true) if has_usual_priorities => Condition::AsItShould,
            Ok(true) | Err(_) => Condition::Unusual,
        }
    }

    fn is_renewed(&mut self, renewer: usize, patience: Duration) -> bool {
        let renewed = self.await_answer(renewer, patience).is_ok_and(|result| result == 0);
        let have_returned = renewed && self.have_all_returned(patience);
        self.forget();
        self.alive = true;
        if std::mem::take(&mut self.sets_priorities) {
            let usual = self.nice_value.unwrap_or_default();
            self.threads.iter().for_each(|thread| set_nice_value(thread.tid, usual));
        }
        have_returned
    }

    /// Whether its threads have the priorities that they began with: a driver that has lent one that of a caller may not have
    /// taken it back.
    fn has_usual_priorities(&mut self) -> bool {
        let usual = self.nice_value;
        let is_usual =
            |thread: &mut Thread| !std::mem::take(&mut thread.has_called) || nice_value(thread.tid) == usual;
        self.threads.iter_mut().all(is_usual)
    }

    /// Waits until all threads have come back from their calls, now that the device is closed: which is what the driver
    /// sends those back for that sleep in it. The others are called back. False if one does not come.
    fn have_all_returned(&mut self, patience: Duration) -> bool {
        (0..self.threads.len()).all(|thread| {
            if self.threads[thread].is_in_call() {
                self.note_answer(thread);
            }
            !self.threads[thread].is_in_call()
                || self.call_back(thread) && self.await_answer(thread, patience).is_ok()
        })
    }

    /// Whether a descriptor is one that it has had from the beginning: its standard streams and its line.
    pub(super) fn is_own(&self, descriptor: u32) -> bool {
        descriptor < FIRST_DESCRIPTOR
    }

    /// Copies bytes into the arenas of its threads, each to its address.
    pub(super) fn write_memory(&mut self, image: &Image) -> Result<(), TargetError> {
        for Piece { address, bytes, zeroes } in image.iter() {
            let length = bytes.len() + zeroes;
            if length > 0 && !self.memory.write(address, bytes, zeroes) {
                return Err(TargetError::Bug(format!(
                    "{}: some of {length} bytes at {address:#x} lie outside of the thread's arena",
                    self.name,
                )));
            }
        }
        Ok(())
    }

    /// Copies from the process' memory; `None` where it has none.
    pub(super) fn read_memory(
        &mut self,
        address: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, TargetError> {
        if !self.alive {
            return Ok(None);
        }
        if let Some(bytes) = self.memory.read(address, length) {
            return Ok(Some(bytes));
        }
        if length == 0 {
            return Ok(Some(Vec::new()));
        }
        if let Some(bytes) = self.read_ahead.as_ref().and_then(|ahead| ahead.get(address, length)) {
            return Ok(Some(bytes.to_vec()));
        }
        let behind = address.saturating_add(length as u64);
        let ahead = READ_AHEAD.min(behind.next_multiple_of(PAGE) - behind) as usize;
        let mut bytes = vec![0; length + ahead];
        let places = [
            RemoteIoVec { base: address as usize, len: length },
            RemoteIoVec { base: behind as usize, len: ahead },
        ];
        match process_vm_readv(Pid::from_raw(self.pid), &mut [IoSliceMut::new(&mut bytes)], &places) {
            Ok(read) if read >= length => {
                bytes.truncate(read);
                let asked = bytes[..length].to_vec();
                self.read_ahead = Some(ReadAhead { address, bytes });
                Ok(Some(asked))
            }
            Ok(_) | Err(Errno::EFAULT) => Ok(None),
            Err(errno) => Err(self.unreachable(errno)),
        }
    }

    /// Forgets what has been read ahead, as something is about to happen.
    pub(super) fn forget_read_ahead(&mut self) {
        self.read_ahead = None;
    }

    fn unreachable(&self, errno: Errno) -> TargetError {
        match errno {
            Errno::EPERM => TargetError::SetUp(format!(
                "the memory of the process {} may not be looked at: run as root, or allow it (ptrace_scope)",
                self.name
            )),
            Errno::ESRCH => TargetError::Died(self.name.clone()),
            errno => TargetError::Failed(format!("the memory of {} cannot be reached: {errno}", self.name)),
        }
    }

    /// Whether one of its threads is in a call on an opening.
    pub(super) fn is_in_call(&self, device: OpeningIndex) -> bool {
        self.threads.iter().any(|thread| thread.state == State::Calling { device: Some(device) })
    }

    /// Kills the process, if it lives.
    pub(super) fn kill(&mut self) {
        if self.alive {
            match &mut self.lodger {
                Some(lodger) => lodger.end(),
                None => {
                    // It may have ended by itself in the meantime.
                    let _ = nix::sys::signal::kill(Pid::from_raw(self.pid), Signal::SIGKILL);
                }
            }
            self.forget();
        }
    }

    /// The process has ended, or is about to.
    pub(super) fn forget(&mut self) {
        self.alive = false;
        self.device = None;
        self.held.clear();
        self.mapped.clear();
        self.threads.iter_mut().for_each(|thread| thread.state = State::Idle);
    }

    /// Whether nothing is left of a process that has ended.
    pub(super) fn is_gone(&self) -> bool {
        self.lodger.as_ref().map_or_else(|| !exists(self.pid), Lodger::is_gone)
    }

    /// Takes the first look at one of its threads that has not returned from its call: `Ok(None)` if it is not parked. It
    /// is if it has [slept on](Process::has_slept_on). An error if it is gone.
    pub(super) fn parked(&self, thread: usize) -> Result<Option<Parked>, TargetError> {
        let watch = &self.threads[thread].watch;
        let watch = watch.get_or_init(|| Watch::of(self.pid, self.threads[thread].tid, self.are_places_told));
        let gone = || TargetError::Died(self.name.clone());
        let switches = match watch.as_ref().ok_or_else(gone)?.glance() {
            Glance::SeemsToSleep { switches } => switches,
            Glance::Runs => return Ok(None),
            Glance::Gone => return Err(gone()),
        };
        let call = self.memory.desk(thread).call();
        Ok((call != 0).then_some(Parked { call, switches }))
    }

    /// Has a thread, which is in a call, come back from it. False if there is no such thread.
    fn call_back(&self, thread: usize) -> bool {
        self.signal(thread, DISMISSAL).is_ok()
    }

    /// Sends a thread a signal that agents handle.
    pub(super) fn signal(&self, thread: usize, signal: Signal) -> nix::Result<()> {
        let (pid, tid) = (self.pid, self.threads[thread].tid);
        // SAFETY: agents handle the signal, and no other thread has both of these ids.
        let sent = unsafe { nix::libc::syscall(nix::libc::SYS_tgkill, pid, tid, signal as nix::libc::c_int) };
        Errno::result(sent).map(drop)
    }

    /// Whether a thread that has been asked something has answered, of which no note has been taken.
    pub(super) fn has_answered(&self, thread: usize) -> bool {
        self.memory.desk(thread).answer().is_some()
    }

    /// Whether one of its threads has slept on since this look at it. It is in the same call then.
    ///
    /// The kernel counts a switch only after it has taken the thread off its processor, and a guest's processor may stand
    /// still amid that: so one that has returned and waits for its next call can still show the old count. Its word of the call
    /// shows that it has returned.
    pub(super) fn has_slept_on(&self, thread: usize, since: Parked) -> bool {
        let watch = self.threads[thread].watch.get().and_then(Option::as_ref);
        watch.is_some_and(|watch| watch.has_slept_since(since.switches))
            && self.memory.desk(thread).call() == since.call
    }
}

/// Agents that nobody has any more do not wait for ever.
impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Why a thread has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// Its process is gone.
    Died,
    /// It took too long.
    Lasting,
}

/// Makes sure that a process can have so many threads.
fn check_count(name: &Name, threads: usize) -> Result<(), TargetError> {
    match threads {
        0..=MOST_THREADS => Ok(()),
        _ => Err(TargetError::Unsupported(format!("{name} has more than {MOST_THREADS} threads"))),
    }
}

/// The two ends of a new line, the second one for the agent.
pub(super) fn line() -> nix::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
}

/// The nice value of a thread, or of the calling one for 0; `None` if it is gone.
pub(super) fn nice_value(tid: i32) -> Option<i64> {
    // SAFETY: it only asks. The function of the C library would give -1, which could also be an error.
    let result = unsafe { nix::libc::syscall(nix::libc::SYS_getpriority, nix::libc::PRIO_PROCESS, tid) };
    Errno::result(result).ok()
}

/// Sets the nice value of a thread, which [`nice_value`] has told of another one. If that fails, it stays as it is.
fn set_nice_value(tid: i32, told: i64) {
    // What is told is 20 less the nice value.
    let nice = 20 - told;
    // SAFETY: it changes nothing but how that thread is scheduled.
    unsafe { nix::libc::syscall(nix::libc::SYS_setpriority, nix::libc::PRIO_PROCESS, tid, nice) };
}

fn broken(name: &str, what: &str, error: std::io::Error) -> TargetError {
    TargetError::Failed(format!("{name}: {what}: {error}"))
}

impl ReadAhead {
    fn get(&self, address: u64, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(address.checked_sub(self.address)?).ok()?;
        self.bytes.get(start..start.checked_add(length)?)
    }
}

impl Thread {
    /// Whether it has been given a request, and has not been seen to answer.
    pub(super) fn is_in_call(&self) -> bool {
        matches!(self.state, State::Calling { .. })
    }

    fn new(name: Name) -> Thread {
        Thread {
            name,
            tid: 0,
            state: State::Idle,
            polls: false,
            may_read: false,
            rest: None,
            opens: None,
            has_called: false,
            watch: OnceCell::new(),
        }
    }
}
