//! Targets: the drivers that a program can be run on.
//!
//! A [`Target`] runs programs. Where the driver can be reached from this very process, it does so by opening a
//! [`World`] for each program ([`Worlds`]): processes with their threads and their memory, in front of a freshly
//! used device. A world knows nothing of scripts. It does system calls, and tells what came of them; all symbols,
//! encoding, decoding and judging are done above it, in [`crate::engine`], alike for every target.

pub mod device;
pub mod guest;
mod image;
mod layout;
mod mappings;
mod named;
pub mod qemu;
mod reference;
mod spent;
pub mod uml;

pub use image::{Image, Piece};
pub use layout::*;
pub use named::{NoTarget, TargetOptions, is_guest, named};
pub use reference::{Audits, ReferenceTarget};
pub use spent::{Part, Spent, Stopwatch};

use std::process::ExitCode;
use std::time::Duration;

use crate::engine::{self, Run, SetUpError};
use crate::program::{
    BinderfsCall, Context, Counter, DriverKind, Feature, Name, PLACES, Pages, Place, PollEvents, Program,
    Protection, Scheduling,
};
use reference_driver::Profile;
use reference_driver::uapi::Errno;

/// Guests are booted with the program that asks for them as their first process, and devices are driven by further ones
/// of it: a program that has targets calls this before anything else, and ends with the status if there is one.
pub fn live_as_asked() -> Option<ExitCode> {
    if guest::init::is_guest() {
        guest::init::live();
    }
    let mut words = std::env::args_os().skip(1);
    words.next().filter(|word| word == device::nursery::COMMAND)?;
    words.next().map(|device| device::nursery::live(device.into()))
}

/// A driver that programs can be run on. It may be used by another thread than the one that prepared it.
pub trait Target: Send {
    /// What the user calls it, such as `reference` or `vm:debian-6.12`.
    fn name(&self) -> String;

    /// Runs a program from beginning to end, and says what came of it. An error means that no program can be
    /// run on this target.
    fn run(&mut self, program: &Program) -> Result<Run, SetUpError>;

    /// Runs programs one after the other, and gives for each what came of it, or `None` where that is what came of it
    /// elsewhere. Where many are run, this is quicker: processes may be used again where that makes no difference to the
    /// driver. An error as of [`Target::run`].
    fn compare(&mut self, elsewhere: &[(&Program, &Run)]) -> Result<Vec<Option<Run>>, SetUpError> {
        let runs = elsewhere.iter().map(|(program, expected)| {
            let run = self.run(program)?;
            Ok((run != **expected).then_some(run))
        });
        runs.collect()
    }

    /// Where the time has gone of some of the programs that were compared, since this was last asked.
    fn spent(&mut self) -> Spent {
        Spent::default()
    }

    /// Runs a program that is none of ours where the driver is: its first word is the path of the device, and these
    /// follow. Only a guest can.
    fn execute(&mut self, program: &[u8], words: &[String]) -> Result<guest::Executed, SetUpError> {
        let _ = (program, words);
        Err(SetUpError(format!("{} runs no programs: only guests do", self.name())))
    }

    /// What the driver's code has counted of its own runs, which begins anew then, unless it is what it counted while it
    /// booted. `None` if the guest that has counted it is gone. Only kernels that were built with gcov or llvm-cov count.
    fn counted(&mut self, since: guest::Since) -> Result<Option<guest::Counters>, SetUpError> {
        let _ = since;
        Err(counts_nothing(&self.name()))
    }

    /// Which driver this is, such as `linux-c-6.12.117+deb12-amd64`, or `linux-rust-7.3.0` if it is the one in Rust, as
    /// far as it is known yet: a kernel that has not booted may be any. The reference driver is none, as nothing that
    /// it does wrong is to be expected; but where it is a model of the one in Rust, it models what is wrong with that.
    fn driver(&self) -> Option<String>;

    /// The name of the reference driver's profile that its driver is nearest to, as far as it is known yet.
    fn profile(&self) -> Option<String>;
}

/// That a target does not count which lines run.
fn counts_nothing(name: &str) -> SetUpError {
    SetUpError(format!(
        "{name} does not count which lines of the driver run: only kernels of binderdrill kernel build --with gcov \
         do, or --driver rust --with llvm-cov"
    ))
}

/// A driver that can be reached from this very process.
pub trait Worlds {
    /// What the user calls it, such as `reference` or `device:/dev/binder`.
    fn name(&self) -> String;

    /// As [`Target::driver`].
    fn driver(&self) -> Option<String>;

    /// Which implementation of the driver it has, or models.
    fn kind(&self) -> DriverKind;

    /// The reference driver's profile that its driver is nearest to.
    fn profile(&self) -> Profile {
        match self.kind() {
            DriverKind::Rust => Profile::RUST,
            DriverKind::C if self.lacks(Feature::FreezeNotification).is_some() => Profile::C_6_1,
            DriverKind::C if self.lacks(Feature::CallersEuid).is_some() => Profile::C_6_12,
            DriverKind::C => Profile::C,
        }
    }

    /// Whether it has what a program may require; if not, why not, in words that follow "skipped: ".
    fn lacks(&self, feature: Feature) -> Option<String>;

    /// A world with these processes and threads, none of which has opened the device yet.
    fn world(&mut self, processes: &[ProcessSpecification]) -> Result<Box<dyn World + '_>, TargetError>;
}

impl<W: Worlds + Send> Target for W {
    fn name(&self) -> String {
        Worlds::name(self)
    }

    fn run(&mut self, program: &Program) -> Result<Run, SetUpError> {
        engine::run(program, self)
    }

    fn driver(&self) -> Option<String> {
        Worlds::driver(self)
    }

    fn profile(&self) -> Option<String> {
        Some(Worlds::profile(self).name.to_owned())
    }
}

/// A process of a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSpecification {
    /// For messages.
    pub name: Name,
    /// Real and effective user; `None` leaves the one that the target runs as.
    pub uid: Option<u32>,
    /// The names of its threads, for messages; the first is its main thread. Never empty.
    pub threads: Vec<Name>,
    /// It is not there before another process makes it. It has one thread then, and the user of that one.
    pub forked: bool,
}

/// A thread of a world: which process of the list, and which thread of that process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadIndex {
    /// Index of the process.
    pub process: usize,
    /// Index of the thread within it.
    pub thread: usize,
}

/// A system call with concrete numbers. Each process has at most one device that its calls go to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "most calls are ioctls, and their images need no allocation")]
pub enum SystemCall {
    /// Opens a device. EEXIST if the process has one open already (said by the world, not by the kernel).
    Open {
        /// Of which context.
        context: Context,
        /// With O_NONBLOCK.
        nonblock: bool,
    },
    /// Closes the device; EBADF if it is not open.
    Close,
    /// Closes a duplicate of the descriptor.
    Flush,
    /// Maps so many bytes of the device, readable.
    Mmap {
        /// Bytes.
        size: u64,
        /// With PROT_WRITE.
        write: bool,
        /// With MAP_SHARED, not MAP_PRIVATE.
        shared: bool,
        /// With MAP_FIXED, in place of what is there; else at an address of the kernel's (or model's) choice. ENOMEM if
        /// it would go on behind [`PLACES`] (said by the world).
        at: Option<Place>,
    },
    /// Takes away what is mapped here, or, without pages, from the first to the last address of what is left of the last
    /// mapping; EINVAL if there is none.
    Munmap(Option<Pages>),
    /// Says what the process may do with these pages.
    Mprotect {
        /// Which.
        pages: Pages,
        /// What it may.
        protection: Protection,
    },
    /// Polls for POLLIN.
    Poll {
        /// For how long.
        timeout_ms: u32,
    },
    /// Makes an epoll instance that watches the device for POLLIN. EEXIST if the process has one (said by the world, not
    /// by the kernel).
    Epoll,
    /// Asks that instance what there is; EBADF if there is none.
    EpollWait {
        /// For how long.
        timeout_ms: u32,
    },
    /// Closes it; EBADF if there is none.
    EpollClose,
    /// Listens to what the driver reports. EEXIST if the process does already (said by the world); ENOENT if the driver
    /// reports nothing.
    Listen,
    /// Takes the next report that is about this world, without waiting: EAGAIN if there is none, EBADF if the process does
    /// not listen.
    Report,
    /// Makes a file in memory, and a descriptor for it that is not close-on-exec.
    Memfd {
        /// What it is known by from here on.
        file: FileId,
    },
    /// Makes a pipe, and a descriptor for each end that is not close-on-exec.
    Pipe {
        /// What the end to read from is known by.
        reading: FileId,
        /// What the end to write to is known by.
        writing: FileId,
    },
    /// Closes a descriptor.
    CloseDescriptor(u32),
    /// Polls a descriptor for POLLIN without waiting.
    PollDescriptor(u32),
    /// Lets the process have so many descriptors more than it has now.
    LimitDescriptors(u32),
    /// Writes to the process' memory (see [`Area`]), then does an ioctl.
    Ioctl {
        /// The request.
        request: u32,
        /// Its argument.
        argument: u64,
        /// What is to be in memory first. All of it lies in the arena of the calling thread.
        memory: Image,
    },
    /// The whole process ends, without cleaning up. Never fails; its other threads end too.
    Exit,
    /// Makes another process of the world, which has not been there before: a copy of this one, with its descriptors,
    /// and with no other thread than the calling one.
    Fork {
        /// Index of the new process.
        child: usize,
    },
    /// Gives the process a user namespace of its own, whose root its user is, and a mount namespace of its own. EINVAL if
    /// it has several threads.
    Unshare,
    /// Makes a further descriptor of the device. EEXIST if the device is known as a file already (said by the world,
    /// not by the kernel).
    Dup {
        /// What the open device is known by from here on.
        file: FileId,
    },
    /// Has this descriptor take the place of the one by which the process calls the device; that one stays open. EBADF if
    /// it is not for a device of this world (said by the world, not by the kernel).
    Use(u32),
    /// Sets the nice value of the calling thread.
    SetPriority(i32),
    /// The nice value of the calling thread.
    GetPriority,
    /// Sets the scheduling policy of the calling thread.
    SetScheduler(Scheduling),
    /// The scheduling policy of the calling thread.
    GetScheduler,
    /// Sets the RLIMIT_NICE of the process; it is the world that does it, with all rights.
    LimitNice(u32),
    /// The kernel reclaims the memory that it can do without; it is the world that tells it, with all rights.
    DropCaches,
    /// Does this with an instance of binderfs, which this world has to itself. Opening a device is EEXIST if the process
    /// has one open already (said by the world, not by the kernel).
    Binderfs {
        /// Which one.
        instance: InstanceId,
        /// What is to be done.
        call: BinderfsCall,
    },
}

impl SystemCall {
    /// Whether it is a poll that waits until there is something.
    fn is_patient_poll(&self) -> bool {
        matches!(self, SystemCall::Poll { timeout_ms: 1.. } | SystemCall::EpollWait { timeout_ms: 1.. })
    }
}

/// Whether a mapping would go on behind the addresses that scripts have.
fn is_too_long(at: Option<Place>, size: u64) -> bool {
    at.is_some_and(|place| size > PLACES.end - place.address())
}

/// What came of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It returned this.
    Done(Result<Answer, Errno>),
    /// It sleeps. The thread can do nothing else until [`World::collect`] finds it done.
    Parked,
}

/// What a system call that succeeded returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A number that says nothing more (0).
    Success,
    /// What a poll found.
    Events(PollEvents),
    /// The number of a new descriptor.
    Descriptor(u32),
    /// A nice value.
    Nice(i32),
    /// How a thread is scheduled.
    Scheduling(Scheduling),
    /// What a file holds.
    Number(i64),
    /// A report of the driver.
    Report(Report),
    /// The numbers of those for the ends of a new pipe.
    Pipe {
        /// To read from.
        reading: u32,
        /// To write to.
        writing: u32,
    },
}

/// What the driver reports of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The BR_ code.
    pub error: u32,
    /// Of which context; `None` of a device that a script has made.
    pub context: Option<Context>,
    /// The id of the process that sent it.
    pub from_pid: i32,
    /// The thread that sent it.
    pub from: ThreadIndex,
    /// The id of the process that it was for, if told.
    pub to_pid: Option<i32>,
    /// The thread that it was for, if told.
    pub to: Option<ThreadIndex>,
    /// Whether it is a reply.
    pub is_reply: bool,
    /// Its flags.
    pub flags: u32,
    /// Its code.
    pub code: u32,
    /// The length of its payload in bytes.
    pub data_size: u32,
}

/// What a world knows a file by that a script has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// What a world knows an instance of binderfs by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u32);

/// What a descriptor of a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptorState {
    /// The open file that it is for; `None` for one that no script has made.
    pub file: Option<FileId>,
    /// Whether it is closed when the process executes another program.
    pub close_on_exec: bool,
}

/// A thread that begins a system call at the same time as others do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Racer {
    /// The thread. It is not parked.
    pub thread: ThreadIndex,
    /// What it does.
    pub call: SystemCall,
    /// How long it waits before it begins.
    pub delay: Duration,
}

/// Processes and threads in front of a binder device, for the time of one case.
pub trait World {
    /// Lets a thread that is not parked do a system call, and waits until it has returned or is parked *and*
    /// everything it set off has come to rest: every other thread idle or parked, deferred work done.
    fn call(&mut self, thread: ThreadIndex, call: SystemCall) -> Result<Outcome, TargetError>;

    /// Lets several threads begin system calls at the same time but for their delays, and waits until everything has
    /// come to rest as it does for one. What came of each, in the same order. A world in which nothing happens at the
    /// same time does one after the other, in the order of the delays.
    fn race(&mut self, racers: Vec<Racer>) -> Result<Vec<Outcome>, TargetError> {
        let mut order: Vec<usize> = (0..racers.len()).collect();
        order.sort_by_key(|index| racers[*index].delay);
        let mut outcomes = vec![Outcome::Parked; racers.len()];
        for index in order {
            let Racer { thread, call, .. } = racers[index].clone();
            outcomes[index] = self.call(thread, call)?;
        }
        for (racer, outcome) in racers.iter().zip(&mut outcomes) {
            // One that was parked may have been woken by the next.
            if *outcome == Outcome::Parked {
                *outcome = self.collect(racer.thread)?;
            }
        }
        Ok(outcomes)
    }

    /// What has become of a call that parked. `Done` is told once; then the thread is idle again.
    fn collect(&mut self, thread: ThreadIndex) -> Result<Outcome, TargetError>;

    /// Lets time pass until a call in which a thread is parked gives up waiting, and everything that this sets off
    /// has come to rest. `Parked` if it waits without limit.
    fn expire(&mut self, thread: ThreadIndex) -> Result<Outcome, TargetError>;

    /// Sends a signal to a thread, which handles it by doing nothing, and waits until everything that this sets off has
    /// come to rest. ESRCH if its process has ended.
    fn signal(&mut self, thread: ThreadIndex) -> Result<Result<(), Errno>, TargetError>;

    /// Bytes of a process' memory: its arena, or its mapping of the device. `None` where not mapped.
    fn read_memory(
        &mut self,
        process: usize,
        address: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, TargetError>;

    /// The same for who only looks at them: fills in as many as there is room for. False where not mapped.
    fn look_at_memory(
        &mut self,
        process: usize,
        address: u64,
        bytes: &mut [u8],
    ) -> Result<bool, TargetError> {
        let read = self.read_memory(process, address, bytes.len())?;
        read.iter().for_each(|read| bytes.copy_from_slice(read));
        Ok(read.is_some())
    }

    /// What a descriptor of a process is; `None` if the process has no such one.
    fn descriptor(&mut self, process: usize, number: u32) -> Result<Option<DescriptorState>, TargetError>;

    /// The process id by which the driver calls a process.
    fn pid(&self, process: usize) -> i32;

    /// What the security module of the target calls a process, with a final 0 if it counts one; `None` if it has no name for it, or there is no such
    /// module.
    fn security_context(&mut self, process: usize) -> Result<Option<Vec<u8>>, TargetError>;

    /// A counter of the driver, as the process sees it; an error if this target does not keep it.
    fn count(&mut self, process: usize, counter: Counter) -> Result<u64, TargetError>;

    /// Ends every process, waits until the driver has forgotten them, and says what is wrong after that.
    fn close(self: Box<Self>) -> Result<Closing, TargetError>;
}

/// What is wrong with a driver once every process of a world is gone, a line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closing {
    /// What is left of them.
    pub left: Vec<String>,
    /// What the kernel complained of since the last world was closed.
    pub complaints: Vec<String>,
    /// All that the kernel's log has had since this world was made, as far as it can be read.
    pub log: Vec<String>,
}

/// So many of a kind, of which the words for one and for several are given, that are left after all is closed.
pub(crate) fn left_after_all(count: u64, (one, several): (&str, &str)) -> String {
    match count {
        1 => format!("1 {one} is left after all is closed"),
        count => format!("{count} {several} are left after all is closed"),
    }
}

/// That a target could not do what it was asked to: never the fault of the driver under test.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The target, in its present state, does not do this at all: the case is skipped, not failed.
    #[error("{0}")]
    Unsupported(String),
    /// Something that the target rests on is missing or refused. Says what, where, and what to do.
    #[error("{0}")]
    SetUp(String),
    /// A process or thread of the world died or hung, which spoils this case and no other.
    #[error("{0}")]
    Broken(String),
}
