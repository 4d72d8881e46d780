//! How a publication is written as JSON, for clients of `/ws` and for `relay sub`, and how much
//! clients may publish.

use crate::json_rpc::{SCAN_DEPTH_MAX, one_value, write_string};
use data_encoding::BASE64;
use relay_tokio::{Gap, Publication, Published};
use tokio::time::Instant;

/// Writes the members of the object: `topic`, `data` byte for byte (or `data_base64` where the
/// publisher sent no JSON), `publisher` and `seq`; `headers` where there are some, `missed` where
/// so many are missing before it, and `missed_maybe` where nobody remembers.
pub(crate) fn write_members(out: &mut Vec<u8>, publication: &Publication) {
    let body = publication.body();
    out.reserve(body.len() + MEMBERS_BYTES_USUAL);
    out.extend_from_slice(b"\"topic\":");
    write_string(out, publication.topic());
    if one_value(&body, SCAN_DEPTH_MAX).is_ok() {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(&body);
    } else {
        // Spliced in, it could close the message and begin another one.
        out.extend_from_slice(b",\"data_base64\":\"");
        out.extend_from_slice(BASE64.encode(&body).as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(b",\"publisher\":");
    write_string(out, publication.publisher());
    out.extend_from_slice(format!(",\"seq\":{}", publication.seq).as_bytes());
    for (index, (key, value)) in publication.headers().enumerate() {
        out.extend_from_slice(if index == 0 { b",\"headers\":{" } else { b"," });
        write_string(out, key);
        out.push(b':');
        write_string(out, value);
    }
    if publication.headers().next().is_some() {
        out.push(b'}');
    }
    match publication.gap {
        Gap::None => {}
        Gap::Of(count) => out.extend_from_slice(format!(",\"missed\":{count}").as_bytes()),
        Gap::Unknown => out.extend_from_slice(b",\"missed_maybe\":true"),
    }
}

/// What may be published: bytes in a second, counted once and again for whoever they are handed to,
/// each with something on top. What costs more than is left is a debt. Links of nodes have the same
/// in the core.
pub(crate) struct Budget {
    bytes_per_second: u32,
    spent: u64,
    at: Instant,
}

impl Budget {
    pub(crate) fn new(bytes_per_second: u32) -> Self {
        Self { bytes_per_second, spent: 0, at: Instant::now() }
    }

    pub(crate) const fn bytes_per_second(&self) -> u32 {
        self.bytes_per_second
    }

    pub(crate) fn admits(&mut self) -> bool {
        let rate = u64::from(self.bytes_per_second);
        let back = self.at.elapsed().as_nanos() * u128::from(rate) / 1_000_000_000;
        // Less than a byte is not lost: its time counts the next time.
        if back > 0 {
            self.spent = self.spent.saturating_sub(u64::try_from(back).unwrap_or(u64::MAX));
            self.at = Instant::now();
        }
        self.spent < rate
    }

    /// Takes the cost of a publication of so many bytes.
    pub(crate) fn spend(&mut self, bytes: usize, published: Published) {
        let Published { links, subscriptions, mains } = published;
        let copies = u64::from(links.max(subscriptions)) + u64::from(mains) + 1;
        self.spent = self.spent.saturating_add((bytes as u64 + COST) * copies);
    }
}

/// What a publication costs besides its bytes.
const COST: u64 = 512;
const MEMBERS_BYTES_USUAL: usize = 192;
