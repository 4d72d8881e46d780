//! What each call of a schedule may come to, worked out without a network: from who is up, who is
//! linked and who offers what, as far as that is certain when the call is made.

use relay_core::{ErrorCode, Executed};
use relay_sim::{CallEnd, CallOutcome, CallStep, Plan, Service, Step, Timed};
use std::time::Duration;

/// What is known of a world from its steps alone.
#[derive(Debug)]
pub(super) struct Model {
    plan: Plan,
    /// Least and most time of one frame on its way.
    way: [Duration; 2],
    calls: Vec<(Duration, CallStep)>,
    troubles: Vec<Trouble>,
    /// Homes that withdrew the shared services (`true`) or offered them again, in order.
    changes: Vec<(u16, Duration, bool)>,
}

/// Everything a call may come to.
#[derive(Debug)]
pub(super) struct Prediction(Vec<Possibility>);

/// Ends that go with this number of runs, and the hosts on which it may have run.
#[derive(Debug)]
struct Possibility {
    ends: Vec<CallEnd>,
    runs: [u8; 2],
    servers: Vec<u16>,
}

#[derive(Debug)]
struct Trouble {
    host: u16,
    kind: Kind,
    from: Duration,
    until: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Crash,
    Pause,
    Clog,
    Reset,
    HalfOpen,
}

/// Whether a host is linked, or a Main knows an offer, during some time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    Yes,
    No,
    Perhaps,
}

impl Model {
    /// The model of a world in which these steps happen, each at a moment of its own.
    pub(super) fn new(plan: &Plan, steps: &[Timed]) -> Self {
        let (least, mean) = (plan.network.delay_min.0, plan.network.delay_mean.0);
        let (calls, troubles, changes) = Default::default();
        let way = [least, least + mean * DELAYS_MAX];
        let mut model = Self { plan: plan.clone(), way, calls, troubles, changes };
        for Timed { at, step } in steps {
            model.take(at.0, step);
        }
        model
    }

    fn take(&mut self, at: Duration, step: &Step) {
        let host = step.host();
        let (kind, lasts) = match step {
            Step::Call(call) => {
                if host >= self.plan.topology.mains && !self.is_stopped(host, at) {
                    self.calls.push((at, *call));
                }
                return;
            }
            Step::Register(_) | Step::Withdraw(_) => {
                if !self.suffers(host, Kind::Pause, at) {
                    self.changes.push((host, at, matches!(step, Step::Withdraw(_))));
                }
                return;
            }
            Step::Crash(_) if self.suffers(host, Kind::Crash, at) => return,
            Step::Crash(step) => {
                let pauses = self.troubles.iter_mut().filter(|t| t.host == host);
                let pauses = pauses.filter(|t| t.kind == Kind::Pause);
                pauses.for_each(|pause| pause.until = pause.until.min(at));
                (Kind::Crash, step.lasts.0)
            }
            Step::Pause(step) => (Kind::Pause, step.lasts.0),
            Step::Clog(step) => (Kind::Clog, step.lasts.0),
            Step::Reset(_) => (Kind::Reset, Duration::ZERO),
            Step::HalfOpen(_) => (Kind::HalfOpen, Duration::ZERO),
            // A wall clock that is wrong by less than is allowed changes nothing.
            Step::ClockJump(_) => return,
            other => panic!("the model knows nothing of {other:?}"),
        };
        self.troubles.push(Trouble { host, kind, from: at, until: at + lasts });
    }

    /// Every call that is made, and when. A host that is down or asleep makes none.
    pub(super) fn calls(&self) -> &[(Duration, CallStep)] {
        &self.calls
    }

    /// What a call made then may come to.
    pub(super) fn predict(&self, at: Duration, call: &CallStep) -> Prediction {
        Prediction(self.possibilities(at, call))
    }

    fn possibilities(&self, at: Duration, call: &CallStep) -> Vec<Possibility> {
        let (from, topology) = (call.from, self.plan.topology);
        let crowded = self.is_crowded(at, call);
        let at_once = |code| {
            let other = crowded.then_some(no(ErrorCode::Overloaded));
            vec![Possibility::without_run([no(code)].into_iter().chain(other).collect())]
        };
        if !self.fits(call.body) {
            return vec![Possibility::without_run(vec![no(ErrorCode::TooLarge)])];
        }
        if self.is_full(at, call) {
            return vec![Possibility::without_run(vec![no(ErrorCode::Overloaded)])];
        }
        let itself = |home| home < topology.homes && topology.home(home) == from;
        let names_itself = call.node.is_some_and(itself);
        let servers = self.servers(at, call);
        let serves = self.offers(from, call.service, [at, at]) == Known::Yes;
        match self.linked(from, [at, at + self.way[1] * 2]) {
            // What a Home offers itself it asks of itself; if it is full, of others.
            _ if serves && (names_itself || call.node.is_none()) => {
                if crowded {
                    return self.anything(at, call, servers);
                }
                return vec![self.run(at, call, from, &[from])];
            }
            _ if names_itself => return at_once(ErrorCode::NoSuchService),
            Known::No => return at_once(ErrorCode::Unavailable),
            Known::Perhaps => return self.anything(at, call, servers),
            Known::Yes => {}
        }
        let homes = self.homes(call);
        let known: Vec<Known> = homes.iter().map(|home| self.known(*home, at, call)).collect();
        if crowded || known.contains(&Known::Perhaps) {
            let mut all = self.anything(at, call, servers);
            all[0].ends.retain(|end| *end != no(ErrorCode::Unavailable));
            return all;
        }
        let main = topology.main_of(from);
        let sure = homes.iter().zip(&known).filter(|(_, known)| **known == Known::Yes);
        let all: Vec<_> =
            sure.map(|(home, _)| self.run(at, call, *home, &[from, main, *home])).collect();
        if !all.is_empty() {
            return all;
        }
        let [soonest, latest] = self.way.map(|way| way * 2);
        let refused = timed(call, no(ErrorCode::NoSuchService), soonest, latest);
        vec![Possibility::without_run(refused)]
    }

    /// The call reaches this server, where it runs; then it may still be cut off.
    fn run(&self, at: Duration, call: &CallStep, server: u16, path: &[u16]) -> Possibility {
        let local = path.len() == 1;
        let [least, most] = if local { [Duration::ZERO; 2] } else { self.way.map(|way| way * 2) };
        let handler = call.handler.0;
        let over = (handler + most * 2).min(call.deadline.0) + SLACK;
        let matters = |t: &&Trouble| {
            let hits = path.contains(&t.host) && at < t.from && t.from <= at + over;
            hits && (!local || matches!(t.kind, Kind::Crash | Kind::Pause))
        };
        let success = if local || self.fits(call.answer) { CallEnd::Result } else { TOO_LARGE };
        let first = self.troubles.iter().filter(matters).min_by_key(|trouble| trouble.from);
        let ends = match first {
            None => timed(call, success, handler + least * 2, handler + most * 2),
            // The handler had not ended, so its answer has no way back.
            Some(first) if self.cuts(first, path) && first.from < at + handler + least => {
                if first.kind == Kind::Crash && first.host == call.from {
                    timed(call, CallEnd::Orphaned, first.from - at, first.from - at)
                } else {
                    self.lost(at, call)
                }
            }
            Some(_) => [vec![success], self.lost(at, call)].concat(),
        };
        Possibility { ends, runs: [1, 1], servers: vec![server] }
    }

    /// Whether it ends every link of this path, and not just some link of a Main.
    fn cuts(&self, trouble: &Trouble, path: &[u16]) -> bool {
        match trouble.kind {
            Kind::Crash => true,
            Kind::Reset | Kind::HalfOpen => path[1..].first() != Some(&trouble.host),
            Kind::Pause | Kind::Clog => false,
        }
    }

    /// Ends of a call that may have run, without its answer.
    fn lost(&self, at: Duration, call: &CallStep) -> Vec<CallEnd> {
        let mut ends = vec![unknown(ErrorCode::Deadline), unknown(ErrorCode::LinkLost)];
        ends.extend(call.cancel_after.map(|_| CallEnd::Cancelled));
        let latest = at + call.deadline.0 + LASTS_MAX;
        let dies = |t: &Trouble| t.host == call.from && at < t.from && t.from < latest;
        if self.troubles.iter().any(|t| t.kind == Kind::Crash && dies(t)) {
            ends.push(CallEnd::Orphaned);
        }
        ends
    }

    /// Nothing is certain but that it runs at most once, and there only.
    fn anything(&self, at: Duration, call: &CallStep, servers: Vec<u16>) -> Vec<Possibility> {
        let mut refused = vec![no(ErrorCode::Unavailable), no(ErrorCode::NoSuchService)];
        if self.calls_max() < u32::MAX {
            refused.push(no(ErrorCode::Overloaded));
        }
        let most = u8::from(!servers.is_empty());
        let lost = Possibility { ends: self.lost(at, call), runs: [0, most], servers };
        let mut all = vec![Possibility::without_run(refused), lost];
        if most == 1 {
            let ends = if self.fits(call.answer) { CallEnd::Result } else { TOO_LARGE };
            // What a Home answers itself has no limit.
            let ends = vec![ends, CallEnd::Result];
            let servers = all[1].servers.clone();
            all.push(Possibility { ends, runs: [1, 1], servers });
        }
        all
    }

    /// Homes at the caller's Main that have the service, offered or not, and may be asked.
    fn homes(&self, call: &CallStep) -> Vec<u16> {
        let topology = self.plan.topology;
        let homes = topology.homes_of(topology.main_of(call.from));
        let asked = homes.filter(|home| call.node.is_none_or(|node| node == *home));
        asked.map(|home| topology.home(home)).filter(|host| self.has(*host, call.service)).collect()
    }

    /// Those of them that offer it then or later.
    fn servers(&self, at: Duration, call: &CallStep) -> Vec<u16> {
        let offers = |host: &u16| self.offers(*host, call.service, [at, Duration::MAX]);
        self.homes(call).into_iter().filter(|host| offers(host) != Known::No).collect()
    }

    fn has(&self, host: u16, service: Service) -> bool {
        let topology = self.plan.topology;
        let is_home = (topology.mains..topology.mains + topology.homes).contains(&host);
        match service {
            Service::Own(home) => is_home && topology.home(home) == host,
            Service::Shared(number) => is_home && number < topology.shared_services,
            Service::Nowhere => false,
        }
    }

    /// Whether a host offers a service, as it knows itself, during this time.
    fn offers(&self, host: u16, service: Service, [from, to]: [Duration; 2]) -> Known {
        if !self.has(host, service) {
            return Known::No;
        }
        let mut withdrawn = false;
        let changes = self.changes.iter().filter(|(home, at, _)| *home == host && *at <= to);
        for (_, at, now) in changes.filter(|_| matches!(service, Service::Shared(_))) {
            if *at >= from && *now != withdrawn {
                return Known::Perhaps;
            }
            withdrawn = *now;
        }
        if withdrawn { Known::No } else { Known::Yes }
    }

    /// Whether its Main knows that a Home offers what is called, when the call gets there.
    fn known(&self, home: u16, at: Duration, call: &CallStep) -> Known {
        let arrival = self.way[1] * 2;
        let offers = self.offers(home, call.service, [at - arrival, at + arrival]);
        match self.linked(home, [at, at + arrival]) {
            Known::Yes => offers,
            other => other,
        }
    }

    /// Whether a host is linked to its Main, as both of them see it, all this time.
    fn linked(&self, host: u16, [from, to]: [Duration; 2]) -> Known {
        let main = self.plan.topology.main_of(host);
        let touched = |t: &&Trouble| t.host == host || t.host == main;
        let silence = self.plan.limits.limits().idle_timeout + NOTICED_WITHIN;
        let blocked = |t: &Trouble| t.from + silence <= from && to <= t.until;
        let troubled = |t: &Trouble| t.from <= to && from <= t.until + SETTLED_WITHIN;
        let all = self.troubles.iter().filter(touched).filter(|t| blocked(t) || troubled(t));
        // What one trouble makes certain another may undo: a host that hears nothing any more does
        // not hear either that its Main has given it up.
        match all.map(blocked).fold((false, false), |(yes, no), b| (yes | b, no | !b)) {
            (true, false) => Known::No,
            (false, false) => Known::Yes,
            (_, true) => Known::Perhaps,
        }
    }

    fn suffers(&self, host: u16, kind: Kind, at: Duration) -> bool {
        let now = |t: &Trouble| t.from <= at && at < t.until;
        self.troubles.iter().any(|t| t.host == host && t.kind == kind && now(t))
    }

    fn is_stopped(&self, host: u16, at: Duration) -> bool {
        self.suffers(host, Kind::Crash, at) || self.suffers(host, Kind::Pause, at)
    }

    /// Whether a body fits into a frame; none of a size near the limit is ever asked for.
    fn fits(&self, body: u32) -> bool {
        body < self.plan.limits.limits().frame_bytes_max
    }

    /// Calls that every table of the world has room for.
    fn calls_max(&self) -> u32 {
        let limits = &self.plan.limits;
        let all = [limits.calls_per_link_max, limits.calls_per_caller_max, limits.local_calls_max];
        all.into_iter().filter(|max| *max != 0).min().unwrap_or(u32::MAX)
    }

    /// Whether other calls may leave no room for this one somewhere.
    fn is_crowded(&self, at: Duration, call: &CallStep) -> bool {
        let main = self.plan.topology.main_of(call.from);
        let calm = |since: Duration| {
            !self.troubles.iter().any(|t| t.from <= at && since <= t.until + SETTLED_WITHIN)
        };
        let may_be_there = |(made, other): &&(Duration, CallStep)| {
            let late = if calm(*made) { Duration::ZERO } else { LASTS_MAX + SETTLED_WITHIN };
            let gone = *made + other.deadline.0 + self.way[1] * 8 + SLACK + late;
            *made <= at + self.way[1] * 2 && at <= gone
        };
        let near = self.calls.iter().filter(|(_, c)| self.plan.topology.main_of(c.from) == main);
        // The call itself is among them.
        near.filter(may_be_there).count() as u64 > u64::from(self.calls_max())
    }

    /// Whether calls that are certainly in flight take all the room that the caller has.
    fn is_full(&self, at: Duration, call: &CallStep) -> bool {
        let topology = self.plan.topology;
        let limits = self.plan.limits.limits();
        let is_caller = call.from >= topology.mains + topology.homes;
        let linked = self.linked(call.from, [at, at]) == Known::Yes;
        let on_link = if is_caller && linked { limits.calls_per_caller_max } else { u32::MAX };
        let max = limits.local_calls_max.min(on_link);
        let own = self.calls.iter().filter(|(made, c)| *made < at && c.from == call.from);
        own.filter(|(made, other)| self.is_held(*made, other, at)).count() as u64 >= u64::from(max)
    }

    /// Whether a call is certainly still in flight at a later moment.
    fn is_held(&self, made: Duration, call: &CallStep, at: Duration) -> bool {
        let given_up = call.cancel_after.map_or(Duration::MAX, |after| after.0);
        let lasts = call.handler.0.min(call.deadline.0).min(given_up);
        let servers = self.servers(made, call);
        let sure = |home: &u16| {
            self.known(*home, made, call) == Known::Yes
                && self.linked(*home, [made, at]) == Known::Yes
        };
        at + SLACK < made + lasts
            && self.fits(call.body)
            && !servers.is_empty()
            && servers.iter().all(sure)
            && self.linked(call.from, [made, at]) == Known::Yes
            && !self.is_crowded(made, call)
    }
}

impl Prediction {
    /// Whether this is one of the things that the call may have come to.
    pub(super) fn allows(&self, outcome: &CallOutcome) -> bool {
        let Some(end) = outcome.end else { return false };
        let server = outcome.server.unwrap_or(outcome.step.from);
        let runs = outcome.executions;
        self.0.iter().any(|one| {
            let [least, most] = one.runs;
            let there = runs == 0 || one.servers.contains(&server);
            one.ends.contains(&end) && (least..=most).contains(&runs) && there
        })
    }

    /// The end of the call, where there is but one that it may come to.
    pub(super) fn only_end(&self) -> Option<CallEnd> {
        let first = *self.0.first()?.ends.first()?;
        self.0.iter().all(|one| one.ends.iter().all(|end| *end == first)).then_some(first)
    }
}

impl Possibility {
    const fn without_run(ends: Vec<CallEnd>) -> Self {
        Self { ends, runs: [0, 0], servers: Vec::new() }
    }
}

/// What comes first: this end, some time between `soonest` and `latest` after the call, its
/// deadline, or that its caller gives up.
fn timed(call: &CallStep, end: CallEnd, soonest: Duration, latest: Duration) -> Vec<CallEnd> {
    let deadline = call.deadline.0;
    let given_up = call.cancel_after.map_or(Duration::MAX - SLACK, |after| after.0);
    let ends = [
        (end, soonest, deadline.min(given_up)),
        (unknown(ErrorCode::Deadline), deadline, latest.min(given_up)),
        (CallEnd::Cancelled, given_up, latest.min(deadline)),
    ];
    let possible = ends.into_iter().filter(|(_, at, others)| *at <= *others + SLACK);
    possible.map(|(end, ..)| end).collect()
}

const fn no(code: ErrorCode) -> CallEnd {
    CallEnd::Error { code, executed: Executed::No }
}

const fn unknown(code: ErrorCode) -> CallEnd {
    CallEnd::Error { code, executed: Executed::Unknown }
}

const TOO_LARGE: CallEnd = CallEnd::Error { code: ErrorCode::TooLarge, executed: Executed::Yes };
/// Timers are looked at once in a millisecond.
const SLACK: Duration = Duration::from_millis(2);
/// A frame takes at most so many times the mean delay: four, and it stalls four times for one.
const DELAYS_MAX: u32 = 8;
/// A host that hears nothing gives its link up this much after it may.
const NOTICED_WITHIN: Duration = Duration::from_millis(300);
/// The longest that a trouble may last.
pub(super) const LASTS_MAX: Duration = Duration::from_secs(6);
/// After a trouble every link is there again within the time of a handshake that comes to nothing
/// (5 s), the longest pause before the next dial (2 s), and the next handshake.
pub(super) const SETTLED_WITHIN: Duration = Duration::from_secs(8);
