//! LLVM's counters, which rustc has a driver in Rust count with: lines and branches are made of them as `llvm-cov` does.
//!
//! Nothing of LLVM is in the kernel: the counters are words in its memory, and what they are for is in its image
//! ([`format`]). It is read here, since the LLVM of a rustc seldom is that of the `llvm-cov` that is installed, and since
//! cases are a thousand, of each of which lines are made. A line ran as often as the part of the code in which it begins,
//! or as the one that ran most of those that begin in it. Code that is compiled for several sets of types is added up.

mod format;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use format::{COUNTER_SIZE, Count, Function, Kind, Mapping, Region};

use super::gcov::{ReportedBranch, ReportedFile, ReportedFunction, ReportedLine};
use crate::kernel::{Image, KernelError, Notes};
use crate::patch::DRIVER;
use crate::target::guest::Counters;

/// The section of an image in whose place the counters are.
pub const COUNTERS: &str = "__llvm_prf_cnts";

/// Why nothing is made of counters.
#[derive(Debug, thiserror::Error)]
pub enum LlvmError {
    /// The image cannot be read.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// The image.
        path: PathBuf,
        /// What is the matter.
        error: io::Error,
    },
    /// Nothing in it counts.
    #[error(
        "the kernel's driver in Rust counts nothing: its image has no {0}. It is to be built with \
         -Cinstrument-coverage, as binderdrill kernel build --driver rust --with llvm-cov does"
    )]
    CountsNothing(String),
    /// This rustc writes another version.
    #[error(
        "rustc says what it counts in version {0} of LLVM's coverage mapping, of which this program knows version 7: take \
         another rustc (RUSTC=PATH), and build the kernel again"
    )]
    Version(u32),
    /// It is not as it should be.
    #[error("what rustc left in the kernel's image of what it counts cannot be read: {0}")]
    Malformed(String),
    /// What was counted is of something else.
    #[error("the kernel has {came} bytes of counters, and its image is about {expected}")]
    OtherCounters {
        /// How many there are.
        came: usize,
        /// How many there should be.
        expected: usize,
    },
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] KernelError),
}

/// What the counters of one kernel are for.
pub struct Llvm {
    counters: usize,
    functions: Vec<Function>,
    files: Vec<File>,
}

/// A file of the driver.
struct File {
    name: String,
    functions: Vec<Named>,
    lines: Vec<Line>,
}

/// A function, of whatever types.
struct Named {
    name: String,
    lines: (u32, u32),
    entries: Vec<Site>,
}

/// A line that has code.
struct Line {
    number: u32,
    /// The parts of the code that say how often it ran.
    parts: Vec<Vec<Site>>,
    /// The ways that the code may go from there.
    ways: Vec<Vec<Site>>,
}

/// A count of a function.
#[derive(Clone, Copy)]
struct Site {
    function: usize,
    count: Count,
}

impl Llvm {
    /// Prepares to read the counters of a kernel.
    pub fn of(notes: &Notes) -> Result<Llvm, LlvmError> {
        let (Image::Kernel(path) | Image::Module(path)) = notes.image();
        let image = fs::read(path).map_err(|error| LlvmError::File { path: path.to_owned(), error })?;
        Llvm::of_image(&image, |file| Ok(notes.source(file)?))
    }

    /// The same of an image, with the text of each file of the driver.
    fn of_image(image: &[u8], text: impl Fn(&str) -> Result<String, LlvmError>) -> Result<Llvm, LlvmError> {
        let mapping = Mapping::read(image)?;
        let mut files = Vec::new();
        for (place, path) in mapping.files.iter().enumerate() {
            let Some((_, name)) = path.rsplit_once(DRIVER) else { continue };
            let text = text(name)?;
            files.push(File::of(name, place, &mapping.functions, &text));
        }
        Ok(Llvm { counters: mapping.counters, functions: mapping.functions, files })
    }

    /// What has been counted of the driver's own files, each by its name in the driver's folder.
    pub fn read(&self, counters: &Counters) -> Result<Vec<ReportedFile>, LlvmError> {
        let bytes = counters.files.iter().find(|(name, _)| name == COUNTERS);
        let bytes = bytes.map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
        if bytes.len() != self.counters * COUNTER_SIZE {
            let expected = self.counters * COUNTER_SIZE;
            return Err(LlvmError::OtherCounters { came: bytes.len(), expected });
        }
        let (words, _) = bytes.as_chunks::<COUNTER_SIZE>();
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let counted: Vec<Counted<'_>> =
            self.functions.iter().map(|function| Counted::of(function, &words)).collect();
        let total = |sites: &Vec<Site>| {
            sites.iter().fold(0, |sum: u64, site| sum.saturating_add(counted[site.function].of_site(*site)))
        };
        let files = self.files.iter().map(|file| ReportedFile {
            file: file.name.clone(),
            functions: file
                .functions
                .iter()
                .map(|function| ReportedFunction {
                    name: function.name.clone(),
                    start_line: function.lines.0,
                    end_line: function.lines.1,
                    execution_count: total(&function.entries),
                })
                .collect(),
            lines: file
                .lines
                .iter()
                .map(|line| ReportedLine {
                    line_number: line.number,
                    count: line.parts.iter().map(total).max().unwrap_or(0),
                    branches: line.ways.iter().map(|way| ReportedBranch { count: total(way) }).collect(),
                })
                .collect(),
        });
        Ok(files.collect())
    }
}

/// What has been counted of a function.
struct Counted<'a> {
    counters: &'a [u64],
    /// Of each expression, as a sum and as a difference of its two.
    expressions: Vec<[i64; 2]>,
}

impl<'a> Counted<'a> {
    fn of(function: &Function, words: &'a [u64]) -> Counted<'a> {
        let (first, count) = function.counters;
        let counters = &words[first..first + count];
        let mut counted = Counted { counters, expressions: vec![[0; 2]; function.expressions.len()] };
        if counters.iter().any(|counter| *counter > 0) {
            // An expression may be made of any others: after as many rounds as there are, all are right.
            for _ in 0..function.expressions.len() {
                let before = counted.expressions.clone();
                for (place, expression) in function.expressions.iter().enumerate() {
                    let [left, right] = expression.map(|count| counted.signed(count));
                    counted.expressions[place] = [left.wrapping_add(right), left.wrapping_sub(right)];
                }
                if counted.expressions == before {
                    break;
                }
            }
        }
        counted
    }

    /// What is less than nothing is due to a thread that was on its way between two counters.
    fn of_site(&self, site: Site) -> u64 {
        u64::try_from(self.signed(site.count)).unwrap_or(0)
    }

    fn signed(&self, count: Count) -> i64 {
        match count {
            Count::Zero => 0,
            Count::Counter(place) => self.counters.get(place).copied().unwrap_or(0).cast_signed(),
            Count::Sum(place) => self.expressions[place][0],
            Count::Difference(place) => self.expressions[place][1],
        }
    }
}

/// Where something in a file begins and ends: lines and columns.
type Span = ((u32, u32), (u32, u32));

impl File {
    /// What there is in a file, which has this place in the mapping, of all functions.
    fn of(name: &str, place: usize, functions: &[Function], text: &str) -> File {
        let mut named: BTreeMap<(u32, u32), Named> = BTreeMap::new();
        let mut code: BTreeMap<Span, Vec<Site>> = BTreeMap::new();
        let mut ways: BTreeMap<Span, [Vec<Site>; 2]> = BTreeMap::new();
        for (function, of) in functions.iter().enumerate() {
            let here = |region: &&Region| region.file == place;
            let parts = of.regions.iter().filter(here).filter(|region| region.kind == Kind::Code);
            let site = |count| Site { function, count };
            if let (Some(first), Some(name)) = (parts.clone().min_by_key(|region| region.start), &of.name) {
                let end = parts.clone().map(|region| region.end.0).max().unwrap_or(first.end.0);
                let lines = (first.start.0, end);
                let name = without_types(&format!("{:#}", rustc_demangle::demangle(name)));
                let named = named.entry(lines).or_insert_with(|| Named { name, lines, entries: Vec::new() });
                named.entries.push(site(first.count));
            }
            for region in of.regions.iter().filter(here) {
                let span = (region.start, region.end);
                match region.kind {
                    Kind::Code => code.entry(span).or_default().push(site(region.count)),
                    Kind::Branch(otherwise) => {
                        let [taken, not_taken] = ways.entry(span).or_default();
                        taken.push(site(region.count));
                        not_taken.push(site(otherwise));
                    }
                }
            }
        }
        let lines = text.lines().zip(1..).filter(|(line, _)| has_code(line)).filter_map(|(_, number)| {
            let parts: Vec<Vec<Site>> = parts_of(number, &code).map(|(_, sites)| sites.clone()).collect();
            let ways = ways.iter().filter(|(span, _)| span.0.0 == number);
            let ways = ways.flat_map(|(_, both)| both.iter().cloned()).collect();
            (!parts.is_empty()).then_some(Line { number, parts, ways })
        });
        let lines = lines.collect();
        File { name: name.to_owned(), functions: named.into_values().collect(), lines }
    }
}

/// The name of a function, for whatever types it is compiled.
fn without_types(name: &str) -> String {
    let mut parts = name.split("::<");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    let mut open = 0;
    for part in parts {
        open += 1;
        for c in part.chars() {
            match c {
                '<' if open > 0 => open += 1,
                '>' if open > 0 => open -= 1,
                c if open == 0 => kept.push(c),
                _ => {}
            }
        }
    }
    kept
}

/// The parts of the code that say how often a line ran: the innermost of those that it begins in, and those that begin in it.
fn parts_of<S>(line: u32, code: &BTreeMap<Span, S>) -> impl Iterator<Item = (&Span, &S)> {
    let begins = (line, 1);
    let around = code.range(..(begins, (0, 0))).filter(|((_, end), _)| *end > begins);
    let around = around.max_by_key(|((start, end), _)| (*start, Reverse(*end)));
    around.into_iter().chain(code.range((begins, (0, 0))..((line + 1, 0), (0, 0))))
}

/// Whether a line of Rust has code as people see it: more than a comment, or what closes what another one has opened.
fn has_code(line: &str) -> bool {
    let line = line.trim();
    !line.starts_with("//") && line.chars().any(|c| !"{}()[],;".contains(c))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use object::{Object, ObjectSection};

    use super::*;

    /// A program of a few functions, as rustc 1.95 compiled it with what a kernel's driver is compiled with: the sections of
    /// its image that are read, what its counters were when it ended, and what the llvm-cov of LLVM 22 made of both.
    ///
    ///     rustc -O -Cinstrument-coverage -Zcoverage-options=branch --remap-path-prefix=$PWD=/source drivers/android/binder/sample.rs
    ///     llvm-profdata merge default.profraw -o profile && llvm-cov export --format=lcov -instr-profile=profile sample
    ///
    /// The image is `objcopy -j` of the five sections, and the counters are what lies between data and names in the profraw.
    const SOURCE: &str = include_str!("sample/sample.rs");
    const IMAGE: &[u8] = include_bytes!("sample/image.gz");
    const COUNTED: &[u8] = include_bytes!("sample/counters");
    const EXPECTED: &str = include_str!("sample/expected.info");

    fn image() -> Vec<u8> {
        let mut image = Vec::new();
        GzDecoder::new(IMAGE).read_to_end(&mut image).unwrap();
        image
    }

    fn counters(bytes: Vec<u8>) -> Counters {
        Counters { files: vec![(COUNTERS.to_owned(), bytes)] }
    }

    fn reported() -> ReportedFile {
        let llvm = Llvm::of_image(&image(), |_| Ok(SOURCE.to_owned())).unwrap();
        let mut files = llvm.read(&counters(COUNTED.to_vec())).unwrap();
        assert_eq!(files.len(), 1);
        files.remove(0)
    }

    /// What llvm-cov says in lines that begin with this word, as numbers.
    fn expected(word: &str) -> Vec<Vec<u64>> {
        let lines = EXPECTED.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(':'));
        lines.map(|line| line.split(',').map(|number| number.parse().unwrap_or(0)).collect()).collect()
    }

    #[test]
    fn lines_are_those_of_llvm_cov_but_for_comments_and_brackets() {
        let lines: Vec<&str> = SOURCE.lines().collect();
        let with_code = |numbers: &Vec<u64>| has_code(lines[numbers[0] as usize - 1]);
        let expected: Vec<Vec<u64>> = expected("DA").into_iter().filter(with_code).collect();
        let came: Vec<Vec<u64>> =
            reported().lines.iter().map(|line| vec![u64::from(line.line_number), line.count]).collect();
        assert_eq!(came, expected);
        assert!(came.iter().any(|line| line[1] == 0) && came.iter().any(|line| line[1] > 0));
    }

    #[test]
    fn branches_are_those_of_llvm_cov() {
        let expected: Vec<(u64, u64)> =
            expected("BRDA").into_iter().map(|branch| (branch[0], branch[3])).collect();
        let reported = reported();
        let came = reported
            .lines
            .iter()
            .flat_map(|line| line.branches.iter().map(|branch| (u64::from(line.line_number), branch.count)));
        assert_eq!(came.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn functions_have_their_names_whatever_types_they_are_for() {
        let functions = reported().functions;
        let told = functions.iter().map(|function| {
            let (name, runs) = (&function.name, function.execution_count);
            format!("{}-{} {name} {runs}\n", function.start_line, function.end_line)
        });
        insta::assert_snapshot!(told.collect::<String>(), @"
        6-9 sample::twice 3
        12-21 sample::parse 5
        23-42 sample::sum 2
        37-40 sample::sum::{closure#0} 2
        45-47 sample::never 0
        52-54 <sample::Gone as core::ops::drop::Drop>::drop 1
        57-68 sample::main 1
        60-60 sample::main::{closure#0} 3
        ");
        for (name, short) in [
            ("a::b::<c::d::<e>, <f as g>::h>::{closure#0}", "a::b::{closure#0}"),
            ("<a::B<c>>::d::<e>", "<a::B<c>>::d"),
        ] {
            assert_eq!(without_types(name), short);
        }
    }

    #[test]
    fn counters_of_another_kernel_are_refused() {
        let llvm = Llvm::of_image(&image(), |_| Ok(SOURCE.to_owned())).unwrap();
        for other in [COUNTED[8..].to_vec(), Vec::new()] {
            assert!(matches!(llvm.read(&counters(other)), Err(LlvmError::OtherCounters { .. })));
        }
        assert!(matches!(llvm.read(&Counters::default()), Err(LlvmError::OtherCounters { .. })));
    }

    #[test]
    fn an_image_that_counts_nothing_is_refused() {
        let this = fs::read(std::env::current_exe().unwrap()).unwrap();
        let error = Llvm::of_image(&this, |_| Ok(String::new())).err().unwrap().to_string();
        assert!(error.contains("counts nothing") && error.contains("--with llvm-cov"), "{error}");
        assert!(matches!(Mapping::read(b"nonsense"), Err(LlvmError::Malformed(_))));
    }

    /// Whatever is broken of what rustc has left, it is an error or something else, and no panic.
    #[test]
    fn nonsense_is_refused() {
        let whole = image();
        let places: Vec<usize> = {
            let file = object::File::parse(whole.as_slice()).unwrap();
            let ours =
                file.sections().filter(|section| section.name().is_ok_and(|n| n.starts_with("__llvm")));
            ours.filter_map(|section| section.file_range())
                .flat_map(|(at, size)| at..at + size)
                .map(|at| at as usize)
                .collect()
        };
        let mut refused = 0;
        for place in places {
            for byte in [0, 0xff] {
                let mut broken = whole.clone();
                broken[place] = byte;
                match Llvm::of_image(&broken, |_| Ok(SOURCE.to_owned())) {
                    Ok(llvm) => drop(llvm.read(&counters(COUNTED.to_vec()))),
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused > 0);
    }
}
