//! Tables: where the driver keeps objects of one kind, each under a key that only fits that table.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use slab::Slab;

/// The key of an object of kind `T`. It stays valid until the object is removed; whoever removes an object
/// sees to it that nothing holds its key any longer, and `audit()` checks that.
pub struct Key<T> {
    index: u32,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl<T> Eq for Key<T> {}

impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.index.cmp(&other.index)
    }
}

impl<T> std::hash::Hash for Key<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.index.hash(state);
    }
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.index)
    }
}

impl<T> Key<T> {
    fn new(index: usize) -> Key<T> {
        let index = u32::try_from(index).expect("a table of 2^32 objects would not fit into memory");
        Key { index, kind: PhantomData }
    }

    /// The number that [`Key::numbered`] makes this key of. Of two objects that are in a table none has the other's.
    pub(crate) fn number(self) -> u32 {
        self.index
    }

    /// The key that has this number.
    pub(crate) fn numbered(number: u32) -> Key<T> {
        Key { index: number, kind: PhantomData }
    }
}

/// Objects of one kind, each found by its key in constant time.
#[derive(Debug)]
pub(crate) struct Table<T> {
    slots: Slab<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { slots: Slab::new() }
    }
}

impl<T> Table<T> {
    /// An empty one with room for so many objects.
    pub(crate) fn with_capacity(objects: usize) -> Table<T> {
        Table { slots: Slab::with_capacity(objects) }
    }

    pub(crate) fn insert(&mut self, object: T) -> Key<T> {
        Key::new(self.slots.insert(object))
    }

    pub(crate) fn remove(&mut self, key: Key<T>) -> T {
        self.slots.remove(key.index as usize)
    }

    pub(crate) fn get(&self, key: Key<T>) -> Option<&T> {
        self.slots.get(key.index as usize)
    }

    /// Two different objects at once.
    pub(crate) fn two(&mut self, one: Key<T>, other: Key<T>) -> Option<(&mut T, &mut T)> {
        self.slots.get2_mut(one.index as usize, other.index as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> {
        self.slots.iter().map(|(index, object)| (Key::new(index), object))
    }
}

/// A note on each object of a table, found by the object's key without any hashing.
pub(crate) struct Notes<T, N> {
    notes: Vec<N>,
    kind: PhantomData<fn() -> T>,
}

impl<T, N: Copy + Default> Notes<T, N> {
    /// Empty notes on what is in a table now.
    pub(crate) fn about(table: &Table<T>) -> Notes<T, N> {
        let end = table.slots.iter().next_back().map_or(0, |(index, _)| index + 1);
        Notes { notes: vec![N::default(); end], kind: PhantomData }
    }

    /// The note on an object; an empty one if there is no such object.
    pub(crate) fn on(&self, key: Key<T>) -> N {
        self.notes.get(key.index as usize).copied().unwrap_or_default()
    }

    /// The same, to write to.
    pub(crate) fn on_mut(&mut self, key: Key<T>) -> &mut N {
        let index = key.index as usize;
        if index >= self.notes.len() {
            self.notes.resize(index + 1, N::default());
        }
        &mut self.notes[index]
    }
}

impl<T> Index<Key<T>> for Table<T> {
    type Output = T;

    fn index(&self, key: Key<T>) -> &T {
        &self.slots[key.index as usize]
    }
}

impl<T> IndexMut<Key<T>> for Table<T> {
    fn index_mut(&mut self, key: Key<T>) -> &mut T {
        &mut self.slots[key.index as usize]
    }
}
