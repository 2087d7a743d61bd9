//! Writing: the commands of a write buffer, one after the other.

use crate::caller::Caller;
use crate::driver::Driver;
use crate::memory::{Fault, UserMemory};
use crate::node::Strength;
use crate::process::Process;
use crate::profile::FreezeNotifications;
use crate::sending::{Direction, Sending};
use crate::table::Key;
use crate::thread::Thread;
use crate::uapi::*;
use zerocopy::{FromBytes, IntoBytes};

/// A place in a write buffer.
struct CommandStream<'a> {
    process: Key<Process>,
    memory: &'a mut dyn UserMemory,
    position: u64,
    /// How many bytes there are from here on, for a driver that keeps to what the process said.
    left: Option<u64>,
}

impl CommandStream<'_> {
    /// The next thing in the stream.
    fn next<T: FromBytes + IntoBytes>(&mut self, driver: &Driver) -> Result<T, Fault> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(size_of::<T>() as u64).ok_or(Fault)?;
        }
        let mut value = T::new_zeroed();
        driver.read_memory(self.process, &*self.memory, self.position, value.as_mut_bytes())?;
        self.position = self.position.wrapping_add(size_of::<T>() as u64);
        Ok(value)
    }
}

impl Driver {
    /// Carries out the commands of a BINDER_WRITE_READ, until they end, one is refused, or one leaves an error
    /// that the thread has to read first. `write_consumed` counts the bytes of those carried out.
    pub(crate) fn write(
        &mut self,
        thread: Key<Thread>,
        caller: Caller,
        request: &mut WriteRead,
        memory: &mut dyn UserMemory,
    ) -> Result<(), Errno> {
        let process = self.threads[thread].process;
        let end = request.write_buffer.wrapping_add(request.write_size);
        let position = request.write_buffer.wrapping_add(request.write_consumed);
        let left =
            self.profile.keeps_to_sizes.then(|| request.write_size.saturating_sub(request.write_consumed));
        let mut stream = CommandStream { process, memory, position, left };
        while stream.left.map_or(stream.position < end, |left| left >= size_of::<u32>() as u64)
            && self.threads[thread].return_error.is_none()
        {
            self.carry_out(thread, caller, &mut stream)?;
            request.write_consumed = stream.position.wrapping_sub(request.write_buffer);
        }
        Ok(())
    }

    fn carry_out(
        &mut self,
        thread: Key<Thread>,
        caller: Caller,
        stream: &mut CommandStream<'_>,
    ) -> Result<(), Errno> {
        let process = stream.process;
        let euid = if self.profile.senders_are_openers { self.processes[process].euid } else { caller.euid };
        match stream.next::<u32>(self)? {
            BC_INCREFS => {
                let handle = stream.next(self)?;
                self.increment(process, handle, Strength::Weak)?;
            }
            BC_ACQUIRE => {
                let handle = stream.next(self)?;
                self.increment(process, handle, Strength::Strong)?;
            }
            // A count that is 0 already stays so, and that is not reported.
            BC_RELEASE => {
                let handle = stream.next(self)?;
                let _ = self.discount_handle(process, handle, Strength::Strong);
            }
            BC_DECREFS => {
                let handle = stream.next(self)?;
                let _ = self.discount_handle(process, handle, Strength::Weak);
            }
            BC_INCREFS_DONE => {
                let object = stream.next(self)?;
                self.acknowledge(process, object, Strength::Weak);
            }
            BC_ACQUIRE_DONE => {
                let object = stream.next(self)?;
                self.acknowledge(process, object, Strength::Strong);
            }
            BC_FREE_BUFFER => {
                let address = stream.next(self)?;
                if let Some(buffer) = self.processes[process].allocator.claim_for_user_free(address) {
                    let descriptors = self.descriptors_in_arrays(process, buffer);
                    self.free_buffer(process, buffer);
                    // The kernel closes them once the thread has returned, and so lets it return.
                    self.threads[thread].need_return |= !descriptors.is_empty();
                    descriptors.into_iter().for_each(|number| stream.memory.close(number));
                }
            }
            code @ (BC_TRANSACTION | BC_REPLY | BC_TRANSACTION_SG | BC_REPLY_SG) => {
                let data = match code {
                    BC_TRANSACTION | BC_REPLY => {
                        TransactionDataSg { transaction: stream.next(self)?, buffers_size: 0 }
                    }
                    _ => stream.next(self)?,
                };
                let direction = match code {
                    BC_TRANSACTION | BC_TRANSACTION_SG => Direction::Call,
                    _ => Direction::Reply,
                };
                let memory = &*stream.memory;
                self.transact(&Sending { thread, pid: caller.pid, euid, data, direction, memory });
            }
            BC_REGISTER_LOOPER => self.register_looper(thread),
            BC_ENTER_LOOPER => self.threads[thread].looper.entered = true,
            BC_EXIT_LOOPER => {}
            BC_REQUEST_DEATH_NOTIFICATION => {
                let HandleCookie { handle, cookie } = stream.next(self)?;
                self.request_death_notification(process, handle, cookie);
            }
            BC_CLEAR_DEATH_NOTIFICATION => {
                let HandleCookie { handle, cookie } = stream.next(self)?;
                self.clear_death_notification(thread, handle, cookie);
            }
            BC_DEAD_BINDER_DONE => {
                let cookie = stream.next(self)?;
                self.dead_binder_done(thread, cookie);
            }
            // A driver that does not have them does not know the commands either.
            BC_REQUEST_FREEZE_NOTIFICATION | BC_CLEAR_FREEZE_NOTIFICATION | BC_FREEZE_NOTIFICATION_DONE
                if !self.profile.has_freeze_notifications() =>
            {
                return Err(Errno::EINVAL);
            }
            BC_REQUEST_FREEZE_NOTIFICATION => {
                let HandleCookie { handle, cookie } = stream.next(self)?;
                match self.profile.freeze_notifications {
                    FreezeNotifications::OfRust => self.request_cookie(process, handle, cookie)?,
                    _ => self.request_freeze_notification(process, handle, cookie)?,
                }
            }
            BC_CLEAR_FREEZE_NOTIFICATION => {
                let HandleCookie { handle, cookie } = stream.next(self)?;
                match self.profile.freeze_notifications {
                    FreezeNotifications::OfRust => self.clear_cookie(process, handle, cookie)?,
                    _ => self.clear_freeze_notification(process, handle, cookie)?,
                }
            }
            BC_FREEZE_NOTIFICATION_DONE => {
                let cookie = stream.next(self)?;
                match self.profile.freeze_notifications {
                    FreezeNotifications::OfRust => self.answer_cookie(process, cookie)?,
                    _ => self.freeze_notification_done(process, cookie)?,
                }
            }
            // BC_ATTEMPT_ACQUIRE and BC_ACQUIRE_RESULT have numbers, and no driver has ever carried them out.
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// BC_ACQUIRE and BC_INCREFS. Handle 0 can be had for the asking, but not by the context manager itself.
    /// Any other wrong handle changes nothing, and is not reported.
    fn increment(&mut self, process: Key<Process>, handle: u32, strength: Strength) -> Result<(), Errno> {
        if handle == 0
            && let Some(node) = self.context_manager(process)
        {
            if self.nodes[node].process == Some(process) {
                if strength == Strength::Weak {
                    self.refuse_own_reference(node);
                }
                return Err(Errno::EINVAL);
            }
            if self.refer_to_context_manager(process, node, strength).is_ok() {
                return Ok(());
            }
        }
        let _ = self.count_handle(process, handle, strength);
        Ok(())
    }

    /// BC_ACQUIRE_DONE and BC_INCREFS_DONE. Another cookie, or an answer to what was never asked, changes no count.
    /// But the node has been held meanwhile, and letting it go again has its owner told of it once more, if nobody
    /// refers to it any longer.
    fn acknowledge(&mut self, process: Key<Process>, object: PointerCookie, strength: Strength) {
        if self.counts_as_rust_does() {
            self.answer_notice(process, object);
            return;
        }
        let Some(node) = self.node_at(process, object.pointer) else { return };
        self.hold_node(node);
        let state = &mut self.nodes[node];
        let pending = match strength {
            Strength::Strong => &mut state.pending_strong,
            Strength::Weak => &mut state.pending_weak,
        };
        if state.cookie == object.cookie && std::mem::take(pending) {
            self.drop_local(node, strength);
        }
        self.let_go_of_node(node);
    }

    /// BC_REGISTER_LOOPER. One that nobody asked for does not count as an answer to BR_SPAWN_LOOPER.
    fn register_looper(&mut self, thread: Key<Thread>) {
        let state = &mut self.threads[thread];
        let process = &mut self.processes[state.process];
        let may_answer = self.profile.any_registration_is_an_answer || !state.looper.entered;
        if may_answer && process.requested_threads > 0 {
            process.requested_threads -= 1;
            process.requested_threads_started += 1;
        }
        state.looper.registered = true;
    }
}
