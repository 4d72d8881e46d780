//! Compressed bodies: right ones, and some that are wrong in one way each.

use super::{Seeds, vectors};

pub(super) fn bodies() -> Seeds {
    let vector = |name: &str, envelope: usize| {
        let found = vectors().into_iter().find(|(found, _)| found == name).expect("a vector").1;
        found[14 + envelope..found.len() - 4].to_vec()
    };
    // What is in front of the body: see the vectors.
    let (lz4, zstd) = (vector("request_compressed", 24), vector("response_compressed", 2));
    let claims = |length: u32, packed: &[u8]| [&length.to_le_bytes(), packed].concat();
    let header = [0x28, 0xb5, 0x2f, 0xfd, 0, 5 << 3];
    let frame = |blocks: &[u8]| [&header[..], blocks].concat();
    let repeated = [0x02, 0x00, 0x04, b'x'];
    let zstds = [
        ("zstd", zstd.clone()),
        ("zstd_cut", zstd[..zstd.len() - 3].to_vec()),
        ("zstd_twice", [&zstd[..], &zstd[4..]].concat()),
        ("zstd_repeated", claims(32 << 10, &frame(&[0x03, 0x00, 0x04, b'x']))),
        ("zstd_raw", claims(40, &frame(&[3 << 3 | 1, 0, 0, b'a', b'b', b'c']))),
        ("zstd_bomb", claims(1 << 30, &frame(&repeated.repeat(64)))),
        ("zstd_window", claims(64 << 10, &[&header[..5], &[0xff], &repeated].concat())),
        ("zstd_dictionary", claims(64, &[0x28, 0xb5, 0x2f, 0xfd, 1, 0, 7, 1, 0, 0])),
        ("zstd_literals", claims(32_768, &frame(&[6 << 3 | 5, 0, 0, 0xfd, 255, 255, b'x', 0, 0]))),
        (
            "zstd_sequences",
            claims(32_768, &frame(&[8 << 3 | 5, 0, 0, 0, 255, 255, 255, 0, 1, 2, 3])),
        ),
    ];
    let lz4s = [
        ("lz4", lz4.clone()),
        ("lz4_cut", lz4[..lz4.len() - 3].to_vec()),
        ("lz4_bomb", claims(1 << 30, &[&[0x1f, b'x', 1, 0][..], &[255; 900], &[0, 0]].concat())),
        ("lz4_before_the_start", claims(60, &[0x1f, b'x', 9, 0, 35, 0x50, 1, 2, 3, 4, 5])),
        ("lz4_no_distance", claims(60, &[0x1f, b'x', 0, 0, 35, 0x50, 1, 2, 3, 4, 5])),
        ("text", b"[1,2,3,\"text\"],[1,2,3,\"text\"],[1,2,3,\"text\"]".repeat(9)),
    ];
    let seed = |which: u8| {
        move |(name, body): (&str, Vec<u8>)| (name.to_owned(), [&[which], &body[..]].concat())
    };
    lz4s.into_iter().map(seed(0)).chain(zstds.into_iter().map(seed(1))).collect()
}
