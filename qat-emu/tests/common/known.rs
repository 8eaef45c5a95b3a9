//! Published vectors that are used by both the tests of the engines and the tests through libqat.

use hex_literal::hex;

/// The plaintext of NIST SP 800-38A, appendix F, and of RFC 4493.
pub(crate) const PLAIN: [u8; 64] = hex!(
    "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710"
);
pub(crate) const KEY_128: [u8; 16] = hex!("2b7e151628aed2a6abf7158809cf4f3c");
pub(crate) const KEY_192: [u8; 24] = hex!("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b");
pub(crate) const KEY_256: [u8; 32] = hex!("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
pub(crate) const IV: [u8; 16] = hex!("000102030405060708090a0b0c0d0e0f");

/// Key and ciphertext of NIST SP 800-38A, F.1.
pub(crate) const SP800_38A_ECB: [(&[u8], &[u8]); 3] = [
    (
        &KEY_128,
        &hex!(
            "3ad77bb40d7a3660a89ecaf32466ef97 f5d3d58503b9699de785895a96fdbaaf 43b1cd7f598ece23881b00e3ed030688 7b0c785e27e8ad3f8223207104725dd4"
        ),
    ),
    (
        &KEY_192,
        &hex!(
            "bd334f1d6e45f25ff712a214571fa5cc 974104846d0ad3ad7734ecb3ecee4eef ef7afd2270e2e60adce0ba2face6444e 9a4b41ba738d6c72fb16691603c18e0e"
        ),
    ),
    (
        &KEY_256,
        &hex!(
            "f3eed1bdb5d2a03c064b5a7e3db181f8 591ccb10d410ed26dc5ba74a31362870 b6ed21b99ca6f4f9f153e7b1beafed1d 23304b7a39f9f3ff067d8d8f9e24ecc7"
        ),
    ),
];

/// Key and ciphertext of NIST SP 800-38A, F.2, with [`IV`].
pub(crate) const SP800_38A_CBC: [(&[u8], &[u8]); 3] = [
    (
        &KEY_128,
        &hex!(
            "7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2 73bed6b8e3c1743b7116e69e22229516 3ff1caa1681fac09120eca307586e1a7"
        ),
    ),
    (
        &KEY_192,
        &hex!(
            "4f021db243bc633d7178183a9fa071e8 b4d9ada9ad7dedf4e5e738763f69145a 571b242012fb7ae07fa9baac3df102e0 08b0e27988598881d920a9e64f5615cd"
        ),
    ),
    (
        &KEY_256,
        &hex!(
            "f58c4c04d6e5f1ba779eabfb5f7bfbd6 9cfc4e967edb808d679f777bc6702c7d 39f23369a9d9bacfa530e26304231461 b2eb05e2c39be9fcda6c19078c6a9d1b"
        ),
    ),
];

/// Key and ciphertext of NIST SP 800-38A, F.5, with [`COUNTER`].
pub(crate) const SP800_38A_CTR: [(&[u8], &[u8]); 3] = [
    (
        &KEY_128,
        &hex!(
            "874d6191b620e3261bef6864990db6ce 9806f66b7970fdff8617187bb9fffdff 5ae4df3edbd5d35e5b4f09020db03eab 1e031dda2fbe03d1792170a0f3009cee"
        ),
    ),
    (
        &KEY_192,
        &hex!(
            "1abc932417521ca24f2b0459fe7e6e0b 090339ec0aa6faefd5ccc2c6f4ce8e94 1e36b26bd1ebc670d1bd1d665620abf7 4f78a7f6d29809585a97daec58c6b050"
        ),
    ),
    (
        &KEY_256,
        &hex!(
            "601ec313775789a5b7a7f504bbf3d228 f443e3ca4d62b59aca84e990cacaf5c5 2b0930daa23de94ce87017ba2d84988d dfc9c58db67aada613c2dd08457941a6"
        ),
    ),
];

pub(crate) const COUNTER: [u8; 16] = hex!("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");

/// The digests of "abc" in FIPS 180-4, FIPS 202 and RFC 1321, by SHA-1, MD5, SHA-224, SHA-256, SHA-384, SHA-512,
/// SHA3-224, SHA3-256, SHA3-384 and SHA3-512.
pub(crate) const ABC: [&[u8]; 10] = [
    &hex!("a9993e364706816aba3e25717850c26c9cd0d89d"),
    &hex!("900150983cd24fb0d6963f7d28e17f72"),
    &hex!("23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
    &hex!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    &hex!("cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"),
    &hex!(
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
    ),
    &hex!("e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"),
    &hex!("3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
    &hex!("ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25"),
    &hex!(
        "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0"
    ),
];

/// RFC 3566, section 4: the length of a message 000102… and its AES-XCBC-MAC with the key 000102…0f.
pub(crate) const RFC3566_XCBC: [(usize, [u8; 16]); 5] = [
    (0, hex!("75f0251d528ac01c4573dfd584d79f29")),
    (3, hex!("5b376580ae2f19afe7219ceef172756f")),
    (16, hex!("d2a246fa349b68a79998a4394ff7a263")),
    (20, hex!("47f51b4564966215b8985c63055ed308")),
    (32, hex!("f54f0ec8d2b9f3d36807734bd5283fd4")),
];

/// RFC 4493, section 4: the length of a prefix of [`PLAIN`] and its AES-CMAC with [`KEY_128`].
pub(crate) const RFC4493_CMAC: [(usize, [u8; 16]); 4] = [
    (0, hex!("bb1d6929e95937287fa37d129b756746")),
    (16, hex!("070a16b46b4d4144f79bdd9dd04a287c")),
    (40, hex!("dfa66747de9ae63030ca32611497c827")),
    (64, hex!("51f0bebf7e3b9d92fc49741779363cfe")),
];

/// The vector that was published with the TLS 1.2 working group's discussion of P_SHA256: secret, seed, and 100 bytes
/// for the label "test label".
pub(crate) const P_SHA256: ([u8; 16], [u8; 16], [u8; 100]) = (
    hex!("9bbe436ba940f017b17652849a71db35"),
    hex!("a0ba9f936cda311827a6f796ffd5198c"),
    hex!(
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af"
        "0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"
        "87347b66"
    ),
);

/// Modular exponentiation, computed with Python's built-in `pow`: base, exponent, modulus and result, and the result
/// for the even modulus whose lowest bit is cleared.
pub(crate) const MOD_EXP: [[u8; 64]; 5] = [
    hex!(
        "c6a5387777330bdbd7210dff076ce2ef87b0b125ec1d7da0a6eb8c9ebd69fe29d76d4330f1446beab0c11fdecb91ce375bc8fbbcbde5c0994164d8399f767c45"
    ),
    hex!(
        "3fd4235992edcf451a1afe878b33e968617959ce3f1f65a8de5271007814e8a25f2dd97f1cfb10f62827688de6a16a3b0d464138a62332553fc1ea36f17fd374"
    ),
    hex!(
        "9e30691c238642ea126a1e48cc11d357c30d8b7628dbd25e63b229f1c4069545de11cc9dea959c212e9c82b1478c281d687c966c377b9aa2bb2edb20035b7399"
    ),
    hex!(
        "7776b079dbcf5034c694debdc002f7e189b005b40d4329c565ff3358cfa8fc63b1fa4d6aebed1afd91a936240cbc292cc8c19c6be5792ff1d40930b4cff627ef"
    ),
    hex!(
        "37db9a7f3cffe1f0e8c4f75fe358bb07268ca131431339ff547eaae95e3a2958d56c0efcedea352751d1ca7b0757e76af0b2329f4739a7bc587709cd75ca74d1"
    ),
];

/// The modular inverse, computed with Python's built-in `pow`: value, modulus, result, and result for the even modulus.
pub(crate) const MOD_INV: [[u8; 32]; 4] = [
    hex!("015c33b2df1461aaf8eb18b90074513021da8978206f5c6671e0c07e9e115e4b"),
    hex!("2a9eba0cdf561d802a759159fb7ff337f5cae3bf3729c619c60a3cab359eeefb"),
    hex!("13e8981595b237a6ed12b7e06dafbeb95018edab0c18d3fda52459db4263a0dd"),
    hex!("1f0b3fac7e5d8e612dd0cfb84b8f1ee9cded09aad271a49547ff1824ea0ac00d"),
];

/// Group 1 of RFC 2409 with exponents, and results of Python's built-in `pow`: p, x, y = 2^x, x', z = y^x'.
pub(crate) const RFC2409_DH: [[u8; 96]; 5] = [
    hex!(
        "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a3620ffffffffffffffff"
    ),
    hex!(
        "00ef901b2a7c18806a3753915c76f18a0585a01c4c7d6df0621aef57e4cc4132f7108e96f770c2263266aa3bb0cde917f7f35634f0e3cd972e81d66d346c6e2ba02fdaa1ad864c44e049548e8a0a8c9632ea6928f6236bf2504b74ba4a0fe75d"
    ),
    hex!(
        "dc7443c4f86f7c4faf6cf97b38d6b2b9ec992e97a20e189af314cd3d44458901bf22ec36f92a9ab926affaa8d954d3573042e5c9dd421a27621af67209a07c3f55aca45934991b713ea3bd4f3f7060774b5f5259e7be4ea59ccbf4671aae7b81"
    ),
    hex!(
        "000000000000000002f4d4c850d7d13fb24891917b121dc54e5a3a26d18a669a5af84e6b4f59672710e6d8e6568068b9b52a43abad8d194a9892139600ddb74d960d5a8f9a656aafd14125844d25deb354f46a6910acff0043892dfc254cb864"
    ),
    hex!(
        "9b46154d736e17566061886dfcc292fa1c804c77d75db4fcf2b88a93a1f60211f127288c1863b28091c8c3da0d0373a9d77b247a342c1909f25711b4534efb98b8acf67ac7467ffa2b61ef14237f9d0d4cf813857a4b92a7f670ffd9e5fa888f"
    ),
];

/// A 1024-bit RSA key with e = 65537, computed with Python's integers: p, q, d mod p - 1, d mod q - 1, 1/q mod p.
pub(crate) const RSA_1024_CRT: [[u8; 64]; 5] = [
    hex!(
        "ff4670e99e70173c78ff5100e90c7344c7198c564b5da42484c533c7f4dad8662ef36527269c7c40d8efb2d60ef46d5e6b0d19d94ff006d8ac7ab3ce5e735571"
    ),
    hex!(
        "dd5e455566f81bdfde7d88c551263cc2d3d5f88bf256e0ec3643888d5ded4d31075d30f0954efa1bad1ec6326eec302c86f10e324a7fa884f56cf7c531960655"
    ),
    hex!(
        "5926d8b83e4517585f498b98adcb535669d25a58a8e98331ddcca150ec0aa218cdbce34ed10545bfc003b6895b9fb1b28fe07b6e91a45a3fc1bcf89ed20da581"
    ),
    hex!(
        "cc651edf9c13baa91a660ec3220a8c4fd808d9555e8d9960813a19fb6d9e8e8796a5156b0e71bdbd903bba0517263dd4df43f437bb51e3e7e0349d121696cf81"
    ),
    hex!(
        "db6f05ed466ca4eb52cfb2b552e65136e5e261f73f2032542573822055631a510820d38f67563475a8aa044f10fb12154c3c7e3e47d27ee70d34e25a32337275"
    ),
];

/// Further values of the same key: n, d, a message m, and m^e mod n.
pub(crate) const RSA_1024: [[u8; 128]; 4] = [
    hex!(
        "dcbdd07a490edf83afb7431fdd9701d951f794ccb5f71552fdf4f40c0310e569265b54d8622aef56c6c68937eb448d51d969aec7755e3c0068c13c02d0272c1ef80a1018b6d03a40e3699df6e6badd4bbba50faa4c2e6e88bd234c421ab312966c64de0f4578dcfe6599fc0561df149a98e72e5a90c9d0ed26d0bb9fc1820485"
    ),
    hex!(
        "258d8832498c0573ec788fab93e1ccff78ed96eba5984191332191441ae06cbad0faf029f8b767acba57cbbfcedf4470747d816daed6a77c05563c5c992754dea5cabdf8a630f5a81ec2da9492417f7bebd99ea0ceafa84b91860dcea12b2302fee2ffe4498b1bf6f56611546f001b26b74544dcb995d748487af2cf343a5bf1"
    ),
    hex!(
        "000000d424d40d76cccd6f12c4de965ce7f1efa79622b92efc7c7fd7b07cf5611ac796f87ffb759f73690cccb5128a1af95e3ac5e4dd5e680c2fbcdde24bc262714c38ba09d30d4de33660d298d506b8c642f1c63ec556eed0a47c1ffd192046fa15c526e1c37c59d482cbadeaad09372622e9de3eb8f76010363e39e3ec077a"
    ),
    hex!(
        "7cc78dfa2e990bfc52fd25b91ae5ebcb8792823ea0e03007baef97ffd32687d4ccbc957ca250afd61a2ce3ad84dce238a212c5c879ff92ce6007a04f7f26f2d11de5a9f68da74d351e0c1abca65ac802ef0c7a8755f83932d8a06c81a35dc8c672da9c2d71e4147c81257a91e8883dcd236e6786e26c00d40870541786b14ac5"
    ),
];

/// The curve NIST P-256: q, a, b, n, and the generator.
pub(crate) const P256: [&str; 6] = [
    "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
    "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc",
    "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
];

/// The curve NIST P-384.
pub(crate) const P384: [&str; 6] = [
    "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
    "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000fffffffc",
    "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
    "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
];

/// The curve NIST P-521.
pub(crate) const P521: [&str; 6] = [
    "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffc",
    "0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
    "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
    "00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66",
    "011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650",
];

/// The curve secp256k1 of SEC 2.
pub(crate) const SECP256K1: [&str; 6] = [
    "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f",
    "0",
    "7",
    "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
    "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8",
];

/// RFC 6979, A.2.5, SHA-256, "sample": the private key, k, r, s, and the public key.
pub(crate) const ECDSA_P256: [[u8; 32]; 6] = [
    hex!("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"),
    hex!("a6e3c57dd01abe90086538398355dd4c3b17aa873382b0f24d6129493d8aad60"),
    hex!("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"),
    hex!("f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"),
    hex!("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"),
    hex!("7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"),
];

/// RFC 8032, 7.1 test 1: the hashed and clamped secret as a number, and the encoded public key.
pub(crate) const ED25519: ([u8; 32], [u8; 32]) = (
    hex!("4fe94d9006f020a5a3c080d96827fffd3c010ac0f12e7a42cb33284f86837c30"),
    hex!("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
);

/// RFC 8032, 7.4 "blank": the hashed and clamped secret, zero-extended to 64 bytes, and the encoded public key.
pub(crate) const ED448: ([u8; 64], [u8; 57]) = (
    hex!(
        "0000000000000000b7bbc01fa70105a74feece1566f5f98374d1ee1ed836c005b99c51381d5e0275eef3a45b54f011b488a572f46766edc78e80a0cea03039e8"
    ),
    hex!(
        "5fd7449b59b461fd2ce787ec616ad46a1da1342485a70e1f8a0ea75d80e96778edf124769b46c7061bd6783df1e50f6cd1fa1abeafe8256180"
    ),
);

/// RFC 8448, section 3: the early secret and what is derived from it, then the server's handshake traffic keys.
pub(crate) mod rfc8448 {
    use hex_literal::hex;

    /// The SHA-256 digest of the empty string.
    pub(crate) const EMPTY: [u8; 32] =
        hex!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    pub(crate) const EARLY: [u8; 32] =
        hex!("33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a");
    pub(crate) const DERIVED: [u8; 32] =
        hex!("6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba");
    pub(crate) const SHARED: [u8; 32] =
        hex!("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d");
    pub(crate) const HANDSHAKE: [u8; 32] =
        hex!("1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac");
    pub(crate) const TRAFFIC: [u8; 32] =
        hex!("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38");
    pub(crate) const KEY: [u8; 16] = hex!("3fce516009c21727d0f2e4e86ee403bc");
    pub(crate) const IV: [u8; 12] = hex!("5d313eb2671276ee13000b30");
    pub(crate) const FINISHED: [u8; 32] =
        hex!("008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8");
}
