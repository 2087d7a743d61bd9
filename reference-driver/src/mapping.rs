//! Mappings: what a process has left of its mapping of a device, and what of that it can read.

use std::ops::Range;

/// The mapping of an opening. Empty before there is one, and when all has been taken away.
#[derive(Debug, Default)]
pub(crate) struct Mapping {
    /// What is left, in the order of addresses. What differs in protection is split, and stays so.
    pieces: Vec<Piece>,
    /// The whole mapping, and then always the part of this of which the protection is changed.
    changed: Range<u64>,
}

#[derive(Debug, Clone)]
struct Piece {
    addresses: Range<u64>,
    readable: bool,
}

impl Mapping {
    /// A new one.
    pub(crate) fn of(addresses: Range<u64>) -> Mapping {
        Mapping { pieces: vec![Piece { addresses: addresses.clone(), readable: true }], changed: addresses }
    }

    /// Takes away what lies at these addresses. Whether there was anything.
    pub(crate) fn remove(&mut self, gone: &Range<u64>) -> bool {
        self.split(gone);
        let before = self.pieces.len();
        self.pieces.retain(|piece| !gone.contains(&piece.addresses.start));
        self.pieces.len() < before
    }

    /// Lets the process read what lies at these addresses, or not.
    pub(crate) fn protect(&mut self, addresses: &Range<u64>, readable: bool) {
        let differs = |piece: &Piece| {
            piece.readable != readable
                && piece.addresses.start < addresses.end
                && addresses.start < piece.addresses.end
        };
        if !self.pieces.iter().any(differs) {
            return;
        }
        let changed = self.changed.start.max(addresses.start)..self.changed.end.min(addresses.end);
        if self.piece_at(changed.start).is_some_and(differs) && !changed.is_empty() {
            self.changed = changed;
        }
        self.split(addresses);
        for piece in self.pieces.iter_mut().filter(|piece| addresses.contains(&piece.addresses.start)) {
            piece.readable = readable;
        }
    }

    /// Whether an address is mapped.
    pub(crate) fn contains(&self, address: u64) -> bool {
        self.piece_at(address).is_some()
    }

    /// Whether an address lies in the piece of which the protection was changed last.
    pub(crate) fn is_in_changed_piece(&self, address: u64) -> bool {
        self.changed.contains(&address)
    }

    /// Whether two addresses lie in one piece.
    pub(crate) fn is_one_piece(&self, first: u64, second: u64) -> bool {
        self.piece_at(first).is_some_and(|piece| piece.addresses.contains(&second))
    }

    /// Whether the process can read all of these addresses.
    pub(crate) fn is_readable(&self, addresses: Range<u64>) -> bool {
        let mut start = addresses.start;
        while start < addresses.end {
            match self.piece_at(start) {
                Some(piece) if piece.readable => start = piece.addresses.end,
                _ => return false,
            }
        }
        true
    }

    fn piece_at(&self, address: u64) -> Option<&Piece> {
        self.pieces.iter().find(|piece| piece.addresses.contains(&address))
    }

    /// Makes sure that no piece goes across either end of these addresses.
    fn split(&mut self, at: &Range<u64>) {
        for boundary in [at.start, at.end] {
            let is_within =
                |piece: &Piece| piece.addresses.start < boundary && boundary < piece.addresses.end;
            if let Some(place) = self.pieces.iter().position(is_within) {
                let piece = &mut self.pieces[place];
                let behind = Piece { addresses: boundary..piece.addresses.end, readable: piece.readable };
                piece.addresses.end = boundary;
                self.pieces.insert(place + 1, behind);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_away_leaves_a_gap() {
        let mut mapping = Mapping::of(10..20);
        assert!(mapping.remove(&(12..14)));
        assert!(!mapping.remove(&(12..14)));
        assert!(mapping.contains(11) && !mapping.contains(12) && mapping.contains(14));
        assert!(
            mapping.is_one_piece(10, 11) && !mapping.is_one_piece(10, 14) && !mapping.is_one_piece(12, 14)
        );
        assert!(mapping.is_readable(14..20) && !mapping.is_readable(11..15));
    }

    #[test]
    fn what_cannot_be_read_can_be_made_readable_again() {
        let mut mapping = Mapping::of(10..20);
        mapping.protect(&(12..14), true);
        assert!(mapping.is_one_piece(10, 19));
        mapping.protect(&(12..14), false);
        assert!(mapping.is_readable(10..12) && !mapping.is_readable(13..15));
        assert!(mapping.is_in_changed_piece(12) && !mapping.is_in_changed_piece(11));
        mapping.protect(&(0..100), true);
        assert!(mapping.is_in_changed_piece(12) && !mapping.is_in_changed_piece(11));
        assert!(mapping.is_readable(10..20) && !mapping.is_one_piece(10, 19));
    }
}
