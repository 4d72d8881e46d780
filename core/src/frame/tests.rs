//! Framing at every boundary.

use super::*;
use alloc::vec::Vec;

const LIMIT: u32 = 1 << 16;

fn frame(kind: Kind, id: u64, ttl: u8, body: &[u8]) -> Vec<u8> {
    FrameWriter::default().write(kind, id, ttl, |_| {}, body).freeze().to_vec()
}

fn take(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
    Frame::take(&mut BytesMut::from(bytes), LIMIT, 0)
}

#[test]
fn what_is_written_is_taken() {
    for kind in Kind::ALL {
        let ttl = if kind.has_ttl() { 9 } else { 0 };
        let bytes = frame(kind, 0x0102_0304_0506_0708, ttl, b"body");
        let mut input = BytesMut::from(&bytes[..]);
        let taken = Frame::take(&mut input, LIMIT, 0).expect("legal").expect("whole");
        assert_eq!((taken.kind(), taken.ttl(), taken.payload()), (kind, ttl, &b"body"[..]));
        assert_eq!((taken.id(), taken.len()), (0x0102_0304_0506_0708, bytes.len()));
        assert!(taken.verify().is_ok() && input.is_empty());
    }
}

#[test]
fn a_hop_patches_id_and_ttl_only() {
    let mut taken = take(&frame(Kind::Request, 1, 10, b"x")).expect("legal").expect("whole");
    taken.set_id(77);
    taken.set_ttl(9);
    assert_eq!((taken.id(), taken.ttl(), taken.kind()), (77, 9, Kind::Request));
    assert!(taken.verify().is_ok());
    assert_eq!(taken.freeze(), frame(Kind::Request, 77, 9, b"x"));
}

#[test]
fn every_prefix_waits_and_takes_nothing() {
    let bytes = frame(Kind::Response, 5, 0, b"0123456789");
    for end in 0..bytes.len() {
        let mut input = BytesMut::from(&bytes[..end]);
        assert!(Frame::take(&mut input, LIMIT, 0).expect("legal so far").is_none());
        assert_eq!(&input[..], &bytes[..end]);
    }
}

#[test]
fn f01_f04_a_length_without_a_header_is_refused_at_once() {
    for length in 0..14_u32 {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend([0x04, 0x81]);
        assert_eq!(take(&bytes).err(), Some(FrameError::TooShort { length }), "{length}");
    }
    assert_eq!(take(&[0; 4]).err(), Some(FrameError::TooShort { length: 0 }));
}

#[test]
fn f02_f05_a_length_over_the_limit_is_refused_on_four_bytes() {
    for length in [LIMIT + 1, 1 << 31, u32::MAX - 3, u32::MAX] {
        let mut input = BytesMut::from(&length.to_be_bytes()[..]);
        let before = input.capacity();
        let refused = Frame::take(&mut input, LIMIT, 0).err();
        assert_eq!(refused, Some(FrameError::TooLarge { length, limit: LIMIT }));
        assert_eq!(input.capacity(), before);
    }
}

#[test]
fn f10_f11_f23_every_flag_word_is_accepted_or_refused_as_documented() {
    for (flags, offered) in (0..=u16::MAX).flat_map(|flags| [0, 1, 2, 3].map(|bits| (flags, bits)))
    {
        let mut bytes = 14_u32.to_be_bytes().to_vec();
        bytes.extend(flags.to_be_bytes());
        let (version, compression) = (flags & 15, (flags >> 4) & 7);
        let (checksum, kind, ttl) = (flags >> 7 & 1, flags >> 8 & 15, flags >> 12);
        let may = match compression {
            0 => true,
            1 | 2 => offered & compression as u8 != 0 && [4, 5, 7].contains(&kind),
            _ => false,
        };
        let expected = if version != 1 {
            Err(FrameError::Version { version: version as u8 })
        } else if kind > 11 {
            Err(FrameError::UnknownKind { kind: kind as u8 })
        } else if !may || checksum == 0 || (ttl != 0 && kind != 4 && kind != 10) {
            Err(FrameError::Flags { flags })
        } else {
            Ok(())
        };
        let taken = Frame::take(&mut BytesMut::from(&bytes[..]), LIMIT, offered);
        assert_eq!(taken.map(|frame| assert!(frame.is_none())), expected, "{flags:#06x}");
    }
}

#[test]
fn f06_wrong_bits_anywhere_are_seen_even_behind_a_hop() {
    let bytes = frame(Kind::Request, 3, 4, b"payload of some length");
    for first in 0..bytes.len() * 8 {
        // One wrong bit, and two ends of a stretch of up to 32.
        for last in first..(first + 32).min(bytes.len() * 8) {
            let mut bad = bytes.clone();
            bad[first / 8] ^= 1 << (7 - first % 8);
            if last > first {
                bad[last / 8] ^= 1 << (7 - last % 8);
            }
            let Ok(Some(mut taken)) = take(&bad) else { continue };
            assert_eq!(taken.verify(), Err(FrameError::Checksum), "bits {first} and {last}");
            taken.set_id(99 << 32 | 1);
            taken.set_ttl(3);
            assert_eq!(taken.verify(), Err(FrameError::Checksum), "bits {first} and {last}");
        }
    }
}

#[test]
fn flags_say_how_a_body_is_compressed() {
    let mut writer = FrameWriter::default();
    for compression in [None, Some(Compression::Lz4), Some(Compression::Zstd)] {
        let frame = writer.write_packed(Kind::Request, 1, 9, |_| {}, b"body", compression);
        let mut input = BytesMut::from(&frame.freeze()[..]);
        let mut taken = Frame::take(&mut input, LIMIT, 3).expect("legal").expect("whole");
        taken.set_ttl(8);
        assert_eq!((taken.compression(), taken.ttl()), (compression, 8));
        assert!(taken.verify().is_ok());
    }
}

#[test]
fn the_writer_reuses_its_memory() {
    let mut writer = FrameWriter::default();
    drop(writer.write(Kind::Ping, 0, 0, |_| {}, b""));
    let first = writer.write(Kind::Ping, 1, 0, |_| {}, b"");
    let (start, first_len) = (first.bytes.as_ptr() as usize, first.len());
    let second = writer.write(Kind::Ping, 2, 0, |_| {}, b"");
    assert_eq!(second.bytes.as_ptr() as usize, start + first_len);
}
