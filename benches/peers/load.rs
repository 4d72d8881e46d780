//! The load: a closed loop with a fixed number of calls in flight, the same for every system.
//! Every answer is compared with its request: a system that mixes answers up has no figures.

use crate::Failure;
use crate::process::Part;
use crate::tally::Tally;
use bytes::{BufMut, Bytes, BytesMut};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// One connection to a broker, shared by the calls on it.
pub(crate) trait Caller: Clone + Send + Sync + 'static {
    /// Has the responder answer `body`.
    fn call(&self, body: Bytes) -> impl Future<Output = Result<Bytes, Failure>> + Send;
}

/// What all measurements have in common.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// Bytes of a body.
    pub(crate) payload: usize,
    /// How long calls are counted.
    pub(crate) duration: Duration,
}

/// What came out of one system in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measurement {
    /// Calls that were answered.
    pub(crate) calls: u64,
    /// Of them, in each second.
    pub(crate) rate: f64,
    /// Half of the calls took no longer.
    pub(crate) p50: Duration,
    /// 99 of 100 calls took no longer.
    pub(crate) p99: Duration,
    /// Seconds of processor time that the broker took for a million calls.
    pub(crate) broker_cpu: f64,
}

/// Keeps `in_flight` calls going on each of `callers`.
pub(crate) async fn run<C: Caller>(
    callers: &[C],
    in_flight: usize,
    settings: &Settings,
    broker: &Part,
) -> Result<Measurement, Failure> {
    for (at, caller) in callers.iter().enumerate() {
        wait_until_answered(caller, body(settings.payload, at as u64)).await?;
    }
    let begin = Instant::now() + WARM_UP;
    let window = Window { begin, end: begin + settings.duration, payload: settings.payload };
    let tally = Arc::new(Mutex::new(Tally::new()));
    let mut lanes = JoinSet::new();
    for (at, caller) in callers.iter().enumerate() {
        for lane in 0..in_flight {
            let first = ((at * in_flight + lane + 1) as u64) << 40;
            lanes.spawn(keep_calling(caller.clone(), first, window, Arc::clone(&tally)));
        }
    }
    sleep_until(window.begin).await;
    let cpu_before = broker.cpu()?;
    sleep_until(window.end).await;
    let cpu = broker.cpu()?.saturating_sub(cpu_before);
    let joined = async {
        while let Some(lane) = lanes.join_next().await {
            lane??;
        }
        Ok::<_, Failure>(())
    };
    timeout(LAST_ANSWERS_TIMEOUT, joined).await.map_err(|_| "an answer was lost")??;
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    let calls = tally.total();
    if calls == 0 {
        return Err("not one call was answered in time".into());
    }
    Ok(Measurement {
        calls,
        rate: calls as f64 / settings.duration.as_secs_f64(),
        p50: tally.percentile(500),
        p99: tally.percentile(990),
        broker_cpu: cpu.as_secs_f64() * 1e6 / calls as f64,
    })
}

#[derive(Clone, Copy)]
struct Window {
    begin: Instant,
    end: Instant,
    payload: usize,
}

async fn keep_calling<C: Caller>(
    caller: C,
    first: u64,
    window: Window,
    tally: Arc<Mutex<Tally>>,
) -> Result<(), Failure> {
    let mut started = Instant::now();
    for number in first.. {
        let request = body(window.payload, number);
        let answer = caller.call(request.clone()).await?;
        if answer != request {
            return Err("a call was given an answer that is not its own".into());
        }
        let answered = Instant::now();
        if answered > window.end {
            break;
        }
        if started >= window.begin {
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.add(answered - started);
        }
        started = answered;
    }
    Ok(())
}

/// The responder is known to the broker a moment after it says that it is ready.
async fn wait_until_answered<C: Caller>(caller: &C, request: Bytes) -> Result<(), Failure> {
    let deadline = Instant::now() + FIRST_ANSWER_TIMEOUT;
    loop {
        let failure = match timeout(FIRST_ANSWER_PAUSE, caller.call(request.clone())).await {
            Ok(Ok(answer)) if answer == request => return Ok(()),
            Ok(Ok(_)) => return Err("the first answer is not what was sent".into()),
            Ok(Err(failure)) => failure,
            Err(_) => "no answer".into(),
        };
        if Instant::now() > deadline {
            return Err(format!("the responder cannot be reached: {failure}").into());
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// A body that no other call of the measurement has.
fn body(length: usize, number: u64) -> Bytes {
    let mut body = BytesMut::with_capacity(length.next_multiple_of(8));
    let mut word = number;
    while body.len() < length {
        body.put_u64(word);
        word = word.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
    }
    body.truncate(length);
    body.freeze()
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99) = (self.p50.as_secs_f64() * 1e6, self.p99.as_secs_f64() * 1e6);
        let (rate, cpu) = (self.rate, self.broker_cpu);
        write!(f, "{rate:.0} calls/s, p50 {p50:.0} µs, p99 {p99:.0} µs, CPU {cpu:.2} s/M")
    }
}

const WARM_UP: Duration = Duration::from_millis(500);
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_ANSWER_PAUSE: Duration = Duration::from_millis(250);
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(5);

#[test]
fn bodies_differ_and_have_their_length() {
    for length in [8, 9, 128, 1_000] {
        let bodies: std::collections::BTreeSet<Bytes> = (0..100).map(|n| body(length, n)).collect();
        assert_eq!(bodies.len(), 100);
        assert!(bodies.iter().all(|body| body.len() == length));
    }
}
