//! Choices: all that is random in a program comes out of the bytes of an [`Unstructured`]. Where these have run out,
//! every choice is the first one and nothing is damaged, so that a program ends soon and well.

use arbitrary::Unstructured;

/// How many bytes a seed becomes: more than a program of usual length takes.
const BYTES_OF_SEED: usize = 4096;

/// The bytes that a seed stands for.
pub fn bytes_of_seed(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; BYTES_OF_SEED];
    random.fill(&mut bytes);
    bytes
}

/// Where choices come from.
pub(super) struct Choices<'c, 'u>(pub(super) &'c mut Unstructured<'u>);

impl Choices<'_, '_> {
    /// Whether there is nothing left to choose by.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A number below another one, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0.int_in_range(0..=end - 1).unwrap_or(0)
    }

    /// True once in so many times, two or more.
    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    /// One of these, if there are any.
    pub(super) fn pick<'t, T>(&mut self, among: &'t [T]) -> Option<&'t T> {
        (!among.is_empty()).then(|| &among[self.below(among.len())])
    }

    /// One of these, of which there is one at least.
    pub(super) fn of<T: Copy, const N: usize>(&mut self, among: [T; N]) -> T {
        among[self.below(N)]
    }

    /// The place of one of these weights, by their size. All may be 0: then none.
    pub(super) fn weighted(&mut self, weights: impl Iterator<Item = u32> + Clone) -> Option<usize> {
        let total: u32 = weights.clone().sum();
        if total == 0 {
            return None;
        }
        let mut left = self.below(total as usize) as u32;
        for (place, weight) in weights.enumerate() {
            if left < weight {
                return Some(place);
            }
            left -= weight;
        }
        None
    }

    /// Any byte.
    pub(super) fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// Any number, those among them more often that something begins or ends at.
    pub(super) fn number(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => self.below(8) as u64,
            2 => self.below(65) as u64 * 4,
            3 => self.below(256) as u64,
            4 => u64::MAX - self.below(9) as u64,
            5 => 1 << self.below(64),
            6 => (1 << self.below(64)) - 1,
            _ => self.0.arbitrary().unwrap_or(0),
        }
    }

    /// A few bytes.
    pub(super) fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most + 1);
        (0..length).map(|_| self.byte()).collect()
    }
}
