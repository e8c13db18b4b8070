//! The hash that guards block headers, chunk headers and chunk data: HighwayHash of 64 bits under one fixed key.

use highway::{HighwayHash, HighwayHasher, Key};

/// The text `Riegeli/records\n` twice, as little-endian words.
const KEY: Key = Key([0x2f69_6c65_6765_6952, 0x0a73_6472_6f63_6572, 0x2f69_6c65_6765_6952, 0x0a73_6472_6f63_6572]);

/// The hash of `bytes`.
#[must_use]
#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    HighwayHasher::new(KEY).hash64(bytes)
}

/// The hash of all of `parts`, one after another.
#[must_use]
#[inline]
pub fn hash_parts(parts: &[&[u8]]) -> u64 {
    let mut hasher = HighwayHasher::new(KEY);
    for part in parts {
        hasher.append(part);
    }
    hasher.finalize64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values() {
        let counting: Vec<u8> = (0..65).collect();
        for (bytes, expected) in [
            (&b""[..], 0x72c3_b1e9_c013_9fe1),
            (b"a", 0x2479_3c7d_a388_949f),
            (b"abc", 0x672f_e946_c18d_0ed9),
            (b"Riegeli", 0x0717_9813_ca01_243c),
            (&[0; 16], 0x6700_dec2_4d16_c530),
            (&[0; 32], 0xfb68_d00f_e89c_cb94),
            (&[0; 1000], 0xcb27_122c_7d8e_1787),
            (&counting[..1], 0x2cd5_7bc4_7907_559d),
            (&counting[..3], 0x3bbb_8da4_70c8_0319),
            (&counting[..4], 0x4d9e_8297_9ab1_7ce7),
            (&counting[..7], 0x81d0_0cb7_03e0_9f52),
            (&counting[..8], 0x28aa_d150_71ce_9aff),
            (&counting[..15], 0x3402_cb26_fb21_7163),
            (&counting[..16], 0x3e13_be3a_4140_f4a7),
            (&counting[..17], 0xa708_4c61_4077_eaca),
            (&counting[..31], 0x4d26_2a70_9c34_ae7d),
            (&counting[..32], 0xb73f_6df5_50f9_dce4),
            (&counting[..33], 0xec2f_9200_14ea_a741),
            (&counting[..63], 0xbea2_8b7a_087e_1493),
            (&counting[..64], 0xe34b_1e10_0f13_22af),
            (&counting[..65], 0xb412_5566_520c_e871),
        ] {
            assert_eq!(hash(bytes), expected, "{bytes:?}");
            for cut in 0..=bytes.len() {
                assert_eq!(hash_parts(&[&bytes[..cut], &bytes[cut..]]), expected, "{bytes:?} cut at {cut}");
            }
        }
    }
}
