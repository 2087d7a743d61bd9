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
mod system_call;
pub mod tape;
pub mod uml;
mod world;

pub use image::{Image, Piece};
pub use layout::*;
pub use named::{NoTarget, TargetOptions, is_guest, named};
pub use reference::{Audits, ReferenceTarget};
pub use spent::{Part, Spent, Stopwatch};
pub use system_call::{Answer, FileId, InstanceId, Outcome, Report, SystemCall};
pub use world::{
    Closing, DescriptorState, ProcessSpecification, Racer, TargetError, ThreadIndex, World, Worlds,
};
pub(crate) use world::{LEFT_AFTER_ALL, left_after_all};

use std::process::ExitCode;

use crate::engine::{self, Run, SetUpError};
use crate::program::Program;
use system_call::is_too_long;
use tape::Reel;

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

    /// What has run on it makes no difference to what is run from here on, where that can be had: a guest is booted anew.
    fn renew(&mut self) {}

    /// What the security module of its kernel calls processes, once that is known: the model of its driver is to do the same.
    fn security_context(&self) -> Option<Vec<u8>> {
        None
    }

    /// Whether it makes use of tapes.
    fn plays_tapes(&self) -> bool {
        false
    }

    /// Runs programs one after the other, and gives for each what came of it, or `None` where that is what came of it
    /// elsewhere. Where many are run, this is quicker: processes may be used again where that makes no difference to the
    /// driver. There may be tapes of some of them. It gives fewer, of the first programs, where nothing can be run behind these;
    /// an error as of [`Target::run`] if that is none.
    fn compare(
        &mut self,
        elsewhere: &[(&Program, &Run)],
        _tapes: &Reel,
    ) -> Result<Vec<Option<Run>>, SetUpError> {
        let mut runs = Vec::with_capacity(elsewhere.len());
        for (program, expected) in elsewhere {
            match self.run(program) {
                Ok(run) => runs.push((run != **expected).then_some(run)),
                Err(error) if runs.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(runs)
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
