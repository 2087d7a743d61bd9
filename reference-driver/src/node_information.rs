//! Information about nodes: what a process can learn about its own, and a context manager about those it refers to.

use crate::driver::Driver;
use crate::memory::UserMemory;
use crate::node::Strength;
use crate::process::Process;
use crate::table::Key;
use crate::uapi::*;

impl Driver {
    /// BINDER_GET_NODE_DEBUG_INFO: the next of the process' own nodes behind a pointer, or zeroes. It walks over the
    /// nodes of the process, as the kernel does.
    pub(crate) fn node_debug_info(
        &self,
        process: Key<Process>,
        argument: u64,
        memory: &mut dyn UserMemory,
    ) -> Result<(), Errno> {
        let asked: NodeDebugInfo = self.argument(process, memory, argument)?;
        let behind = self.processes[process].nodes.iter().filter(|(pointer, _)| **pointer > asked.pointer);
        let next = behind.min_by_key(|(pointer, _)| **pointer).map(|(_, node)| &self.nodes[*node]);
        let info = next.map_or_else(NodeDebugInfo::default, |node| NodeDebugInfo {
            pointer: node.pointer,
            cookie: node.cookie,
            has_strong_ref: node.has_strong.into(),
            has_weak_ref: node.has_weak.into(),
        });
        memory.put(argument, &info)?;
        Ok(())
    }

    /// BINDER_GET_NODE_INFO_FOR_REF: how often the node behind a handle is referred to. EPERM for all but the context
    /// manager; EINVAL for a handle without a strong count, or where anything but the handle is given.
    pub(crate) fn node_info_for_ref(
        &self,
        process: Key<Process>,
        argument: u64,
        memory: &mut dyn UserMemory,
    ) -> Result<(), Errno> {
        let mut info: NodeInfoForRef = self.argument(process, memory, argument)?;
        if info != (NodeInfoForRef { handle: info.handle, ..NodeInfoForRef::default() }) {
            return Err(Errno::EINVAL);
        }
        if self.context_manager(process).is_none_or(|node| self.nodes[node].process != Some(process)) {
            return Err(Errno::EPERM);
        }
        let by_rust = self.counts_as_rust_does();
        let reference = match by_rust {
            true => self.reference_at(process, info.handle, false).ok_or(self.profile.handle_error),
            false => self.strong_reference(process, info.handle),
        };
        let node = &self.nodes[self.references[reference?].node];
        info.strong_count = node.count(Strength::Strong);
        info.weak_count = if by_rust { node.count(Strength::Weak) } else { node.local_weak };
        memory.put(argument, &info)?;
        Ok(())
    }
}
