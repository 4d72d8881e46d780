//! debug
use relay_sim::Schedule;
fn main() {
    let p = std::env::args().nth(1).expect("file");
    let s = Schedule::read(&std::fs::read_to_string(p).expect("read")).expect("parse");
    println!("{:?}", s.run().verdicts);
}
