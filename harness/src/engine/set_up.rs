//! Set-up: what processes have done with the device before the first step. If it fails, nothing is judged.

use std::fmt;

use reference_driver::uapi::BINDER_SET_CONTEXT_MGR;

use super::call;
use super::cast::mapping;
use super::execution::{Execution, Stop};
use crate::program::{DeviceSetUp, Process};
use crate::target::{Outcome, SystemCall, ThreadIndex};

impl Execution<'_> {
    /// Opens, maps and makes context managers as declared.
    pub(super) fn set_up(&mut self) -> Result<(), Stop> {
        for index in 0..self.cast.processes().len() {
            let thread = ThreadIndex { process: index, thread: 0 };
            let Process { device, context, nonblock, context_manager, .. } = self.cast.processes()[index];
            if !matches!(device, DeviceSetUp::Forked | DeviceSetUp::Closed) {
                self.set_up_with(thread, &"open", SystemCall::Open { context, nonblock })?;
            }
            if let Some(size) = mapping(device) {
                let call = SystemCall::Mmap { size, write: false, shared: false, at: None };
                self.set_up_with(thread, &format_args!("mmap of {size} bytes"), call)?;
            }
            if context_manager {
                let call = call::with_number(BINDER_SET_CONTEXT_MGR, thread, 0_i32);
                self.set_up_with(thread, &"BINDER_SET_CONTEXT_MGR", call)?;
            }
        }
        Ok(())
    }

    fn set_up_with(
        &mut self,
        thread: ThreadIndex,
        what: &dyn fmt::Display,
        call: SystemCall,
    ) -> Result<(), Stop> {
        let failure = match self.world.call(thread, call)? {
            Outcome::Done(Ok(_)) => return Ok(()),
            Outcome::Done(Err(errno)) => format!("failed with {errno}"),
            Outcome::Parked => "did not return".to_owned(),
        };
        let process = self.cast.name(thread);
        Err(Stop::SetUp(format!("setting up process {process}: {what} {failure}")))
    }
}
