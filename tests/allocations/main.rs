//! No allocation for a forwarded frame, whatever its size: counted, not timed.
#![expect(unsafe_code, reason = "an allocator can be written in no other way")]

use relay_sim::{Forwarding, Streaming};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what it passes on to the system's allocator.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every method passes its arguments on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
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
    }
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
