//! Frames over the WebSocket of the host. Message boundaries mean nothing: small frames share a
//! message, large ones are split.

use crate::alarm::{Alarm, Sleep};
use bytes::Bytes;
use js_sys::{Array, ArrayBuffer, Reflect, Uint8Array};
use relay_core::{CloseReason, ErrorCode};
use relay_driver::{Endpoint, Transport};
use send_wrapper::SendWrapper;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

/// A WebSocket to a Main.
pub(crate) struct Socket(SendWrapper<Inner>);

struct Inner {
    socket: WebSocket,
    alarm: Alarm,
    state: Rc<RefCell<State>>,
    /// Where frames are joined.
    space: Vec<u8>,
    /// Until when the socket is given time to take more.
    pause: Option<Sleep>,
    close_sent: bool,
    /// Called by the socket for as long as it is here.
    _handlers: Handlers,
}

/// What the socket said and nobody has looked at.
#[derive(Default)]
struct State {
    received: VecDeque<Vec<u8>>,
    received_bytes: usize,
    is_open: bool,
    /// How it ended; nothing when that was in good order.
    ended: Option<Result<(), String>>,
    waker: Option<Waker>,
}

impl Socket {
    /// Makes a connection. The socket is closed when the future is dropped before it is ready.
    pub(crate) async fn connect(
        endpoint: &Endpoint,
        class: &JsValue,
        alarm: Alarm,
    ) -> io::Result<Self> {
        let url = endpoint.to_string();
        if !url.starts_with("ws") {
            let text = format!("{url}: there are only WebSockets here; use ws:// or wss://");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let socket = construct(class, &url).map_err(io::Error::other)?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let state = Rc::new(RefCell::new(State::default()));
        let handlers = Handlers::attach(&socket, &state);
        let space = Vec::new();
        let this = Self(SendWrapper::new(Inner {
            socket,
            alarm,
            state,
            space,
            pause: None,
            close_sent: false,
            _handlers: handlers,
        }));
        poll_fn(|cx| this.0.state.borrow_mut().poll_open(cx)).await.map_err(|detail| {
            let text = format!("the WebSocket to {url} could not be opened: {detail}");
            io::Error::new(io::ErrorKind::ConnectionRefused, text)
        })?;
        Ok(this)
    }
}

impl State {
    fn poll_open(&mut self, cx: &Context<'_>) -> Poll<Result<(), String>> {
        match &self.ended {
            Some(Ok(())) => Poll::Ready(Err("the Main closed it at once".into())),
            Some(Err(detail)) => Poll::Ready(Err(detail.clone())),
            None if self.is_open => Poll::Ready(Ok(())),
            None => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn receive(&mut self, data: &JsValue) {
        let Some(buffer) = data.dyn_ref::<ArrayBuffer>() else {
            self.end(Err("a text message came over a binary link".into()));
            return;
        };
        let bytes = Uint8Array::new(buffer).to_vec();
        self.received_bytes += bytes.len();
        self.received.push_back(bytes);
        // No browser can be told to read less. Whoever sends this much to a node that does not take
        // it ignores every bound of the protocol.
        if self.received_bytes > RECEIVED_BYTES_MAX {
            self.received.clear();
            self.end(Err("the Main sends faster than this node can read".into()));
        }
    }

    fn end(&mut self, ended: Result<(), String>) {
        self.ended.get_or_insert(ended);
    }
}

impl Transport for Socket {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<bool>> {
        let mut state = self.0.state.borrow_mut();
        if let Some(bytes) = state.received.pop_front() {
            state.received_bytes -= bytes.len();
            // What comes of it may reach back here.
            drop(state);
            take(&bytes);
            return Poll::Ready(Ok(true));
        }
        match &state.ended {
            Some(Ok(())) => Poll::Ready(Ok(false)),
            Some(Err(detail)) => Poll::Ready(Err(io::Error::other(detail.clone()))),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        queue: &mut VecDeque<Bytes>,
    ) -> Poll<io::Result<()>> {
        let inner = &mut *self.0;
        while inner.has_room(cx) {
            if queue.is_empty() {
                return Poll::Ready(Ok(()));
            }
            inner.send_message(queue)?;
        }
        Poll::Pending
    }

    fn poll_close(&mut self, reason: CloseReason, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0;
        if !inner.close_sent {
            inner.close_sent = true;
            let (code, text) = (close_code(reason), reason_text(reason));
            inner.socket.close_with_code_and_reason(code, &text).map_err(|error| said(&error))?;
        }
        let mut state = inner.state.borrow_mut();
        if state.ended.is_some() {
            return Poll::Ready(Ok(()));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Inner {
    /// Whether the socket takes more. No event tells when it does, so it is looked at again after
    /// a moment, and whenever something is received.
    fn has_room(&mut self, cx: &mut Context<'_>) -> bool {
        while self.socket.buffered_amount() > BUFFERED_BYTES_MAX {
            let sleep = || self.alarm.sleep(LOOK_AGAIN);
            if Pin::new(self.pause.get_or_insert_with(sleep)).poll(cx).is_pending() {
                return false;
            }
            self.pause = None;
        }
        self.pause = None;
        true
    }

    /// Sends as much of the queue as fits into a message.
    fn send_message(&mut self, queue: &mut VecDeque<Bytes>) -> io::Result<()> {
        self.space.clear();
        while let Some(frame) = queue.front_mut() {
            let room = MESSAGE_BYTES_MAX - self.space.len();
            self.space.extend_from_slice(&frame.split_to(room.min(frame.len())));
            if !frame.is_empty() {
                break;
            }
            queue.pop_front();
        }
        // Copied out of the memory of the module, which may grow and move before this is sent.
        let copy = Uint8Array::from(self.space.as_slice()).buffer();
        self.socket.send_with_array_buffer(&copy).map_err(|error| said(&error))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        Handlers::detach(&self.socket);
        // Without a code, for sockets that are still being opened. What it answers helps nobody.
        let _ = self.socket.close();
    }
}

/// The functions that the socket calls.
struct Handlers {
    _open: Closure<dyn Fn()>,
    _message: Closure<dyn Fn(MessageEvent)>,
    _close: Closure<dyn Fn(CloseEvent)>,
    _error: Closure<dyn Fn(JsValue)>,
}

impl Handlers {
    fn attach(socket: &WebSocket, state: &Rc<RefCell<State>>) -> Self {
        let change = |state: &Rc<RefCell<State>>, change: &dyn Fn(&mut State)| {
            let mut state = state.borrow_mut();
            change(&mut state);
            let waker = state.waker.take();
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        };
        let shared = Rc::clone(state);
        let open = Closure::new(move || change(&shared, &|state| state.is_open = true));
        let shared = Rc::clone(state);
        let message = Closure::new(move |event: MessageEvent| {
            change(&shared, &|state| state.receive(&event.data()));
        });
        let shared = Rc::clone(state);
        let close = Closure::new(move |event: CloseEvent| {
            change(&shared, &|state| state.end(ending(event.code(), &event.reason())));
        });
        // An error is followed by the end. Browsers say nothing in it, Node says what went wrong.
        let shared = Rc::clone(state);
        let error = Closure::new(move |event: JsValue| {
            if let Some(text) = text_in(&event) {
                change(&shared, &|state| state.end(Err(text.clone())));
            }
        });
        socket.set_onopen(Some(open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(close.as_ref().unchecked_ref()));
        socket.set_onerror(Some(error.as_ref().unchecked_ref()));
        Self { _open: open, _message: message, _close: close, _error: error }
    }

    fn detach(socket: &WebSocket) {
        socket.set_onopen(None);
        socket.set_onmessage(None);
        socket.set_onclose(None);
        // Closing a socket that is not open yet is an error for some, which somebody has to hear.
        let deaf = js_sys::Function::new_no_args("");
        socket.set_onerror(Some(&deaf));
    }
}

fn construct(class: &JsValue, url: &str) -> Result<WebSocket, String> {
    let global = Reflect::get(&js_sys::global(), &"WebSocket".into()).unwrap_or_default();
    let class = if class.is_function() { class } else { &global };
    let Some(class) = class.dyn_ref::<js_sys::Function>() else {
        return Err("there is no WebSocket here: pass one as the option WebSocket, \
                    such as that of the package ws"
            .into());
    };
    let made = Reflect::construct(class, &Array::of1(&url.into()));
    made.map(JsCast::unchecked_into)
        .map_err(|error| text_in(&error).unwrap_or_else(|| format!("no WebSocket to {url}")))
}

/// What a close event says, in words.
fn ending(code: u16, reason: &str) -> Result<(), String> {
    let meaning = match code {
        1000 | 1001 | 1005 if reason.is_empty() => return Ok(()),
        1000 => "closed",
        1001 => "the Main shuts down",
        1002 => "protocol error",
        1006 => return Err("the connection broke, or nobody let it in".into()),
        1008 => "refused",
        1009 => "a message was too large",
        1011 => "a fault of the Main",
        1013 => "the Main has too much to do",
        1015 => "TLS failed",
        _ => "closed",
    };
    let space = if reason.is_empty() { "" } else { ": " };
    Err(format!("{meaning} (WebSocket {code}){space}{reason}"))
}

/// Status codes: of those in RFC 6455, section 7.4.1, a browser may send 1000 only. The others
/// are told with the same last digits from the private range.
const fn close_code(reason: CloseReason) -> u16 {
    match reason {
        CloseReason::Requested | CloseReason::PeerClosed | CloseReason::Shutdown => 1000,
        CloseReason::Fault(code) => match code {
            ErrorCode::TooLarge => 4009,
            ErrorCode::Internal => 4011,
            ErrorCode::Overloaded | ErrorCode::RateLimited => 4013,
            ErrorCode::Unauthenticated
            | ErrorCode::Forbidden
            | ErrorCode::NameConflict
            | ErrorCode::SlowConsumer => 4008,
            _ => 4002,
        },
        _ => 4008,
    }
}

/// A close frame holds at most 123 bytes of text (RFC 6455, section 5.5).
fn reason_text(reason: CloseReason) -> String {
    let text = reason.to_string();
    text[..text.floor_char_boundary(123)].to_owned()
}

/// The `message` of whatever was thrown, if it has one.
fn text_in(error: &JsValue) -> Option<String> {
    let text = Reflect::get(error, &"message".into()).ok()?.as_string()?;
    (!text.is_empty()).then_some(text)
}

fn said(error: &JsValue) -> io::Error {
    io::Error::other(text_in(error).unwrap_or_else(|| "the WebSocket takes no more".into()))
}

/// Largest message that a Main takes.
const MESSAGE_BYTES_MAX: usize = 32 << 10;
/// Bytes that the socket may hold and not have sent.
const BUFFERED_BYTES_MAX: u32 = 256 << 10;
/// Bytes that may have come and not been looked at.
const RECEIVED_BYTES_MAX: usize = 32 << 20;
/// When a full socket is looked at again. Hidden pages look once in a second at most.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
