//! Sources: where the programs of a campaign come from. Each has a seed of its own, and is the same whenever it is made:
//! the first has the campaign's seed, and each further one the next number.

use arbitrary::Unstructured;
use reference_driver::Profile;

use crate::generate::{Emphasis, Settled, USUAL_STEPS, bytes_of_seed, cross_over, generate, mutate};
use crate::program::Program;

/// Makes programs out of seeds.
#[derive(Debug, Clone)]
pub struct Source {
    /// What generated programs are mostly about.
    pub emphasis: Emphasis,
    /// Programs to begin with. There may be none: then all are generated.
    pub corpus: Vec<Program>,
}

impl Source {
    /// The program of a seed, settled. Half of all are generated; of the others, most are one of the corpus with a few
    /// things changed, and some are made of two.
    pub fn program(&self, seed: u64, profile: &Profile) -> Settled {
        let bytes = bytes_of_seed(seed);
        let mut bytes = Unstructured::new(&bytes);
        // Apart from the bytes, so that a seed generates here what it generates elsewhere.
        let mut random = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let any = |random: &mut fastrand::Rng| &self.corpus[random.usize(..self.corpus.len())];
        match random.u8(..8) {
            _ if self.corpus.is_empty() => generate(self.emphasis, profile, &mut bytes),
            0..4 => generate(self.emphasis, profile, &mut bytes),
            4..7 => mutate(any(&mut random), profile, USUAL_STEPS, &mut bytes),
            _ => {
                let (first, second) = (any(&mut random), any(&mut random));
                cross_over(first, second, profile, USUAL_STEPS, &mut bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    #[test]
    fn a_seed_is_one_program_whatever_came_before() {
        let corpus = suite::embedded_with(|id| id.starts_with("transaction/"));
        let corpus = corpus.into_iter().filter_map(|case| Some(case.script.ok()?.program)).collect();
        let source = Source { emphasis: Emphasis::Mix, corpus };
        let programs: Vec<Settled> = (10u64..40).map(|seed| source.program(seed, &Profile::C)).collect();
        for (place, program) in programs.iter().enumerate().rev() {
            assert_eq!(*program, source.program(10 + place as u64, &Profile::C));
        }
        let alike = programs.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert_eq!(alike, 0);
    }
}
