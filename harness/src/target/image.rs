//! Images: what is to be in a process' memory before it does an ioctl.

use smallvec::SmallVec;

/// Pieces of memory, each with an address. Their bytes lie one behind the other, so that an image is one allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    bytes: Vec<u8>,
    /// Where each piece goes, and where its bytes end; they begin where those of the one before end.
    pieces: SmallVec<[(u64, usize); 4]>,
}

impl Image {
    /// One with nothing in it, and room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Image {
        Image { bytes: Vec::with_capacity(bytes), pieces: SmallVec::new() }
    }

    /// One of a single piece.
    pub fn of(address: u64, bytes: &[u8]) -> Image {
        let mut image = Image::with_capacity(bytes.len());
        image.put(address, bytes);
        image
    }

    /// Puts these bytes at an address.
    pub fn put(&mut self, address: u64, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.pieces.push((address, self.bytes.len()));
    }

    /// Puts so many zeroes at an address, to be written over.
    pub fn put_zeroes(&mut self, address: u64, length: usize) -> &mut [u8] {
        let start = self.bytes.len();
        self.bytes.resize(start + length, 0);
        self.pieces.push((address, self.bytes.len()));
        &mut self.bytes[start..]
    }

    /// The pieces: addresses and the bytes to be put there.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut start = 0;
        self.pieces.iter().map(move |(address, end)| {
            let piece = &self.bytes[start..*end];
            start = *end;
            (*address, piece)
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
        image.put_zeroes(16, 2)[1] = 7;
        let pieces: Vec<(u64, &[u8])> = image.iter().collect();
        assert_eq!(pieces, [(8, b"abc".as_slice()), (100, b""), (16, &[0, 7])]);
    }
}
