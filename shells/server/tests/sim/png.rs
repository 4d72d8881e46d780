//! Reads the pixels of a PNG (RFC 2083) whose data is deflated (RFC 1951): as much of both as a
//! screenshot needs.

/// A picture in red, green and blue.
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Three or four bytes to a pixel.
    depth: usize,
    bytes: Vec<u8>,
}

impl Picture {
    pub(crate) fn read(png: &[u8]) -> Self {
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"), "no PNG");
        let (mut rest, mut data, mut header) = (&png[8..], Vec::new(), None);
        while rest.len() >= 12 {
            let length = number(&rest[..4]) as usize;
            let content = &rest[8..8 + length];
            match &rest[4..8] {
                b"IHDR" => header = Some(content.to_vec()),
                b"IDAT" => data.extend_from_slice(content),
                _ => {}
            }
            rest = &rest[12 + length..];
        }
        let header = header.expect("a header");
        let (width, height) = (number(&header[..4]), number(&header[4..8]));
        let depth = match header[8..13] {
            [8, 2, 0, 0, 0] => 3,
            [8, 6, 0, 0, 0] => 4,
            ref other => panic!("a screenshot has eight bits to a colour: {other:?}"),
        };
        // Two bytes of header and four of checksum are around the deflated data.
        let lines = Bits::new(&data[2..]).inflate();
        let line = width as usize * depth;
        assert_eq!(lines.len(), (line + 1) * height as usize, "lines are missing");
        Self { width, height, depth, bytes: unfilter(&lines, line, depth) }
    }

    pub(crate) fn pixels(&self) -> impl Iterator<Item = [u8; 3]> {
        self.bytes.chunks_exact(self.depth).map(|pixel| [pixel[0], pixel[1], pixel[2]])
    }
}

/// Undoes what each line says about how it differs from its neighbours.
fn unfilter(lines: &[u8], line: usize, depth: usize) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(lines.len());
    for (row, filtered) in lines.chunks_exact(line + 1).enumerate() {
        let begin = row * line;
        for (at, byte) in filtered[1..].iter().enumerate() {
            let left = if at >= depth { out[begin + at - depth] } else { 0 };
            let up = if row > 0 { out[begin + at - line] } else { 0 };
            let corner = if row > 0 && at >= depth { out[begin + at - line - depth] } else { 0 };
            let guess = match filtered[0] {
                0 => 0,
                1 => left,
                2 => up,
                3 => u16::midpoint(left.into(), up.into()) as u8,
                4 => nearest(left, up, corner),
                other => panic!("no filter has the number {other}"),
            };
            out.push(byte.wrapping_add(guess));
        }
    }
    out
}

/// The neighbour that is nearest to left + up - corner.
fn nearest(left: u8, up: u8, corner: u8) -> u8 {
    let sum = i16::from(left) + i16::from(up) - i16::from(corner);
    let far = |byte: u8| (sum - i16::from(byte)).abs();
    // The first of equals: that is the order which the format fixes.
    [left, up, corner].into_iter().min_by_key(|byte| far(*byte)).unwrap()
}

/// Deflated data, bit by bit.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, count: usize) -> usize {
        let mut value = 0;
        for bit in 0..count {
            value |= usize::from(self.bytes[self.at / 8] >> (self.at % 8) & 1) << bit;
            self.at += 1;
        }
        value
    }

    fn inflate(mut self) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            let is_last = self.take(1) == 1;
            match self.take(2) {
                0 => self.stored(&mut out),
                1 => {
                    let lengths = [(8, 144), (9, 112), (7, 24), (8, 8)];
                    let lengths = lengths.iter().flat_map(|(length, count)| vec![*length; *count]);
                    let words = Code::new(&lengths.collect::<Vec<u8>>());
                    self.block(&mut out, &words, &Code::new(&[5; 30]));
                }
                2 => {
                    let (words, distances) = self.codes();
                    self.block(&mut out, &words, &distances);
                }
                other => panic!("no block is of kind {other}"),
            }
            if is_last {
                return out;
            }
        }
    }

    fn stored(&mut self, out: &mut Vec<u8>) {
        let begin = self.at.div_ceil(8);
        let length = usize::from(u16::from_le_bytes([self.bytes[begin], self.bytes[begin + 1]]));
        out.extend_from_slice(&self.bytes[begin + 4..begin + 4 + length]);
        self.at = 8 * (begin + 4 + length);
    }

    /// The codes of a block, themselves coded.
    fn codes(&mut self) -> (Code, Code) {
        let (words, distances) = (self.take(5) + 257, self.take(5) + 1);
        let mut lengths = [0; 19];
        let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        for at in order.into_iter().take(self.take(4) + 4) {
            lengths[at] = self.take(3) as u8;
        }
        let code = Code::new(&lengths);
        let mut lengths: Vec<u8> = Vec::new();
        while lengths.len() < words + distances {
            let (length, times) = match code.read(self) {
                16 => (*lengths.last().unwrap(), 3 + self.take(2)),
                17 => (0, 3 + self.take(3)),
                18 => (0, 11 + self.take(7)),
                length => (length as u8, 1),
            };
            lengths.extend(std::iter::repeat_n(length, times));
        }
        (Code::new(&lengths[..words]), Code::new(&lengths[words..]))
    }

    fn block(&mut self, out: &mut Vec<u8>, words: &Code, distances: &Code) {
        loop {
            let length = match words.read(self) {
                word @ 0..=255 => {
                    out.push(word as u8);
                    continue;
                }
                256 => return,
                285 => 258,
                word @ 257..=264 => word - 254,
                word => {
                    let (extra, step) = ((word - 261) / 4, (word - 261) % 4);
                    3 + ((4 + step) << extra) + self.take(extra)
                }
            };
            let distance = match distances.read(self) {
                word @ 0..=3 => word + 1,
                word => {
                    let extra = word / 2 - 1;
                    1 + ((2 + word % 2) << extra) + self.take(extra)
                }
            };
            for _ in 0..length {
                out.push(out[out.len() - distance]);
            }
        }
    }
}

/// Words of different length, ordered by length and then by number.
struct Code {
    /// How many words have each length.
    counts: [usize; 16],
    words: Vec<usize>,
}

impl Code {
    fn new(lengths: &[u8]) -> Self {
        let mut counts = [0; 16];
        lengths.iter().filter(|length| **length > 0).for_each(|l| counts[usize::from(*l)] += 1);
        let mut words: Vec<usize> = (0..lengths.len()).filter(|at| lengths[*at] > 0).collect();
        words.sort_by_key(|at| lengths[*at]);
        Self { counts, words }
    }

    fn read(&self, bits: &mut Bits<'_>) -> usize {
        let (mut code, mut first, mut before) = (0, 0, 0);
        for count in &self.counts[1..] {
            code |= bits.take(1);
            if code < first + count {
                return self.words[before + code - first];
            }
            before += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        panic!("no word begins like this")
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}
