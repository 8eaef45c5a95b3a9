//! AES key expansion (FIPS 197, section 5.2), for what to look for: written for this test, and checked with the standard's
//! own example.

fn double(byte: u8) -> u8 {
    byte << 1 ^ (byte >> 7).wrapping_neg() & 0x1b
}

fn product(mut a: u8, mut b: u8) -> u8 {
    let mut sum = 0;
    while b != 0 {
        sum ^= a & (b & 1).wrapping_neg();
        a = double(a);
        b >>= 1;
    }
    sum
}

fn substitute(byte: u8) -> u8 {
    // The inverse in GF(2^8) is the 254th power.
    let inverse = (0..254).fold(1, |power, _| product(power, byte));
    (0..5).fold(0x63, |sum, turn| sum ^ inverse.rotate_left(turn))
}

/// The round keys of encryption.
pub(crate) fn round_keys(key: &[u8]) -> Vec<[u8; 16]> {
    let in_key = key.len() / 4;
    let mut words: Vec<[u8; 4]> = key.chunks_exact(4).map(|word| word.try_into().unwrap()).collect();
    let mut constant = 1;
    for i in in_key..4 * (in_key + 7) {
        let mut word = words[i - 1];
        if i % in_key == 0 {
            word.rotate_left(1);
            word = word.map(substitute);
            word[0] ^= constant;
            constant = double(constant);
        } else if in_key > 6 && i % in_key == 4 {
            word = word.map(substitute);
        }
        words.push(std::array::from_fn(|j| words[i - in_key][j] ^ word[j]));
    }
    words.chunks_exact(4).map(|words| words.concat().try_into().unwrap()).collect()
}

/// The round key of the equivalent inverse cipher (section 5.3.5): InvMixColumns of that of encryption.
pub(crate) fn inverse(round_key: &[u8; 16]) -> [u8; 16] {
    const ROW: [u8; 4] = [14, 11, 13, 9];
    std::array::from_fn(|at| {
        let column = &round_key[at / 4 * 4..][..4];
        (0..4).fold(0, |sum, i| sum ^ product(column[i], ROW[(4 + i - at % 4) % 4]))
    })
}

/// FIPS 197, appendix A, and the first decryption round of appendix C.1.
pub(crate) fn known_answers() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let key = 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128.to_be_bytes();
    assert_eq!(hex(&round_keys(&key)[10]), "d014f9a8c9ee2589e13f0cc8b6630ca6");
    let key = [0x603d_eb10_15ca_71be_2b73_aef0_857d_7781_u128, 0x1f35_2c07_3b61_08d7_2d98_10a3_0914_dff4];
    let key = key.map(u128::to_be_bytes).concat();
    assert_eq!(hex(&round_keys(&key)[14]), "fe4890d1e6188d0b046df344706c631e");
    let key: Vec<u8> = (0..16).collect();
    assert_eq!(hex(&inverse(&round_keys(&key)[9])), "13aa29be9c8faff6f770f58000f7bf03");
}
