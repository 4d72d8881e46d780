//! No allocation for a forwarded frame, whatever its size, and no more than is allowed for a body
//! that is inflated: counted, not timed.
#![expect(unsafe_code, reason = "an allocator can be written in no other way")]

use relay_core::Compression;
use relay_core::compress::{deflate, inflate};
use relay_sim::{Forwarding, Publishing, Streaming};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what it passes on to the system's allocator.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Bytes that are allocated, and the most there were.
static LIVE: AtomicU64 = AtomicU64::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

fn shrink(bytes: usize) {
    LIVE.fetch_sub(bytes as u64, Ordering::Relaxed);
}

// SAFETY: every method passes its arguments on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        grow(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrink(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // Both may be there while the content is copied.
        grow(size);
        shrink(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test, because the count is of the whole process.
#[test]
fn a_forwarded_call_allocates_nothing() {
    for body_bytes in [64, 1 << 10, 64 << 10] {
        let mut forwarding = Forwarding::new(body_bytes, 64);
        for _ in 0..100 {
            assert!(forwarding.calls(1) > body_bytes, "the answer came through");
        }
        let mut counted = 0;
        for _ in 0..1_000 {
            forwarding.load_requests(1);
            counted += count(|| forwarding.forward_requests());
            forwarding.load_answers();
            counted += count(|| forwarding.forward_answers());
            forwarding.unload();
        }
        println!("{body_bytes} B: {counted} allocations for 2000 forwarded frames");
        assert_eq!(counted, 0, "bodies of {body_bytes} B");
        stream(body_bytes);
        publish(body_bytes);
    }
    f24_inflating_takes_the_limit_and_little_more();
}

/// The same bytes go to everybody, so it costs no more memory to have many subscribers, nor to have
/// many patterns that do not stand for the topic.
fn publish(body_bytes: usize) {
    for (subscribers, others) in [(1, 0), (100, 1_000)] {
        let mut publishing = Publishing::new(subscribers, others, body_bytes);
        let mut counted = 0;
        for round in 0..300 {
            publishing.load();
            let allocations = count(|| publishing.pass_on());
            // The outbox and what lookups find have to grow once.
            counted += if round < 100 { 0 } else { allocations };
            assert_eq!(publishing.unload(), subscribers);
        }
        println!("{body_bytes} B: {counted} allocations for 200 times {subscribers} copies");
        assert_eq!(counted, 0, "bodies of {body_bytes} B to {subscribers}");
    }
}

fn f24_inflating_takes_the_limit_and_little_more() {
    let text: String = (0..20_000).map(|n| format!("{{\"id\":{n},\"at\":{}}},", n * n)).collect();
    let text = &text.as_bytes()[..LIMIT];
    let claimed = |length: u32, packed: &[u8]| [&length.to_le_bytes(), packed].concat();
    let header = [0x28, 0xb5, 0x2f, 0xfd, 0, 5 << 3];
    // Blocks of 32 KiB that are one byte, then one that claims 1 MiB of literals, and one that
    // claims as many sequences as there can be.
    let block = [&((32_u32 << 10) << 3 | 1 << 1).to_le_bytes()[..3], b"x"].concat();
    let zeros = [&header[..], &block.repeat(1 << 10)].concat();
    let literals = [&header[..], &[6 << 3 | 5, 0, 0, 0xfd, 0xff, 0xff, b'x', 0, 0]].concat();
    let sequences = [&header[..], &[8 << 3 | 5, 0, 0, 0, 255, 255, 255, 0, 1, 2, 3]].concat();
    let run = [&[0x1f, b'x', 1, 0], &vec![255; 2 << 20][..], &[0, 0x50], b"xxxxx"].concat();
    let mut bodies = vec![
        (Compression::Lz4, claimed(1 << 30, &run)),
        (Compression::Lz4, claimed(LIMIT as u32, &run)),
        (Compression::Zstd, claimed(1 << 30, &zeros)),
        (Compression::Zstd, claimed(LIMIT as u32, &zeros)),
        (Compression::Zstd, claimed(32 << 10, &literals)),
        (Compression::Zstd, claimed(32 << 10, &sequences)),
    ];
    for compression in Compression::ALL {
        if let Some(body) = deflate(text, compression) {
            bodies.push((compression, claimed(LIMIT as u32 - 1, &body[4..])));
            bodies.push((compression, body));
        }
    }
    let mut inflated = 0;
    for (compression, body) in bodies {
        let before = LIVE.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let plain = inflate(&body, compression, LIMIT as u32, b"");
        let extra = PEAK.load(Ordering::Relaxed) - before;
        let length = plain.as_ref().map(Vec::len);
        println!("{compression:?}, {} B: {length:?}, {extra} B more at most", body.len());
        assert!(extra <= (LIMIT + (64 << 10)) as u64, "{extra} B for {length:?}");
        if let Ok(plain) = plain {
            assert!(plain == text);
            inflated += 1;
        }
    }
    assert_eq!(inflated, 2, "what was honest");
}

/// Neither does a chunk of a stream, nor the credit for it.
fn stream(body_bytes: usize) {
    let mut streaming = Streaming::new(body_bytes);
    let mut counted = 0;
    for round in 0..1_100 {
        streaming.load_credit();
        let credit = count(|| streaming.forward_credit());
        assert!(streaming.unload() > 0, "the credit came through");
        streaming.load_chunk();
        let chunk = count(|| streaming.forward_chunk());
        assert!(streaming.unload() > body_bytes, "the chunk came through");
        counted += if round < 100 { 0 } else { credit + chunk };
    }
    println!("{body_bytes} B: {counted} allocations for 1000 chunks and their credit");
    assert_eq!(counted, 0, "chunks of {body_bytes} B");
}

/// Allocations while `work` runs.
fn count(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    work();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// The longest body that is inflated here.
const LIMIT: usize = 256 << 10;
