//! A second decoder of frames, written from docs/protocol.md and nothing else, against the one of
//! the core: the same bytes give the same frames and the same refusals.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use relay_core::frame::{Frame, FrameError, Kind};

use crate::ours::frame;
use crate::vectors::Vectors;

/// What a reader of the document makes of the front of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Reference {
    /// More bytes are needed.
    Wait,
    /// The link closes.
    Refuse(Refusal),
    /// A frame of this many bytes.
    Take { total: usize, kind: u8, ttl: u8, id: u64, payload: Vec<u8>, intact: bool },
}

/// The rule of the document that a header breaks; the first in its list wins.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Long,
    Short,
    Version,
    Kind,
    Flags,
}

fn reference(stream: &[u8], length_max: u64, offered: u8) -> Reference {
    let number = |at: usize, bytes: usize| {
        stream[at..at + bytes].iter().fold(0_u64, |sum, byte| sum * 256 + u64::from(*byte))
    };
    if stream.len() < 4 {
        return Reference::Wait;
    }
    let length = number(0, 4);
    if length > length_max {
        return Reference::Refuse(Refusal::Long);
    }
    if length < 2 + 8 {
        return Reference::Refuse(Refusal::Short);
    }
    if stream.len() < 6 {
        return Reference::Wait;
    }
    // The first byte of the flags holds TTL and kind, the second checksum, compression, version.
    let (ttl, kind) = (stream[4] / 16, stream[4] % 16);
    let (has_checksum, compression, version) =
        (stream[5] >= 128, stream[5] % 128 / 16, stream[5] % 16);
    if version != 1 {
        return Reference::Refuse(Refusal::Version);
    }
    if kind > 11 {
        return Reference::Refuse(Refusal::Kind);
    }
    let (request, publish) = (4, 10);
    let may_have_ttl = kind == request || kind == publish;
    let (response, part) = (5, 7);
    let has_body = [request, response, part].contains(&kind);
    let may_be_packed = match compression {
        0 => true,
        1 => has_body && offered % 2 == 1,
        2 => has_body && offered / 2 % 2 == 1,
        _ => false,
    };
    if !may_be_packed || !has_checksum || (ttl > 0 && !may_have_ttl) {
        return Reference::Refuse(Refusal::Flags);
    }
    if length < 2 + 8 + 4 {
        return Reference::Refuse(Refusal::Short);
    }
    let total = 4 + length as usize;
    if stream.len() < total {
        return Reference::Wait;
    }
    let payload = stream[14..total - 4].to_vec();
    let parity = number(0, 2) ^ number(2, 4) ^ number(6, 4) ^ number(10, 4);
    let intact = u64::from(crc_32_iso_hdlc(&payload)) ^ parity == number(total - 4, 4);
    Reference::Take { total, kind, ttl, id: number(6, 8), payload, intact }
}

/// Bit by bit: polynomial 0x04c11db7 reflected, start and final xor all ones.
fn crc_32_iso_hdlc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// What the core makes of it, in the words of the reference.
fn core(stream: &[u8], length_max: u32, offered: u8) -> Reference {
    let mut input = BytesMut::from(stream);
    match Frame::take(&mut input, length_max, offered) {
        Ok(None) => {
            assert_eq!(&input[..], stream, "waiting takes nothing");
            Reference::Wait
        }
        Ok(Some(taken)) => {
            let total = stream.len() - input.len();
            assert_eq!(taken.len(), total);
            let (kind, ttl, id) = (taken.kind() as u8, taken.ttl(), taken.id());
            let intact = taken.verify().is_ok();
            let payload = taken.payload().to_vec();
            assert_eq!(&taken.freeze()[..], &stream[..total], "a frame keeps its bytes");
            Reference::Take { total, kind, ttl, id, payload, intact }
        }
        Err(error) => Reference::Refuse(match error {
            FrameError::TooLarge { .. } => Refusal::Long,
            FrameError::TooShort { .. } => Refusal::Short,
            FrameError::Version { .. } => Refusal::Version,
            FrameError::UnknownKind { .. } => Refusal::Kind,
            FrameError::Flags { .. } => Refusal::Flags,
            other => panic!("the document has no such refusal: {other}"),
        }),
    }
}

/// Whatever compressions were offered; returns what is made of it with all of them.
fn agree(stream: &[u8], length_max: u32) -> Result<Reference, TestCaseError> {
    let mut expected = Reference::Wait;
    for offered in 0..4 {
        expected = reference(stream, u64::from(length_max), offered);
        let found = core(stream, length_max, offered);
        prop_assert_eq!(&found, &expected, "limit {}: {:02x?}", length_max, stream);
    }
    Ok(expected)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn over_random_bytes(stream in vec(any::<u8>(), 0..64), length_max in 0_u32..100) {
        agree(&stream, length_max)?;
    }

    /// Random bytes seldom have a header that is nearly right; these do.
    #[test]
    fn over_plausible_headers(
        length in prop_oneof![0_u32..40, any::<u32>()],
        flags in prop_oneof![any::<u16>(), any::<u16>().prop_map(|bits| bits & 0xff00 | 0x81)],
        rest in vec(any::<u8>(), 0..48),
        length_max in prop_oneof![Just(16_u32 << 20), 0_u32..64],
    ) {
        let mut stream = length.to_be_bytes().to_vec();
        stream.extend(flags.to_be_bytes());
        stream.extend(rest);
        agree(&stream, length_max)?;
    }

    #[test]
    fn over_written_frames_with_mutations(
        kind in 0_usize..Kind::ALL.len(),
        id in any::<u64>(),
        ttl in any::<u8>(),
        payload in vec(any::<u8>(), 0..80),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut stream = frame(Kind::ALL[kind], id, ttl, &payload);
        let whole = agree(&stream, 1 << 20)?;
        prop_assert!(matches!(whole, Reference::Take { intact: true, .. }), "{whole:?}");
        for (at, mask) in changes {
            let at = at.index(stream.len());
            stream[at] ^= mask;
        }
        if is_cut {
            stream.truncate(cut.index(stream.len()));
        }
        agree(&stream, 1 << 20)?;
    }
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn over_every_change_of_one_bit_of_every_vector() {
    let vectors = Vectors::load();
    let mut taken = 0;
    for name in vectors.names() {
        let bytes = vectors.get(name);
        for bit in 0..bytes.len() * 8 {
            let mut stream = bytes.to_vec();
            stream[bit / 8] ^= 1 << (bit % 8);
            let outcome = agree(&stream, 1 << 20).expect("both decoders agree");
            taken += u32::from(matches!(outcome, Reference::Take { intact: true, .. }));
        }
    }
    assert_eq!(taken, 0, "one wrong bit is always noticed");
}

#[test]
fn the_reference_knows_the_check_value_of_the_checksum() {
    assert_eq!(crc_32_iso_hdlc(b"123456789"), 0xcbf4_3926);
}
