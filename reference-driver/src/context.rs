//! Contexts: separate worlds of objects, one for each device, each with one context manager.

use crate::caller::Caller;
use crate::driver::Driver;
use crate::node::{Node, Strength};
use crate::process::Process;
use crate::table::Key;
use crate::uapi::{Errno, FlatObject};
use crate::work::WorkQueue;

/// Which context: 0 is that of `/dev/binder`.
pub type ContextIndex = usize;

/// What handle 0 refers to in one context (`struct binder_context`).
#[derive(Debug, Default)]
pub(crate) struct Context {
    /// What its device is called, if that has been made in an instance of binderfs.
    pub(crate) name: Option<Vec<u8>>,
    /// The node of the context manager, while there is one.
    pub(crate) manager: Option<Key<Node>>,
    /// The user who first became context manager. Nobody else may, until the driver is unloaded.
    pub(crate) manager_euid: Option<u32>,
}

impl Driver {
    /// A further context, of a device of this name that has been made.
    pub(crate) fn add_context(&mut self, name: &[u8]) -> ContextIndex {
        self.contexts.push(Context { name: Some(name.to_vec()), ..Context::default() });
        self.contexts.len() - 1
    }

    /// What the device of a context is called, if it has been made in an instance of binderfs.
    pub fn device_name(&self, context: ContextIndex) -> Option<&[u8]> {
        self.contexts.get(context)?.name.as_deref()
    }

    /// Whether somebody has the device of a context open.
    pub(crate) fn is_open(&self, context: ContextIndex) -> bool {
        self.processes.iter().any(|(_, process)| process.context == context)
    }

    pub(crate) fn context_manager(&self, process: Key<Process>) -> Option<Key<Node>> {
        self.contexts[self.processes[process].context].manager
    }

    /// Whether a node is what handle 0 refers to among its owner's peers.
    pub(crate) fn is_context_manager_node(&self, node: Key<Node>) -> bool {
        self.nodes[node].process.is_some_and(|owner| self.context_manager(owner) == Some(node))
    }

    /// Makes the object of a process that asks to be context manager known, before it is known whether it may: it is work
    /// like that of any object, which will find that there is nothing to tell.
    fn remember(&mut self, process: Key<Process>, caller: Caller, object: &FlatObject) {
        let node = self.node_for(process, object);
        let thread = self.calling_thread(process, caller.tid);
        self.nodes[node].local_strong += 1;
        self.announce_more(node, Strength::Strong, Some(WorkQueue::Thread(thread)));
        let state = &mut self.nodes[node];
        state.local_strong -= 1;
        state.temporary -= 1;
    }

    /// BINDER_SET_CONTEXT_MGR and BINDER_SET_CONTEXT_MGR_EXT.
    pub(crate) fn set_context_manager(
        &mut self,
        process: Key<Process>,
        caller: Caller,
        object: &FlatObject,
    ) -> Result<(), Errno> {
        let index = self.processes[process].context;
        let known = self.node_at(process, object.binder);
        if self.counts_as_rust_does() && known.is_some_and(|node| self.nodes[node].cookie != object.cookie) {
            return Err(Errno::EINVAL);
        }
        let by_rust = self.counts_as_rust_does();
        if by_rust {
            self.remember(process, caller, object);
        }
        let context = &mut self.contexts[index];
        if context.manager.is_some() {
            return Err(Errno::EBUSY);
        }
        if *context.manager_euid.get_or_insert(caller.euid) != caller.euid {
            return Err(Errno::EPERM);
        }
        let node = self.node_for(process, object);
        self.calling_thread(process, caller.tid);
        let state = &mut self.nodes[node];
        state.local_weak += u32::from(!by_rust);
        state.local_strong += 1;
        state.has_strong = true;
        state.has_weak = true;
        self.contexts[index].manager = Some(node);
        self.let_go_of_node(node);
        Ok(())
    }
}
