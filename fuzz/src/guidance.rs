//! What libFuzzer is guided by. It keeps what reaches code that nothing before has reached; what matters is the code of the
//! reference driver. A program runs through much more that makes, does and judges it, and that has nothing to say: most of what
//! libFuzzer does would be to look at that, and most of what it kept be kept for that.
//!
//! The compiler gives each block of code a counter, and a table says which counter is of which block. In the symbols of the
//! program is written whose code a block is. The counters of others are set back before libFuzzer looks at them.

use std::fs;
use std::ops::Range;
use std::sync::OnceLock;

use binderdrill::fuzz_target::FuzzTarget;
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, SymbolKind};

/// The crate whose code is to be reached.
const DRIVER: &str = "reference_driver";

/// The addresses of counters that do not count, once they are known.
static IGNORED: OnceLock<Vec<Range<usize>>> = OnceLock::new();

/// Finds out what to be guided by, and says so. Where that cannot be told, as of a program without symbols, it is by all there
/// is; so too where parser and printer are fuzzed.
pub fn find(target: FuzzTarget) {
    if target == FuzzTarget::Script {
        return;
    }
    let Some(ignored) = counters_of_others() else {
        eprintln!(
            "INFO: guided by all code, as the symbols that tell which is the reference driver's are not there"
        );
        return;
    };
    let count: usize = ignored.iter().map(Range::len).sum();
    eprintln!("INFO: guided by the reference driver's code alone, without {count} counters of other code");
    IGNORED.get_or_init(|| ignored);
}

/// Has libFuzzer see nothing of what others than the driver have done.
pub fn set_back_others() {
    for addresses in IGNORED.get().into_iter().flatten() {
        // SAFETY: they lie in the section of the counters, which are bytes, and which nothing but instructions of this one
        // thread and libFuzzer, that waits for it, refer to.
        unsafe { std::ptr::write_bytes(addresses.start as *mut u8, 0, addresses.len()) };
    }
}

/// Where the counters of all other code are; `None` if that cannot be told.
fn counters_of_others() -> Option<Vec<Range<usize>>> {
    unsafe extern "C" {
        /// Where the file of this program begins in its memory. The linker defines it.
        static __ehdr_start: u8;
    }
    let bytes = fs::read("/proc/self/exe").ok()?;
    let file = object::File::parse(bytes.as_slice()).ok()?;
    let header = file.segments().find(|segment| segment.file_range().0 == 0)?.address() as usize;
    let moved_by = (&raw const __ehdr_start as usize).checked_sub(header)?;
    let section = |name| {
        let section = file.section_by_name(name)?;
        Some((section.address() as usize + moved_by, section.size() as usize))
    };
    let (counters, count) = section("__sancov_cntrs")?;
    let (blocks, size) = section("__sancov_pcs")?;
    if size != count * size_of::<Block>() {
        return None;
    }
    // SAFETY: the section is mapped as long as the program runs, nobody writes there, and so many entries are in it.
    let blocks = unsafe { std::slice::from_raw_parts(blocks as *const Block, count) };
    let functions = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text);
    let mut functions: Vec<(usize, bool)> = functions
        .filter_map(|symbol| Some((symbol.address() as usize + moved_by, is_driver(symbol.name().ok()?))))
        .collect();
    functions.sort_unstable();
    let is_driver = |block: &Block| {
        let behind = functions.partition_point(|(start, _)| *start <= block.address);
        behind > 0 && functions[behind - 1].1
    };
    // Without symbols nothing would be left.
    if !blocks.iter().any(is_driver) {
        return None;
    }
    let is_other = blocks.iter().map(|block| !is_driver(block));
    Some(runs(is_other).into_iter().map(|run| counters + run.start..counters + run.end).collect())
}

/// What the compiler's table tells of a block of code.
#[repr(C)]
struct Block {
    address: usize,
    /// Whether a function begins there.
    _flags: usize,
}

/// Whether a function is one of the reference driver, by its symbol.
fn is_driver(symbol: &str) -> bool {
    let name = rustc_demangle::demangle(symbol).to_string();
    name.trim_start_matches('<').starts_with(DRIVER)
}

/// The places at which something is true, as ranges.
fn runs(all: impl Iterator<Item = bool>) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (place, _) in all.enumerate().filter(|(_, is_true)| *is_true) {
        match runs.last_mut() {
            Some(last) if last.end == place => last.end += 1,
            _ => runs.push(place..place + 1),
        }
    }
    runs
}
