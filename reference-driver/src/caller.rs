//! Callers: who makes a system call.

/// The thread that makes a system call, as the kernel knows it and whatever it may claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The process (thread group).
    pub pid: i32,
    /// The thread.
    pub tid: i32,
    /// Its effective user.
    pub euid: u32,
}
