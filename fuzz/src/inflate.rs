//! Bodies that claim to be compressed: whatever they are, what comes of it has the length in front,
//! and what was compressed here comes out as it was.

use relay_core::Compression;
use relay_core::compress::{self, InflateError, deflate, plain_length};

/// Which compression, then a body; also taken for a plain one.
pub fn inflate(data: &[u8]) {
    let Some((which, body)) = data.split_first() else { return };
    let compression = Compression::ALL[usize::from(which % 2)];
    match compress::inflate(body, compression, LIMIT, HEAD) {
        Ok(out) => {
            let (head, plain) = out.split_at(HEAD.len());
            assert_eq!(head, HEAD);
            assert_eq!(Some(plain.len() as u32), plain_length(body));
            assert!(plain.len() <= LIMIT as usize && plain.len() > body.len());
            assert_eq!(
                compress::inflate(body, compression, LIMIT, b"").as_deref(),
                Ok(plain),
                "the same"
            );
            round(plain, compression);
        }
        Err(InflateError::TooLarge { limit }) => {
            assert!(limit == LIMIT && plain_length(body).is_some_and(|length| length > LIMIT));
        }
        Err(error) => assert_ne!(error, InflateError::NotBuilt),
    }
    for compression in Compression::ALL {
        round(body, compression);
    }
}

/// Deflated and inflated again a body is the same.
fn round(plain: &[u8], compression: Compression) {
    let Some(packed) = deflate(plain, compression) else { return };
    assert!(packed.len() < plain.len());
    assert_eq!(compress::inflate(&packed, compression, u32::MAX, b"").as_deref(), Ok(plain));
}

const LIMIT: u32 = 256 << 10;
const HEAD: &[u8] = b"what is before the body";
