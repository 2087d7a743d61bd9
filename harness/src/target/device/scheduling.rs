//! Scheduling policies by the numbers of the kernel, the limit of nice values, and who runs before whom.
//!
//! Where there is one processor, agents can be given precedence: they then run before the harness whenever they have something
//! to do. So whenever the harness runs, all of them sleep, and nobody has to be asked whether they do.

use strum::VariantArray;

use crate::program::{Scheduling, SchedulingPolicy};
use crate::target::TargetError;

/// The kernel's number of a policy.
pub(super) fn number(policy: SchedulingPolicy) -> u32 {
    let number = match policy {
        SchedulingPolicy::SchedOther => nix::libc::SCHED_OTHER,
        SchedulingPolicy::SchedBatch => nix::libc::SCHED_BATCH,
        SchedulingPolicy::SchedIdle => nix::libc::SCHED_IDLE,
        SchedulingPolicy::SchedFifo => nix::libc::SCHED_FIFO,
        SchedulingPolicy::SchedRr => nix::libc::SCHED_RR,
    };
    number as u32
}

/// What an agent has told: the policy, and in the upper half the priority. No agent has another policy than these.
pub(super) fn told(result: i64) -> Scheduling {
    let known = SchedulingPolicy::VARIANTS.iter().find(|policy| number(**policy) == result as u32);
    Scheduling {
        policy: known.copied().unwrap_or(SchedulingPolicy::SchedOther),
        priority: (result >> 32) as i32,
    }
}

/// Whether this machine has one processor, so that precedence over others means that these sleep.
pub(super) fn has_one_processor() -> bool {
    std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1)
}

/// Gives a thread precedence over all that have none, or takes it back. What it forks and starts has it too.
pub(super) fn set_precedence(tid: i32, has_it: bool) -> nix::Result<()> {
    let (policy, priority) = if has_it { (nix::libc::SCHED_FIFO, 1) } else { (nix::libc::SCHED_OTHER, 0) };
    let parameters = nix::libc::sched_param { sched_priority: priority };
    // SAFETY: it changes nothing but how that thread is scheduled, and reads one structure, which outlives the call.
    let result = unsafe { nix::libc::sched_setscheduler(tid, policy, &parameters) };
    nix::errno::Errno::result(result).map(drop)
}

/// Sets the RLIMIT_NICE of a process.
pub(super) fn limit_nice(pid: i32, limit: u32) -> Result<(), TargetError> {
    let limit = nix::libc::rlimit { rlim_cur: limit.into(), rlim_max: limit.into() };
    // SAFETY: it reads one structure, which outlives the call, and writes none.
    let result = unsafe { nix::libc::prlimit(pid, nix::libc::RLIMIT_NICE, &limit, std::ptr::null_mut()) };
    match nix::errno::Errno::result(result) {
        Ok(_) => Ok(()),
        Err(nix::errno::Errno::EPERM) => {
            Err(TargetError::Unsupported("raising the RLIMIT_NICE of a process takes root".to_owned()))
        }
        Err(errno) => Err(TargetError::Failed(format!("the RLIMIT_NICE of process {pid} stays: {errno}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_is_told_by_its_number() {
        for policy in SchedulingPolicy::VARIANTS {
            let result = i64::from(number(*policy)) | 7 << 32;
            assert_eq!(told(result), Scheduling { policy: *policy, priority: 7 });
        }
    }
}
