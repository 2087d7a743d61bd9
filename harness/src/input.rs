//! Input: a file that a command is given, or standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What stands for standard input where a file is asked for.
const STANDARD_INPUT: &str = "-";

/// Whether a path stands for standard input.
pub fn is_standard(path: &Path) -> bool {
    path.as_os_str() == STANDARD_INPUT
}

/// What is in a file or, for `-`, in standard input. Of one that is longer than this, in bytes, one byte more is read, and
/// nothing behind it.
pub fn read(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match is_standard(path) {
        true => io::stdin().take(longest + 1).read_to_end(&mut bytes)?,
        false => File::open(path)?.take(longest + 1).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_too_long_one_byte_tells() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12345").unwrap();
        assert_eq!(read(file.path(), 5).unwrap(), b"12345");
        assert_eq!(read(file.path(), 4).unwrap(), b"12345");
        assert_eq!(read(file.path(), 3).unwrap(), b"1234");
        assert!(read(Path::new("there is none"), 3).is_err());
    }
}
