//! What two linked nodes tell each other besides calls.

use super::record::check_page;
use super::{MessageError, Texts, is_for_people, is_labels, take};
use crate::name::{NameInvalid, is_method, is_service};
use crate::topic::is_pattern;
use serde::{Deserialize, Serialize};

/// What two linked nodes tell each other besides calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ControlMessage<'a> {
    /// Home to Main: this service can be called here.
    Register {
        /// The service.
        service: &'a str,
        /// Its methods, packed; none means that any method may be tried.
        #[serde(borrow)]
        methods: Texts<'a>,
        /// Life of the registration unless it is refreshed, in milliseconds.
        ttl_ms: u32,
    },
    /// Main to Home: the registration stands.
    Registered {
        /// The service.
        service: &'a str,
    },
    /// Main to Home: the registration was refused.
    Refused {
        /// The service.
        service: &'a str,
        /// [`ErrorCode`](super::ErrorCode) as a number.
        code: u16,
        /// One sentence for a person.
        message: &'a str,
    },
    /// Home to Main: the service is no longer offered.
    Withdraw {
        /// The service.
        service: &'a str,
    },
    /// Home to Main: every registration of this link still stands.
    Refresh,
    /// The sender closes the link after this.
    Goodbye {
        /// Code of the [`CloseReason`](crate::CloseReason).
        code: u16,
        /// One sentence for a person.
        message: &'a str,
        /// Do not dial again before this many milliseconds.
        reconnect_in_ms: u32,
    },
    /// Home to Main: what there is to know of this node, as packed pairs of key and value, before
    /// it registers anything. `zone` says where it is.
    Labels {
        /// Keys in strictly rising order.
        #[serde(borrow)]
        labels: Texts<'a>,
    },
    /// Main to Main, first of all: the newest life of the receiver that the sender knows of.
    Hello {
        /// [`Record::Up::epoch`](super::Record) of the receiver, or 0.
        epoch_seen: u64,
    },
    /// Main to Main: a page of changes to what can be called through the sender.
    Announce {
        /// Packed [`Record`](super::Record)s.
        page: &'a [u8],
    },
    /// Main to Main: all that was announced and not taken back still stands.
    Digest {
        /// How many offers that are.
        count: u32,
        /// The sum of their hashes.
        sum: u64,
    },
    /// Main to Main: what you announced does not fit your digest; announce all of it again.
    Resync,
    /// Main to anyone: the sender is about to leave. Use others, where there are any.
    Leaving,
    /// To a Main: publications on topics that this pattern stands for are wanted here.
    Subscribe {
        /// The pattern.
        pattern: &'a str,
    },
    /// To a Main: they are not wanted any more.
    Unsubscribe {
        /// The pattern.
        pattern: &'a str,
    },
    /// From a Main: publications that come to it from now on are passed on.
    Subscribed {
        /// The pattern.
        pattern: &'a str,
    },
    /// From a Main: behind this, none comes that only this pattern stands for.
    Unsubscribed {
        /// The pattern.
        pattern: &'a str,
    },
    /// From a Main: the subscription was refused.
    NotSubscribed {
        /// The pattern.
        pattern: &'a str,
        /// [`ErrorCode`](super::ErrorCode) as a number.
        code: u16,
        /// One sentence for a person.
        message: &'a str,
    },
    /// From a Main to a subscriber: so many publications were not passed on here, for want of room.
    Missed {
        /// How many, since this was said last.
        count: u32,
    },
    /// From a Main to a publisher: so many publications went nowhere.
    NotPublished {
        /// How many, since this was said last.
        count: u32,
        /// [`ErrorCode`](super::ErrorCode) as a number.
        code: u16,
    },
}

impl<'a> ControlMessage<'a> {
    /// Reads a control message.
    ///
    /// # Errors
    /// [`MessageError`] when it is malformed or a name breaks its rules.
    pub fn decode(payload: &'a [u8]) -> Result<Self, MessageError> {
        let (message, rest): (Self, _) = take(payload)?;
        if !rest.is_empty() {
            return Err(MessageError::Malformed);
        }
        match message {
            Self::Register { service, .. }
            | Self::Registered { service }
            | Self::Refused { service, .. }
            | Self::Withdraw { service } => {
                if !is_service(service) {
                    return Err(MessageError::Name(NameInvalid::Service));
                }
            }
            Self::Subscribe { pattern }
            | Self::Unsubscribe { pattern }
            | Self::Subscribed { pattern }
            | Self::Unsubscribed { pattern }
            | Self::NotSubscribed { pattern, .. } => {
                if !is_pattern(pattern) {
                    return Err(MessageError::Name(NameInvalid::Pattern));
                }
            }
            Self::Labels { labels } if !is_labels(labels) => return Err(MessageError::Headers),
            Self::Announce { page } => check_page(page)?,
            Self::Refresh
            | Self::Goodbye { .. }
            | Self::Labels { .. }
            | Self::Hello { .. }
            | Self::Digest { .. }
            | Self::Resync
            | Self::Leaving
            | Self::Missed { .. }
            | Self::NotPublished { .. } => {}
        }
        match message {
            Self::Register { methods, .. } if !methods.iter().all(|m| m.is_ok_and(is_method)) => {
                Err(MessageError::Name(NameInvalid::Method))
            }
            Self::Refused { message: text, .. }
            | Self::Goodbye { message: text, .. }
            | Self::NotSubscribed { message: text, .. }
                if !is_for_people(text) =>
            {
                Err(MessageError::Malformed)
            }
            Self::Register { .. }
            | Self::Registered { .. }
            | Self::Refused { .. }
            | Self::Withdraw { .. }
            | Self::Refresh
            | Self::Goodbye { .. }
            | Self::Labels { .. }
            | Self::Hello { .. }
            | Self::Announce { .. }
            | Self::Digest { .. }
            | Self::Resync
            | Self::Leaving
            | Self::Subscribe { .. }
            | Self::Unsubscribe { .. }
            | Self::Subscribed { .. }
            | Self::Unsubscribed { .. }
            | Self::NotSubscribed { .. }
            | Self::Missed { .. }
            | Self::NotPublished { .. } => Ok(message),
        }
    }
}
