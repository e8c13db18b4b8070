//! A keyed permutation of `0..n` in constant memory.
//!
//! # Algorithm
//!
//! The mapping is a stable format: saved loader states and published results depend on it, and golden vectors in
//! `tests/loader/sampler.rs` pin it. All arithmetic is on unsigned 64-bit integers and wraps; `^` is exclusive or.
//!
//! * `G = 0x9E3779B97F4A7C15`.
//! * `mix(z)` is the finaliser of SplitMix64: `z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9`,
//!   `z = (z ^ (z >> 27)) * 0x94D049BB133111EB`, `z ^ (z >> 31)`.
//! * Key: `h = 0`, then `h = mix((h ^ w) + G)` for `w` = `n`, `seed`, `epoch` in this order. Since `mix` is a bijection, two
//!   epochs of one seed never share a key.
//! * Key stream: `k(i) = mix(h + (i + 1) * G)`, which is SplitMix64 seeded with `h`.
//! * Width: `bits = ceil(log2 n)`; the low half has `bits / 2` bits (rounded down), the high half the rest.
//! * Rounds: `R = 24` where `bits < 8`, else `R = 10`.
//! * Rotation: `x = (position + r) mod n`, with `r = floor(k(R) * n / 2^64)`.
//! * Network: split `x` into `high` and `low`; for `i = 0, 2, .. R - 2`: `high ^= mix(low ^ k(i))`, then
//!   `low ^= mix(high ^ k(i + 1))`, each cut to its half's low bits; join the halves to `x` again.
//! * Cycle walking: repeat the network, on `x` as it is, until `x < n`. The network permutes `0..2^bits` and
//!   `2^bits < 2n`, so that fewer than two passes are expected.
//!
//! `n = 1` has the one permutation, whatever the key.
//!
//! # Why so
//!
//! A Feistel network is a permutation whatever its round function is (Luby and Rackoff, "How to construct pseudorandom
//! permutations from pseudorandom functions", SIAM J. Comput. 17(2), 1988), also where the halves have unequal widths
//! (Lucks, "Faster Luby-Rackoff ciphers", FSE 1996). Cycle walking carries it to any `n` (Black and Rogaway, "Ciphers with
//! arbitrary finite domains", CT-RSA 2002). SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number
//! generators", OOPSLA 2014.
//!
//! Each round on a half of two or more bits is an even permutation, so that a network alone reaches only half of the
//! permutations where `n` is a power of two; the rotation reaches the others. The numbers of rounds are measured: narrow
//! networks need about 16 before every permutation of 5 to 7 elements is equally frequent, from 8 bits on pairs of
//! positions look uniform from 6 rounds on. This is a shuffle, not a cipher: the seed is no secret.

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const NARROW_BITS: u32 = 8;
const NARROW_ROUNDS: usize = 24;
const WIDE_ROUNDS: usize = 10;

/// A pseudorandom permutation of `0..n`, chosen by `(n, seed, epoch)`: a Feistel network with cycle walking.
///
/// The module's text specifies the mapping exactly; it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permutation {
    n: u64,
    low_bits: u32,
    low_mask: u64,
    high_mask: u64,
    rotation: u64,
    rounds: usize,
    keys: [u64; NARROW_ROUNDS],
}

impl Permutation {
    /// The permutation of `0..n` for `epoch` under `seed`. Neighbouring seeds, epochs and sizes give unrelated ones.
    #[must_use]
    pub fn new(n: u64, seed: u64, epoch: u64) -> Self {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        let low_bits = bits / 2;
        let rounds = if bits < NARROW_BITS { NARROW_ROUNDS } else { WIDE_ROUNDS };
        let base = hash(&[n, seed, epoch]);
        let mut keys = [0; NARROW_ROUNDS];
        let mut counter = base;
        for key in &mut keys[..rounds] {
            counter = counter.wrapping_add(GOLDEN);
            *key = mix(counter);
        }
        Self {
            n,
            low_bits,
            low_mask: mask(low_bits),
            high_mask: mask(bits - low_bits),
            rotation: scale(mix(counter.wrapping_add(GOLDEN)), n),
            rounds,
            keys,
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.n
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The element at `position`, which must be below `len()`.
    ///
    /// A position at or past the end counts on from the beginning (`position % len`); an empty permutation gives 0.
    #[must_use]
    pub fn index(&self, position: u64) -> u64 {
        if self.n <= 1 {
            return 0;
        }
        let mut x = self.rotate(if position < self.n { position } else { position % self.n });
        loop {
            x = self.network(x);
            if x < self.n {
                return x;
            }
        }
    }

    /// All elements in order: `index(0)`, `index(1)`, and so on.
    pub fn iter(&self) -> impl Iterator<Item = u64> + use<> {
        let permutation = *self;
        (0..self.n).map(move |position| permutation.index(position))
    }

    #[inline]
    fn rotate(&self, position: u64) -> u64 {
        // Compared with the room left, not added first: the sum can pass 2^64.
        let room = self.n - self.rotation;
        if position < room { position + self.rotation } else { position - room }
    }

    #[inline]
    fn network(&self, x: u64) -> u64 {
        let mut high = x >> self.low_bits;
        let mut low = x & self.low_mask;
        for pair in self.keys[..self.rounds].chunks_exact(2) {
            high ^= mix(low ^ pair[0]) & self.high_mask;
            low ^= mix(high ^ pair[1]) & self.low_mask;
        }
        (high << self.low_bits) | low
    }
}

/// One number for several: the key `h` above.
pub(crate) fn hash(words: &[u64]) -> u64 {
    words.iter().fold(0, |h: u64, word| mix((h ^ word).wrapping_add(GOLDEN)))
}

#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

fn scale(random: u64, n: u64) -> u64 {
    ((u128::from(random) * u128::from(n)) >> 64) as u64
}
