//! The two formats of gcc's coverage: notes (`.gcno`), which it writes when it compiles, and counters (`.gcda`), which a
//! program writes when it ends. gcov wants both. What runs in a kernel that knows nothing of them writes no counters, so
//! that they are written here, of what stands in the notes.
//!
//! Both begin with what they are, with the version of gcc, and with a stamp by which they belong together. Then come
//! records: a tag, a length, and what they hold. Notes have one of each function, which begins with its identifier and two
//! checksums; counters repeat these, and then have the function's counters.

use winnow::binary::{le_u32, length_take};
use winnow::error::{ContextError, ErrMode};
use winnow::prelude::*;
use winnow::token::take;

/// What notes begin with.
const NOTES: u32 = 0x67636e6f;

/// What counters begin with.
const COUNTERS: u32 = 0x67636461;

/// The tag of a function.
const FUNCTION: u32 = 0x0100_0000;

/// The tag of counters of branches taken, which are all that `-fprofile-arcs` makes.
const ARCS: u32 = 0x01a1_0000;

/// The first version of gcc that says lengths in bytes, and no longer in words of four of them. It has one more checksum
/// at the beginning, too.
const BYTES_SINCE: u32 = 12;

/// The notes of one object, as far as its counters need them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectNotes {
    version: u32,
    stamp: u32,
    /// A checksum of all, in newer notes.
    checksum: Option<u32>,
    /// The functions.
    pub functions: Vec<FunctionNotes>,
}

/// What notes say of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionNotes {
    identifier: u32,
    checksum_of_lines: u32,
    checksum_of_graph: u32,
    /// Its name, as the assembler knows it.
    pub name: String,
}

/// That a file holds no notes of gcc, or none that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("these are no notes of a gcc that is known here, which is 11 or newer")]
pub struct NoNotes;

impl ObjectNotes {
    /// Reads notes.
    pub fn parse(notes: &[u8]) -> Result<ObjectNotes, NoNotes> {
        object(&mut &*notes).map_err(|_| NoNotes)
    }

    /// Writes what was counted: for each function that has them its counters.
    pub fn counters<'a>(&self, counted: impl Fn(&FunctionNotes) -> Option<&'a [[u8; 8]]>) -> Vec<u8> {
        let unit = unit(self.version);
        let length = |bytes: usize| (bytes / unit) as u32;
        let mut words = vec![COUNTERS, self.version, self.stamp];
        words.extend(self.checksum);
        let mut written: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        for function in &self.functions {
            let Some(counters) = counted(function) else { continue };
            let FunctionNotes { identifier, checksum_of_lines, checksum_of_graph, .. } = function;
            let words = [
                FUNCTION,
                length(3 * size_of::<u32>()),
                *identifier,
                *checksum_of_lines,
                *checksum_of_graph,
                ARCS,
                length(size_of_val(counters)),
            ];
            written.extend(words.into_iter().flat_map(u32::to_le_bytes));
            written.extend(counters.as_flattened());
        }
        written
    }
}

type Failure = ErrMode<ContextError>;

fn object(notes: &mut &[u8]) -> Result<ObjectNotes, Failure> {
    le_u32.verify(|magic| *magic == NOTES).parse_next(notes)?;
    let version =
        le_u32.verify(|version| major(*version).is_some_and(|major| major >= 11)).parse_next(notes)?;
    let stamp = le_u32.parse_next(notes)?;
    let has_checksum = unit(version) == 1;
    let checksum = if has_checksum { Some(le_u32.parse_next(notes)?) } else { None };
    // The folder in which gcc ran, and whether blocks that cannot run are among them.
    text(notes, version)?;
    le_u32.parse_next(notes)?;
    let mut functions = Vec::new();
    while !notes.is_empty() {
        let tag = le_u32.parse_next(notes)?;
        let length = le_u32.parse_next(notes)? as usize;
        let mut record = take(length.saturating_mul(unit(version))).parse_next(notes)?;
        if tag == FUNCTION {
            functions.push(function(&mut record, version)?);
        }
    }
    Ok(ObjectNotes { version, stamp, checksum, functions })
}

fn function(record: &mut &[u8], version: u32) -> Result<FunctionNotes, Failure> {
    let (identifier, checksum_of_lines, checksum_of_graph) = (le_u32, le_u32, le_u32).parse_next(record)?;
    let name = text(record, version)?;
    Ok(FunctionNotes { identifier, checksum_of_lines, checksum_of_graph, name })
}

/// A text with its length, and zeros behind it.
fn text(notes: &mut &[u8], version: u32) -> Result<String, Failure> {
    let length = le_u32.map(|length| (length as usize).saturating_mul(unit(version)));
    let bytes: &[u8] = length_take(length).parse_next(notes)?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

/// What lengths are counted in, in bytes.
fn unit(version: u32) -> usize {
    if major(version).is_some_and(|major| major >= BYTES_SINCE) { 1 } else { size_of::<u32>() }
}

/// Which gcc it is: version 12.2 is written `B22*`, whose first two characters are a 1 and a 2.
fn major(version: u32) -> Option<u32> {
    let [tens, ones, ..] = version.to_be_bytes();
    let tens = u32::from(tens.checked_sub(b'A')?);
    Some(tens * 10 + char::from(ones).to_digit(10)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What two versions of gcc and programs of theirs wrote, and where in the counters functions begin.
    const WRITTEN: [(&[u8], &[u8], usize); 2] = [
        (include_bytes!("notes/gcc-11.gcno"), include_bytes!("notes/gcc-11.gcda"), 28),
        (include_bytes!("notes/gcc-12.gcno"), include_bytes!("notes/gcc-12.gcda"), 32),
    ];

    fn counters(function: &FunctionNotes) -> Option<&'static [[u8; 8]]> {
        match function.name.as_str() {
            "main" => Some(&[[1, 0, 0, 0, 0, 0, 0, 0]; 3]),
            "sum" => Some(&[[1, 0, 0, 0, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0, 0, 0]]),
            "twice" => Some(&[[1, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]]),
            _ => None,
        }
    }

    #[test]
    fn counters_are_written_as_a_program_of_gcc_writes_them() {
        for (notes, theirs, functions) in WRITTEN {
            let notes = ObjectNotes::parse(notes).unwrap();
            let names: Vec<&str> = notes.functions.iter().map(|function| function.name.as_str()).collect();
            assert_eq!(names, ["main", "sum", "twice"]);
            let ours = notes.counters(counters);
            assert_eq!(ours[..12], theirs[..12], "what it is, the version and the stamp");
            // They tell besides how often the program ran, in a record before the functions, and end with a zero.
            let header = 12 + if notes.checksum.is_some() { 4 } else { 0 };
            assert_eq!(ours[header..], theirs[functions..theirs.len() - 4]);
        }
    }

    #[test]
    fn a_function_without_counters_is_left_out() {
        let notes = ObjectNotes::parse(WRITTEN[1].0).unwrap();
        assert_eq!(notes.counters(|_| None).len(), 16);
    }

    #[test]
    fn what_is_no_notes_is_refused() {
        let [_, (notes, counters, _)] = WRITTEN;
        assert_eq!(ObjectNotes::parse(counters), Err(NoNotes));
        assert_eq!(ObjectNotes::parse(b""), Err(NoNotes));
        let mut of_old_gcc = notes.to_vec();
        of_old_gcc[4..8].copy_from_slice(b"*20A");
        assert_eq!(ObjectNotes::parse(&of_old_gcc), Err(NoNotes));
    }

    proptest! {
        /// Half a file is either refused or ends behind a whole record.
        #[test]
        fn notes_may_be_cut_off_and_spoilt(end in 0_usize..2000, place in 0_usize..2000, byte: u8) {
            let mut notes = WRITTEN[1].0.to_vec();
            notes.truncate(end);
            if let Some(spoilt) = notes.get_mut(place) {
                *spoilt = byte;
            }
            if let Ok(notes) = ObjectNotes::parse(&notes) {
                prop_assert!(notes.functions.len() <= 3);
            }
        }
    }
}
