//! A red-black tree of numbers, as kernels balance theirs. The driver in Rust keeps handles in one, and lets go of those of a
//! process that ends as the tree is taken apart: children before their parents. The driver in C keeps free buffers in one,
//! and of several that fit exactly takes the one that it comes to first. Both depend on how the tree is balanced, and so on
//! the order in which numbers came and went.
//!
//! Only the shape is kept. What is done on one side is done on the other with the sides changed over, so a node's children are
//! found by their side.

/// A side of a node: that of lower numbers is 0, that of higher ones 1.
pub(crate) type Side = usize;

pub(crate) const LOWER: Side = 0;
pub(crate) const HIGHER: Side = 1;

/// A number in the tree.
#[derive(Debug, Clone, Copy, Default)]
struct Node {
    parent: Option<u32>,
    children: [Option<u32>; 2],
    is_red: bool,
}

/// Numbers in a tree. None of them is in it twice.
#[derive(Debug, Default)]
pub(crate) struct RedBlackTree {
    root: Option<u32>,
    count: usize,
    /// Each at the place of its number. What is at other places is related to nothing.
    nodes: Vec<Node>,
}

impl RedBlackTree {
    /// Adds a number that is not in it, among those in their order.
    pub(crate) fn insert(&mut self, number: u32) {
        self.insert_by(number, |there| Side::from(number > there));
    }

    /// Adds a number that is not in it, on this side of each that is in the way.
    pub(crate) fn insert_by(&mut self, number: u32, side_of: impl Fn(u32) -> Side) {
        let place = number as usize;
        if self.nodes.len() <= place {
            self.nodes.resize(place + 1, Node::default());
        }
        let mut above = None;
        self.descend(|there| {
            let side = side_of(there);
            above = Some((there, side));
            Some(side)
        });
        let parent = above.map(|(parent, _)| parent);
        self.nodes[place] = Node { parent, children: [None; 2], is_red: true };
        match above {
            None => self.root = Some(number),
            Some((parent, side)) => self.nodes[parent as usize].children[side] = Some(number),
        }
        self.count += 1;
        self.balance_after_insertion(number);
    }

    /// Goes down from the root, at each number to the side that it is told, until it is told none or nothing is there.
    pub(crate) fn descend(&self, mut turn: impl FnMut(u32) -> Option<Side>) {
        let mut next = self.root;
        while let Some(there) = next {
            next = turn(there).and_then(|side| self.child(there, side));
        }
    }

    /// How many numbers are in it.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Whether a number is in it.
    pub(crate) fn contains(&self, number: u32) -> bool {
        self.nodes.get(number as usize).is_some_and(|node| match node.parent {
            Some(parent) => self.nodes[parent as usize].children.contains(&Some(number)),
            None => self.root == Some(number),
        })
    }

    /// Removes a number that is in it.
    pub(crate) fn remove(&mut self, number: u32) {
        let Node { parent, children, is_red } = self.nodes[number as usize];
        self.count -= 1;
        // Where a black node is missing then, if one is.
        let mut short = None;
        match children {
            [None, None] => {
                let side = self.side(number);
                self.put(parent, number, None);
                short = parent.filter(|_| !is_red).map(|parent| (parent, side));
            }
            [Some(only), None] | [None, Some(only)] => {
                self.put(parent, number, Some(only));
                self.nodes[only as usize].is_red = is_red;
            }
            [Some(lower), Some(higher)] => {
                let mut successor = higher;
                while let Some(next) = self.child(successor, LOWER) {
                    successor = next;
                }
                let Node { parent: its_parent, children: [_, its_child], is_red: was_red } =
                    self.nodes[successor as usize];
                let its_place = match its_parent.filter(|parent| *parent != number) {
                    None => (successor, HIGHER),
                    Some(its_parent) => {
                        self.put(Some(its_parent), successor, its_child);
                        self.adopt(successor, HIGHER, Some(higher));
                        (its_parent, LOWER)
                    }
                };
                self.adopt(successor, LOWER, Some(lower));
                self.put(parent, number, Some(successor));
                self.nodes[successor as usize].is_red = is_red;
                match its_child {
                    Some(child) => self.nodes[child as usize].is_red = false,
                    None => short = Some(its_place).filter(|_| !was_red),
                }
            }
        }
        if let Some((parent, side)) = short {
            self.balance_after_removal(parent, side);
        }
        self.nodes[number as usize] = Node::default();
    }

    /// All numbers, children before their parents, lower ones first.
    pub(crate) fn children_first(&self) -> Vec<u32> {
        let mut numbers = Vec::new();
        let mut left: Vec<u32> = self.root.into_iter().collect();
        // Parents first and higher ones before lower ones is the same backwards.
        while let Some(number) = left.pop() {
            numbers.push(number);
            left.extend(self.nodes[number as usize].children.iter().flatten());
        }
        numbers.reverse();
        numbers
    }

    /// A red node may have no red parent.
    fn balance_after_insertion(&mut self, mut number: u32) {
        loop {
            let Some(parent) = self.nodes[number as usize].parent else {
                self.nodes[number as usize].is_red = false;
                return;
            };
            // The root is black, so what is red has a parent.
            let Some(grandparent) = self.nodes[parent as usize].parent.filter(|_| self.is_red(Some(parent)))
            else {
                return;
            };
            let side = self.side(parent);
            let other = self.child(grandparent, 1 - side);
            if let Some(other) = other.filter(|other| self.is_red(Some(*other))) {
                self.nodes[parent as usize].is_red = false;
                self.nodes[other as usize].is_red = false;
                self.nodes[grandparent as usize].is_red = true;
                number = grandparent;
                continue;
            }
            let top = if self.side(number) == side { parent } else { number };
            if top == number {
                self.rotate(parent, side);
            }
            self.rotate(grandparent, 1 - side);
            self.nodes[top as usize].is_red = false;
            self.nodes[grandparent as usize].is_red = true;
            return;
        }
    }

    /// On one side of a node there is one black node less than on the other, on which there is some.
    fn balance_after_removal(&mut self, mut parent: u32, mut side: Side) {
        loop {
            let Some(mut sibling) = self.child(parent, 1 - side) else { return };
            if self.is_red(Some(sibling)) {
                self.rotate(parent, side);
                self.nodes[sibling as usize].is_red = false;
                self.nodes[parent as usize].is_red = true;
                let Some(next) = self.child(parent, 1 - side) else { return };
                sibling = next;
            }
            let (near, far) = (self.child(sibling, side), self.child(sibling, 1 - side));
            if !self.is_red(near) && !self.is_red(far) {
                self.nodes[sibling as usize].is_red = true;
                if std::mem::take(&mut self.nodes[parent as usize].is_red) {
                    return;
                }
                let Some(above) = self.nodes[parent as usize].parent else { return };
                (side, parent) = (self.side(parent), above);
                continue;
            }
            let top = match near.filter(|_| !self.is_red(far)) {
                None => sibling,
                Some(near) => {
                    self.rotate(sibling, 1 - side);
                    near
                }
            };
            self.rotate(parent, side);
            self.nodes[top as usize].is_red = std::mem::take(&mut self.nodes[parent as usize].is_red);
            for child in self.nodes[top as usize].children.into_iter().flatten() {
                self.nodes[child as usize].is_red = false;
            }
            return;
        }
    }

    /// A node goes down to this side, and its child of the other side takes its place.
    fn rotate(&mut self, number: u32, side: Side) {
        let Some(rising) = self.child(number, 1 - side) else { return };
        let between = self.child(rising, side);
        self.put(self.nodes[number as usize].parent, number, Some(rising));
        self.adopt(number, 1 - side, between);
        self.adopt(rising, side, Some(number));
    }

    /// Puts a node, or none, where another one is.
    fn put(&mut self, parent: Option<u32>, in_place_of: u32, number: Option<u32>) {
        match parent {
            Some(parent) => self.adopt(parent, self.side(in_place_of), number),
            None => {
                self.root = number;
                if let Some(number) = number {
                    self.nodes[number as usize].parent = None;
                }
            }
        }
    }

    fn adopt(&mut self, parent: u32, side: Side, child: Option<u32>) {
        self.nodes[parent as usize].children[side] = child;
        if let Some(child) = child {
            self.nodes[child as usize].parent = Some(parent);
        }
    }

    fn child(&self, number: u32, side: Side) -> Option<u32> {
        self.nodes[number as usize].children[side]
    }

    /// Which child of its parent a node is.
    fn side(&self, number: u32) -> Side {
        let parent = self.nodes[number as usize].parent;
        Side::from(parent.is_some_and(|parent| self.child(parent, HIGHER) == Some(number)))
    }

    fn is_red(&self, number: Option<u32>) -> bool {
        number.is_some_and(|number| self.nodes[number as usize].is_red)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// How many black nodes are on each way down; the numbers below are added in their order.
    fn black_nodes(
        tree: &RedBlackTree,
        number: Option<u32>,
        parent: Option<u32>,
        numbers: &mut Vec<u32>,
    ) -> u32 {
        let Some(there) = number else { return 0 };
        assert_eq!(tree.nodes[there as usize].parent, parent);
        assert!(!(tree.is_red(number) && tree.is_red(parent)), "{parent:?} and {there} are red");
        let lower = black_nodes(tree, tree.child(there, LOWER), number, numbers);
        numbers.push(there);
        let higher = black_nodes(tree, tree.child(there, HIGHER), number, numbers);
        assert_eq!(lower, higher, "below {there}");
        lower + u32::from(!tree.is_red(number))
    }

    #[test]
    fn children_come_before_their_parents() {
        let mut tree = RedBlackTree::default();
        let expected: [&[u32]; 6] =
            [&[1], &[2, 1], &[1, 3, 2], &[1, 4, 3, 2], &[1, 3, 5, 4, 2], &[1, 3, 6, 5, 4, 2]];
        for (number, expected) in (1..).zip(expected) {
            tree.insert(number);
            assert_eq!(tree.children_first(), expected);
        }
        tree.remove(2);
        assert_eq!(tree.children_first(), [1, 4, 6, 5, 3]);
    }

    proptest! {
        #[test]
        fn it_is_balanced(changes in proptest::collection::vec(0u32..60, 0..300)) {
            let mut tree = RedBlackTree::default();
            let mut expected = BTreeSet::new();
            for number in changes {
                if expected.insert(number) {
                    tree.insert(number);
                } else {
                    expected.remove(&number);
                    tree.remove(number);
                }
                let mut numbers = Vec::new();
                black_nodes(&tree, tree.root, None, &mut numbers);
                prop_assert!(!tree.is_red(tree.root));
                prop_assert!(numbers.iter().eq(&expected));
                prop_assert_eq!(tree.len(), expected.len());
                prop_assert!((0..60).all(|number| tree.contains(number) == expected.contains(&number)));
                let mut apart = tree.children_first();
                apart.sort_unstable();
                prop_assert_eq!(apart, numbers);
            }
        }
    }
}
