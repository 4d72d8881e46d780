//! The services that clients offer. To the node each is a service like any other; behind it stands
//! one client, or several that agreed to share it.

use super::call::ServedCall;
use super::client::Client;
use crate::json_rpc::{Kind, SCAN_DEPTH_MAX, one_value};
use relay_tokio::{
    BoxFuture, CallError, ErrorCode, Node, Service, ServiceError, ServiceRequest, ServiceResult,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All services of the clients of a gateway.
pub(super) struct Offers {
    node: Node,
    groups: Mutex<BTreeMap<String, Arc<Group>>>,
}

/// What a client offers.
pub(super) struct Offer {
    pub(super) service: String,
    pub(super) methods: Vec<String>,
    /// Other clients that say so too may offer the same service.
    pub(super) is_shared: bool,
    /// What may be sent of a stream to the client before it grants more.
    pub(super) credit: Option<u32>,
}

/// The clients behind one service.
struct Group {
    offer: Offer,
    members: Mutex<Vec<Arc<Client>>>,
    turn: AtomicUsize,
}

impl Offers {
    pub(super) fn new(node: Node) -> Self {
        Self { node, groups: Mutex::default() }
    }

    /// Offers a service of a client. Offered again by the same client alone, it replaces what was
    /// said before.
    pub(super) fn register(&self, client: &Arc<Client>, offer: Offer) -> Result<(), CallError> {
        let mut groups = self.groups();
        if let Some(group) = groups.get(&offer.service) {
            let mut members = group.members();
            let is_member = members.iter().any(|member| Arc::ptr_eq(member, client));
            if !(is_member && members.len() == 1) {
                if let Some(why) = group.offer.conflict(&offer) {
                    return Err(self.conflict(why));
                }
                if !is_member {
                    members.push(Arc::clone(client));
                }
                return Ok(());
            }
        } else if self.node.is_own(&offer.service) {
            return Err(self.conflict("this node offers a service of this name itself"));
        }
        let service = offer.service.clone();
        let members = Mutex::new(vec![Arc::clone(client)]);
        let group = Arc::new(Group { offer, members, turn: AtomicUsize::new(0) });
        self.node.register(&service, Arc::clone(&group) as Arc<dyn Service>)?;
        groups.insert(service, group);
        Ok(())
    }

    /// Takes back a service of a client. Tells whether it was offered.
    pub(super) fn withdraw(&self, client: &Arc<Client>, service: &str) -> bool {
        let mut groups = self.groups();
        let Some(group) = groups.get(service) else { return false };
        let (was_member, is_empty) = group.leave(client);
        if is_empty {
            groups.remove(service);
            let _offered = self.node.withdraw(service);
        }
        was_member
    }

    /// Takes back all services of a client.
    pub(super) fn withdraw_all(&self, client: &Arc<Client>) {
        self.groups().retain(|service, group| {
            let (_, is_empty) = group.leave(client);
            if is_empty {
                let _offered = self.node.withdraw(service);
            }
            !is_empty
        });
    }

    /// How many services a client offers.
    pub(super) fn count(&self, client: &Arc<Client>) -> usize {
        let is_member =
            |group: &&Arc<Group>| group.members().iter().any(|member| Arc::ptr_eq(member, client));
        self.groups().values().filter(is_member).count()
    }

    fn conflict(&self, why: &str) -> CallError {
        CallError::new(ErrorCode::NameConflict, self.node.id().as_str(), why)
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Group>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Offer {
    /// Why another client may not join in.
    fn conflict(&self, other: &Self) -> Option<&'static str> {
        if !self.is_shared || !other.is_shared {
            Some(
                "another client of this node offers a service of this name: choose another name, \
                 or let both say \"share\": true",
            )
        } else if self.methods != other.methods {
            Some("clients that share a service offer the same methods, and those differ")
        } else {
            None
        }
    }
}

impl Group {
    /// Whether the client was a member, and whether nobody is left.
    fn leave(&self, client: &Arc<Client>) -> (bool, bool) {
        let mut members = self.members();
        let before = members.len();
        members.retain(|member| !Arc::ptr_eq(member, client));
        (members.len() < before, members.is_empty())
    }

    /// Asks the member with the fewest calls, equals in turn. One that cannot take the call is
    /// passed over.
    fn ask(&self, request: &ServiceRequest) -> Result<ServedCall, ServiceError> {
        check_params(&request.body)?;
        let mut members: Vec<_> =
            self.members().iter().map(|member| (member.load(), Arc::clone(member))).collect();
        if members.len() > 1 {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % members.len();
            members.rotate_left(turn);
            members.sort_by_key(|(load, _)| *load);
        }
        let offer = &self.offer;
        let mut refused =
            ServiceError::refused(ErrorCode::Unavailable, "nobody offers this service any more");
        for (_, member) in members {
            match ServedCall::ask(&member, offer.credit, &offer.service, request) {
                Ok(call) => return Ok(call),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn members(&self) -> MutexGuard<'_, Vec<Arc<Client>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service for Group {
    fn methods(&self) -> Vec<String> {
        self.offer.methods.clone()
    }

    fn call(&self, request: ServiceRequest) -> BoxFuture<ServiceResult> {
        match self.ask(&request) {
            Ok(call) => Box::pin(call.answer(request.stream)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

/// A crafted body could close the message it is put into and add members of its own.
fn check_params(body: &[u8]) -> Result<(), ServiceError> {
    let bad = |message: String| Err(ServiceError::refused(ErrorCode::BadParams, message));
    match one_value(body, SCAN_DEPTH_MAX) {
        _ if body.is_empty() => Ok(()),
        Ok(Kind::Array | Kind::Object) => Ok(()),
        Ok(_) => bad("the parameters must be a JSON array or object".to_owned()),
        Err(error) => {
            bad(format!("the parameters are not JSON: {} at byte {}", error.what, error.at))
        }
    }
}
