//! User namespaces: a process in one of its own knows users by other numbers, and the driver tells it those.
//!
//! Such a namespace has one user, its root; it has no number for all others.

use crate::driver::Driver;

/// What is told of a user for whom the receiver's namespace has no number.
const NOBODY: u32 = u32::MAX;

impl Driver {
    /// From here on a process is in a user namespace whose root, and only user, is this one.
    pub fn enter_user_namespace(&mut self, pid: i32, root: u32) {
        self.namespace_roots.insert(pid, root);
    }

    /// By what number a thread knows a user.
    pub(crate) fn user_as_known_to(&self, tid: i32, user: u32) -> u32 {
        match self.process_of(tid).and_then(|pid| self.namespace_roots.get(&pid)) {
            None => user,
            Some(root) if *root == user => 0,
            Some(_) => NOBODY,
        }
    }
}
