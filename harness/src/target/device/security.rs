//! Security contexts: what the kernel's security module calls processes, and whether it tells the driver.
//!
//! Not every module does: AppArmor has names for processes that it tells them, and not the driver. So it is tried.

use super::DeviceTarget;
use crate::engine::{self, SetUpError, Verdict};
use crate::script;

/// A call that can only arrive with the security context of its caller.
const TRIAL: &str = "\
# A call brings a security context.

process server
process client

server  ! BINDER_SET_CONTEXT_MGR_EXT service flags FLAT_BINDER_FLAG_TXN_SECURITY_CTX
server  > BC_ENTER_LOOPER
client  > BC_TRANSACTION { handle 0 }
server  < BR_TRANSACTION_SEC_CTX
";

/// What the security module calls a process, with a final 0 if the driver is given one; `None` if it does not.
pub(super) fn context_of(pid: i32) -> Option<Vec<u8>> {
    let mut context = std::fs::read(format!("/proc/{pid}/attr/current")).ok()?;
    // A final 0 is there if the module counts it; a line end is the file's.
    context.pop_if(|last| *last == b'\n');
    (!context.is_empty()).then_some(context)
}

/// Whether the driver of a device is told the security contexts of processes.
pub(super) fn is_told_to(target: &mut DeviceTarget) -> Result<bool, SetUpError> {
    let trial = script::parse(TRIAL.as_bytes()).expect("the script above can be read, which a test shows");
    Ok(engine::run(&trial.program, target)?.verdict == Verdict::Pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trial_can_be_read() {
        assert!(script::parse(TRIAL.as_bytes()).is_ok());
    }
}
