//! A loop of forwarded calls, to count instructions of the core alone:
//!
//! ```sh
//! cargo build --release -p relay-benches --example forward
//! valgrind --tool=callgrind --toggle-collect='*forward_requests*' \
//!     target/release/examples/forward 64
//! ```
//!
//! The count that callgrind prints, divided by 32,000, is instructions per forwarded request;
//! with `*forward_answers*` it is per forwarded answer.

use relay_benches::Forwarding;

fn main() {
    let bytes = std::env::args().nth(1).and_then(|bytes| bytes.parse().ok()).unwrap_or(64);
    let services = std::env::args().nth(2).and_then(|count| count.parse().ok()).unwrap_or(64);
    let mut forwarding = Forwarding::new(bytes, services);
    let answered: usize = (0..1_000).map(|_| forwarding.calls(32)).sum();
    println!("{answered} bytes of answers");
}
