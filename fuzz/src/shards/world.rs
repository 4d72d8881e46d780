//! Everything around one node: its peers, its connections, its application and its clock. After
//! every step the outbox is judged.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::BytesMut;
use relay_core::frame::{Frame, Kind};
use relay_core::handshake::{Acceptor, Dialler, Grant};
use relay_core::{
    Call, CallEnd, CallId, CloseReason, Config, Delivery, DialId, Identity, Instant, Limits,
    LinkId, LocalCallId, MailTo, Node, NodeId, Outbox, Output, Reply, Role, Shard, Side,
};

use super::written;

/// One node and what it can see of the world.
pub(crate) struct World {
    node: Node,
    /// The second shard, where there is one.
    sibling: Option<Shard>,
    now: Instant,
    pub(crate) links: Vec<LinkEnd>,
    pub(crate) dials: Vec<DialId>,
    /// Dials that the node wants connected.
    wanted: BTreeSet<DialId>,
    /// Calls of the application that wait for their one answer, with the shard that made them.
    calls: Vec<(u16, LocalCallId)>,
    /// Calls that the application has to answer.
    serving: Vec<CallId>,
}

/// The far end of a link.
pub(crate) struct LinkEnd {
    id: LinkId,
    /// Bytes that came and are not a whole frame yet.
    input: BytesMut,
    unflushed: u32,
    /// The newest handshake message of the node.
    heard: Vec<u8>,
    /// Labels of the requests that the node sent.
    pub(crate) asked: Vec<u64>,
}

impl World {
    /// A node of `shards` shards with bounds so small that they are reached.
    pub(crate) fn new(role: Role, shards: u16) -> Self {
        let (config, identity) = party(role, 200, "here");
        let (mut node, mut siblings) = Node::with_shards(config, identity, [3; 32], shards);
        node.set_wall_clock(UNIX_SECONDS, Instant::ZERO);
        let mut sibling = siblings.pop();
        if let Some(sibling) = &mut sibling {
            sibling.set_wall_clock(UNIX_SECONDS, Instant::ZERO);
        }
        Self {
            node,
            sibling,
            now: Instant::ZERO.after(Duration::from_secs(1)),
            links: Vec::new(),
            dials: Vec::new(),
            wanted: BTreeSet::new(),
            calls: Vec::new(),
            serving: Vec::new(),
        }
    }

    /// Somebody connects to the node.
    pub(crate) fn accept(&mut self, shard: u16) {
        self.open(Side::Accepted, shard);
    }

    /// The application wants a link.
    pub(crate) fn dial(&mut self, addresses: &[&str]) {
        if self.dials.len() < DIALS_MAX {
            let mut out = Outbox::default();
            let dial = self.node.dial_any(addresses, self.now, &mut out);
            self.dials.push(dial);
            self.judge(0, out);
        }
    }

    /// A wanted connection comes about, to a Main that answers honestly.
    pub(crate) fn connect(&mut self, dial: usize, shard: u16, peer: u8) {
        let dial = self.dials.get(dial).copied().filter(|dial| self.wanted.remove(dial));
        let Some(dial) = dial else { return };
        let Some(link) = self.open(Side::Dialled(dial), shard) else { return };
        if peer & 0x80 == 0 {
            self.answer_hands(link, peer);
        }
    }

    /// A wanted connection does not come about.
    pub(crate) fn fail_dial(&mut self, dial: usize) {
        let dial = self.dials.get(dial).copied().filter(|dial| self.wanted.remove(dial));
        if let Some(dial) = dial {
            self.on_node(|node, now, out| node.handle_dial_failed(dial, now, out));
        }
    }

    fn open(&mut self, side: Side, shard: u16) -> Option<usize> {
        let mut out = Outbox::default();
        let opened = match &mut self.sibling {
            Some(sibling) if shard == 1 => sibling.open_link(side, self.now, &mut out),
            Some(_) | None => self.node.open_link(side, self.now, &mut out),
        };
        let shard = if self.sibling.is_some() { shard } else { 0 };
        if let (Err(_), Side::Dialled(dial), 1) = (&opened, side, shard) {
            // What a Node does for its own shard, the driver does for the others.
            self.judge(1, std::mem::take(&mut out));
            self.node.handle_dial_failed(dial, self.now, &mut out);
            self.judge(0, out);
            return None;
        }
        if let Ok(id) = opened {
            assert!(self.links.iter().all(|link| link.id != id), "two links of one name");
            let (input, heard, asked) = (BytesMut::new(), Vec::new(), Vec::new());
            self.links.push(LinkEnd { id, input, unflushed: 0, heard, asked });
        }
        self.judge(shard, out);
        let id = opened.ok()?;
        self.links.iter().position(|link| link.id == id)
    }

    /// The far end of an accepted link authenticates, as far as the node lets it.
    pub(crate) fn shake_hands(&mut self, link: usize, peer: u8) {
        let Some(id) = self.links.get(link).map(|link| link.id) else { return };
        let role = [Role::Home, Role::Caller, Role::Main][usize::from(peer >> 4) % 3];
        let (config, identity) = peer_party(role, peer);
        let unix_seconds = UNIX_SECONDS + self.now.as_nanos() / 1_000_000_000;
        let (mut dialler, request) = Dialler::new(&config, &identity, [peer; 32], unix_seconds);
        let Some(challenge) = self.exchange(id, &request) else { return };
        let Ok(proof) = dialler.handle_challenge(&challenge, &config, &identity) else { return };
        let Some(response) = self.exchange(id, &proof) else { return };
        let accepted = dialler.handle_response(&response);
        assert!(accepted.is_ok(), "an honest proof was refused: {accepted:?}");
    }

    /// The far end of a dialled link is a Main.
    fn answer_hands(&mut self, link: usize, peer: u8) {
        let Some(link) = self.links.get(link) else { return };
        let (id, request) = (link.id, link.heard.clone());
        let (config, identity) = peer_party(Role::Main, peer);
        let unix_seconds = UNIX_SECONDS + self.now.as_nanos() / 1_000_000_000;
        let mut acceptor = Acceptor::new([peer; 32]);
        let reply = acceptor.handle_request(&request, &config, &identity, unix_seconds);
        let Ok(challenge) = reply else { return };
        let Some(proof) = self.exchange(id, &challenge) else { return };
        let grant = Grant { session: [peer; 16], epoch: u64::from(peer) };
        let accepted = acceptor.handle_proof(&proof, &identity, grant);
        let (_, response) = accepted.expect("the node proves who it is");
        self.exchange(id, &response);
    }

    /// Sends one handshake message and returns the answer of the node, if the link outlives it.
    fn exchange(&mut self, id: LinkId, payload: &[u8]) -> Option<Vec<u8>> {
        let frame = written(Kind::Handshake, 0, 0, payload);
        if let Some(link) = self.links.iter().position(|link| link.id == id) {
            self.receive(link, &frame);
        }
        let link = self.links.iter_mut().find(|link| link.id == id);
        link.map(|link| std::mem::take(&mut link.heard))
    }

    /// Bytes come over a link.
    pub(crate) fn receive(&mut self, link: usize, bytes: &[u8]) {
        let Some(end) = self.links.get_mut(link) else { return };
        let id = end.id;
        end.input.extend_from_slice(bytes);
        let mut input = std::mem::take(&mut end.input);
        let mut out = Outbox::default();
        match &mut self.sibling {
            Some(sibling) if id.shard() == 1 => {
                sibling.handle_received(id, &mut input, self.now, &mut out);
            }
            Some(_) | None => self.node.handle_received(id, &mut input, self.now, &mut out),
        }
        self.judge(id.shard(), out);
        if let Some(end) = self.links.iter_mut().find(|end| end.id == id) {
            end.input = input;
        }
    }

    /// The connection of a link breaks.
    pub(crate) fn lose(&mut self, link: usize) {
        if link >= self.links.len() {
            return;
        }
        let id = self.links.remove(link).id;
        let mut out = Outbox::default();
        match &mut self.sibling {
            Some(sibling) if id.shard() == 1 => {
                sibling.handle_closed(id, "lost", self.now, &mut out);
            }
            Some(_) | None => self.node.handle_closed(id, "lost", self.now, &mut out),
        }
        self.judge(id.shard(), out);
    }

    /// Some of what the node sent was written.
    pub(crate) fn flush(&mut self, link: usize, bytes: u32) {
        let Some(end) = self.links.get_mut(link) else { return };
        let bytes = bytes.min(end.unflushed);
        end.unflushed -= bytes;
        match &mut self.sibling {
            Some(sibling) if end.id.shard() == 1 => sibling.handle_flushed(end.id, bytes),
            Some(_) | None => self.node.handle_flushed(end.id, bytes),
        }
    }

    /// Time passes, and what fell due meanwhile is done late.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.handle_timeouts();
    }

    /// Time passes until something is due.
    pub(crate) fn until_due(&mut self) {
        let due = [self.node.poll_timeout(), self.sibling.as_ref().and_then(Shard::poll_timeout)];
        if let Some(due) = due.into_iter().flatten().min() {
            self.now = self.now.max(due);
            self.handle_timeouts();
        }
    }

    fn handle_timeouts(&mut self) {
        let now = self.now;
        self.on_node(|node, now, out| node.handle_timeout(now, out));
        let mut out = Outbox::default();
        if let Some(sibling) = &mut self.sibling {
            sibling.handle_timeout(now, &mut out);
            assert!(sibling.poll_timeout().is_none_or(|at| at > now), "it would spin");
        }
        self.judge(1, out);
        assert!(self.node.poll_timeout().is_none_or(|at| at > now), "it would spin");
    }

    /// A step of the node itself.
    pub(crate) fn on_node(&mut self, step: impl FnOnce(&mut Node, Instant, &mut Outbox)) {
        let mut out = Outbox::default();
        step(&mut self.node, self.now, &mut out);
        self.judge(0, out);
    }

    /// The application calls a service.
    pub(crate) fn call(&mut self, shard: u16, call: Call<'_>) {
        let mut out = Outbox::default();
        let (shard, called) = match &mut self.sibling {
            Some(sibling) if shard == 1 => (1, sibling.call(call, self.now, &mut out)),
            Some(_) | None => (0, self.node.call(call, self.now, &mut out)),
        };
        if let Ok(id) = called {
            // Whether it may is for the node to say.
            let _ = match &mut self.sibling {
                Some(sibling) if shard == 1 => sibling.grant(id, GRANTED, self.now, &mut out),
                Some(_) | None => self.node.grant(id, GRANTED, self.now, &mut out),
            };
            assert!(!self.calls.contains(&(shard, id)), "two calls of one name");
            self.calls.push((shard, id));
        }
        self.judge(shard, out);
    }

    /// The application gives up a call.
    pub(crate) fn cancel(&mut self, number: usize) {
        if number >= self.calls.len() {
            return;
        }
        let (shard, id) = self.calls.remove(number);
        let mut out = Outbox::default();
        match &mut self.sibling {
            Some(sibling) if shard == 1 => sibling.cancel(id, self.now, &mut out),
            Some(_) | None => self.node.cancel(id, self.now, &mut out),
        }
        self.judge(shard, out);
    }

    /// The application sends a part of a stream, if it may.
    pub(crate) fn send(&mut self, number: usize, body: &[u8]) {
        if self.serving.is_empty() {
            return;
        }
        let call = self.serving[number % self.serving.len()];
        self.on_node(|node, now, out| {
            let _ = node.grant(call, GRANTED, now, out);
            let _ = node.send(call, body, false, now, out);
        });
    }

    /// The application answers a call.
    pub(crate) fn reply(&mut self, number: usize, reply: Reply<'_>) {
        if self.serving.is_empty() {
            return;
        }
        let call = self.serving.remove(number % self.serving.len());
        self.on_node(|node, now, out| {
            assert!(node.reply(call, reply, now, out), "a delivered call took no answer");
            assert!(!node.reply(call, reply, now, out), "a call took two answers");
        });
    }

    /// The node says that it is about to leave, and goes on.
    pub(crate) fn leave(&mut self) {
        self.on_node(|node, now, out| node.leave(now, out));
        if let Some(sibling) = &mut self.sibling {
            sibling.leave();
        }
    }

    pub(crate) fn close_all(&mut self, reason: CloseReason) {
        self.on_node(|node, now, out| node.close_all(reason, now, out));
        let mut out = Outbox::default();
        if let Some(sibling) = &mut self.sibling {
            sibling.close_all(reason, self.now, &mut out);
        }
        self.judge(1, out);
    }

    /// Ends everything: then nobody waits for anything.
    pub(crate) fn finish(mut self) {
        while !self.serving.is_empty() {
            self.reply(0, Reply::Result(b"1"));
        }
        self.close_all(CloseReason::Shutdown);
        assert!(self.links.is_empty(), "{} links are left", self.links.len());
        let siblings = self.sibling.as_ref().map_or(0, Shard::calls_in_flight);
        assert_eq!((self.node.calls_in_flight(), siblings), (0, 0), "calls in flight");
        assert!(self.calls.is_empty(), "calls without an answer: {:?}", self.calls);
        assert!(self.serving.is_empty(), "calls of nobody: {:?}", self.serving);
        let (registry, federation) =
            (self.node.control().registry(), self.node.control().federation());
        assert!(federation.is_empty(), "{} offers of nobody", federation.len());
        assert!(registry.iter().all(|(_, node, _)| node == self.node.id()), "services of nobody");
    }

    /// Does what the outbox says, and carries the mail, until nothing is left to do.
    fn judge(&mut self, shard: u16, mut out: Outbox) {
        let mut mail = VecDeque::new();
        let mut from = shard;
        loop {
            for output in out.drain() {
                match output {
                    Output::Mail(letter) => mail.push_back(letter),
                    Output::Transmit { link, frame } => self.transmitted(link, &frame),
                    Output::Close { link, .. } => {
                        let at = self.links.iter().position(|end| end.id == link);
                        self.links.remove(at.expect("an unknown link is closed"));
                    }
                    Output::Deliver(delivery) => self.delivered(from, delivery),
                    Output::Open(open) => {
                        assert!(self.wanted.insert(open.dial), "dialled twice at once");
                    }
                    Output::Event(_) => {}
                    other => panic!("an output without a meaning: {other:?}"),
                }
            }
            let Some(letter) = mail.pop_front() else { return };
            match (letter.to(), &mut self.sibling) {
                (MailTo::Shard(1), Some(sibling)) => {
                    from = 1;
                    sibling.handle_mail(letter, self.now, &mut out);
                }
                (MailTo::Control | MailTo::Shard(_), Some(_)) => {
                    from = 0;
                    self.node.handle_mail(letter, self.now, &mut out);
                }
                (_, None) => panic!("mail leaves a node of one shard: {letter:?}"),
            }
        }
    }

    fn transmitted(&mut self, link: LinkId, bytes: &[u8]) {
        let end = self.links.iter_mut().find(|end| end.id == link);
        let end = end.expect("something is sent over an unknown link");
        let mut input = BytesMut::from(bytes);
        let frame = Frame::take(&mut input, u32::MAX, u8::MAX).expect("legal").expect("whole");
        assert!(input.is_empty(), "more than one frame at once");
        end.unflushed += bytes.len() as u32;
        if frame.kind() == Kind::Handshake {
            end.heard = frame.payload().to_vec();
        }
        if frame.kind() == Kind::Request {
            end.asked.push(frame.id());
        }
    }

    fn delivered(&mut self, shard: u16, delivery: Delivery) {
        match delivery {
            Delivery::Request(request) => {
                assert_eq!(shard, 0, "services live on the first shard");
                assert!(!self.serving.contains(&request.call), "two calls of one name");
                assert!(request.deadline > self.now, "no time is left for the handler");
                assert!(!request.service().is_empty() && !request.method().is_empty());
                drop(request.body());
                self.serving.push(request.call);
            }
            Delivery::Cancelled { call } => {
                let at = self.serving.iter().position(|serving| *serving == call);
                self.serving.remove(at.expect("a call is cancelled that nobody serves"));
            }
            Delivery::Chunk { call, .. } | Delivery::Credit { call, .. } => {
                let is_known = match call {
                    CallEnd::Caller(call) => self.calls.contains(&(shard, call)),
                    CallEnd::Handler(call) => self.serving.contains(&call),
                };
                assert!(is_known, "a part of a stream of no call");
            }
            Delivery::Publication(publication) => {
                assert_eq!(shard, 0, "the application is at the first shard");
                assert!(relay_core::topic::is_topic(publication.topic()));
                assert!(!publication.publisher().is_empty() && publication.seq > 0);
                drop(publication.body());
            }
            Delivery::Missed { count } => assert!(count > 0, "nothing was missed"),
            Delivery::Answer { call, .. } => {
                let at = self.calls.iter().position(|waiting| *waiting == (shard, call));
                self.calls.remove(at.expect("an answer that nobody waits for"));
            }
        }
    }
}

/// A peer with one of four names. Two peers may share a name and have different keys.
fn peer_party(role: Role, peer: u8) -> (Config, Identity) {
    party(role, peer & 7, ["peer-0", "peer-1", "peer-2", "here"][usize::from(peer & 3)])
}

fn party(role: Role, key: u8, node: &str) -> (Config, Identity) {
    let mut config = Config::new(role);
    config.limits = Limits {
        frame_bytes_max: 4_096,
        caller_frame_bytes_max: 4_096,
        handshake_frame_bytes_max: 1_024,
        calls_per_link_max: 4,
        local_calls_max: 6,
        links_max: 6,
        handshakes_max: 3,
        services_per_link_max: 2,
        services_max: 5,
        methods_per_service_max: 2,
        write_bytes_max: 4_096,
        // So that announcements and calls cross two Mains, too.
        hops_max: 4,
        services_per_peer_max: 3,
        breaker_failures: 2,
        attempts_max: 3,
        retry_bytes_max: 4_096,
        ..Limits::default()
    };
    config.limits.validate().expect("legal limits");
    let node = NodeId::new(node).expect("a legal name");
    (config, Identity::new(&[key; 32], Some(node)).expect("not the form of a derived id"))
}

/// The mark of the key of such a peer.
pub(crate) fn mark(peer: u8) -> [u8; 8] {
    peer_party(Role::Caller, peer).1.mark()
}

const UNIX_SECONDS: u64 = 1_700_000_000;
const DIALS_MAX: usize = 4;
/// What each end of a call lets the other send.
const GRANTED: u32 = 4_096;
