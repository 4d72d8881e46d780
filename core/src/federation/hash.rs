//! The hash of an offer, by which two Mains compare what one announced and the other one took.

use super::Offer;
use crate::name::NodeId;

/// What both ends of a link add up to see whether they agree (FNV-1a, which finds mistakes; a peer
/// that lies needs no collision).
pub(crate) fn hash_of(offer: &Offer, epoch: u64, seq: u64, path: &[NodeId]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |bytes: &[u8]| {
        for byte in bytes.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(offer.service.as_bytes());
    add(offer.node.as_str().as_bytes());
    add(offer.origin.as_str().as_bytes());
    add(&epoch.to_be_bytes());
    add(&seq.to_be_bytes());
    for node in path {
        add(node.as_str().as_bytes());
    }
    hash
}
