//! Scheduling policies by the numbers of the kernel, and the limit of nice values.

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
        Err(errno) => Err(TargetError::Broken(format!("the RLIMIT_NICE of process {pid} stays: {errno}"))),
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
