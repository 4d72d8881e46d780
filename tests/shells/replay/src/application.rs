//! The application of a trace: callers and handlers that do what the trace says, when it does.

use crate::runtime::{Around, Executor, Virtual};
use crate::task::{lock, poll_once};
use bytes::Bytes;
use futures_util::future::{Either, select};
use relay_core::{CallError, StreamError, TraceHop};
use relay_driver::{
    Answer, BoxFuture, CallRequest, CallStream, Node, Service, ServiceRequest, ServiceResult,
};
use relay_sim::golden::{Asked, Heard};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

/// What the trace says to one task.
#[derive(Clone, Default)]
pub(crate) struct Orders(Arc<Mutex<(VecDeque<Order>, Option<Waker>)>>);

/// Something to do.
pub(crate) enum Order {
    Read,
    Cancel,
    Send(Bytes, bool),
    Reply(Bytes),
}

/// Requests that came, with where their handlers take orders.
#[derive(Default)]
pub(crate) struct Requests(Mutex<Vec<Orders>>);

impl Orders {
    pub(crate) fn give(&self, order: Order) {
        let mut orders = lock(&self.0);
        orders.0.push_back(order);
        let waker = orders.1.take();
        drop(orders);
        waker.into_iter().for_each(Waker::wake);
    }

    async fn next(&self) -> Order {
        poll_fn(|cx| {
            let mut orders = lock(&self.0);
            if let Some(order) = orders.0.pop_front() {
                return Poll::Ready(order);
            }
            orders.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Requests {
    pub(crate) fn give(&self, request: u32, order: Order) {
        let orders = lock(&self.0).get(request as usize).cloned();
        if let Some(orders) = orders {
            orders.give(order);
        }
    }

    pub(crate) fn count(&self) -> u32 {
        lock(&self.0).len() as u32
    }
}

/// Makes a call and notes what comes of it.
pub(crate) async fn call<E: Executor>(
    node: Node<Virtual<E>>,
    number: u32,
    request: CallRequest,
    streams: bool,
    orders: Orders,
) {
    let around = Arc::clone(&node.runtime().around);
    let heard = |outcome: &Result<Answer, CallError>, trace: &[TraceHop]| {
        let heard = match outcome {
            Ok(Answer::Result(body)) => Heard::Result(body, trace),
            Ok(Answer::ApplicationError(body)) => Heard::ApplicationError(body, trace),
            Err(error) => Heard::Failed(error, trace),
        };
        lock(&around.log).caller(number, &heard);
    };
    type Answering = BoxFuture<(Result<Answer, CallError>, Vec<TraceHop>)>;
    let (stream, mut answer): (Option<CallStream>, Answering) = if streams {
        match node.call_streaming(&request) {
            Ok((stream, answer)) => (Some(stream), Box::pin(async { (answer.await, Vec::new()) })),
            Err(error) => return heard(&Err(error), &[]),
        }
    } else {
        let node = node.clone();
        (None, Box::pin(async move { node.call_traced(request).await }))
    };
    loop {
        let order = std::pin::pin!(orders.next());
        match select(&mut answer, order).await {
            Either::Left(((outcome, trace), _)) => return heard(&outcome, &trace),
            Either::Right((Order::Read, _)) => {
                let Some(stream) = &stream else { continue };
                let read = poll_once(stream.next()).await;
                let heard = read.as_ref().map_or(Heard::NoChunk, |it| Heard::Chunk(it.as_ref()));
                lock(&around.log).caller(number, &heard);
            }
            Either::Right(_) => {
                // The call before its stream: who gives up a call lets nothing more come.
                drop(answer);
                return drop(stream);
            }
        }
    }
}

/// Services whose handlers wait for the trace.
pub(crate) struct Scripted {
    pub(crate) around: Arc<Around>,
    pub(crate) requests: Arc<Requests>,
}

impl Service for Scripted {
    fn methods(&self) -> Vec<String> {
        vec![String::from("run")]
    }

    fn call(&self, request: ServiceRequest) -> BoxFuture<ServiceResult> {
        let orders = Orders::default();
        let mut requests = lock(&self.requests.0);
        let number = requests.len() as u32;
        requests.push(orders.clone());
        drop(requests);
        let asked = Asked {
            method: &request.method,
            body: &request.body,
            deadline: request.deadline,
            idempotent: request.idempotent,
            streams: request.stream.is_some(),
            headers: request.headers.clone(),
        };
        lock(&self.around.log).request(number, &asked);
        let awaited = Awaited { around: Arc::clone(&self.around), number, is_over: false };
        Box::pin(handle(awaited, request.stream, orders))
    }
}

async fn handle(mut awaited: Awaited, stream: Option<CallStream>, orders: Orders) -> ServiceResult {
    loop {
        match orders.next().await {
            Order::Send(body, is_last) => {
                let sent = send(stream.as_ref(), body, is_last).await;
                lock(&awaited.around.log).sent(awaited.number, sent);
            }
            Order::Reply(body) => {
                awaited.is_over = true;
                return Ok(body);
            }
            Order::Read | Order::Cancel => {}
        }
    }
}

/// Tries to send a chunk now.
async fn send(
    stream: Option<&CallStream>,
    body: Bytes,
    is_last: bool,
) -> Option<Result<(), StreamError>> {
    let Some(stream) = stream else { return Some(Err(StreamError::NotStreaming)) };
    if is_last {
        poll_once(stream.send_last(body)).await
    } else {
        poll_once(stream.send(body)).await
    }
}

/// Notes that a handler was stopped.
struct Awaited {
    around: Arc<Around>,
    number: u32,
    is_over: bool,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if !self.is_over {
            lock(&self.around.log).cancelled(self.number);
        }
    }
}
