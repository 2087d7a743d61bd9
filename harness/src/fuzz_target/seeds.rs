//! Seeds: what fuzzing begins with. They are made of the suite whenever they are needed, so none is ever out of date.

use arbitrary::Unstructured;
use reference_driver::Profile;
use sha2::{Digest, Sha256};

use super::{FuzzTarget, script};
use crate::generate::{raw_bytes, settle};
use crate::program::DriverKind;
use crate::script::LARGEST_SCRIPT;
use crate::suite::{self, Case};

/// How many digits of a digest a file is named by.
const DIGITS: usize = 40;

/// An input to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// The case that it is made of.
    pub case: String,
    /// What it is.
    pub bytes: Vec<u8>,
}

impl Seed {
    /// The name of a file for it, which is that of no other.
    pub fn file_name(&self) -> String {
        file_name(&self.bytes)
    }
}

/// The name of a file for an input, which is that of no other.
pub fn file_name(bytes: &[u8]) -> String {
    let digest = hex::encode(Sha256::digest(bytes));
    digest[..DIGITS].to_owned()
}

impl FuzzTarget {
    /// What the suite that is built in has for this target.
    pub fn seeds(self) -> Vec<Seed> {
        let mut seeds: Vec<Seed> = suite::embedded().iter().flat_map(|case| self.seeds_of(case)).collect();
        seeds.sort_by(|one, other| one.bytes.cmp(&other.bytes));
        seeds.dedup_by(|one, other| one.bytes == other.bytes);
        seeds
    }

    fn seeds_of(self, case: &Case) -> Vec<Seed> {
        let Ok(read) = &case.script else { return Vec::new() };
        let inputs = match self {
            FuzzTarget::Script => vec![read.source.as_bytes().to_vec()],
            FuzzTarget::RawWriteRead => raw_bytes(&read.program),
            _ => {
                let drivers = [(DriverKind::C, Profile::C), (DriverKind::Rust, Profile::RUST)];
                let about = drivers
                    .into_iter()
                    .filter(|(kind, _)| read.program.driver.is_none_or(|one| one == *kind));
                let settled =
                    about.map(|(_, profile)| settle(&read.program, &profile, &mut Unstructured::new(&[])));
                settled.filter_map(|settled| script(&settled, LARGEST_SCRIPT)).collect()
            }
        };
        inputs.into_iter().map(|bytes| Seed { case: case.id.clone(), bytes }).collect()
    }
}
