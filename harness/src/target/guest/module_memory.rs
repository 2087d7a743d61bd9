//! The memory of the driver's module, as the kernel shows it to root: `/proc/kcore` is an ELF file of all that the kernel
//! has in its memory, and sysfs says where a module's sections lie.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use object::LittleEndian;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};

/// The driver's module.
pub const DRIVER: &str = "binder_linux";

/// Where it is said where the sections of modules lie.
const MODULES: &str = "/sys/module";

/// The kernel's memory.
const MEMORY: &str = "/proc/kcore";

/// As much of it as has what says where in it which memory is, in bytes: the memory itself begins behind a page of that.
const HEADERS: u64 = 4096;

/// So many bytes of the driver's module, from the beginning of one of its sections.
pub fn read_section(name: &str, length: usize) -> io::Result<Vec<u8>> {
    let path = Path::new(MODULES).join(DRIVER).join("sections").join(name);
    let text = fs::read_to_string(&path).map_err(|error| of(&path, error))?;
    let address = text.trim().strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let address = address.ok_or_else(|| of(&path, io::Error::other(format!("{text:?} is no address"))))?;
    read(address, length).map_err(|error| of(Path::new(MEMORY), error))
}

fn read(address: u64, length: usize) -> io::Result<Vec<u8>> {
    let memory = File::open(MEMORY)?;
    let mut headers = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(&memory, HEADERS), &mut headers)?;
    let place = place(&headers, address, length as u64)
        .ok_or_else(|| io::Error::other(format!("there is nothing at {address:#x}")))?;
    let mut bytes = vec![0; length];
    memory.read_exact_at(&mut bytes, place)?;
    Ok(bytes)
}

/// Where in such a file an address is, if as many bytes from there on are together in it.
fn place(headers: &[u8], address: u64, length: u64) -> Option<u64> {
    let header = FileHeader64::<LittleEndian>::parse(headers).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, headers).ok()?;
    segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD).find_map(|segment| {
        let before = address.checked_sub(segment.p_vaddr(endian))?;
        let is_inside = before.checked_add(length)? <= segment.p_memsz(endian);
        is_inside.then(|| segment.p_offset(endian).checked_add(before)).flatten()
    })
}

fn of(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use object::read::elf::ElfFile64;

    use super::*;

    /// This program is such a file, too.
    #[test]
    fn an_address_is_where_the_headers_say() {
        let file = fs::read("/proc/self/exe").unwrap();
        let elf = ElfFile64::<LittleEndian>::parse(file.as_slice()).unwrap();
        let loaded: Vec<_> = elf
            .elf_program_headers()
            .iter()
            .filter(|segment| segment.p_type(LittleEndian) == PT_LOAD)
            .map(|segment| {
                (segment.p_vaddr(LittleEndian), segment.p_offset(LittleEndian), segment.p_memsz(LittleEndian))
            })
            .collect();
        assert!(!loaded.is_empty());
        for (address, offset, size) in loaded {
            assert_eq!(place(&file, address, size), Some(offset));
            assert_eq!(place(&file, address + size - 1, 1), Some(offset + size - 1));
            assert_ne!(place(&file, address, size + 1), Some(offset));
        }
        assert_eq!(place(&file, u64::MAX, 1), None);
        assert_eq!(place(b"\x7fELF", 0, 1), None);
        assert_eq!(place(&[], 0, 0), None);
    }
}
