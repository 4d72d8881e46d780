//! A thousand Homes on one Main that dies: they come back one after the other.

use crate::http;
use crate::mesh::{LONG, ended, endpoint, nodes_of, own_address, start_main, until};
use crate::process::Process;
use relay_tokio::{Answer, CallRequest, Node, NodeConfig, Role, service_fn};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// A Main takes the Homes in at the pace it was given, at the first start and after a crash, and
/// then each of them can be called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_homes_come_back_at_the_pace_of_their_main() {
    // Each Home is a connection of this process.
    rlimit::increase_nofile_limit(4 * HOMES as u64).unwrap();
    let address = own_address();
    let main = Watched::start(address).await;
    let empty = Usage::of(&main.process);
    let runs: Arc<Vec<AtomicUsize>> = Arc::new((0..HOMES).map(|_| AtomicUsize::new(0)).collect());
    let began = Instant::now();
    let homes: Vec<Node> = (0..HOMES).map(|nth| home(nth, address, &runs)).collect();
    main.until_all_back(&homes, began, "first start").await;
    let full = Usage::of(&main.process);
    let per_home = full.memory_kib.saturating_sub(empty.memory_kib) as f64 / HOMES as f64;
    println!(
        "memory of the Main: {} KiB empty, {} KiB with {HOMES} Homes, {per_home:.1} KiB each",
        empty.memory_kib, full.memory_kib
    );
    println!("CPU of the Main for {HOMES} Homes to arrive: {:?}", full.cpu - empty.cpu);
    let idle_from = Instant::now();
    tokio::time::sleep(IDLE).await;
    let idle = Usage::of(&main.process).cpu - full.cpu;
    println!("CPU of the Main for {HOMES} idle Homes: {idle:?} in {:?}", idle_from.elapsed());
    call_each(address).await;
    println!(
        "memory of the Main after a call of each: {} KiB",
        Usage::of(&main.process).memory_kib
    );

    main.process.signal("KILL");
    assert_eq!(ended(main.process).await.0, None, "killed by the signal");
    // So long that pauses have grown and attempts have failed.
    tokio::time::sleep(OUTAGE).await;
    let main = Watched::start(address).await;
    main.until_all_back(&homes, main.started, "after the crash").await;
    call_each(address).await;
    let usage = Usage::of(&main.process);
    println!("the Main after the crash: {} KiB, {:?} of CPU", usage.memory_kib, usage.cpu);
    let ran: Vec<usize> = runs.iter().map(|runs| runs.load(Ordering::SeqCst)).collect();
    assert_eq!(ran, vec![2; HOMES], "each was called twice and ran twice");
}

/// A Main with a bound of handshakes, seen from outside.
struct Watched {
    process: Process,
    address: SocketAddr,
    /// Before the process was there.
    started: Instant,
}

impl Watched {
    async fn start(address: SocketAddr) -> Self {
        let pace = PACE.to_string();
        let settings = [("RELAY_LIMITS__HANDSHAKES_PER_SECOND", pace.as_str())];
        let started = Instant::now();
        let starting = move || start_main(address, &["--node-id", "main-a"], &settings);
        let process = tokio::task::block_in_place(starting);
        Self { process, address, started }
    }

    /// Waits until every Home is listed, and looks how many links there are all the while.
    ///
    /// A link is counted when its handshake is through, which is after it began; so up to any
    /// moment at most as many are counted as may have begun since the start, however slow it all
    /// is. How many are counted within one second depends on the machine as well and is printed.
    async fn until_all_back(&self, homes: &[Node], since: Instant, when: &str) {
        let mut samples: Vec<(Instant, Instant, usize)> = Vec::new();
        loop {
            let asked = Instant::now();
            let links = self.metric("relay_links_opened_total").await;
            let told = Instant::now();
            let seconds = told.duration_since(self.started).as_secs() as usize + 1;
            assert!(links <= seconds * PACE, "{links} handshakes in {seconds} s");
            samples.push((asked, told, links));
            if links >= homes.len() {
                break;
            }
            assert!(told.duration_since(since) < LONG, "only {links} Homes came");
            tokio::time::sleep(SAMPLE).await;
        }
        let links = since.elapsed();
        until("every Home is listed", async || {
            let registry = http::json(self.address, "/federation/registry").await;
            registry.is_some_and(|registry| nodes_of(&registry).len() == homes.len())
        })
        .await;
        let listed = since.elapsed();
        println!(
            "{when}: {} links after {links:?}, all listed after {listed:?}; most in one second {} \
             of {PACE} allowed, {} samples of relay_links_opened_total",
            samples.last().map_or(0, |(_, _, links)| *links),
            most_in_a_second(&samples),
            samples.len()
        );
        let mut curve: Vec<usize> = Vec::new();
        for second in 1..=listed.as_secs() + 1 {
            let until = since + Duration::from_secs(second);
            let seen = samples.iter().take_while(|(_, told, _)| *told <= until).last();
            curve.push(seen.map_or(0, |(_, _, links)| *links));
        }
        println!("{when}: links after each second {curve:?}");
        let turns = homes.len().div_ceil(PACE) as u64;
        let aim = Duration::from_secs(turns) + BACKOFF_MAX;
        println!("{when}: {listed:?}, the aim is {aim:?}");
        assert!(listed < aim * 2, "a busy machine may take longer, but not that long");
    }

    async fn metric(&self, name: &str) -> usize {
        let text = http::get(self.address, "/metrics").await.unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
    }
}

/// The most links counted between two samples that are surely not more than a second apart.
fn most_in_a_second(samples: &[(Instant, Instant, usize)]) -> usize {
    let from = |at: usize| {
        let (asked, _, links) = samples[at];
        let second = |(_, told, _): &&(Instant, Instant, usize)| {
            told.duration_since(asked) <= Duration::from_secs(1)
        };
        samples[at..].iter().take_while(second).map(|sample| sample.2 - links).max()
    };
    (0..samples.len()).filter_map(from).max().unwrap_or_default()
}

fn home(nth: usize, main: SocketAddr, runs: &Arc<Vec<AtomicUsize>>) -> Node {
    let mut config = NodeConfig::new(Role::Home);
    config.node_id = Some(home_id(nth));
    config.upstreams = vec![endpoint(main)];
    let node = Node::start(config).unwrap();
    let runs = Arc::clone(runs);
    let service = service_fn(&["who"], move |_| {
        runs[nth].fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(nth.to_string().into()))
    });
    node.register("demo", Arc::new(service)).unwrap();
    node
}

fn home_id(nth: usize) -> String {
    format!("home-{nth:04}")
}

/// Calls every Home by its name, many at once, and checks who answered.
async fn call_each(main: SocketAddr) {
    let mut config = NodeConfig::new(Role::Caller);
    config.upstreams = vec![endpoint(main)];
    let caller = Node::start(config).unwrap();
    caller.connected().await;
    let began = Instant::now();
    let calls = (0..HOMES).map(|nth| {
        let caller = caller.clone();
        tokio::spawn(async move {
            let mut request = CallRequest::new("demo", "who", "");
            request.node = Some(home_id(nth));
            caller.call(request).await
        })
    });
    for (nth, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        let answer = call.await.unwrap();
        assert_eq!(answer, Ok(Answer::Result(nth.to_string().into())), "{}", home_id(nth));
    }
    println!("{HOMES} Homes called at once: all answered after {:?}", began.elapsed());
    caller.shutdown(Duration::ZERO).await;
}

/// What a process takes.
struct Usage {
    memory_kib: u64,
    cpu: Duration,
}

impl Usage {
    fn of(process: &Process) -> Self {
        let read = |file| std::fs::read_to_string(format!("/proc/{}/{file}", process.id()));
        let status: BTreeMap<String, String> = read("status")
            .unwrap()
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.into(), value.trim().trim_end_matches(" kB").into()))
            .collect();
        // The name may hold anything; behind its bracket the state is the first field.
        let stat = read("stat").unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks =
            fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap());
        let cpu = Duration::from_millis(ticks.sum::<u64>() * 1000 / ticks_per_second());
        Self { memory_kib: status["VmRSS"].parse().unwrap(), cpu }
    }
}

fn ticks_per_second() -> u64 {
    static TICKS: OnceLock<u64> = OnceLock::new();
    *TICKS.get_or_init(|| {
        let output = std::process::Command::new("getconf").arg("CLK_TCK").output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    })
}

const HOMES: usize = 1_000;
const PACE: usize = 200;
/// The longest pause of a Home before it dials again, by default.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
const OUTAGE: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(3);
const SAMPLE: Duration = Duration::from_millis(20);
