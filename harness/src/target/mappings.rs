//! Where a process has mapped what: the book that a world keeps of it.

use std::ops::Range;

/// The mappings of a process, the last made at the end. `K` is what has been mapped.
#[derive(Debug, Clone)]
pub struct Mappings<K> {
    mappings: Vec<Mapping<K>>,
}

#[derive(Debug, Clone)]
struct Mapping<K> {
    of: K,
    /// What is left of it, in the order of addresses. Never empty.
    pieces: Vec<Range<u64>>,
}

impl<K> Default for Mappings<K> {
    fn default() -> Self {
        Mappings { mappings: Vec::new() }
    }
}

impl<K: Copy + PartialEq> Mappings<K> {
    /// Something has been mapped, in place of what was there.
    pub fn map(&mut self, addresses: Range<u64>, of: K) {
        self.unmap(&addresses);
        self.mappings.push(Mapping { of, pieces: vec![addresses] });
    }

    /// Nothing is mapped at these addresses any more.
    pub fn unmap(&mut self, gone: &Range<u64>) {
        for mapping in &mut self.mappings {
            mapping.pieces = std::mem::take(&mut mapping.pieces)
                .into_iter()
                .flat_map(|piece| {
                    [piece.start..piece.end.min(gone.start), piece.start.max(gone.end)..piece.end]
                })
                .filter(|piece| !piece.is_empty())
                .collect();
        }
        self.mappings.retain(|mapping| !mapping.pieces.is_empty());
    }

    /// From the first to the last address of what is left of the last mapping; `None` if there is no mapping.
    pub fn last(&self) -> Option<Range<u64>> {
        let pieces = &self.mappings.last()?.pieces;
        Some(pieces.first()?.start..pieces.last()?.end)
    }

    /// Whether something of this is mapped.
    pub fn holds(&self, of: K) -> bool {
        self.mappings.iter().any(|mapping| mapping.of == of)
    }

    /// What is mapped, each mapping once.
    pub fn all(&self) -> impl Iterator<Item = K> + '_ {
        self.mappings.iter().map(|mapping| mapping.of)
    }

    /// What is mapped at these addresses, in the order of the mappings.
    pub fn at<'a>(&'a self, addresses: &'a Range<u64>) -> impl Iterator<Item = K> + 'a {
        let touches = |piece: &Range<u64>| piece.start < addresses.end && addresses.start < piece.end;
        self.mappings
            .iter()
            .filter(move |mapping| mapping.pieces.iter().any(touches))
            .map(|mapping| mapping.of)
    }

    /// The end of the piece that an address is in, and what is mapped there.
    pub fn piece_at(&self, address: u64) -> Option<(u64, K)> {
        self.mappings.iter().find_map(|mapping| {
            let piece = mapping.pieces.iter().find(|piece| piece.contains(&address))?;
            Some((piece.end, mapping.of))
        })
    }

    /// Nothing is mapped.
    pub fn clear(&mut self) {
        self.mappings.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mapped_over_another_mapping_leaves_the_rest_of_that() {
        let mut mappings = Mappings::default();
        mappings.map(10..20, 'a');
        mappings.map(14..16, 'b');
        assert_eq!(mappings.piece_at(10), Some((14, 'a')));
        assert_eq!(mappings.piece_at(15), Some((16, 'b')));
        assert_eq!(mappings.piece_at(19), Some((20, 'a')));
        assert_eq!(mappings.last(), Some(14..16));
        mappings.unmap(&(12..17));
        assert_eq!(mappings.last(), Some(10..20));
        assert!(mappings.holds('a') && !mappings.holds('b'));
        assert_eq!(mappings.at(&(12..17)).count(), 0);
        mappings.unmap(&(0..100));
        assert_eq!(mappings.last(), None);
    }
}
