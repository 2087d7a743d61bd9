//! What is kept of the threads of a program, each at a place of its own: no thread is searched for.

use crate::target::{ProcessSpecification, ThreadIndex};

/// Something about some of the threads of a program.
#[derive(Debug)]
pub(super) struct PerThread<T> {
    /// Where the threads of each process begin.
    first: Vec<usize>,
    slots: Vec<(ThreadIndex, Option<T>)>,
}

impl<T> PerThread<T> {
    /// Nothing about the threads of these processes.
    pub(super) fn of(processes: &[ProcessSpecification]) -> PerThread<T> {
        let mut empty = PerThread { first: Vec::with_capacity(processes.len()), slots: Vec::new() };
        for (process, specification) in processes.iter().enumerate() {
            empty.first.push(empty.slots.len());
            let threads = 0..specification.threads.len();
            empty.slots.extend(threads.map(|thread| (ThreadIndex { process, thread }, None)));
        }
        empty
    }

    fn slot(&self, thread: ThreadIndex) -> usize {
        self.first[thread.process] + thread.thread
    }

    /// What there is about a thread.
    pub(super) fn get(&self, thread: ThreadIndex) -> Option<&T> {
        self.slots[self.slot(thread)].1.as_ref()
    }

    /// From here on there is this.
    pub(super) fn insert(&mut self, thread: ThreadIndex, value: T) {
        let slot = self.slot(thread);
        self.slots[slot].1 = Some(value);
    }

    /// Takes away what there is.
    pub(super) fn remove(&mut self, thread: ThreadIndex) -> Option<T> {
        let slot = self.slot(thread);
        self.slots[slot].1.take()
    }

    /// All there is, in the order of the threads.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ThreadIndex, &T)> {
        self.slots.iter().filter_map(|(thread, value)| Some((*thread, value.as_ref()?)))
    }
}
