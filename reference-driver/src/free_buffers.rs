//! Free buffers: which of them is taken for so many bytes.
//!
//! It is one of the smallest that have room. Of several that are equally large the drivers take different ones: that in Rust
//! the first in the mapping; that in C keeps them in a tree, which a search goes down. If they are larger than need be, it
//! ends at the one that has been in the tree for longest; if they fit exactly, at the one that it comes to first.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::buffer::Buffer;
use crate::red_black_tree::{HIGHER, LOWER, RedBlackTree, Side};
use crate::table::{Key, Table};

/// The free buffers of a mapping.
#[derive(Debug)]
pub(crate) enum FreeBuffers {
    /// In a tree, which goes by their size.
    Tree(RedBlackTree),
    /// By their size, and then by where they begin.
    Sorted(BTreeSet<(u64, u64, Key<Buffer>)>),
}

impl Default for FreeBuffers {
    fn default() -> Self {
        FreeBuffers::Tree(RedBlackTree::default())
    }
}

impl FreeBuffers {
    /// Adds one that is not among them.
    pub(crate) fn insert(&mut self, key: Key<Buffer>, buffers: &Table<Buffer>) {
        let Buffer { start, size, .. } = buffers[key];
        match self {
            FreeBuffers::Tree(tree) => {
                let size_of = |number| buffers[Key::numbered(number)].size;
                tree.insert_by(key.number(), |there| Side::from(size >= size_of(there)));
            }
            FreeBuffers::Sorted(sorted) => drop(sorted.insert((size, start, key))),
        }
    }

    /// Takes one away. While it was among them it began there, and when it was added it had this size.
    pub(crate) fn remove(&mut self, key: Key<Buffer>, start: u64, size: u64) {
        match self {
            FreeBuffers::Tree(tree) => tree.remove(key.number()),
            FreeBuffers::Sorted(sorted) => drop(sorted.remove(&(size, start, key))),
        }
    }

    /// The one that is taken for so many bytes.
    pub(crate) fn with_room_for(&self, size: u64, buffers: &Table<Buffer>) -> Option<Key<Buffer>> {
        match self {
            FreeBuffers::Tree(tree) => {
                let mut fitting = None;
                tree.descend(|there| {
                    let key = Key::numbered(there);
                    let order = size.cmp(&buffers[key].size);
                    if order != Ordering::Greater {
                        fitting = Some(key);
                    }
                    match order {
                        Ordering::Less => Some(LOWER),
                        Ordering::Greater => Some(HIGHER),
                        Ordering::Equal => None,
                    }
                });
                fitting
            }
            FreeBuffers::Sorted(sorted) => {
                sorted.range((size, 0, Key::numbered(0))..).next().map(|(_, _, key)| *key)
            }
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            FreeBuffers::Tree(tree) => tree.len(),
            FreeBuffers::Sorted(sorted) => sorted.len(),
        }
    }

    /// Whether one is among them, which begins there and has this size.
    pub(crate) fn contains(&self, key: Key<Buffer>, start: u64, size: u64) -> bool {
        match self {
            FreeBuffers::Tree(tree) => tree.contains(key.number()),
            FreeBuffers::Sorted(sorted) => sorted.contains(&(size, start, key)),
        }
    }
}
