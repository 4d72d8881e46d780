//! How a publication is written as JSON, for clients of `/ws` and for `relay sub`.

use crate::json_rpc::{SCAN_DEPTH_MAX, one_value, write_string};
use data_encoding::BASE64;
use relay_tokio::{Gap, Publication};

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

const MEMBERS_BYTES_USUAL: usize = 192;
