//! What rustc leaves in an image for LLVM's coverage: which counter is for which part of which file.
//!
//! `__llvm_covmap` has the names of the files, and `__llvm_covfun` for each function its regions, with counters or sums and
//! differences of counters that say how often each ran. `__llvm_prf_data` says where the counters of a function lie in
//! `__llvm_prf_cnts`, and `__llvm_prf_names` what it is called. The first two are documented in LLVM's
//! "Coverage Mapping Format", the others in "Instrumentation Profile Format"; a name is known there by half of its MD5.

use std::collections::HashMap;
use std::io::Read;

use flate2::read::ZlibDecoder;
use md5::{Digest, Md5};
use object::{Bytes, Object, ObjectSection};

use super::{COUNTERS, LlvmError};

/// The version of the mapping that rustc has written since LLVM 18, as it is written: LLVM calls it 7.
const VERSION: u32 = 6;

/// The size of what `__llvm_prf_data` says of a function, since LLVM 18.
const DATA_SIZE: usize = 64;

/// The counters' own size.
pub(super) const COUNTER_SIZE: usize = 8;

/// The bit of a column that says that a region lies between others, and has no code of its own.
const GAP: u64 = 1 << 31;

/// What is counted of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapping {
    /// The files, as the compiler was given them.
    pub files: Vec<String>,
    /// The functions, one for each set of types that a generic one is compiled for.
    pub functions: Vec<Function>,
    /// How many counters there are.
    pub counters: usize,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Function {
    /// What the linker calls it, if that is known.
    pub name: Option<String>,
    /// The place of its first counter among all, and how many it has; none if nothing ever calls it.
    pub counters: (usize, usize),
    /// What its counts are made of, apart from counters.
    pub expressions: Vec<Expression>,
    /// Its parts.
    pub regions: Vec<Region>,
}

/// How often something ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    /// Never.
    Zero,
    /// As often as one of the function's counters says.
    Counter(usize),
    /// As often as the two of an expression together.
    Sum(usize),
    /// The first of an expression without the second.
    Difference(usize),
}

/// Two counts, of which another is made.
pub(super) type Expression = [Count; 2];

/// A part of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    /// Its file, by its place.
    pub file: usize,
    /// What it is.
    pub kind: Kind,
    /// How often it ran; a branch, how often it was taken.
    pub count: Count,
    /// Its first line and column, from 1.
    pub start: (u32, u32),
    /// Its last line, and the column after its end.
    pub end: (u32, u32),
}

/// What a region is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Code.
    Code,
    /// A condition, with how often it was false.
    Branch(Count),
}

/// The sections that are read.
struct Sections<'a> {
    covmap: &'a [u8],
    covfun: &'a [u8],
    data: &'a [u8],
    /// The addresses of `__llvm_prf_data` and of the counters.
    at: (u64, u64),
    names: &'a [u8],
    counters: usize,
}

impl Mapping {
    /// What is counted of the program that an image is.
    pub fn read(image: &[u8]) -> Result<Mapping, LlvmError> {
        Sections::of(image)?.mapping()
    }
}

impl<'a> Sections<'a> {
    fn of(image: &'a [u8]) -> Result<Sections<'a>, LlvmError> {
        let file = object::File::parse(image).map_err(|error| LlvmError::Malformed(error.to_string()))?;
        let section = |name: &str| {
            let section =
                file.section_by_name(name).ok_or_else(|| LlvmError::CountsNothing(name.to_owned()))?;
            let data = section.data().map_err(|error| LlvmError::Malformed(error.to_string()))?;
            Ok::<_, LlvmError>((section.address(), data))
        };
        let ((data_at, data), (counters_at, counters)) = (section("__llvm_prf_data")?, section(COUNTERS)?);
        Ok(Sections {
            covmap: section("__llvm_covmap")?.1,
            covfun: section("__llvm_covfun")?.1,
            data,
            at: (data_at, counters_at),
            names: section("__llvm_prf_names")?.1,
            counters: counters.len() / COUNTER_SIZE,
        })
    }

    fn mapping(&self) -> Result<Mapping, LlvmError> {
        let (files, files_name) = self.files()?;
        let (names, counters) = (self.names()?, self.counters()?);
        let mut functions = Vec::new();
        let mut rest = self.covfun;
        while !rest.is_empty() {
            let mut header = Bytes(rest);
            let name = unsigned(&mut header, 8)?;
            let size = unsigned(&mut header, 4)? as usize;
            let _hash = unsigned(&mut header, 8)?;
            if unsigned(&mut header, 8)? != files_name {
                return Err(malformed("a function is of another crate"));
            }
            let own = header.read_bytes(size).map_err(|()| malformed("a function ends too early"))?;
            let name_of = names.get(&name).cloned();
            let (expressions, regions) = function(own, files.len())?;
            let counters = counters.get(&name).copied().unwrap_or_default();
            functions.push(Function { name: name_of, counters, expressions, regions }.checked()?);
            // Each begins at a multiple of eight.
            let taken = (rest.len() - header.len()).next_multiple_of(8);
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(Mapping { files, functions, counters: self.counters })
    }

    /// The names of the files, and the number by which functions refer to them.
    fn files(&self) -> Result<(Vec<String>, u64), LlvmError> {
        let mut map = Bytes(self.covmap);
        let _functions = unsigned(&mut map, 4)?;
        let size = unsigned(&mut map, 4)? as usize;
        let _mapping = unsigned(&mut map, 4)?;
        match unsigned(&mut map, 4)? as u32 {
            VERSION => {}
            other => return Err(LlvmError::Version(other + 1)),
        }
        let written = map.read_bytes(size).map_err(|()| malformed("the names of the files end too early"))?.0;
        if map.0.iter().any(|byte| *byte != 0) {
            return Err(malformed("more than one crate is counted"));
        }
        let mut bytes = Bytes(written);
        let names = number(&mut bytes)?;
        let (whole, packed) = (number(&mut bytes)?, number(&mut bytes)?);
        let unpacked = unpack(&mut bytes, whole, packed)?;
        let mut bytes = Bytes(&unpacked);
        let mut files: Vec<String> = Vec::new();
        for _ in 0..names {
            let length = number(&mut bytes)?;
            let name =
                bytes.read_bytes(length).map_err(|()| malformed("the name of a file ends too early"))?;
            files.push(String::from_utf8_lossy(name.0).into_owned());
        }
        Ok((files, half_of_md5(written)))
    }

    /// What functions are called, by halves of the MD5 of that.
    fn names(&self) -> Result<HashMap<u64, String>, LlvmError> {
        let mut names = HashMap::new();
        let mut bytes = Bytes(self.names);
        while !bytes.is_empty() {
            // What fills up the section.
            if bytes.0[0] == 0 {
                bytes.0 = &bytes.0[1..];
                continue;
            }
            let (whole, packed) = (number(&mut bytes)?, number(&mut bytes)?);
            let unpacked = unpack(&mut bytes, whole, packed)?;
            for name in unpacked.split(|byte| *byte == 1) {
                names.insert(half_of_md5(name), String::from_utf8_lossy(name).into_owned());
            }
        }
        Ok(names)
    }

    /// Where the counters of functions are among all, and how many, by halves of the MD5 of their names.
    fn counters(&self) -> Result<HashMap<u64, (usize, usize)>, LlvmError> {
        let mut counters = HashMap::new();
        for (place, data) in self.data.chunks(DATA_SIZE).enumerate() {
            let mut bytes = Bytes(data);
            let (name, _hash) = (unsigned(&mut bytes, 8)?, unsigned(&mut bytes, 8)?);
            // From here to the first counter.
            let distance = unsigned(&mut bytes, 8)?;
            bytes.skip(24).map_err(|()| malformed("what is said of a function ends too early"))?;
            let count = unsigned(&mut bytes, 4)? as usize;
            let here = self.at.0.wrapping_add((place * DATA_SIZE) as u64);
            let first = here.wrapping_add(distance).wrapping_sub(self.at.1);
            let first = usize::try_from(first).ok().filter(|first| first % COUNTER_SIZE == 0);
            let first = first.map(|first| first / COUNTER_SIZE);
            match first.filter(|first| first.checked_add(count).is_some_and(|end| end <= self.counters)) {
                Some(first) => counters.insert(name, (first, count)),
                None => return Err(malformed("the counters of a function are not where counters are")),
            };
        }
        Ok(counters)
    }
}

impl Function {
    /// This, if all that it refers to is there.
    fn checked(self) -> Result<Function, LlvmError> {
        let is_there = |count: &Count| match *count {
            Count::Zero => true,
            Count::Counter(place) => place < self.counters.1 || self.counters.1 == 0,
            Count::Sum(place) | Count::Difference(place) => place < self.expressions.len(),
        };
        let of_regions = self.regions.iter().flat_map(|region| match region.kind {
            Kind::Code => [region.count, Count::Zero],
            Kind::Branch(otherwise) => [region.count, otherwise],
        });
        if self.expressions.iter().flatten().copied().chain(of_regions).all(|count| is_there(&count)) {
            return Ok(self);
        }
        Err(malformed("a function is counted by what is not there"))
    }
}

/// The expressions and regions of a function.
fn function(bytes: Bytes<'_>, all_files: usize) -> Result<(Vec<Expression>, Vec<Region>), LlvmError> {
    let mut bytes = bytes;
    let mut files = Vec::new();
    for _ in 0..number(&mut bytes)? {
        let file = number(&mut bytes)?;
        if file >= all_files {
            return Err(malformed("a function is of a file without a name"));
        }
        files.push(file);
    }
    let mut expressions = Vec::new();
    for _ in 0..number(&mut bytes)? {
        expressions.push([count(number(&mut bytes)?), count(number(&mut bytes)?)]);
    }
    let mut regions = Vec::new();
    for file in files {
        let mut line = 0;
        for _ in 0..number(&mut bytes)? {
            let (kind, counted) = kind_of_region(&mut bytes)?;
            let mut next = || number(&mut bytes);
            let (lines, column, more_lines, end_column) = (next()?, next()?, next()?, next()?);
            let small = |number: usize| u32::try_from(number).map_err(|_| malformed("a line has no number"));
            line = small(lines.saturating_add(line as usize))?;
            let end = (line.saturating_add(small(more_lines)?), small(end_column & !(GAP as usize))?);
            let is_gap = end_column as u64 & GAP != 0;
            // What is no code of its own is between parts that are.
            if let Some(kind) = kind.filter(|_| !is_gap) {
                regions.push(Region { file, kind, count: counted, start: (line, small(column)?), end });
            }
        }
    }
    Ok((expressions, regions))
}

/// What a region is, if it is one that says which code runs, and its count.
fn kind_of_region(bytes: &mut Bytes<'_>) -> Result<(Option<Kind>, Count), LlvmError> {
    let header = number(bytes)?;
    match count(header) {
        Count::Zero => {}
        counted => return Ok((Some(Kind::Code), counted)),
    }
    let is_expansion = header & 4 != 0;
    match header >> 3 {
        _ if is_expansion => Ok((None, Count::Zero)),
        0 => Ok((Some(Kind::Code), Count::Zero)),
        // Skipped by a preprocessor, which Rust has not.
        2 => Ok((None, Count::Zero)),
        4 => {
            let taken = count(number(bytes)?);
            Ok((Some(Kind::Branch(count(number(bytes)?))), taken))
        }
        _ => Err(malformed("a part of a function is of no known kind")),
    }
}

/// A count, as it is written.
fn count(written: usize) -> Count {
    let place = written >> 2;
    match written & 3 {
        0 => Count::Zero,
        1 => Count::Counter(place),
        2 => Count::Difference(place),
        _ => Count::Sum(place),
    }
}

/// What stands next, unpacked if it is packed.
fn unpack(bytes: &mut Bytes<'_>, whole: usize, packed: usize) -> Result<Vec<u8>, LlvmError> {
    let size = if packed == 0 { whole } else { packed };
    let next = bytes.read_bytes(size).map_err(|()| malformed("names end too early"))?.0;
    if packed == 0 {
        return Ok(next.to_vec());
    }
    let mut unpacked = Vec::new();
    ZlibDecoder::new(next)
        .take(whole as u64)
        .read_to_end(&mut unpacked)
        .map_err(|error| LlvmError::Malformed(error.to_string()))?;
    Ok(unpacked)
}

/// The first eight bytes of the MD5.
fn half_of_md5(bytes: &[u8]) -> u64 {
    let digest = Md5::digest(bytes);
    u64::from_le_bytes(digest[..8].try_into().expect("an MD5 has 16 bytes"))
}

/// A number of so many bytes, the least significant first.
fn unsigned(bytes: &mut Bytes<'_>, size: usize) -> Result<u64, LlvmError> {
    let read = bytes.read_bytes(size).map_err(|()| malformed("a number ends too early"))?;
    Ok(read.0.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// A number that takes as many bytes as it has to.
fn number(bytes: &mut Bytes<'_>) -> Result<usize, LlvmError> {
    let read = bytes.read_uleb128().ok().and_then(|number| usize::try_from(number).ok());
    read.ok_or_else(|| malformed("a number ends too early"))
}

fn malformed(what: &str) -> LlvmError {
    LlvmError::Malformed(what.to_owned())
}
