//! Files as they travel between the harness and a guest, in messages of text.

use std::io::{self, Read};

use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};

/// A file as it travels.
pub fn pack(file: &[u8]) -> io::Result<String> {
    let mut packed = Vec::new();
    ZlibEncoder::new(file, Compression::best()).read_to_end(&mut packed)?;
    Ok(hex::encode(packed))
}

/// The file that has travelled.
pub fn unpack(packed: &str) -> io::Result<Vec<u8>> {
    let packed = hex::decode(packed).map_err(io::Error::other)?;
    let mut file = Vec::new();
    ZlibDecoder::new(packed.as_slice()).read_to_end(&mut file)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_unpacked_as_it_was_packed() {
        for file in [&b""[..], b"\0\0\0\xff", &[7; 5000]] {
            assert_eq!(unpack(&pack(file).unwrap()).unwrap(), file);
        }
        assert!(unpack("xyz").is_err() && unpack("00ff").is_err());
    }
}
