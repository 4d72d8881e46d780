//! A new version is rolled out: every Main in turn is asked to stop and starts again.

use crate::mesh::{Mesh, main_id};
use crate::record::{Call, Counts, Record, Told};
use crate::traffic::Traffic;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// Nobody notices: not one call fails, neither over links nor by HTTP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_costs_no_call() {
    let mut mesh = Mesh::start(&["--shutdown-grace", "4s"]);
    let record = Arc::new(Record::default());
    let homes = record.homes(&mesh, HOMES);
    let names: BTreeSet<String> = homes.iter().map(|home| home.id().to_string()).collect();
    mesh.until_joined(&names).await;
    let mut traffic = Traffic::default();
    traffic.add_linked(&mesh, LINKED_CALLERS).await;
    traffic.add_http(&mesh, HTTP_CALLERS);
    traffic.until_all_succeed_after(Instant::now()).await;

    let mut phases = Phases::default();
    let mut said = Vec::new();
    for restart in 0..3 * ROUNDS {
        let main = restart % 3;
        phases.begin(format!("{} stops", main_id(main)));
        let lines = mesh.stop(main).await;
        said.push(format!("{} said: {lines:#?}", main_id(main)));
        phases.begin(format!("{} is away", main_id(main)));
        traffic.until_all_succeed_after(Instant::now()).await;
        phases.begin(format!("{} starts", main_id(main)));
        mesh.run(main);
        phases.begin(format!("{} joins", main_id(main)));
        mesh.until_joined(&names).await;
        phases.begin(String::from("all are there"));
        traffic.until_all_succeed_after(Instant::now()).await;
    }
    let calls = traffic.stop().await;
    record.close(homes).await;

    let (counts, broken) = record.judge(&calls);
    println!("{} restarts: {counts:?}", 3 * ROUNDS);
    let failed: Vec<&Call> =
        calls.iter().filter(|call| !matches!(call.told, Told::Result)).collect();
    if !failed.is_empty() {
        said.iter().for_each(|lines| println!("{lines}"));
        failed.iter().for_each(|call| println!("{}", phases.tell(call)));
    }
    assert_eq!(broken, Vec::<String>::new(), "{} promises broken", broken.len());
    let calls = counts.calls;
    let twice = counts.twice;
    assert_eq!(counts, Counts { calls, results: calls, twice, ..Counts::default() });
}

/// What happened when, to tell what a failed call fell into.
#[derive(Default)]
struct Phases(Vec<(Instant, String)>);

impl Phases {
    fn begin(&mut self, name: String) {
        self.0.push((Instant::now(), name));
    }

    fn tell(&self, call: &Call) -> String {
        let phase = |at: Instant| {
            let after = self.0.partition_point(|(begun, _)| *begun <= at);
            let Some((begun, name)) = self.0[..after].last() else { return String::from("before") };
            format!("{:?} after '{name}'", at.duration_since(*begun))
        };
        format!("begun {}, ended {}: {call}", phase(call.begun), phase(call.ended))
    }
}

const ROUNDS: usize = 2;
const HOMES: usize = 6;
const LINKED_CALLERS: usize = 6;
const HTTP_CALLERS: usize = 6;
