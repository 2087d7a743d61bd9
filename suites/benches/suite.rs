//! What the suite costs on the reference driver: how long all of it takes, and how much memory a case takes at most.
//!
//! Prints what it measured, for each profile. What is counted is the heap from the start of a case to its end: that of the
//! driver, of the processes' memory that goes with it, and of the engine, whose transcript is most of the rest.

use std::time::Instant;

use binderdrill::suite::{self, Case};
use binderdrill::target::{ReferenceTarget, Target};
use peak_alloc::PeakAlloc;
use reference_driver::Profile;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// How many of the cases that take the most memory are named.
const LARGEST: usize = 3;

fn main() {
    let cases = suite::embedded();
    for profile in Profile::ALL {
        let name = profile.name;
        let mut target = ReferenceTarget::new(profile);
        let begin = Instant::now();
        let ran = cases.iter().filter(|case| run(case, &mut target)).count();
        let seconds = begin.elapsed().as_secs_f64();
        println!("reference:{name}: {ran} cases in {seconds:.2} s (to be at most 2 s)");
        let mut peaks: Vec<(usize, &str)> =
            cases.iter().map(|case| (peak(case, &mut target), case.id.as_str())).collect();
        peaks.sort_unstable_by(|a, b| b.cmp(a));
        for (bytes, id) in peaks.iter().take(LARGEST) {
            println!("{:>9.2} MiB  {id}", mebibytes(*bytes));
        }
        let middle = peaks[peaks.len() / 2].0;
        println!("{:>9.2} MiB  the one in the middle (to be at most 64 MiB in each)", mebibytes(middle));
    }
}

/// Runs a case if it can be read, and says whether it could.
fn run(case: &Case, target: &mut ReferenceTarget) -> bool {
    let Ok(script) = &case.script else { return false };
    target.run(&script.program).is_ok()
}

/// The most bytes of heap that were in use at a time while a case ran, beyond what was in use before.
fn peak(case: &Case, target: &mut ReferenceTarget) -> usize {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    run(case, target);
    ALLOCATOR.peak_usage().saturating_sub(before)
}

fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
