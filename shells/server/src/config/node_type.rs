//! Main or Home: what the settings ask for, and which of them contradict each other.

use crate::cli::Failure;
use relay_tokio::Role;

/// What a running node is (`NodeTypeMain`, `NodeTypeHome`).
#[doc(alias = "NodeTypeMain")]
#[doc(alias = "NodeTypeHome")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeType {
    /// Listens for Homes, peers and callers, and routes between them.
    Main,
    /// Dials a Main and offers services.
    Home,
}

impl NodeType {
    /// The type of this name: `main` or `home`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "main" => Some(Self::Main),
            "home" => Some(Self::Home),
            _ => None,
        }
    }

    /// The word used in settings and in addresses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Home => "home",
        }
    }

    /// The role of the node in the protocol.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::Main => Role::Main,
            Self::Home => Role::Home,
        }
    }
}

/// The settings that decide the type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) is_server: bool,
    pub(super) has_connect: bool,
    pub(super) node_type: Option<NodeType>,
}

impl Asked {
    /// The type, or `None` when nothing asks for one. A node that only has something to run
    /// (`has_work`) is a Main: it needs nobody else.
    pub(super) fn decide(self, has_work: bool) -> Result<Option<NodeType>, Failure> {
        match (self.is_server, self.has_connect, self.node_type) {
            (_, false, Some(NodeType::Main)) | (true, false, None) => Ok(Some(NodeType::Main)),
            (false, true, Some(NodeType::Home) | None) => Ok(Some(NodeType::Home)),
            (false, false, None) => Ok(has_work.then_some(NodeType::Main)),
            (true, _, Some(NodeType::Home)) => {
                Err(Failure::usage("--server makes a Main, but --node-type says home").with_hint(
                    "for a Home use --connect ws://HOST:PORT without --server; for a Main drop \
                        --node-type home",
                ))
            }
            (false, false, Some(NodeType::Home)) => {
                Err(Failure::usage("a Home needs a Main to connect to")
                    .with_hint("add --connect ws://HOST:PORT"))
            }
            (_, true, Some(NodeType::Main)) => {
                Err(Failure::usage("--connect makes a Home, but --node-type says main")
                    .with_hint("to federate two Mains use --peers URL instead of --connect URL"))
            }
            (true, true, None) => Err(Failure::usage(
                "--server makes a Main and --connect makes a Home; a node is one of them",
            )
            .with_hint(
                "to federate two Mains use --peers URL; for a Home that also listens use \
                        --connect URL --listen 127.0.0.1:PORT",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_combination_has_one_outcome() {
        use NodeType::{Home, Main};
        let contradiction = |is_server, has_connect, node_type| {
            let failure =
                Asked { is_server, has_connect, node_type }.decide(true).expect_err("both");
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.hint().is_some_and(|hint| hint.contains("--")), "{failure:?}");
        };
        for (is_server, has_connect, node_type, wanted) in [
            (false, false, None, None),
            (false, false, Some(Main), Some(Main)),
            (true, false, None, Some(Main)),
            (true, false, Some(Main), Some(Main)),
            (false, true, None, Some(Home)),
            (false, true, Some(Home), Some(Home)),
        ] {
            let asked = Asked { is_server, has_connect, node_type };
            assert_eq!(asked.decide(false), Ok(wanted), "{asked:?}");
        }
        contradiction(false, false, Some(Home));
        contradiction(true, false, Some(Home));
        contradiction(false, true, Some(Main));
        contradiction(true, true, None);
        contradiction(true, true, Some(Main));
        contradiction(true, true, Some(Home));
    }

    #[test]
    fn a_program_alone_runs_in_a_main() {
        let asked = Asked { is_server: false, has_connect: false, node_type: None };
        assert_eq!(asked.decide(true), Ok(Some(NodeType::Main)));
    }
}
