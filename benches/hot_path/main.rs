//! The hot path of the core: nanoseconds per frame, at sizes and table sizes that must not matter.
//!
//! `cargo bench -p relay-benches --bench hot_path`

use bytes::{BufMut, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use relay_benches::{Forwarding, Publishing};
use relay_core::frame::{Frame, FrameWriter, Kind};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// One frame off the front of a buffer that holds many.
fn take(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("take");
    for bytes in SIZES {
        let frame =
            FrameWriter::default().write(Kind::Request, 1, 9, |_| {}, &vec![0; bytes]).freeze();
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            let mut input = BytesMut::new();
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                let mut left = rounds;
                while left > 0 {
                    let batch = left.min(64);
                    input.reserve(frame.len() * batch as usize);
                    (0..batch).for_each(|_| input.put_slice(&frame));
                    let start = Instant::now();
                    for _ in 0..batch {
                        black_box(Frame::take(&mut input, 1 << 20, u8::MAX).ok().flatten());
                    }
                    spent += start.elapsed();
                    left -= batch;
                }
                spent
            });
        });
    }
    group.finish();
}

/// A request from a caller to a Home, and an answer back: one frame in, one frame out.
fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    for bytes in SIZES {
        let mut forwarding = Forwarding::new(bytes, 64);
        group.bench_function(BenchmarkId::new("request", bytes), |bencher| {
            bencher.iter_custom(|rounds| timed(&mut forwarding, rounds).0);
        });
        group.bench_function(BenchmarkId::new("answer", bytes), |bencher| {
            bencher.iter_custom(|rounds| timed(&mut forwarding, rounds).1);
        });
    }
    group.finish();
}

/// A publication to different numbers of subscribers, and beside different numbers of patterns that
/// do not stand for its topic.
fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish");
    for (subscribers, others) in [(1, 0), (1, 10_000), (100, 0), (1_000, 0)] {
        let mut publishing = Publishing::new(subscribers, others, 64);
        group.throughput(Throughput::Elements(u64::from(subscribers)));
        group.bench_function(BenchmarkId::new(subscribers.to_string(), others), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    publishing.load();
                    let start = Instant::now();
                    publishing.pass_on();
                    spent += start.elapsed();
                    publishing.unload();
                }
                spent
            });
        });
    }
    group.finish();
}

/// The same request in registries of different size.
fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup");
    for services in [1, 64, 6_400] {
        let mut forwarding = Forwarding::new(64, services);
        group.bench_function(BenchmarkId::from_parameter(services), |bencher| {
            bencher.iter_custom(|rounds| timed(&mut forwarding, rounds).0);
        });
    }
    group.finish();
}

/// Time that the core takes for `rounds` requests and for their answers; loading them, which is
/// the driver's work, is left out.
fn timed(forwarding: &mut Forwarding, rounds: u64) -> (Duration, Duration) {
    let (mut requests, mut answers) = (Duration::ZERO, Duration::ZERO);
    let mut left = rounds;
    while left > 0 {
        let batch = left.min(BATCH);
        forwarding.load_requests(batch as u32);
        let start = Instant::now();
        forwarding.forward_requests();
        requests += start.elapsed();
        forwarding.load_answers();
        let start = Instant::now();
        forwarding.forward_answers();
        answers += start.elapsed();
        black_box(forwarding.unload());
        left -= batch;
    }
    (requests, answers)
}

/// One shard on one thread, and two shards of one Main on two: calls in the same time.
fn shards(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shards");
    for threads in [1, 2] {
        group.throughput(Throughput::Elements(threads as u64));
        group.bench_function(BenchmarkId::from_parameter(threads), |bencher| {
            let mut shards = Forwarding::two_shards(64);
            bencher.iter_custom(|rounds| together(&mut shards[..threads], rounds));
        });
    }
    group.finish();
}

/// Starts all shards at the same moment and takes the time until the last has finished.
fn together(shards: &mut [Forwarding], rounds: u64) -> Duration {
    let barrier = Barrier::new(shards.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = shards
            .iter_mut()
            .map(|shard| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let start = Instant::now();
                    for _ in 0..rounds.div_ceil(BATCH) {
                        black_box(shard.calls(BATCH as u32));
                    }
                    start.elapsed()
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).max().unwrap_or_default()
    })
}

/// Frames in one read.
const BATCH: u64 = 32;
const SIZES: [usize; 3] = [64, 1 << 10, 64 << 10];

criterion_group!(benches, take, forward, lookup, publish, shards);
criterion_main!(benches);
