//! Gives a trace to a node of the driver, input by input, and lets its executor run after each
//! until nothing is awake.

use crate::application::{Order, Orders, Requests, Scripted, call};
use crate::runtime::{Around, Executor, Virtual};
use crate::task::{let_others_run, lock};
use crate::transport::Pipe;
use bytes::Bytes;
use relay_driver::{CallRequest, Endpoint, Node, NodeConfig, Runtime};
use relay_sim::golden::{Input, Outcome, Profile, Step, Trace};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Replays a trace on the executor that runs the caller.
///
/// # Errors
/// Where an input does not fit, or tasks never come to rest or outlive their node.
pub async fn replay<E: Executor>(trace: &Trace) -> Result<Outcome, String> {
    replay_in::<E>(trace, Arc::default()).await
}

/// What the file of golden hashes says of a trace.
#[must_use]
pub fn line(trace: &Trace, outcome: Outcome) -> String {
    let Trace { seed, profile, steps, .. } = trace;
    format!("{seed} {} {} {:016x}", profile.name, steps.len(), outcome.hash)
}

pub(crate) async fn replay_in<E: Executor>(
    trace: &Trace,
    around: Arc<Around>,
) -> Result<Outcome, String> {
    let mut player = Player::<E>::start(&trace.profile, around)?;
    player.end_step().await?;
    for (at, step) in trace.steps.iter().enumerate() {
        let at_step = |error| format!("seed {}, step {at}: {error}", trace.seed);
        player.step(step).await.map_err(at_step)?;
    }
    player.advance(Duration::from_nanos(trace.lasts)).await?;
    let log = std::mem::take(&mut *lock(&player.around.log));
    let outcome = log.finish(player.around.now(), player.node.stats());
    player.end().await.map_err(|error| format!("seed {}, at its end: {error}", trace.seed))?;
    Ok(outcome)
}

pub(crate) struct Player<E> {
    node: Node<Virtual<E>>,
    around: Arc<Around>,
    requests: Arc<Requests>,
    pub(crate) pipes: Vec<Pipe>,
    calls: Vec<Orders>,
}

impl<E: Executor> Player<E> {
    pub(crate) fn start(profile: &Profile, around: Arc<Around>) -> Result<Self, String> {
        around.set_random(profile.random);
        let mut config = NodeConfig::new(profile.role);
        config.node_id = Some(profile.name.clone());
        config.secret_key = Some(profile.key);
        config.limits = profile.limits();
        config.compression = profile.compression();
        config.compressions = Some(profile.compressions);
        config.upstreams =
            profile.upstreams.iter().map(|text| endpoint(text)).collect::<Result<_, _>>()?;
        let node = Node::start_on(config, Virtual::<E>::new(Arc::clone(&around)));
        let node = node.map_err(|error| error.to_string())?;
        let mut events = node.events();
        let noted = Arc::clone(&around);
        node.runtime().spawn(Box::pin(async move {
            while let Some(event) = events.next().await {
                lock(&noted.log).event(&event);
            }
        }));
        Ok(Self { node, around, requests: Arc::default(), pipes: Vec::new(), calls: Vec::new() })
    }

    pub(crate) async fn step(&mut self, step: &Step) -> Result<(), String> {
        self.advance(Duration::from_nanos(step.at)).await?;
        for (link, bytes) in &step.stalls {
            self.pipe(*link)?.stall(*bytes as usize);
        }
        self.input(&step.input)?;
        self.end_step().await
    }

    /// Lets come what is due until then, each at its time.
    pub(crate) async fn advance(&self, to: Duration) -> Result<(), String> {
        while self.around.advance(to) {
            self.end_step().await?;
        }
        Ok(())
    }

    pub(crate) async fn end_step(&self) -> Result<(), String> {
        self.settle().await?;
        lock(&self.around.log).end_step(self.around.now());
        Ok(())
    }

    /// Lets the executor run until nothing is awake any more.
    async fn settle(&self) -> Result<(), String> {
        for _ in 0..TURNS_MAX {
            if self.around.tally.count().awake == 0 {
                return Ok(());
            }
            let_others_run().await;
        }
        Err(String::from("tasks are awake and are not run, or wake each other for ever"))
    }

    fn input(&mut self, input: &Input) -> Result<(), String> {
        match input {
            Input::Dial { address } => {
                let _ = self.node.add_peer(&endpoint(address)?);
            }
            Input::Register { service } => {
                let (around, requests) = (Arc::clone(&self.around), Arc::clone(&self.requests));
                let scripted = Arc::new(Scripted { around, requests });
                let registered = self.node.register(service, scripted);
                lock(&self.around.log).service(&registered.map(|()| true));
            }
            Input::Withdraw { service } => {
                let withdrawn = self.node.withdraw(service);
                lock(&self.around.log).service(&Ok(withdrawn));
            }
            Input::Accepted { unix } => {
                let pipe = self.open(*unix);
                self.node.accept(pipe);
            }
            Input::Connected { address, unix } => {
                let pipe = self.open(*unix);
                self.connected(address, Ok(pipe))?;
            }
            Input::DialFailed { address } => {
                self.connected(address, Err(io::ErrorKind::ConnectionRefused.into()))?;
            }
            Input::Received { link, bytes } => self.pipe(*link)?.receive(bytes),
            Input::Room { link, bytes, is_open } => {
                self.pipe(*link)?.grow(*bytes as usize, *is_open);
            }
            Input::Closed { link, is_broken } => self.pipe(*link)?.end(*is_broken),
            Input::Call { .. } => self.call(input),
            Input::Read { call } => self.order(*call, Order::Read),
            Input::Cancel { call } => self.order(*call, Order::Cancel),
            Input::Send { request, body, is_last } => {
                let body = Bytes::copy_from_slice(body);
                self.requests.give(*request, Order::Send(body, *is_last));
            }
            Input::Reply { request, body } => {
                self.requests.give(*request, Order::Reply(Bytes::copy_from_slice(body)));
            }
            Input::Leave => {
                let node = self.node.clone();
                self.spawn(async move {
                    let _ = node.leave(Duration::ZERO).await;
                });
            }
            Input::End => {
                let node = self.node.clone();
                self.spawn(async move { node.close(Duration::ZERO).await });
            }
        }
        Ok(())
    }

    fn call(&mut self, input: &Input) {
        let Input::Call { node, service, body, deadline, idempotent, trace, stream } = input else {
            return;
        };
        let mut request = CallRequest::new(service, "run", body.clone());
        request.node = node.clone();
        request.deadline = deadline.0;
        request.idempotent = *idempotent;
        request.trace = *trace;
        let (orders, number) = (Orders::default(), self.calls.len() as u32);
        self.calls.push(orders.clone());
        self.spawn(call(self.node.clone(), number, request, *stream, orders));
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.node.runtime().spawn(Box::pin(future));
    }

    fn open(&mut self, unix: u64) -> Pipe {
        self.around.set_unix_time(unix);
        let pipe = Pipe::new(self.pipes.len() as u32, &self.around);
        self.pipes.push(pipe.clone());
        pipe
    }

    fn connected(&self, address: &str, outcome: io::Result<Pipe>) -> Result<(), String> {
        let found = self.around.connected(address, outcome);
        found.then_some(()).ok_or_else(|| format!("nobody dials {address}"))
    }

    fn pipe(&self, link: u32) -> Result<&Pipe, String> {
        self.pipes.get(link as usize).ok_or_else(|| format!("there is no connection {link}"))
    }

    fn order(&self, call: u32, order: Order) {
        if let Some(orders) = self.calls.get(call as usize) {
            orders.give(order);
        }
    }

    /// Takes everything away from the node and then the node itself: no task may be left.
    async fn end(self) -> Result<(), String> {
        self.calls.iter().for_each(|orders| orders.give(Order::Cancel));
        for request in 0..self.requests.count() {
            self.requests.give(request, Order::Reply(Bytes::new()));
        }
        for pipe in &self.pipes {
            pipe.grow(0, true);
            pipe.end(true);
        }
        self.around.refuse_all();
        self.settle().await?;
        self.around.refuse_all();
        let Self { node, around, .. } = self;
        drop(node);
        // Its timer finds out when it looks.
        let later = around.now() + LONGEST_LOOK;
        for _ in 0..TURNS_MAX {
            let is_early = around.advance(later);
            let count = *around.tally.count();
            if count.alive == 0 {
                return Ok(());
            }
            if !is_early && count.awake == 0 {
                return Err(format!("{} tasks are left", count.alive));
            }
            let_others_run().await;
        }
        Err(String::from("tasks do not come to rest"))
    }
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    Endpoint::parse(text).map_err(|error| error.to_string())
}

/// Far more than any input needs.
const TURNS_MAX: u32 = 100_000;
/// Longer than the timer of a node sleeps.
const LONGEST_LOOK: Duration = Duration::from_secs(120);
