//! Keys and signatures that are none.

use crate::attacker::Rejection;
use crate::messages::{Hello, proof_of, proof_text};
use crate::wire::Kind;
use crate::world::World;
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::{Signer, SigningKey};
use relay_tokio::{ErrorCode, Role};
use sha2::{Digest, Sha256, Sha512};

rows! {
    h12_keys_that_are_none,
    h13_signatures_that_fit_more_than_one_way,
    h14_a_name_that_belongs_to_another_key,
}

async fn h12_keys_that_are_none(kind: Kind) {
    let mut world = World::start(kind).await;
    let (signing, hello) = world.stranger(Role::Home);
    let refused = async |world: &mut World, key: &[u8]| {
        let hello = Hello { key: key.to_vec(), ..hello.clone() };
        world.refused(&hello, &signing).await
    };
    // The format has no length here: a key of another length shifts all that follows it.
    for length in [0, 31, 33] {
        let key = [&hello.key[..], &[7]].concat();
        let rejection = refused(&mut world, &key[..length]).await;
        assert!(![0, 599].contains(&rejection.code), "{length} bytes: {rejection:?}");
    }
    let mut keys: Vec<[u8; 32]> = vec![[0; 32], [0xff; 32]];
    keys.extend(EIGHT_TORSION.map(|point| point.compress().0));
    keys.extend(not_canonical());
    let not_a_point = (2..).map(|y: u8| {
        let mut key = [0; 32];
        key[0] = y;
        key
    });
    let is_none = |key: &[u8; 32]| CompressedEdwardsY(*key).decompress().is_none();
    keys.extend(not_a_point.filter(is_none).take(3));
    assert!(keys.len() > 8 + 2 + 20, "{} keys", keys.len());
    let expected = Rejection {
        code: ErrorCode::Unauthenticated as u64,
        message: String::from("not an acceptable Ed25519 key"),
    };
    for key in keys {
        assert_eq!(refused(&mut world, &key).await, expected, "{key:02x?}");
    }
    world.still_serves().await;
}

/// Both signs of each y from p to 2^255 - 1, and the two points whose x is zero with the sign of a
/// negative x.
fn not_canonical() -> Vec<[u8; 32]> {
    let mut encodings = Vec::new();
    for low in 0xed..=0xff_u8 {
        for high in [0x7f, 0xff] {
            let mut encoding = [0xff; 32];
            (encoding[0], encoding[31]) = (low, high);
            encodings.push(encoding);
        }
    }
    let mut negative_zero = [0; 32];
    (negative_zero[0], negative_zero[31]) = (1, 0x80);
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    encodings.extend([negative_zero, minus_one]);
    encodings
}

async fn h13_signatures_that_fit_more_than_one_way(kind: Kind) {
    let mut world = World::start(kind).await;
    for wrong in Wrong::ALL {
        let (signing, hello) = world.stranger(Role::Home);
        let request = hello.encode();
        let mut link = world.connect().await;
        let challenge = link.ask(&request).await.expect("an honest request");
        let signature = wrong.signature(&signing, &proof_text(&request, &challenge));
        let rejection = link.prove(&proof_of(&signature)).await.expect_err("must be refused");
        let told = (rejection.code, rejection.message.as_str());
        let expected = (ErrorCode::Unauthenticated as u64, "the signature does not fit");
        assert_eq!(told, expected, "{wrong:?}");
        world.must_close(link, ErrorCode::Unauthenticated, &format!("{wrong:?}")).await;
    }
    // One byte more or less than a signature.
    for length in [0, 63, 65] {
        let (signing, hello) = world.stranger(Role::Home);
        let request = hello.encode();
        let mut link = world.connect().await;
        let challenge = link.ask(&request).await.expect("an honest request");
        let right = signing.sign(&proof_text(&request, &challenge)).to_bytes();
        let signature = [&right[..], &[0]].concat();
        let rejection = link.prove(&proof_of(&signature[..length])).await.expect_err("refused");
        assert_eq!(rejection.code, ErrorCode::BadRequest as u64, "{length} bytes");
        drop(link);
        world.down().await;
    }
    world.still_serves().await;
}

/// How a signature is wrong.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// S and S + L are the same scalar; only the smaller one is a signature.
    LargeS,
    /// R has a part of small order, made so that the equation times eight holds.
    MixedR(usize),
    /// R is of small order itself; with the neutral point even the equation without eight holds.
    SmallR(usize),
    /// Signed by another key.
    OtherKey,
    /// Signed without the domain.
    NoDomain,
    /// Nothing at all.
    Zero,
}

impl Wrong {
    const ALL: [Self; 9] = [
        Self::LargeS,
        Self::MixedR(1),
        Self::MixedR(2),
        Self::MixedR(4),
        Self::SmallR(0),
        Self::SmallR(1),
        Self::OtherKey,
        Self::NoDomain,
        Self::Zero,
    ];

    fn signature(self, signing: &SigningKey, text: &[u8]) -> Vec<u8> {
        match self {
            Self::LargeS => {
                let right = signing.sign(text).to_bytes();
                [&right[..32], &plus_order(&right[32..])].concat()
            }
            Self::MixedR(torsion) => {
                let nonce = Scalar::from(0x1234_5678_9abc_u64);
                let r = EdwardsPoint::mul_base(&nonce) + EIGHT_TORSION[torsion];
                signed_with(signing, text, nonce, r)
            }
            Self::SmallR(torsion) => {
                signed_with(signing, text, Scalar::ZERO, EIGHT_TORSION[torsion])
            }
            Self::OtherKey => SigningKey::from_bytes(&[0x77; 32]).sign(text).to_bytes().to_vec(),
            Self::NoDomain => signing.sign(&text[text.len() - 32..]).to_bytes().to_vec(),
            Self::Zero => vec![0; 64],
        }
    }
}

/// A signature (RFC 8032, section 5.1.6) with this nonce and whatever commitment to it.
fn signed_with(signing: &SigningKey, text: &[u8], nonce: Scalar, r: EdwardsPoint) -> Vec<u8> {
    let (r, a) = (r.compress().0, signing.verifying_key().to_bytes());
    let hash = Sha512::new().chain_update(r).chain_update(a).chain_update(text).finalize();
    let mut wide = [0; 64];
    wide.copy_from_slice(&hash);
    let s = nonce + Scalar::from_bytes_mod_order_wide(&wide) * signing.to_scalar();
    [r, s.to_bytes()].concat()
}

/// Adds the order of the group to a number of 32 bytes, lowest byte first.
fn plus_order(s: &[u8]) -> Vec<u8> {
    let order = (Scalar::ZERO - Scalar::ONE).to_bytes();
    let mut carry = 1;
    let add = |(a, b): (&u8, &u8)| {
        let sum = u16::from(*a) + u16::from(*b) + carry;
        carry = sum >> 8;
        sum as u8
    };
    s.iter().zip(&order).map(add).collect()
}

async fn h14_a_name_that_belongs_to_another_key(kind: Kind) {
    let mut world = World::start(kind).await;
    let (signing, hello) = world.stranger(Role::Home);
    let other = SigningKey::from_bytes(&[0x99; 32]);
    for foreign in [derived(&other), String::from("0123456789abcdef"), "0".repeat(16)] {
        let node = foreign.clone().into_bytes();
        let rejection = world.refused(&Hello { node, ..hello.clone() }, &signing).await;
        assert_eq!(rejection.code, ErrorCode::Unauthenticated as u64, "{foreign}");
        assert!(rejection.message.contains("key"), "{foreign}: {rejection:?}");
    }
    // A true record of another node, with the proof of this one.
    let theirs = Hello::honest(&other, Role::Home, &derived(&other));
    let rejection = world.refused(&theirs, &signing).await;
    assert_eq!(rejection.message, "the signature does not fit");
    // A chosen name that is linked now belongs to the key that holds it.
    let mut link = world.connect().await;
    let taken = Hello { node: b"honest.home".to_vec(), ..hello.clone() };
    link.shake(&taken, &signing).await.expect("authenticated, as whoever it is");
    world.must_close(link, ErrorCode::NameConflict, "a name in use").await;
    let mut link = world.connect().await;
    let own = Hello { node: derived(&signing).into_bytes(), ..hello };
    link.shake(&own, &signing).await.expect("its own hash is a legal name");
    link.is_alive().await;
    drop(link);
    world.still_serves().await;
}

/// The id of a key: 16 hex digits of its hash.
fn derived(signing: &SigningKey) -> String {
    let hash = Sha256::digest(signing.verifying_key().to_bytes());
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
