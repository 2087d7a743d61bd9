//! Images: what is to be in a process' memory before it does an ioctl.

use smallvec::SmallVec;

/// Pieces of memory, each with an address. Their bytes lie one behind the other, and as a rule in the image itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    bytes: SmallVec<[u8; 128]>,
    pieces: SmallVec<[Placed; 4]>,
}

/// Where a piece goes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    address: u64,
    /// Where its bytes end; they begin where those of the piece before end.
    end: usize,
    zeroes: usize,
}

/// What is to be at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'i> {
    /// The address.
    pub address: u64,
    /// What comes first there.
    pub bytes: &'i [u8],
    /// So many zeroes are behind that.
    pub zeroes: usize,
}

impl Image {
    /// One of a single piece.
    pub fn of(address: u64, bytes: &[u8]) -> Image {
        let mut image = Image::default();
        image.put(address, bytes);
        image
    }

    /// Puts these bytes at an address.
    pub fn put(&mut self, address: u64, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.pieces.push(Placed { address, end: self.bytes.len(), zeroes: 0 });
    }

    /// Puts so many zeroes at an address, to be written over, and so many more behind them.
    pub fn put_zeroes(&mut self, address: u64, length: usize, behind: usize) -> &mut [u8] {
        let start = self.bytes.len();
        self.bytes.resize(start + length, 0);
        self.pieces.push(Placed { address, end: self.bytes.len(), zeroes: behind });
        &mut self.bytes[start..]
    }

    /// The pieces.
    pub fn iter(&self) -> impl Iterator<Item = Piece<'_>> {
        let mut start = 0;
        self.pieces.iter().map(move |Placed { address, end, zeroes }| {
            let bytes = &self.bytes[start..*end];
            start = *end;
            Piece { address: *address, bytes, zeroes: *zeroes }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_the_pieces_that_were_put_into_it() {
        let mut image = Image::of(8, b"abc");
        image.put(100, b"");
        image.put_zeroes(16, 2, 8)[1] = 7;
        let pieces: Vec<Piece<'_>> = image.iter().collect();
        let piece = |address, bytes, zeroes| Piece { address, bytes, zeroes };
        assert_eq!(pieces, [piece(8, b"abc", 0), piece(100, b"", 0), piece(16, &[0, 7], 8)]);
    }
}
