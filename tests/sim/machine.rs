//! One shard of a node, whether or not Control is in it.

use bytes::BytesMut;
use relay_core::{Instant, LinkId, LinkLimitReached, Mail, MailTo, Node, Outbox, Shard, Side};

/// A machine that one thread drives.
#[derive(Debug)]
pub enum Machine {
    /// The first shard, with Control.
    First(Box<Node>),
    /// Any other shard.
    Other(Box<Shard>),
}

impl Machine {
    /// See [`Shard::open_link`].
    ///
    /// # Errors
    /// As there.
    pub fn open_link(
        &mut self,
        side: Side,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<LinkId, LinkLimitReached> {
        match self {
            Self::First(node) => node.open_link(side, now, out),
            Self::Other(shard) => shard.open_link(side, now, out),
        }
    }

    /// See [`Shard::handle_received`].
    #[inline]
    pub fn handle_received(
        &mut self,
        link: LinkId,
        input: &mut BytesMut,
        now: Instant,
        out: &mut Outbox,
    ) {
        match self {
            Self::First(node) => node.handle_received(link, input, now, out),
            Self::Other(shard) => shard.handle_received(link, input, now, out),
        }
    }

    /// See [`Shard::handle_flushed`].
    #[inline]
    pub fn handle_flushed(&mut self, link: LinkId, bytes: u32) {
        match self {
            Self::First(node) => node.handle_flushed(link, bytes),
            Self::Other(shard) => shard.handle_flushed(link, bytes),
        }
    }

    /// See [`Shard::handle_mail`].
    pub fn handle_mail(&mut self, mail: Mail, now: Instant, out: &mut Outbox) {
        match self {
            Self::First(node) => node.handle_mail(mail, now, out),
            Self::Other(shard) => shard.handle_mail(mail, now, out),
        }
    }

    /// See [`Shard::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        match self {
            Self::First(node) => node.handle_timeout(now, out),
            Self::Other(shard) => shard.handle_timeout(now, out),
        }
    }
}

/// The place, among the machines of a node, of the one that mail is for.
#[must_use]
pub fn place_of(mail: &Mail) -> usize {
    match mail.to() {
        MailTo::Control => 0,
        MailTo::Shard(shard) => usize::from(shard),
    }
}
