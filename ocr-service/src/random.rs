//! Random numbers that are the same on every machine and in every version: SplitMix64 (Steele, Lea, Flood 2014).

/// Between two states.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number as likely as any other.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mixed(self.0)
    }

    /// Evenly between -`bound` and `bound`.
    pub fn within(&mut self, bound: f32) -> f32 {
        let top = u16::try_from(self.number() >> 48).unwrap_or(u16::MAX);
        (f32::from(top) / f32::from(u16::MAX) * 2.0 - 1.0) * bound
    }

    /// Any order as likely as any other (Fisher and Yates).
    pub fn shuffle(&mut self, items: &mut [usize]) {
        for last in (1..items.len()).rev() {
            let bound = u64::try_from(last + 1).unwrap_or(u64::MAX);
            let chosen = usize::try_from(self.number() % bound).unwrap_or(last);
            items.swap(last, chosen);
        }
    }
}

/// The `n`th number of the sequence that is seeded with 0: numbers that look random, from numbers that count.
pub fn nth(n: u64) -> u64 {
    mixed(n.wrapping_mul(STEP))
}

fn mixed(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.number(), 6_457_827_717_110_365_317);
        assert_eq!(random.number(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_number_of_the_sequence_is_known_without_those_before_it() {
        let mut random = Random::new(0);
        for n in 1..10 {
            assert_eq!(nth(n), random.number());
        }
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<usize> = (0..100).collect();
        Random::new(1).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
