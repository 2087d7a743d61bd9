//! What the fuzz targets share: how libFuzzer is handed what `binderdrill::fuzz_target` does.

mod guidance;

pub use binderdrill::fuzz_target::FuzzTarget;
pub use libfuzzer_sys;

use std::ffi::c_char;
use std::fs;
use std::path::{Path, PathBuf};

/// Quicker than the C library's, and with nothing to tell a sanitizer: only for where there is none.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What AddressSanitizer does where ASAN_OPTIONS does not say otherwise. Every program that is judged allocates a few hundred
/// times, and calls thousands of functions: what is done at each of these takes longer than the program.
///
/// - No stack is kept of who has allocated and freed: whoever replays a finding asks for that (`malloc_context_size=30`).
/// - Memory is not filled when it is allocated.
/// - What lies on stacks is not moved to the heap to see that it is not used after a return: the compiler sees that.
/// - Of what is freed, less is kept from being used again.
// SAFETY: the sanitizer's runtime looks for a function of this name and type, and has one of its own that gives way to it.
#[unsafe(no_mangle)]
pub extern "C" fn __asan_default_options() -> *const c_char {
    c"malloc_context_size=0:max_malloc_fill_size=0:detect_stack_use_after_return=0:quarantine_size_mb=2"
        .as_ptr()
}

/// Gets ready: a panic is caught where it is judged, it is known what to be guided by, and the corpus begins with the seeds of the suite.
pub fn begin(target: FuzzTarget) {
    // libFuzzer's own hook ends the process before it can be told which program it was.
    drop(std::panic::take_hook());
    guidance::find(target);
    if let Some(corpus) = corpus() {
        for seed in target.seeds() {
            let path = corpus.join(seed.file_name());
            if !path.exists()
                && let Err(error) = fs::write(&path, &seed.bytes)
            {
                eprintln!("{}: {error}", path.display());
                return;
            }
        }
    }
}

/// The folder that libFuzzer adds to, if it fuzzes: neither when it merges corpora nor in its own children.
fn corpus() -> Option<PathBuf> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_other = |word: &String| ["-merge", "-seed_inputs"].iter().any(|flag| word.starts_with(flag));
    if words.iter().any(is_other) {
        return None;
    }
    words.into_iter().filter(|word| !word.starts_with('-')).map(PathBuf::from).find(|path| path.is_dir())
}

/// Judges an input. If that shows something, tells it as a script with the command that replays it, and dies.
pub fn judge(target: FuzzTarget, input: &[u8]) {
    let judged = target.judge_of_many(input);
    guidance::set_back_others();
    let Err(finding) = judged else { return };
    eprintln!("\n{target}: {finding}\n");
    match finding.script {
        None => eprintln!("The input is no script. To replay it: {} INPUT", command(target)),
        Some(script) => {
            eprintln!("{script}");
            let name = format!("finding-{}.drill", binderdrill::fuzz_target::file_name(script.as_bytes()));
            let path = artifacts().join(name);
            match fs::write(&path, script) {
                Ok(()) => eprintln!("To replay it: {} {}", command(target), path.display()),
                Err(error) => eprintln!("{}: {error}", path.display()),
            }
        }
    }
    std::process::abort();
}

fn command(target: FuzzTarget) -> String {
    format!("cargo run --release -- replay --as {target}")
}

/// Where libFuzzer puts what it finds.
fn artifacts() -> PathBuf {
    let prefix = std::env::args().find_map(|word| word.strip_prefix("-artifact_prefix=").map(PathBuf::from));
    prefix.filter(|path| path.is_dir()).unwrap_or_else(|| Path::new(".").to_owned())
}

/// Changes an input in place; the new length.
pub fn mutate(target: FuzzTarget, data: &mut [u8], size: usize, seed: u32) -> usize {
    let room = data.len();
    match target.mutate(&data[..size], room, seed) {
        Some(mutant) => {
            data[..mutant.len()].copy_from_slice(&mutant);
            mutant.len()
        }
        None => libfuzzer_sys::fuzzer_mutate(data, size, room),
    }
}

/// Puts something of two inputs into a third; its length, or 0 if there is none.
pub fn cross_over(target: FuzzTarget, first: &[u8], second: &[u8], out: &mut [u8], seed: u32) -> usize {
    let Some(child) = target.cross_over(first, second, out.len(), seed) else { return 0 };
    out[..child.len()].copy_from_slice(&child);
    child.len()
}

/// All that a fuzz target is.
#[macro_export]
macro_rules! fuzz {
    ($target:expr) => {
        use $crate::libfuzzer_sys::{self, fuzz_crossover, fuzz_mutator, fuzz_target};
        fuzz_target!(init: $crate::begin($target), |input: &[u8]| { $crate::judge($target, input) });
        fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            $crate::mutate($target, &mut data[..max_size], size, seed)
        });
        fuzz_crossover!(|first: &[u8], second: &[u8], out: &mut [u8], seed: u32| {
            $crate::cross_over($target, first, second, out, seed)
        });
    };
}
