//! The random numbers of a simulation.

/// A small generator (xorshift64*), the same on every platform.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        // Neighbouring seeds must not give neighbouring numbers, and zero would stay zero.
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Returns one of `0..limit`; 0 if there is none.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        match limit {
            0 => 0,
            limit => ((self.next() >> 33) % limit as u64) as usize,
        }
    }

    /// Returns true once in `one_in` times; never if that is 0.
    pub(super) fn chance(&mut self, one_in: u32) -> bool {
        one_in != 0 && self.below(one_in as usize) == 0
    }
}
