//! The envelope of a request, read by hand because each forwarded call costs it.

use super::{OPTION_PATH, OPTION_READS, RequestEnvelope, Texts};

/// Reads postcard's encoding: numbers as little-endian groups of seven bits, texts behind their
/// length.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    pub(super) fn request(&mut self) -> Option<RequestEnvelope<'a>> {
        let mut envelope = RequestEnvelope {
            node: self.text()?,
            service: self.text()?,
            method: self.text()?,
            deadline_ms: self.number()?,
            options: self.byte()?,
            ttl: self.byte()?,
            content: self.byte()?,
            headers: Texts(self.bytes()?),
            path: Texts::default(),
            reads: 0,
        };
        if envelope.options & OPTION_PATH != 0 {
            envelope.path = Texts(self.bytes().filter(|path| !path.is_empty())?);
        }
        if envelope.options & OPTION_READS != 0 {
            envelope.reads = self.byte().filter(|reads| *reads != 0)?;
        }
        Some(envelope)
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    #[inline]
    fn number(&mut self) -> Option<u32> {
        let first = self.byte()?;
        if first < 0x80 {
            return Some(u32::from(first));
        }
        let mut number = u32::from(first & 0x7f);
        for shift in [7, 14, 21] {
            let byte = self.byte()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        // Four bits are left of the 32; anything else does not fit.
        let last = self.byte().filter(|last| *last < 0x10)?;
        Some(number | u32::from(last) << 28)
    }

    #[inline]
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    #[inline]
    fn text(&mut self) -> Option<&'a str> {
        match self.bytes()? {
            [] => Some(""),
            bytes => core::str::from_utf8(bytes).ok(),
        }
    }
}
