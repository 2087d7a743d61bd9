//! References: what a process holds on a node of another, under a handle of its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::death::Death;
use crate::driver::Driver;
use crate::freeze_notification::FreezeListener;
use crate::node::{Node, Strength};
use crate::process::Process;
use crate::queue::Position;
use crate::red_black_tree::RedBlackTree;
use crate::table::Key;
use crate::uapi::Errno;
use crate::work::WorkQueue;

/// A process' reference to a node (`struct binder_ref`).
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) process: Key<Process>,
    pub(crate) node: Key<Node>,
    pub(crate) handle: u32,
    pub(crate) strong: u32,
    pub(crate) weak: u32,
    /// The death notification asked for.
    pub(crate) death: Option<Key<Death>>,
    /// The freeze notification asked for.
    pub(crate) freeze: Option<Key<FreezeListener>>,
    /// The same in the driver in Rust: with which cookie.
    pub(crate) freeze_cookie: Option<u64>,
    /// Where the node lists this reference.
    pub(crate) listed: Position,
}

/// The handles of a process: the lowest free number is the next to be given. Number 0 is kept for the context
/// manager's node.
#[derive(Debug)]
pub(crate) struct Handles {
    slots: Vec<Option<Key<Reference>>>,
    /// Numbers below the end of `slots`, 0 apart, that are free.
    free: BinaryHeap<Reverse<u32>>,
    /// Those that are not, where they are let go of in the order of a tree.
    tree: Option<RedBlackTree>,
}

impl Default for Handles {
    fn default() -> Self {
        Handles { slots: vec![None], free: BinaryHeap::new(), tree: None }
    }
}

impl Handles {
    /// None. Those that are left in the end are let go of in the order of a tree, or else of their numbers.
    pub(crate) fn new(end_as_a_tree: bool) -> Handles {
        Handles { tree: end_as_a_tree.then(RedBlackTree::default), ..Handles::default() }
    }

    pub(crate) fn reference(&self, handle: u32) -> Option<Key<Reference>> {
        self.slots.get(handle as usize).copied().flatten()
    }

    /// All references, in the order of their handles.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Key<Reference>)> {
        let numbered = self.slots.iter().enumerate();
        numbered.filter_map(|(handle, slot)| slot.map(|reference| (handle as u32, reference)))
    }

    /// All references, in the order in which they are let go of as the process ends.
    pub(crate) fn at_the_end(&self) -> Vec<Key<Reference>> {
        match &self.tree {
            Some(tree) => {
                tree.children_first().into_iter().filter_map(|handle| self.reference(handle)).collect()
            }
            None => self.iter().map(|(_, reference)| reference).collect(),
        }
    }

    /// The number that the next reference gets.
    fn choose(&mut self, for_context_manager: bool) -> u32 {
        if for_context_manager && self.slots[0].is_none() {
            return 0;
        }
        match self.free.pop() {
            Some(Reverse(handle)) => handle,
            None => {
                self.slots.push(None);
                u32::try_from(self.slots.len() - 1).expect("2^32 references would not fit into memory")
            }
        }
    }

    /// Gives a number that has been [chosen](Handles::choose).
    fn give(&mut self, handle: u32, to: Key<Reference>) {
        self.slots[handle as usize] = Some(to);
        if let Some(tree) = &mut self.tree {
            tree.insert(handle);
        }
    }

    fn release(&mut self, handle: u32) {
        self.slots[handle as usize] = None;
        if let Some(tree) = &mut self.tree {
            tree.remove(handle);
        }
        if handle != 0 {
            self.free.push(Reverse(handle));
        }
    }
}

impl Reference {
    fn count(&self, strength: Strength) -> u32 {
        match strength {
            Strength::Strong => self.strong,
            Strength::Weak => self.weak,
        }
    }
}

impl Driver {
    /// The reference under a handle; `None` too if it must be strong and has no strong count.
    pub(crate) fn reference_at(
        &self,
        process: Key<Process>,
        handle: u32,
        must_be_strong: bool,
    ) -> Option<Key<Reference>> {
        let reference = self.processes[process].handles.reference(handle)?;
        (!must_be_strong || self.references[reference].strong > 0).then_some(reference)
    }

    /// The reference under a handle that must have a strong count; or the error of one that has none, or is unknown.
    pub(crate) fn strong_reference(
        &self,
        process: Key<Process>,
        handle: u32,
    ) -> Result<Key<Reference>, Errno> {
        self.reference_at(process, handle, false).ok_or(self.profile.handle_error)?;
        self.reference_at(process, handle, true).ok_or(Errno::EINVAL)
    }

    /// Counts one more reference of a process to a node, making the first. Gives the handle.
    pub(crate) fn refer_to_node(
        &mut self,
        process: Key<Process>,
        node: Key<Node>,
        strength: Strength,
        queue: Option<WorkQueue>,
    ) -> Result<u32, Errno> {
        let for_context_manager = self.is_context_manager_node(node) && self.profile.manager_is_always_zero;
        self.refer(process, node, strength, queue, for_context_manager)
    }

    /// Counts one more reference of a process to the context manager's node, which it asked for as handle 0.
    pub(crate) fn refer_to_context_manager(
        &mut self,
        process: Key<Process>,
        node: Key<Node>,
        strength: Strength,
    ) -> Result<u32, Errno> {
        self.refer(process, node, strength, None, true)
    }

    fn refer(
        &mut self,
        process: Key<Process>,
        node: Key<Node>,
        strength: Strength,
        queue: Option<WorkQueue>,
        for_context_manager: bool,
    ) -> Result<u32, Errno> {
        let known = self.processes[process].references_by_node.get(&node).copied();
        let reference = known.unwrap_or_else(|| self.new_reference(process, node, for_context_manager));
        let counted = self.count_reference(reference, strength, queue);
        let handle = self.references[reference].handle;
        if counted.is_err() && known.is_none() {
            self.forget_reference(reference);
        }
        counted.map(|()| handle)
    }

    fn new_reference(
        &mut self,
        process: Key<Process>,
        node: Key<Node>,
        for_context_manager: bool,
    ) -> Key<Reference> {
        let handle = self.processes[process].handles.choose(for_context_manager);
        // The node lists the reference, and the reference knows where: insert first, then fill the place in.
        let placeholder = Position::default();
        let reference = Reference {
            process,
            node,
            handle,
            strong: 0,
            weak: 0,
            death: None,
            freeze: None,
            freeze_cookie: None,
            listed: placeholder,
        };
        let key = self.references.insert(reference);
        self.references[key].listed = self.nodes[node].references.push_first(key);
        let process = &mut self.processes[process];
        process.handles.give(handle, key);
        process.references_by_node.insert(node, key);
        self.statistics.references.create();
        key
    }

    /// Counts one more on a reference.
    fn count_reference(
        &mut self,
        reference: Key<Reference>,
        strength: Strength,
        queue: Option<WorkQueue>,
    ) -> Result<(), Errno> {
        let state = &self.references[reference];
        if state.count(strength) == 0 {
            self.take_internal(state.node, strength, queue).map_err(|_| Errno::EINVAL)?;
        }
        let state = &mut self.references[reference];
        match strength {
            Strength::Strong => state.strong += 1,
            Strength::Weak => state.weak += 1,
        }
        Ok(())
    }

    /// One more on the reference under a handle: BC_ACQUIRE, BC_INCREFS.
    pub(crate) fn count_handle(
        &mut self,
        process: Key<Process>,
        handle: u32,
        strength: Strength,
    ) -> Result<(), Errno> {
        let reference =
            self.reference_at(process, handle, strength == Strength::Strong).ok_or(Errno::EINVAL)?;
        self.count_reference(reference, strength, None)
    }

    /// One less on the reference under a handle: BC_RELEASE, BC_DECREFS, or a buffer that held it.
    /// The last one takes the reference away. A count of 0 stays so.
    pub(crate) fn discount_handle(
        &mut self,
        process: Key<Process>,
        handle: u32,
        strength: Strength,
    ) -> Result<(), Errno> {
        let reference =
            self.reference_at(process, handle, strength == Strength::Strong).ok_or(Errno::EINVAL)?;
        let state = &mut self.references[reference];
        match strength {
            Strength::Strong => {
                state.strong -= 1;
                if state.strong == 0 {
                    let node = state.node;
                    self.drop_internal(node, strength);
                }
            }
            Strength::Weak if state.weak == 0 => return Ok(()),
            Strength::Weak => {
                state.weak -= 1;
                if state.weak == 0 {
                    let node = state.node;
                    self.drop_internal(node, strength);
                }
            }
        }
        let state = &self.references[reference];
        if state.strong == 0 && state.weak == 0 {
            self.forget_reference(reference);
        }
        Ok(())
    }

    /// Removes a reference, whatever its counts.
    pub(crate) fn forget_reference(&mut self, reference: Key<Reference>) {
        let gone = self.references.remove(reference);
        let process = &mut self.processes[gone.process];
        process.handles.release(gone.handle);
        process.references_by_node.remove(&gone.node);
        for strength in [Strength::Strong, Strength::Weak] {
            if gone.count(strength) > 0 {
                self.drop_internal(gone.node, strength);
            }
        }
        self.nodes[gone.node].references.remove(gone.listed);
        self.settle_weak(gone.node);
        if let Some(death) = gone.death {
            self.abandon_death(gone.process, death);
        }
        if let Some(listener) = gone.freeze {
            self.forget_freeze_listener(listener);
        }
        if let Some(cookie) = gone.freeze_cookie {
            self.processes[gone.process].requests_by_cookie.remove(&cookie);
        }
        self.statistics.references.delete();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;
    use proptest::prelude::*;

    /// A key like any other; which reference it names does not matter to [`Handles`].
    fn some_key() -> Key<Reference> {
        let mut table = Table::default();
        table.insert(Reference {
            process: Table::default().insert(Process::default()),
            node: Table::default().insert(Node::default()),
            handle: 0,
            strong: 0,
            weak: 0,
            death: None,
            freeze: None,
            freeze_cookie: None,
            listed: Position::default(),
        })
    }

    proptest! {
        #[test]
        fn the_lowest_free_number_is_given(operations in proptest::collection::vec((any::<bool>(), 0u32..40), 0..200)) {
            let mut handles = Handles::new(true);
            let mut taken = std::collections::BTreeSet::new();
            for (give, handle) in operations {
                if give {
                    let lowest = (1..).find(|number| !taken.contains(number)).unwrap();
                    let given = handles.choose(false);
                    prop_assert_eq!(given, lowest);
                    handles.give(given, some_key());
                    taken.insert(given);
                } else if taken.remove(&handle) {
                    handles.release(handle);
                }
            }
        }
    }
}
