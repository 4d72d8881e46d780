//! Control and one shard in one struct: what browsers, simulations and small hosts hold.

use crate::close::CloseReason;
use crate::config::Config;
use crate::control::Control;
use crate::error::CallError;
use crate::handshake::Identity;
use crate::holdings::Holdings;
use crate::mail::{Mail, MailTo};
use crate::name::NodeId;
use crate::outbox::{CallEnd, CallId, DialId, LinkId, LocalCallId, Outbox};
use crate::rng::Generator;
use crate::shard::{
    Call, InstanceView, LinkLimitReached, Publish, Published, Reply, Shard, Side, StreamError,
    Usage,
};
use crate::stats::Stats;
use crate::time::Instant;
use alloc::sync::Arc;
use bytes::BytesMut;

/// A whole node. With one shard it never puts mail into the outbox; with more, the driver carries
/// the mail for the other shards.
#[derive(Debug)]
pub struct Node {
    control: Control,
    shard: Shard,
    identity: Arc<Identity>,
}

/// The other shards of a node, each to be driven on a core of its own.
pub type Siblings = alloc::vec::Vec<Shard>;

impl Node {
    /// A node with one shard. `seed` must be fresh random bytes: keys of this node depend on it.
    #[must_use]
    pub fn new(config: Config, identity: Identity, seed: [u8; 32]) -> Self {
        Self::with_shards(config, identity, seed, 1).0
    }

    /// A node with `shards` shards, of which it keeps the first.
    #[must_use]
    pub fn with_shards(
        config: Config,
        identity: Identity,
        seed: [u8; 32],
        shards: u16,
    ) -> (Self, Siblings) {
        let mut generator = Generator::new(seed);
        let (config, identity) = (Arc::new(config), Arc::new(identity));
        let node = identity.node().clone();
        let shards = shards.max(1);
        let control = Control::new(Arc::clone(&config), node, shards, generator.bytes());
        let mut shard = |id: u16| {
            let (config, identity) = (Arc::clone(&config), Arc::clone(&identity));
            Shard::new(id, shards, config, identity, generator.bytes())
        };
        let first = shard(0);
        let siblings = (1..shards).map(shard).collect();
        (Self { control, shard: first, identity }, siblings)
    }

    /// The id of the node.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        self.identity.node()
    }

    /// See [`Shard::set_wall_clock`].
    pub fn set_wall_clock(&mut self, unix_seconds: u64, now: Instant) {
        self.control.set_wall_clock(unix_seconds);
        self.shard.set_wall_clock(unix_seconds, now);
    }

    /// See [`Shard::open_link`].
    ///
    /// # Errors
    /// [`LinkLimitReached`]: close the connection. A dial is then tried again later.
    pub fn open_link(
        &mut self,
        side: Side,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<LinkId, LinkLimitReached> {
        let opened = self.shard.open_link(side, now, out);
        if let (Err(_), Side::Dialled(dial)) = (&opened, side) {
            self.control.handle_dial_failed(dial, now, out);
        }
        self.sort_mail(now, out);
        opened
    }

    /// See [`Shard::handle_received`].
    pub fn handle_received(
        &mut self,
        link: LinkId,
        input: &mut BytesMut,
        now: Instant,
        out: &mut Outbox,
    ) {
        self.end_leases(now, out);
        // What a frame tells Control holds for the frame behind it.
        while self.shard.take_frame(link, input, now, out) {
            if out.awaits_control() {
                self.sort_mail(now, out);
            }
        }
        self.sort_mail(now, out);
    }

    /// See [`Shard::handle_flushed`].
    pub fn handle_flushed(&mut self, link: LinkId, bytes: u32) {
        self.shard.handle_flushed(link, bytes);
    }

    /// See [`Shard::handle_closed`].
    pub fn handle_closed(&mut self, link: LinkId, detail: &str, now: Instant, out: &mut Outbox) {
        self.shard.handle_closed(link, detail, now, out);
        self.sort_mail(now, out);
    }

    /// See [`Control::handle_dial_failed`].
    pub fn handle_dial_failed(&mut self, dial: DialId, now: Instant, out: &mut Outbox) {
        self.control.handle_dial_failed(dial, now, out);
        self.sort_mail(now, out);
    }

    /// Takes a message from another shard of this node.
    pub fn handle_mail(&mut self, mail: Mail, now: Instant, out: &mut Outbox) {
        self.deliver_mail(mail, now, out);
        self.sort_mail(now, out);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        self.shard.handle_timeout(now, out);
        // A link that has just ended must not be told anything more.
        self.sort_mail(now, out);
        if self.control.poll_timeout().is_some_and(|at| at <= now) {
            self.control.handle_timeout(now, out);
        }
        self.sort_mail(now, out);
    }

    /// When [`Self::handle_timeout`] has to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.shard.poll_timeout(), self.control.poll_timeout()) {
            (Some(shard), Some(control)) => Some(shard.min(control)),
            (shard, control) => shard.or(control),
        }
    }

    /// See [`Shard::call`].
    ///
    /// # Errors
    /// As there.
    pub fn call(
        &mut self,
        call: Call<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<LocalCallId, CallError> {
        self.end_leases(now, out);
        let called = self.shard.call(call, now, out);
        self.sort_mail(now, out);
        called
    }

    /// See [`Shard::cancel`].
    pub fn cancel(&mut self, call: LocalCallId, now: Instant, out: &mut Outbox) {
        self.shard.cancel(call, now, out);
        self.sort_mail(now, out);
    }

    /// See [`Shard::reply`].
    pub fn reply(
        &mut self,
        call: CallId,
        reply: Reply<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        let replied = self.shard.reply(call, reply, now, out);
        self.sort_mail(now, out);
        replied
    }

    /// See [`Shard::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(
        &mut self,
        call: impl Into<CallEnd>,
        body: &[u8],
        is_last: bool,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), StreamError> {
        let sent = self.shard.send(call, body, is_last, now, out);
        self.sort_mail(now, out);
        sent
    }

    /// See [`Shard::grant`].
    ///
    /// # Errors
    /// As there.
    pub fn grant(
        &mut self,
        call: impl Into<CallEnd>,
        bytes: u32,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), StreamError> {
        let granted = self.shard.grant(call, bytes, now, out);
        self.sort_mail(now, out);
        granted
    }

    /// See [`Shard::is_awaited`].
    #[must_use]
    pub fn is_awaited(&self, call: CallId) -> bool {
        self.shard.is_awaited(call)
    }

    /// See [`Control::register`].
    ///
    /// # Errors
    /// As there.
    pub fn register<T: AsRef<str>>(
        &mut self,
        service: &str,
        methods: &[T],
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), CallError> {
        let registered = self.control.register(service, methods, now, out);
        self.sort_mail(now, out);
        registered
    }

    /// See [`Control::withdraw`].
    pub fn withdraw(&mut self, service: &str, now: Instant, out: &mut Outbox) -> bool {
        let withdrawn = self.control.withdraw(service, now, out);
        self.sort_mail(now, out);
        withdrawn
    }

    /// See [`Shard::publish`].
    ///
    /// # Errors
    /// As there.
    pub fn publish(
        &mut self,
        publish: Publish<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<Published, CallError> {
        let published = self.shard.publish(publish, now, out);
        self.sort_mail(now, out);
        published
    }

    /// See [`Control::subscribe`].
    ///
    /// # Errors
    /// As there.
    pub fn subscribe(
        &mut self,
        pattern: &str,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), CallError> {
        let subscribed = self.control.subscribe(pattern, now, out);
        self.sort_mail(now, out);
        subscribed
    }

    /// See [`Control::unsubscribe`].
    pub fn unsubscribe(&mut self, pattern: &str, now: Instant, out: &mut Outbox) -> bool {
        let unsubscribed = self.control.unsubscribe(pattern, now, out);
        self.sort_mail(now, out);
        unsubscribed
    }

    /// Keeps a link to `address` from now on. See [`Control::dial`].
    pub fn dial(&mut self, address: &str, now: Instant, out: &mut Outbox) -> DialId {
        self.dial_any(&[address], now, out)
    }

    /// Keeps a link to one of several Mains. See [`Control::dial`].
    pub fn dial_any<T: AsRef<str>>(
        &mut self,
        addresses: &[T],
        now: Instant,
        out: &mut Outbox,
    ) -> DialId {
        let dial = self.control.dial(addresses, now, out);
        self.sort_mail(now, out);
        dial
    }

    /// See [`Control::dial_now`].
    pub fn dial_now(&mut self, now: Instant, out: &mut Outbox) {
        self.control.dial_now(now, out);
        self.sort_mail(now, out);
    }

    /// See [`Control::undial`].
    pub fn undial(&mut self, dial: DialId, now: Instant, out: &mut Outbox) -> bool {
        let undialled = self.control.undial(dial, out);
        self.sort_mail(now, out);
        undialled
    }

    /// Announces that this node is about to leave: whoever can do without it goes elsewhere, and no
    /// new links are taken. Calls go on. Follow with [`Self::drain`] when [`Self::link_count`] is
    /// zero, or after a while.
    pub fn leave(&mut self, now: Instant, out: &mut Outbox) {
        self.control.leave(out);
        self.shard.leave();
        self.sort_mail(now, out);
    }

    /// See [`Shard::link_count`].
    #[must_use]
    pub const fn link_count(&self) -> u32 {
        self.shard.link_count()
    }

    /// See [`Shard::instances`].
    pub fn instances(&self) -> impl Iterator<Item = InstanceView<'_>> {
        self.shard.instances()
    }

    /// See [`Shard::shut_out`].
    #[must_use]
    pub fn shut_out(&self) -> (usize, usize) {
        self.shard.shut_out()
    }

    /// See [`Shard::round_trip`].
    #[must_use]
    pub fn round_trip(&self, link: LinkId) -> Option<core::time::Duration> {
        self.shard.round_trip(link)
    }

    /// Starts to leave: new calls are refused, the Main is told that the services are gone, and
    /// calls in flight go on. Follow [`Self::calls_in_flight`] and end with [`Self::close_all`].
    pub fn drain(&mut self, now: Instant, out: &mut Outbox) {
        self.control.drain(out);
        self.shard.drain();
        self.sort_mail(now, out);
    }

    /// See [`Shard::calls_in_flight`].
    #[must_use]
    pub fn calls_in_flight(&self) -> u32 {
        self.shard.calls_in_flight()
    }

    /// See [`Shard::charge_publication`].
    pub fn charge_publication(&mut self, link: LinkId, bytes: usize, copies: u64) {
        self.shard.charge_publication(link, bytes, copies);
    }

    /// See [`Shard::audit`].
    ///
    /// # Errors
    /// As there.
    pub fn audit(&self) -> Result<Usage, alloc::string::String> {
        self.shard.audit()
    }

    /// What the tables of both halves take.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        self.shard.holdings().with(self.control.holdings())
    }

    /// See [`Shard::close_all`].
    pub fn close_all(&mut self, reason: CloseReason, now: Instant, out: &mut Outbox) {
        self.shard.close_all(reason, now, out);
        self.sort_mail(now, out);
    }

    /// The control plane, to look at.
    #[must_use]
    pub const fn control(&self) -> &Control {
        &self.control
    }

    /// See [`Shard::stats`].
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.shard.stats()
    }

    /// A driver that was stopped for a while may come with bytes before it comes with the timer:
    /// no call goes to a node whose lease is over.
    #[inline]
    fn end_leases(&mut self, now: Instant, out: &mut Outbox) {
        if self.control.next_expiry().is_some_and(|at| at <= now) {
            self.control.handle_timeout(now, out);
            self.sort_mail(now, out);
        }
    }

    /// Delivers the mail that Control and the own shard wrote to each other.
    #[inline]
    fn sort_mail(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(mail) = out.take_mail(0) {
            self.deliver_mail(mail, now, out);
        }
    }

    fn deliver_mail(&mut self, mail: Mail, now: Instant, out: &mut Outbox) {
        match mail.to {
            MailTo::Control => self.control.handle_mail(mail, now, out),
            MailTo::Shard(_) => self.shard.handle_mail(mail, now, out),
        }
    }
}
