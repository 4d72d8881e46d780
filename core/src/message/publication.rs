//! What is in front of the body of a publication.

use super::{MessageError, Texts, take};
use crate::name::{NameInvalid, is_node_id};
use crate::topic::is_topic;
use serde::{Deserialize, Serialize};

/// Who says something on which topic. Written by the node of the publisher; the first Main adds
/// the path where a copy crosses several others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublicationEnvelope<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The node of the publisher.
    pub publisher: &'a str,
    /// First bytes of the hash of that node's key. Several keys may go by one name, at Mains that
    /// do not know of each other; none of them can say anything in the name of another's life.
    pub key: [u8; 8],
    /// A number by lot for each life of that node.
    pub life: u64,
    /// Rises by one with each publication of this life on this topic; by more where the publisher
    /// does not remember the last one.
    pub seq: u64,
    /// What the body is: 0 for JSON.
    pub content: u8,
    /// Packed pairs of key and value, keys in strictly rising order. See [`Texts`].
    #[serde(borrow)]
    pub headers: Texts<'a>,
    /// The Mains that this copy crosses behind the first one, in their order, if there are at
    /// least two of them.
    pub path: Texts<'a>,
}

impl<'a> PublicationEnvelope<'a> {
    /// Reads the envelope and returns it with the body behind it.
    ///
    /// # Errors
    /// [`MessageError`] when any field breaks its rules.
    pub fn decode(payload: &'a [u8]) -> Result<(Self, &'a [u8]), MessageError> {
        let (envelope, body): (Self, _) = take(payload)?;
        if !is_topic(envelope.topic) {
            return Err(MessageError::Name(NameInvalid::Topic));
        }
        if !is_node_id(envelope.publisher) {
            return Err(MessageError::Name(NameInvalid::Node));
        }
        if envelope.seq == 0 {
            return Err(MessageError::Malformed);
        }
        envelope.headers.check_headers()?;
        envelope.path.check_path()?;
        Ok((envelope, body))
    }
}
