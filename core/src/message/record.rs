//! What one Main tells another of the services that can be called through it.

use super::{MessageError, Texts, take};
use crate::name::{NameInvalid, is_method, is_node_id, is_service};
use crate::topic::is_pattern;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One change to what can be called through the sender.
///
/// Only the Main to which a node is attached (the origin) writes `epoch` and `seq`; others pass
/// them on as they are. Both only ever rise, so that an older word never counts against a newer
/// one, whichever way it took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Record<'a> {
    /// A node offers a service.
    Up {
        /// The Main to which the node is attached.
        origin: &'a str,
        /// The life of the origin.
        epoch: u64,
        /// Rises with every change at the origin.
        seq: u64,
        /// The service; or `#` and a pattern of topics, if the origin has subscribers for
        /// it. `node` is the origin then, and there are neither methods nor labels.
        service: &'a str,
        /// The node.
        node: &'a str,
        /// First bytes of the hash of the node's key: a name belongs to one key.
        key: [u8; 8],
        /// Its methods, packed; none means that any method may be tried.
        #[serde(borrow)]
        methods: Texts<'a>,
        /// What the node says of itself, as packed pairs of key and value.
        labels: Texts<'a>,
        /// Milliseconds for which it stands unless a digest confirms it: what is left of its lease,
        /// or two digests.
        ttl_ms: u32,
        /// The Mains that a call crosses from here on: first the sender, last the origin.
        path: Texts<'a>,
    },
    /// The origin says that the node does not offer the service any more.
    Down {
        /// As in [`Self::Up`].
        origin: &'a str,
        /// As in [`Self::Up`].
        epoch: u64,
        /// Higher than that of what it ends.
        seq: u64,
        /// The service.
        service: &'a str,
        /// The node.
        node: &'a str,
    },
    /// It cannot be called through the sender any more; others may still reach it.
    Lost {
        /// As in [`Self::Up`].
        origin: &'a str,
        /// The service.
        service: &'a str,
        /// The node.
        node: &'a str,
    },
}

impl<'a> Record<'a> {
    /// Whose offer of which service it is about, and at which Main.
    pub(crate) const fn key(&self) -> (&'a str, &'a str, &'a str) {
        match self {
            Self::Up { origin, service, node, .. }
            | Self::Down { origin, service, node, .. }
            | Self::Lost { origin, service, node } => (service, node, origin),
        }
    }

    fn check(&self) -> Result<(), MessageError> {
        let (service, node, origin) = self.key();
        match interest(service) {
            None if !is_service(service) => {
                return Err(MessageError::Name(NameInvalid::Service));
            }
            Some(pattern) if !is_pattern(pattern) => {
                return Err(MessageError::Name(NameInvalid::Pattern));
            }
            None | Some(_) => {}
        }
        let is_interest = interest(service).is_some();
        if !is_node_id(node) || !is_node_id(origin) || (is_interest && node != origin) {
            return Err(MessageError::Name(NameInvalid::Node));
        }
        let Self::Up { methods, labels, path, .. } = self else { return Ok(()) };
        if is_interest && !(methods.is_empty() && labels.is_empty()) {
            return Err(MessageError::Malformed);
        }
        if !methods.iter().all(|method| method.is_ok_and(is_method)) {
            return Err(MessageError::Name(NameInvalid::Method));
        }
        if !is_labels(*labels) {
            return Err(MessageError::Headers);
        }
        if path.is_empty() {
            return Err(MessageError::Malformed);
        }
        path.check_path()
    }
}

/// The records of a page that was checked.
pub fn records(page: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = page;
    core::iter::from_fn(move || {
        let (record, after) = take(rest).ok()?;
        rest = after;
        Some(record)
    })
}

/// Checks every record of a page.
pub(super) fn check_page(page: &[u8]) -> Result<(), MessageError> {
    let mut rest = page;
    while !rest.is_empty() {
        let (record, after): (Record<'_>, _) = take(rest)?;
        record.check()?;
        rest = after;
    }
    Ok(())
}

/// A page that is being written.
#[derive(Debug, Default)]
pub(crate) struct Page(Vec<u8>);

impl Page {
    /// Adds a record and tells whether the page is full.
    pub(crate) fn push(&mut self, record: &Record<'_>) -> bool {
        self.0.extend_from_slice(&postcard::to_allocvec(record).unwrap_or_default());
        self.0.len() >= PAGE_BYTES_MAX
    }

    /// What was written, if anything was. The page is empty afterwards.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        if self.0.is_empty() { None } else { Some(core::mem::take(&mut self.0)) }
    }
}

/// Stands in front of a pattern of topics where otherwise the name of a service is: subscribers at
/// a Main are announced, withdrawn, confirmed and passed on as services are.
pub(crate) const INTEREST: char = '#';

/// The pattern, if this is not the name of a service.
pub(crate) fn interest(name: &str) -> Option<&str> {
    name.strip_prefix(INTEREST)
}

/// Whether `labels` are packed pairs that may be passed on.
pub(crate) fn is_labels(labels: Texts<'_>) -> bool {
    labels.0.len() <= LABEL_BYTES_MAX && labels.check_headers().is_ok()
}

/// A page is sent once it is so long; with its last record it is at most one record longer.
pub const PAGE_BYTES_MAX: usize = 16 << 10;
/// Most bytes of all labels of a node.
const LABEL_BYTES_MAX: usize = 1 << 10;
