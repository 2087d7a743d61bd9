//! How a thread is scheduled, but for its nice value.

/// `{ policy SCHED_FIFO, priority 5 }`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduling {
    /// The policy.
    pub policy: SchedulingPolicy,
    /// The priority among threads of real-time policies, from 1 to 99; 0 for all others.
    pub priority: i32,
}

/// A scheduling policy of Linux.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum SchedulingPolicy {
    /// SCHED_OTHER
    SchedOther,
    /// SCHED_BATCH
    SchedBatch,
    /// SCHED_IDLE
    SchedIdle,
    /// SCHED_FIFO
    SchedFifo,
    /// SCHED_RR
    SchedRr,
}

impl SchedulingPolicy {
    /// Whether threads of it go before all that have none like it.
    pub fn is_real_time(self) -> bool {
        matches!(self, SchedulingPolicy::SchedFifo | SchedulingPolicy::SchedRr)
    }
}
