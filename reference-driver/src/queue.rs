//! Queues from whose middle an entry can be taken in constant time: the kernel's linked lists.

use slab::Slab;

/// Entries in order. An entry is found again by the [`Position`] that its insertion gave.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    slots: Slab<Slot<T>>,
    first: Option<Position>,
    last: Option<Position>,
}

/// Where in a queue an entry is, for as long as it is in there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position(usize);

#[derive(Debug)]
struct Slot<T> {
    entry: T,
    before: Option<Position>,
    after: Option<Position>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue { slots: Slab::new(), first: None, last: None }
    }
}

impl<T> Queue<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn first(&self) -> Option<&T> {
        self.first.map(|position| &self.slots[position.0].entry)
    }

    pub(crate) fn push_last(&mut self, entry: T) -> Position {
        let position = Position(self.slots.insert(Slot { entry, before: self.last, after: None }));
        match self.last {
            Some(last) => self.slots[last.0].after = Some(position),
            None => self.first = Some(position),
        }
        self.last = Some(position);
        position
    }

    pub(crate) fn push_first(&mut self, entry: T) -> Position {
        let position = Position(self.slots.insert(Slot { entry, before: None, after: self.first }));
        match self.first {
            Some(first) => self.slots[first.0].before = Some(position),
            None => self.last = Some(position),
        }
        self.first = Some(position);
        position
    }

    pub(crate) fn pop_first(&mut self) -> Option<T> {
        self.first.map(|position| self.remove(position))
    }

    pub(crate) fn remove(&mut self, position: Position) -> T {
        let slot = self.slots.remove(position.0);
        match slot.before {
            Some(before) => self.slots[before.0].after = slot.after,
            None => self.first = slot.after,
        }
        match slot.after {
            Some(after) => self.slots[after.0].before = slot.before,
            None => self.last = slot.before,
        }
        slot.entry
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.positions().map(|position| &self.slots[position.0].entry)
    }

    pub(crate) fn positions(&self) -> impl Iterator<Item = Position> {
        std::iter::successors(self.first, |position| self.slots[position.0].after)
    }

    pub(crate) fn entry(&self, position: Position) -> Option<&T> {
        self.slots.get(position.0).map(|slot| &slot.entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn behaves_as_a_list_would(operations in proptest::collection::vec((0u8..4, any::<usize>()), 0..200)) {
            let mut queue = Queue::default();
            let mut list: VecDeque<(u64, Position)> = VecDeque::new();
            for (number, (operation, pick)) in operations.into_iter().enumerate() {
                let number = number as u64;
                match operation {
                    0 => list.push_back((number, queue.push_last(number))),
                    1 => list.push_front((number, queue.push_first(number))),
                    2 => prop_assert_eq!(queue.pop_first(), list.pop_front().map(|(number, _)| number)),
                    _ if list.is_empty() => prop_assert!(queue.is_empty()),
                    _ => {
                        let (number, position) = list.remove(pick % list.len()).unwrap();
                        prop_assert_eq!(queue.remove(position), number);
                    }
                }
                prop_assert!(queue.iter().eq(list.iter().map(|(number, _)| number)));
                prop_assert_eq!(queue.first(), list.front().map(|(number, _)| number));
            }
        }
    }
}
