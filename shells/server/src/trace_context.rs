//! W3C Trace Context (Recommendation, 6 February 2020): the two headers that join a call to a
//! distributed trace. Relay carries them from the caller to the service and changes nothing.

/// The key of the header that names trace and parent.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// The key of the header with what vendors add.
pub(crate) const TRACESTATE: &str = "tracestate";

/// Whether `text` is a `traceparent` (section 3.2): version, trace, parent and flags in lower-case
/// hex. Later versions may add something behind another dash. Others are to be ignored.
pub(crate) fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let mut parts = text.splitn(5, '-');
    let mut next = |length: usize| parts.next().filter(|part| part.len() == length && is_hex(part));
    let (Some(version), Some(trace), Some(parent), Some(_flags)) =
        (next(2), next(32), next(16), next(2))
    else {
        return false;
    };
    let is_more_allowed = version != "00" && text.len() <= TRACEPARENT_BYTES_MAX;
    let rest_is_right = match parts.next() {
        None => true,
        Some(rest) => is_more_allowed && rest.bytes().all(|byte| byte.is_ascii_graphic()),
    };
    version != "ff" && !is_zero(trace) && !is_zero(parent) && rest_is_right
}

/// Whether `text` can be passed on as a `tracestate`. What it says is for vendors to read.
pub(crate) fn is_tracestate(text: &str) -> bool {
    (1..=TRACESTATE_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

const TRACEPARENT_BYTES_MAX: usize = 256;
/// At least 512 must be carried on (section 3.3.1.5).
const TRACESTATE_BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents_are_told_from_anything_else() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good));
        assert!(is_traceparent(&good.replace("00-4", "cc-4")));
        assert!(is_traceparent(&format!("{}-more", good.replace("00-4", "cc-4"))));
        for bad in [
            String::new(),
            format!("{good}-"),
            format!("{good}-more"),
            good.to_ascii_uppercase(),
            good.replace("00-4", "ff-4"),
            good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            good.replace("-01", ""),
            good.replace('4', "\u{664}"),
            format!("cc-{}-{}", &good[3..], "x".repeat(300)),
            format!("cc-{}-a\r\nb: c", &good[3..]),
        ] {
            assert!(!is_traceparent(&bad), "{bad:?}");
        }
        assert!(is_tracestate("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"));
        for bad in ["", "a\r\nb: c", "ü", &"x".repeat(2_000)] {
            assert!(!is_tracestate(bad), "{bad:?}");
        }
    }
}
