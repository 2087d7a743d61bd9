//! Mappings at addresses that a script has chosen.

use std::ops::Range;

/// The addresses that scripts have to themselves: nothing else of a process is there, on any target.
pub const PLACES: Range<u64> = 0x3000_0000_0000..0x4000_0000_0000;

/// The size of a page in bytes.
pub const PAGE: u64 = 0x1000;

/// `at 0x300000000000`: where a mapping is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u64);

impl Place {
    /// `None` if the address is not the first one of a page of [`PLACES`].
    pub fn new(address: u64) -> Option<Place> {
        (PLACES.contains(&address) && address.is_multiple_of(PAGE)).then_some(Place(address))
    }

    /// The address.
    pub fn address(self) -> u64 {
        self.0
    }
}

/// `4K at 0x300000000000`: some whole pages of [`PLACES`], one at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    place: Place,
    size: u64,
}

impl Pages {
    /// `None` if these are no whole pages, or none at all, or some of them lie beyond [`PLACES`].
    pub fn new(place: Place, size: u64) -> Option<Pages> {
        let fits = size > 0 && size.is_multiple_of(PAGE) && size <= PLACES.end - place.address();
        fits.then_some(Pages { place, size })
    }

    /// Where they begin.
    pub fn place(self) -> Place {
        self.place
    }

    /// Bytes.
    pub fn size(self) -> u64 {
        self.size
    }

    /// Their addresses.
    pub fn addresses(self) -> Range<u64> {
        self.place.address()..self.place.address() + self.size
    }
}

/// What a process may do with the pages of a mapping.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
    strum::IntoStaticStr,
)]
#[strum(serialize_all = "snake_case")]
pub enum Protection {
    /// `none`: PROT_NONE
    None,
    /// `read`: PROT_READ
    Read,
    /// `write`: PROT_READ and PROT_WRITE
    Write,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_lie_among_the_places() {
        let place = Place::new(PLACES.end - PAGE).unwrap();
        assert!(Pages::new(place, PAGE).is_some());
        assert_eq!(Pages::new(place, 2 * PAGE), None);
        assert_eq!(Pages::new(place, 0), None);
        assert_eq!(Pages::new(place, 1), None);
        assert_eq!(Place::new(PLACES.end), None);
        assert_eq!(Place::new(PLACES.start + 1), None);
        assert_eq!(Place::new(PLACES.start - PAGE), None);
    }
}
