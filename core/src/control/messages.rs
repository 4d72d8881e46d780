//! Control messages: what a Home tells its Main, and what it is answered.

use super::{Control, LOCAL, PAUSE_MAX};
use crate::close::CloseReason;
use crate::config::Role;
use crate::error::ErrorCode;
use crate::event::{Event, ServiceDown};
use crate::message::{ControlMessage, Texts};
use crate::name::NodeId;
use crate::outbox::{LinkId, Outbox};
use crate::registry::Registration;
use crate::time::{Instant, millis};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

impl Control {
    pub(super) fn handle_message(
        &mut self,
        link: LinkId,
        payload: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(linked) = self.links.get_mut(&link) else { return };
        let role = linked.peer.role;
        // The node has a newer link, and this one is being closed: what it says is out of date.
        if role != Role::Caller
            && self.config.is_main()
            && self.nodes.get(&linked.peer.node) != Some(&link)
        {
            return;
        }
        let message = match ControlMessage::decode(payload) {
            Ok(message) => message,
            Err(error) => return self.close(link, CloseReason::Fault(error.code()), out),
        };
        // Not answered by closing: that would cross the peer's own close.
        if let ControlMessage::Goodbye { code, message, reconnect_in_ms } = message {
            let pause = Duration::from_millis(u64::from(reconnect_in_ms));
            let (node, reason) = (linked.peer.node.clone(), CloseReason::from_wire(code));
            if let Some(dial) = linked.dial {
                self.dials.pause(dial, now.after(pause.min(PAUSE_MAX)));
                if reason == CloseReason::Fault(ErrorCode::NameConflict) {
                    self.dials.sent_away(dial);
                }
            }
            out.event(Event::Goodbye { link, node, reason, message: String::from(message) });
            return;
        }
        let is_understood = match (role, self.config.is_main()) {
            (Role::Home, true) => self.handle_home(link, message, now, out),
            (Role::Main, true) => self.handle_peer(link, message, now, out),
            (Role::Main, false) => self.handle_main(link, message, now, out),
            (Role::Caller, true) => self.handle_subscriber(link, message, now, out),
            (Role::Home | Role::Caller, false) => false,
        };
        if !is_understood {
            self.close(link, CloseReason::Fault(ErrorCode::BadState), out);
        }
    }

    /// What a Home tells its Main. False for what is not for it to say.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else there is, it says of topics")]
    fn handle_home(
        &mut self,
        link: LinkId,
        message: ControlMessage<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        match message {
            ControlMessage::Register { service, methods, ttl_ms } => {
                let methods = methods.iter().flatten().map(Arc::from).collect();
                let ttl = Duration::from_millis(u64::from(ttl_ms));
                self.register_remote(link, service, methods, ttl, now, out);
            }
            ControlMessage::Withdraw { service } => self.withdraw_remote(link, service, now, out),
            ControlMessage::Refresh => self.refreshed(link, now, out),
            ControlMessage::Labels { labels } => {
                if let Some(linked) = self.links.get_mut(&link) {
                    linked.labels = Arc::from(labels.0);
                }
            }
            _ => return self.handle_subscriber(link, message, now, out),
        }
        true
    }

    /// What Mains tell each other. False for what is not for them to say.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else there is, it may not say")]
    fn handle_peer(
        &mut self,
        link: LinkId,
        message: ControlMessage<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        match message {
            ControlMessage::Hello { epoch_seen } => self.greeted(link, epoch_seen, now, out),
            ControlMessage::Announce { page } => self.announced(link, page, now, out),
            ControlMessage::Digest { count, sum } => self.digested(link, (count, sum), now, out),
            ControlMessage::Resync => self.resync(link, now, out),
            ControlMessage::Leaving => self.peer_leaves(link, now, out),
            _ => return false,
        }
        true
    }

    /// What a Main tells those who dialled it. False for what is not for it to say.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else there is, it says of topics")]
    fn handle_main(
        &mut self,
        link: LinkId,
        message: ControlMessage<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        match message {
            ControlMessage::Registered { .. } if self.config.role == Role::Home => {
                if let Some(linked) = self.links.get_mut(&link) {
                    linked.confirmed_at = now;
                }
            }
            ControlMessage::Refused { service, code, message }
                if self.config.role == Role::Home =>
            {
                let code = ErrorCode::from_wire(code).unwrap_or(ErrorCode::Internal);
                let (service, message) = (String::from(service), String::from(message));
                out.event(Event::RegistrationRefused { service, code, message });
            }
            ControlMessage::Leaving => self.peer_leaves(link, now, out),
            _ => return self.handle_topics(link, message, now, out),
        }
        true
    }

    /// Everything that a Home registered still stands.
    fn refreshed(&mut self, link: LinkId, now: Instant, out: &mut Outbox) {
        let Some(linked) = self.links.get_mut(&link) else { return };
        linked.confirmed_at = now;
        let node = linked.peer.node.clone();
        for service in &linked.services {
            self.registry.confirm(service, &node, link, now);
        }
        let lapsed = core::mem::take(&mut linked.lapsed);
        if !lapsed.is_empty() {
            for (service, registration) in lapsed {
                self.restore(service, node.clone(), registration, now, out);
            }
            self.changed(now, out);
        }
    }

    fn register_remote(
        &mut self,
        link: LinkId,
        service: &str,
        methods: Vec<Arc<str>>,
        ttl: Duration,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(linked) = self.links.get(&link) else { return };
        let node = linked.peer.node.clone();
        let slot = self.slot_for(service, &node);
        let seq = self.announcer.next_seq();
        let limits = &self.config.limits;
        let Some(linked) = self.links.get_mut(&link) else { return };
        let new = !linked.services.contains(service) && !linked.lapsed.contains_key(service);
        let here = linked.services.len() + linked.lapsed.len();
        let full = new && here >= limits.services_per_link_max as usize;
        let long = methods.len() > limits.methods_per_service_max as usize;
        let service = Arc::<str>::from(service);
        let ttl = ttl.clamp(TTL_MIN.min(limits.registry_ttl), limits.registry_ttl);
        let registration = Registration {
            link,
            methods: methods.into(),
            labels: Arc::clone(&linked.labels),
            key: linked.peer.mark,
            slot,
            seq,
            confirmed_at: now,
            expires_at: Some(now.after(ttl)),
            ttl,
            listed_at: None,
        };
        let offer = (Arc::clone(&service), node.clone());
        let added = if full || long {
            Err(ErrorCode::Overloaded)
        } else {
            self.registry.register(offer, registration, limits)
        };
        match added {
            Ok(added) => {
                linked.lapsed.remove(&service);
                linked.services.insert(Arc::clone(&service));
                linked.confirmed_at = now;
                self.send(link, &ControlMessage::Registered { service: &service }, out);
                self.own_changed(&service, &node, now, out);
                if added {
                    out.event(Event::ServiceUp { service, node });
                }
                self.changed(now, out);
            }
            Err(code) => {
                if self.registry.get(&service, &node).is_none() {
                    self.slots.give_back(slot);
                }
                let message = &self.refuse_text(code);
                let refused =
                    ControlMessage::Refused { service: &service, code: code as u16, message };
                self.send(link, &refused, out);
            }
        }
    }

    /// Offers a service again whose lease had ended while its node, or this one, did not run.
    fn restore(
        &mut self,
        service: Arc<str>,
        node: NodeId,
        lapsed: Registration,
        now: Instant,
        out: &mut Outbox,
    ) {
        let expires_at = Some(now.after(lapsed.ttl));
        let slot = self.slot_for(&service, &node);
        let seq = self.announcer.next_seq();
        let registration =
            Registration { confirmed_at: now, expires_at, listed_at: None, slot, seq, ..lapsed };
        let (offer, link) = ((Arc::clone(&service), node.clone()), registration.link);
        match self.registry.register(offer, registration, &self.config.limits) {
            Ok(_) => {
                if let Some(linked) = self.links.get_mut(&link) {
                    linked.services.insert(Arc::clone(&service));
                }
                self.own_changed(&service, &node, now, out);
                out.event(Event::ServiceUp { service, node });
            }
            Err(code) => {
                if self.registry.get(&service, &node).is_none() {
                    self.slots.give_back(slot);
                }
                // Others took the room in the meantime; the node is told as if it had just asked.
                let message = &self.refuse_text(code);
                let refused =
                    ControlMessage::Refused { service: &service, code: code as u16, message };
                self.send(link, &refused, out);
            }
        }
    }

    fn withdraw_remote(&mut self, link: LinkId, service: &str, now: Instant, out: &mut Outbox) {
        let Some(linked) = self.links.get_mut(&link) else { return };
        let node = linked.peer.node.clone();
        linked.services.remove(service);
        linked.lapsed.remove(service);
        if planted!("withdraw_ignored") {
            return;
        }
        if self.remove_offer(service, &node, link, now, out) {
            let why = ServiceDown::Withdrawn;
            out.event(Event::ServiceDown { service: Arc::from(service), node, why });
            if !planted!("withdrawn_stays_routed") {
                self.changed(now, out);
            }
        }
    }

    /// A link to a Main that this node dialled is up: the Main is told who this is and what it
    /// offers.
    pub(super) fn introduce(&mut self, link: LinkId, now: Instant, out: &mut Outbox) {
        if self.config.role == Role::Home && !self.labels.is_empty() {
            self.send(link, &ControlMessage::Labels { labels: Texts(&self.labels) }, out);
        }
        for service in self.own_services() {
            self.tell_main(&service, out);
        }
        self.topics_follow(now, out);
        self.refresh_at = Some(now.after(self.config.limits.registry_ttl / 3));
        self.changed(now, out);
    }

    /// Tells the Main about a service of this node.
    pub(super) fn tell_main(&self, service: &str, out: &mut Outbox) {
        if self.config.role != Role::Home {
            return;
        }
        let (Some(main), Some(methods)) = (self.upstream(), self.own_methods(service)) else {
            return;
        };
        let mut space = Vec::new();
        let methods = Texts::pack(methods.iter(), &mut space);
        let ttl_ms = millis(self.config.limits.registry_ttl);
        self.send(main, &ControlMessage::Register { service, methods, ttl_ms }, out);
    }

    /// Tells the Main that a service of this node is gone.
    pub(super) fn retract(&self, service: &str, out: &mut Outbox) {
        if let (Role::Home, Some(main)) = (self.config.role, self.upstream()) {
            self.send(main, &ControlMessage::Withdraw { service }, out);
        }
    }

    /// Tells the Main that all services of this node still stand.
    pub(super) fn refresh(&mut self, now: Instant, out: &mut Outbox) {
        self.refresh_at = None;
        if planted!("refresh_forgotten") {
            return;
        }
        if let (Role::Home, Some(main)) = (self.config.role, self.upstream()) {
            self.send(main, &ControlMessage::Refresh, out);
            self.refresh_at = Some(now.after(self.config.limits.registry_ttl / 3));
        }
    }

    fn own_methods(&self, service: &str) -> Option<Arc<[Arc<str>]>> {
        let own = self.registry.get(service, &self.node).filter(|found| found.link == LOCAL)?;
        Some(Arc::clone(&own.methods))
    }
}

/// Shorter lives would only cost refreshes.
const TTL_MIN: Duration = Duration::from_secs(5);
