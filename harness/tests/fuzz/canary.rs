//! Canaries: whether fuzzing finds a bug that was planted in the reference driver. It is given the suite but for the cases
//! that are about such bugs, which would find them at once.

use std::ops::Range;
use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use binderdrill::generate::{Emphasis, Settled, USUAL_STEPS, bytes_of_seed, generate, mutate};
use binderdrill::oracle;
use binderdrill::program::{DriverKind, Program};
use binderdrill::suite;
use reference_driver::{Bug, Profile};
use strum::IntoEnumIterator;

/// How a bug was found.
#[derive(Debug)]
struct Found {
    programs: u64,
    seconds: Duration,
    how: String,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} s, {} programs: {}", self.seconds.as_secs_f64(), self.programs, self.how)
    }
}

/// What fuzzing begins with.
fn seeds() -> Vec<Program> {
    let names = Bug::ALL.map(Bug::published_as);
    let cases =
        suite::embedded().into_iter().filter(|case| !names.iter().any(|name| case.title().starts_with(name)));
    let programs = cases.filter_map(|case| case.script.ok().map(|script| script.program));
    programs.filter(|program| program.driver != Some(DriverKind::Rust) && program.race().is_none()).collect()
}

/// Fuzzes a driver. Every fourth program is generated, the others are made of seeds and of what was made of them.
fn fuzz(driver: &Profile, seeds: Range<u64>) -> Option<Found> {
    let started = Instant::now();
    let mut pool = self::seeds();
    let emphases: Vec<Emphasis> = Emphasis::iter().collect();
    for (count, seed) in seeds.enumerate() {
        let bytes = bytes_of_seed(seed);
        let mut bytes = Unstructured::new(&bytes);
        let settled = if count % 4 == 0 {
            generate(emphases[count / 4 % emphases.len()], driver, &mut bytes)
        } else {
            let place = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize % pool.len();
            let settled = mutate(&pool[place], driver, USUAL_STEPS, &mut bytes);
            if settled.fault.is_none() && count % 8 == 1 {
                pool.push(settled.program.clone());
            }
            settled
        };
        if let Some(how) = complaint(&settled) {
            return Some(Found { programs: count as u64 + 1, seconds: started.elapsed(), how });
        }
    }
    None
}

fn complaint(settled: &Settled) -> Option<String> {
    let judged = oracle::examine(settled, &Profile::C).and_then(|()| match settled.fault {
        None => oracle::compare(&settled.program, &Profile::C),
        // Its last step could not be said, and is missing.
        Some(_) => Ok(()),
    });
    judged.err().map(|violation| violation.to_string())
}

/// Bugs that are found within some thousand programs.
const CANARIES: [Bug; 7] = [
    Bug::ParentBehindChild,
    Bug::MisalignedTableAllReleased,
    Bug::AnyAlignment,
    Bug::DataOverOffsets,
    Bug::QueuedFreezeOutlivesHandle,
    Bug::EmptyArrayRefused,
    Bug::MessageUncounted,
];

#[test]
fn canaries_are_found() {
    for bug in CANARIES {
        let found = fuzz(&Profile::C.with_bug(bug), 0..20_000);
        let found = found.unwrap_or_else(|| panic!("{bug:?} is not found"));
        println!("{bug:?}: {found}");
    }
}

/// All ten, with how long each takes: `cargo nextest run --release --test fuzz every --no-capture`. Without optimisation
/// it would take minutes, and is not there.
#[cfg(not(debug_assertions))]
#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        match fuzz(&Profile::C.with_bug(bug), 0..200_000) {
            Some(found) => println!("{bug:?}: {found}"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn a_sound_driver_is_not_complained_of() {
    let found = fuzz(&Profile::C, 0..2000);
    assert!(found.is_none(), "{found:?}");
}
