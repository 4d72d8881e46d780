//! The hooks by which the life of one host becomes a golden trace.
//!
//! The recorded host is driven as a shell drives a node: what is due is done before and after each
//! input, written bytes are reported as a driver reports them, and its application reacts once
//! all that came out of an input was carried out.

use super::host::Clock;
use super::{Phase, World};
use crate::golden::{Input, Life, Profile, Recorder, Trace};
use crate::plan::Plan;
use crate::span::Span;
use relay_core::{CallId, CloseReason, Config, DialId, Instant, LinkId, LocalCallId, Role, Side};

impl World {
    /// Lets the storm happen and records a host: its lives, the last one as long as it lasted.
    pub(crate) fn record_host(mut self, host: usize) -> Result<Vec<Trace>, String> {
        self.recorder = Some(Box::new(Recorder::new(host)));
        while self.phase == Phase::Storm && self.advance() {}
        self.end_record(host);
        if let Some(verdict) = self.checker.verdicts.first() {
            return Err(format!("seed {}: {verdict:?}", self.plan.seed));
        }
        Ok(self.recorder.map(|recorder| recorder.lives).unwrap_or_default())
    }

    pub(super) fn is_recorded_host(&self, at: usize) -> bool {
        self.recorder.as_ref().is_some_and(|recorder| recorder.host == at)
    }

    /// Whether this host is up and recorded.
    pub(super) fn records(&self, at: usize) -> bool {
        self.recorder.as_ref().is_some_and(|it| it.host == at && it.life.is_some())
    }

    /// Does something with what is known of the host, if it is recorded.
    pub(super) fn recorded<T>(
        &mut self,
        at: usize,
        look: impl FnOnce(&mut Life) -> T,
    ) -> Option<T> {
        let recorder = self.recorder.as_mut().filter(|recorder| recorder.host == at)?;
        recorder.life.as_mut().map(look)
    }

    /// A host is about to start with this key and this seed.
    pub(super) fn start_record(&mut self, at: usize, key: [u8; 32], random: [u8; 32]) {
        if !self.is_recorded_host(at) {
            return;
        }
        let host = &mut self.hosts[at];
        host.clock = Clock::started_at(self.now);
        let (role, name) = (host.role, host.name.to_string());
        let upstreams = self.dials_of(at).into_iter().filter(|_| role != Role::Main).flatten();
        let mut config = Config::new(role);
        super::life::compress(&mut config, &self.plan, at);
        let profile = Profile {
            role,
            name,
            key,
            random,
            bounds: self.plan.limits,
            deadline_max: Span(self.limits.deadline_max),
            hops_max: self.limits.hops_max,
            compression: config.compression.map_or(0, |compression| compression as u8),
            compressions: config.compressions,
            deflate_bytes_min: config.limits.deflate_bytes_min,
            upstreams: upstreams.collect(),
        };
        let Plan { seed, .. } = self.plan;
        if let Some(recorder) = &mut self.recorder {
            recorder.start(seed, profile);
        }
    }

    /// The life of a host ends.
    pub(super) fn end_record(&mut self, at: usize) {
        if self.records(at) {
            self.settle_recorded(at);
            let local = self.local(at);
            if let Some(recorder) = &mut self.recorder {
                recorder.end(local);
            }
        }
    }

    /// Something is about to come to a host.
    pub(super) fn input(&mut self, at: usize, input: impl FnOnce() -> Input) {
        if self.records(at) {
            self.settle_recorded(at);
            let local = self.local(at);
            self.recorded(at, |life| life.input(local, input()));
        }
    }

    /// Something is about to come to a host over a link.
    pub(super) fn input_on(&mut self, at: usize, link: LinkId, input: impl FnOnce(u32) -> Input) {
        if let Some(number) = self.recorded(at, |life| life.number(link)).flatten() {
            self.input(at, || input(number));
        }
    }

    pub(super) fn record_open(&mut self, at: usize, side: Side) {
        if !self.records(at) {
            return;
        }
        let unix = self.unix_time(at);
        let address = match side {
            Side::Accepted => None,
            Side::Dialled(dial) => self.recorded(at, |life| life.address(dial)),
        };
        self.input(at, || match address {
            None => Input::Accepted { unix },
            Some(address) => Input::Connected { address, unix },
        });
        self.set_wall_clock(at);
    }

    pub(super) fn record_refusal(&mut self, at: usize, dial: DialId) {
        if let Some(address) = self.recorded(at, |life| life.address(dial)) {
            self.input(at, || Input::DialFailed { address });
        }
    }

    /// A connection that was full took some of what waits.
    pub(super) fn record_room(&mut self, at: usize, link: LinkId, bytes: usize, is_open: bool) {
        let is_full = self.recorded(at, |life| life.is_stalled(link)).unwrap_or_default();
        if !is_full || bytes == 0 {
            return;
        }
        let taken = bytes as u32;
        self.input_on(at, link, |link| Input::Room { link, bytes: taken, is_open });
        self.recorded(at, |life| life.grow(link, bytes, is_open));
        self.apply(at);
    }

    pub(super) fn record_send(&mut self, at: usize, call: CallId, body: &[u8], is_last: bool) {
        if let Some(request) = self.recorded(at, |life| life.request(call)).flatten() {
            self.input(at, || Input::Send { request, body: body.to_vec(), is_last });
        }
    }

    pub(super) fn record_reply(&mut self, at: usize, call: CallId, body: &[u8]) {
        if let Some(request) = self.recorded(at, |life| life.request(call)).flatten() {
            self.input(at, || Input::Reply { request, body: body.to_vec() });
            self.recorded(at, |life| life.replied(call));
        }
    }

    pub(super) fn record_cancel(&mut self, at: usize, call: LocalCallId) {
        if let Some(number) = self.recorded(at, |life| life.call(call)).flatten() {
            self.input(at, || Input::Cancel { call: number });
            self.recorded(at, |life| life.gave_up(call));
        }
    }

    /// The application of a recorded host reads a chunk. What it grants for it is as the driver has
    /// it.
    pub(super) fn record_read(&mut self, at: usize, call: LocalCallId, uid: u32) {
        if let Some(number) = self.recorded(at, |life| life.call(call)).flatten() {
            self.input(at, || Input::Read { call: number });
            if let Some(bytes) = self.recorded(at, |life| life.read(call)).flatten() {
                self.grant(at, call, uid, bytes);
            }
        }
    }

    /// A recorded Main ends as a driver ends one that has no time left.
    pub(super) fn end_recorded(&mut self, at: usize) {
        self.input(at, || Input::End);
        let local = self.local(at);
        let host = &mut self.hosts[at];
        if let Some(node) = &mut host.node {
            node.drain(local, &mut host.out);
            node.close_all(CloseReason::Shutdown, local, &mut host.out);
        }
        self.apply(at);
        self.restart(at);
    }

    /// Lets happen what a recorded node has put out.
    pub(super) fn apply_recorded(&mut self, at: usize) {
        loop {
            self.settle_recorded(at);
            let later = self.recorded(at, |life| life.later.pop_front()).flatten();
            let Some(output) = later else { return };
            self.output(at, output);
        }
    }

    /// Carries out all but what the world reacts to, and does what is due.
    fn settle_recorded(&mut self, at: usize) {
        loop {
            let outputs: Vec<_> = self.hosts[at].out.drain().collect();
            for output in outputs {
                let is_later = self.recorded(at, |life| life.output(&output)).unwrap_or_default();
                if is_later {
                    self.recorded(at, |life| life.later.push_back(output));
                } else {
                    self.output(at, output);
                }
            }
            let reports = self.recorded(at, Life::reports).unwrap_or_default();
            let local = self.local(at);
            let host = &mut self.hosts[at];
            let Some(node) = &mut host.node else { return };
            for (link, bytes) in reports {
                node.handle_flushed(link, bytes as u32);
            }
            if node.poll_timeout().is_some_and(|due: Instant| due <= local) {
                node.handle_timeout(local, &mut host.out);
            } else if host.out.is_empty() {
                return;
            }
        }
    }
}
