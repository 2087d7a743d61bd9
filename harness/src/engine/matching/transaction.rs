//! Matching of what arrives: the fields of a call, oneway message or reply.

use reference_driver::uapi::PointerCookie;

use super::{Reader, Refusal, differs, same};
use crate::engine::bindings::NewBindings;
use crate::engine::decode::Received;
use crate::program::TransactionPattern;
use crate::script::fragment;

impl Reader<'_> {
    pub(super) fn match_transaction(
        &self,
        expected: &TransactionPattern,
        came: &Received,
        bindings: &mut NewBindings<'_>,
    ) -> Result<(), Refusal> {
        let header = &came.header;
        if let Some(target) = &expected.target {
            let numbers = PointerCookie { pointer: header.target, cookie: header.cookie };
            self.match_node(&"the target", target, numbers)?;
        }
        same("code is", &header.code, &expected.code, u32::to_string)?;
        same("flags are", &header.flags, &expected.flags, |flags| fragment::transaction_flags(*flags))?;
        if let Some(pid) = &expected.pid {
            let number = self.symbols.pid(pid)?;
            let show = |pid: &i32| fragment::pid(&self.symbols.pid_named(*pid));
            same("pid is", &header.sender_pid, &number, show)?;
        }
        if let Some(euid) = expected.euid {
            same("euid is", &header.sender_euid, &euid, u32::to_string)?;
        }
        if came.data.is_none() {
            return differs(format!(
                "the {} bytes of payload lie where the receiver has no memory",
                header.data_size
            ));
        }
        if came.offsets.is_none() {
            return differs(format!(
                "the {} bytes of offsets lie where the receiver has no memory",
                header.offsets_size
            ));
        }
        self.match_payload(&expected.data, expected.offsets.as_deref(), came, bindings)?;
        if let Some(name) = &expected.capture {
            bindings.bind_buffer(name.clone(), header.buffer);
        }
        Ok(())
    }
}
