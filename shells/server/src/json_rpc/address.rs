//! The compound address of a node, `id@main`: which node, and the Main it is reached through.

use relay_tokio::{NodeId, is_node_id, is_target};
use std::fmt;
use std::str::FromStr;

/// A node as people write it: `{kind, id, main_relay}` in three parts, `id@main` as text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NodeAddress {
    /// What the address says the node is.
    pub kind: NodeKind,
    /// The node itself.
    pub id: NodeId,
    /// Host name of the Main that the node is attached to, with its port where one is needed;
    /// none for a Main and for a node looked up by its id alone.
    pub main_relay: Option<String>,
}

/// What an address says about its node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NodeKind {
    /// `id` alone: a Main, or a node of either kind whose Main the registry knows.
    Main,
    /// `id@main`: a Home behind that Main.
    Home,
}

/// Why a text is not the address of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeAddressInvalid {
    /// The part before `@` is not a node id.
    Id,
    /// The part after `@` is not a host name with an optional port.
    Main,
}

impl NodeAddress {
    /// Puts an address together from its parts; a Home names its Main and a Main names none.
    ///
    /// # Errors
    /// [`NodeAddressInvalid`] naming the part that breaks its rules.
    pub fn new(id: &str, main_relay: Option<&str>) -> Result<Self, NodeAddressInvalid> {
        if !is_node_name(id) {
            return Err(NodeAddressInvalid::Id);
        }
        if main_relay.is_some_and(|main| !is_host(main)) {
            return Err(NodeAddressInvalid::Main);
        }
        let id = NodeId::new(id).map_err(|_| NodeAddressInvalid::Id)?;
        let kind = if main_relay.is_some() { NodeKind::Home } else { NodeKind::Main };
        Ok(Self { kind, id, main_relay: main_relay.map(str::to_owned) })
    }
}

impl NodeAddress {
    /// What the node is asked for by: `id@main` where the Main goes by a node id, so that it is
    /// checked that the node is attached there; where it is a host and a port, the id alone.
    #[must_use]
    pub fn target(&self) -> String {
        let whole = self.to_string();
        if is_target(&whole) { whole } else { self.id.to_string() }
    }
}

impl FromStr for NodeAddress {
    type Err = NodeAddressInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('@') {
            Some((id, main)) => Self::new(id, Some(main)),
            None => Self::new(text, None),
        }
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        self.main_relay.as_ref().map_or(Ok(()), |main| write!(f, "@{main}"))
    }
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Main => "main",
            Self::Home => "home",
        })
    }
}

impl fmt::Display for NodeAddressInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id => "a node id is 1 to 128 of a-z 0-9 . _ - with no empty part between dots",
            Self::Main => "after '@' comes the host name of a Main, such as relay.example.com:8080",
        })
    }
}

impl std::error::Error for NodeAddressInvalid {}

/// Whether `text` is a node id with no empty part between dots, so that no two spellings of a
/// method name can mean the same node.
pub(crate) fn is_node_name(text: &str) -> bool {
    is_node_id(text) && text.split('.').all(|part| !part.is_empty())
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|n| n > 0)
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.len() <= 253 && host.split('.').all(is_label) && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a9_a10_addresses_parse_and_print() {
        let home: NodeAddress = "bob.home@relay-a.com".parse().unwrap();
        assert_eq!((home.kind, home.id.as_str()), (NodeKind::Home, "bob.home"));
        assert_eq!(home.main_relay.as_deref(), Some("relay-a.com"));
        let bare: NodeAddress = "nonexistent.home".parse().unwrap();
        assert_eq!((bare.kind, bare.main_relay.as_deref()), (NodeKind::Main, None));
        for text in ["bob.home@relay-a.com", "nonexistent.home", "a@127.0.0.1:8080", "a@relay-main"]
        {
            assert_eq!(text.parse::<NodeAddress>().unwrap().to_string(), text);
        }
        assert_eq!(
            NodeAddress::new("alice.home", Some("relay.example.com")).unwrap().to_string(),
            "alice.home@relay.example.com"
        );
    }

    #[test]
    fn a_main_with_an_id_is_part_of_the_target() {
        for (text, target) in [
            ("bob.home@relay-b.com", "bob.home@relay-b.com"),
            ("bob.home", "bob.home"),
            ("bob.home@127.0.0.1:8080", "bob.home"),
            ("bob.home@Relay-B.com", "bob.home"),
        ] {
            assert_eq!(text.parse::<NodeAddress>().unwrap().target(), target);
        }
    }

    #[test]
    fn a9_bad_addresses_name_the_part_at_fault() {
        for text in ["", "@main", "A@main", "a..b", ".a", "a.", "a b@main", "a/b", "ä@main"] {
            assert_eq!(text.parse::<NodeAddress>(), Err(NodeAddressInvalid::Id), "{text}");
        }
        for text in [
            "a@",
            "a@b@c",
            "a@main:",
            "a@main:0",
            "a@main:+1",
            "a@main:65536",
            "a@ma in",
            "a@x..y",
            "a@main/path",
        ] {
            assert_eq!(text.parse::<NodeAddress>(), Err(NodeAddressInvalid::Main), "{text}");
        }
    }
}
