//! Calls that come in by a gateway: how many, how they ended, how long they took.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use relay_tokio::{Answer, CallError, ErrorCode};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

/// Counters of calls.
pub(crate) struct CallMetrics {
    by_outcome: Family<OutcomeLabels, Counter>,
    results: Counter,
    application_errors: Counter,
    /// In the order of [`ErrorCode::ALL`].
    failures: Vec<Counter>,
    by_service: Family<ServiceOutcomeLabels, Counter>,
    durations: Family<ServiceLabels, Histogram, fn() -> Histogram>,
    /// Services with a label of their own.
    named: RwLock<HashMap<String, Arc<ServiceSeries>>>,
    other: Arc<ServiceSeries>,
    is_offered: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// Moving average of how long answered calls took; zero before the first.
    average_nanos: AtomicU64,
    started_at: Instant,
    /// When a call last began or ended, counted from `started_at`.
    active_nanos: AtomicU64,
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// The service answered with a result.
    Result,
    /// The service answered with an error of its own.
    ApplicationError,
    /// A relay says why there is no answer.
    Failed(ErrorCode),
}

impl Outcome {
    pub(crate) const fn of(answer: &Result<Answer, CallError>) -> Self {
        match answer {
            Ok(Answer::Result(_)) => Self::Result,
            Ok(Answer::ApplicationError(_)) => Self::ApplicationError,
            Err(error) => Self::Failed(error.code),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::ApplicationError => "application_error",
            Self::Failed(_) => "failed",
        }
    }
}

/// The handles of one value of the label `service`.
#[derive(Debug)]
struct ServiceSeries {
    results: Counter,
    application_errors: Counter,
    failures: Counter,
    durations: Histogram,
}

impl CallMetrics {
    /// `is_offered` tells whether a service is in the registry now.
    pub(crate) fn new(is_offered: Box<dyn Fn(&str) -> bool + Send + Sync>) -> Self {
        let by_outcome = Family::<OutcomeLabels, Counter>::default();
        // All of them are there from the start: a rate needs the zero before the first failure.
        let counter = |outcome: Outcome, code: &'static str| {
            by_outcome.get_or_create_owned(&OutcomeLabels { outcome: outcome.name(), code })
        };
        let results = counter(Outcome::Result, "");
        let application_errors = counter(Outcome::ApplicationError, "");
        let failures = ErrorCode::ALL.iter();
        let failures = failures.map(|code| counter(Outcome::Failed(*code), code.name())).collect();
        let by_service = Family::default();
        let durations: Family<_, _, fn() -> Histogram> = Family::new_with_constructor(histogram);
        let other = Arc::new(ServiceSeries::of(OTHER, &by_service, &durations));
        Self {
            by_outcome,
            results,
            application_errors,
            failures,
            by_service,
            durations,
            named: RwLock::default(),
            other,
            is_offered,
            average_nanos: AtomicU64::new(0),
            started_at: Instant::now(),
            active_nanos: AtomicU64::new(0),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "gateway_calls",
            "Calls that came in by a gateway, by how they ended",
            self.by_outcome.clone(),
        );
        registry.register(
            "gateway_service_calls",
            "Calls that came in by a gateway, by service and how they ended",
            self.by_service.clone(),
        );
        registry.register_with_unit(
            "gateway_service_call_duration",
            "Time from a call to its end, by service",
            Unit::Seconds,
            self.durations.clone(),
        );
    }

    /// A call to `service` begins.
    pub(crate) fn begin(self: &Arc<Self>, service: &str) -> CallTimer {
        let started_at = Instant::now();
        self.touch(started_at);
        let series = self.named().get(service).cloned();
        let service = series.map_or_else(|| Service::Unnamed(service.to_owned()), Service::Named);
        CallTimer { calls: Arc::clone(self), service, started_at, took: None, is_over: false }
    }

    /// Counts what was no call to a service: a request that could not run, or one that this node
    /// answers by itself.
    pub(crate) fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Result => &self.results,
            Outcome::ApplicationError => &self.application_errors,
            Outcome::Failed(code) => match ErrorCode::ALL.binary_search(&code) {
                Ok(at) => &self.failures[at],
                Err(_) => return,
            },
        };
        counter.inc();
    }

    /// Moving average of how long answered calls took; none before the first.
    pub(crate) fn average_latency(&self) -> Option<Duration> {
        match self.average_nanos.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    /// How long ago a call last began or ended.
    pub(super) fn idle(&self) -> Duration {
        let active = Duration::from_nanos(self.active_nanos.load(Ordering::Relaxed));
        self.started_at.elapsed().saturating_sub(active)
    }

    fn touch(&self, now: Instant) {
        let since_start = nanos(now.duration_since(self.started_at));
        self.active_nanos.fetch_max(since_start, Ordering::Relaxed);
    }

    /// When every label is taken, gives up those of services that nobody offers any more.
    pub(super) fn make_room(&self) {
        if self.named().len() < SERVICES_MAX {
            return;
        }
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        named.retain(|service, _| {
            let is_offered = (self.is_offered)(service);
            if !is_offered {
                for outcome in OUTCOMES {
                    let service = service.clone();
                    self.by_service.remove(&ServiceOutcomeLabels { service, outcome });
                }
                self.durations.remove(&ServiceLabels { service: service.clone() });
            }
            is_offered
        });
    }

    /// The series of a service. A name becomes a label only if somebody offers the service or it
    /// has just answered: callers can invent names, services cannot be invented.
    fn series(&self, service: &str, outcome: Outcome) -> Arc<ServiceSeries> {
        let known = |named: &HashMap<String, Arc<ServiceSeries>>| match named.get(service) {
            Some(series) => Some(Arc::clone(series)),
            None if named.len() >= SERVICES_MAX => Some(Arc::clone(&self.other)),
            None => None,
        };
        if let Some(series) = known(&self.named()) {
            return series;
        }
        let has_answered = matches!(outcome, Outcome::Result | Outcome::ApplicationError);
        if !has_answered && !(self.is_offered)(service) {
            return Arc::clone(&self.other);
        }
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known(&named) {
            return series;
        }
        let series = Arc::new(ServiceSeries::of(service, &self.by_service, &self.durations));
        named.insert(service.to_owned(), Arc::clone(&series));
        series
    }

    fn end(&self, service: &Service, outcome: Outcome, took: Duration) {
        self.count(outcome);
        self.touch(Instant::now());
        let series = match service {
            Service::Named(series) => Arc::clone(series),
            Service::Unnamed(service) => self.series(service, outcome),
        };
        let counter = match outcome {
            Outcome::Result => &series.results,
            Outcome::ApplicationError => &series.application_errors,
            Outcome::Failed(_) => &series.failures,
        };
        counter.inc();
        series.durations.observe(took.as_secs_f64());
        if matches!(outcome, Outcome::Result | Outcome::ApplicationError) {
            let took = nanos(took).max(1);
            let mix = |old: u64| if old == 0 { took } else { old - old / 8 + took / 8 };
            // Two calls that end at once may lose one sample of an average.
            let old = self.average_nanos.load(Ordering::Relaxed);
            self.average_nanos.store(mix(old).max(1), Ordering::Relaxed);
        }
    }

    fn named(&self) -> RwLockReadGuard<'_, HashMap<String, Arc<ServiceSeries>>> {
        self.named.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServiceSeries {
    fn of(
        service: &str,
        by_service: &Family<ServiceOutcomeLabels, Counter>,
        durations: &Family<ServiceLabels, Histogram, fn() -> Histogram>,
    ) -> Self {
        let [results, application_errors, failures] = OUTCOMES.map(|outcome| {
            let service = service.to_owned();
            by_service.get_or_create_owned(&ServiceOutcomeLabels { service, outcome })
        });
        let durations = durations.get_or_create_owned(&ServiceLabels { service: service.into() });
        Self { results, application_errors, failures, durations }
    }
}

impl fmt::Debug for CallMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallMetrics").finish_non_exhaustive()
    }
}

/// One call on its way. Dropping it without an end means that its caller went away.
#[derive(Debug)]
pub(crate) struct CallTimer {
    calls: Arc<CallMetrics>,
    service: Service,
    started_at: Instant,
    took: Option<Duration>,
    is_over: bool,
}

#[derive(Debug)]
enum Service {
    Named(Arc<ServiceSeries>),
    Unnamed(String),
}

impl CallTimer {
    /// The answer is there. What comes of it may be known later: other calls of its batch may
    /// take their time.
    pub(crate) fn answered(&mut self) {
        self.took = Some(self.started_at.elapsed());
    }

    /// The call ended this way.
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.settle(outcome);
    }

    fn settle(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.is_over, true) {
            let took = self.took.unwrap_or_else(|| self.started_at.elapsed());
            self.calls.end(&self.service, outcome, took);
        }
    }
}

impl Drop for CallTimer {
    fn drop(&mut self) {
        self.settle(Outcome::Failed(ErrorCode::Cancelled));
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
    code: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ServiceOutcomeLabels {
    service: String,
    outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ServiceLabels {
    service: String,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS_SECONDS)
}

/// Services with a label of their own.
pub(super) const SERVICES_MAX: usize = 100;
/// The label of all other services. No service is called so: names hold no brackets.
const OTHER: &str = "(other)";
const OUTCOMES: [&str; 3] = ["result", "application_error", "failed"];
const BUCKETS_SECONDS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    struct World {
        calls: Arc<CallMetrics>,
        registry: Registry,
        offered: Arc<Mutex<BTreeSet<String>>>,
    }

    impl World {
        fn of(offered: &[String]) -> Self {
            let offered = Arc::new(Mutex::new(offered.iter().cloned().collect::<BTreeSet<_>>()));
            let asked = Arc::clone(&offered);
            let is_offered = move |service: &str| asked.lock().unwrap().contains(service);
            let calls = Arc::new(CallMetrics::new(Box::new(is_offered)));
            let mut registry = Registry::default();
            calls.register(&mut registry);
            Self { calls, registry, offered }
        }

        fn value(&self, sample: &str) -> Option<u64> {
            let mut text = String::new();
            encode(&mut text, &self.registry).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
            line.map(|number| number.parse().unwrap())
        }

        fn calls_of(&self, service: &str, outcome: &str) -> Option<u64> {
            let labels = format!("service=\"{service}\",outcome=\"{outcome}\"");
            self.value(&format!("gateway_service_calls_total{{{labels}}}"))
        }
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("s{number:03}")).collect()
    }

    #[test]
    fn r24_labels_are_bounded_and_cannot_be_invented() {
        let all = names(SERVICES_MAX + 20);
        let world = World::of(&all);
        let no_such = Outcome::Failed(ErrorCode::NoSuchService);
        for invented in 0..1000 {
            world.calls.begin(&format!("invented{invented}")).end(no_such);
        }
        assert_eq!(world.calls_of("(other)", "failed"), Some(1000));
        assert_eq!(world.calls_of("invented0", "failed"), None);
        for service in &all {
            world.calls.begin(service).end(Outcome::Failed(ErrorCode::Deadline));
            world.calls.begin(service).end(Outcome::Result);
        }
        assert_eq!(world.calls_of("s000", "failed"), Some(1));
        assert_eq!(world.calls_of("s099", "result"), Some(1));
        assert_eq!(world.calls_of("s100", "result"), None);
        assert_eq!(world.calls_of("(other)", "result"), Some(20));
        assert_eq!(world.calls_of("(other)", "failed"), Some(1020));
    }

    #[test]
    fn r24_services_that_left_make_room() {
        let all = names(SERVICES_MAX + 1);
        let world = World::of(&all);
        for service in &all {
            world.calls.begin(service).end(Outcome::Result);
        }
        world.calls.make_room();
        assert_eq!(world.calls_of("s007", "result"), Some(1), "still offered");
        world.offered.lock().unwrap().remove("s007");
        world.calls.make_room();
        assert_eq!(world.calls_of("s007", "result"), None);
        world.calls.begin("s100").end(Outcome::Result);
        assert_eq!(world.calls_of("s100", "result"), Some(1));
    }

    #[test]
    fn each_call_is_counted_once() {
        let world = World::of(&names(1));
        world.calls.begin("s000").end(Outcome::ApplicationError);
        drop(world.calls.begin("s000"));
        world.calls.count(Outcome::Failed(ErrorCode::Parse));
        let total = |labels: &str| world.value(&format!("gateway_calls_total{{{labels}}}"));
        assert_eq!(total("outcome=\"application_error\",code=\"\""), Some(1));
        assert_eq!(total("outcome=\"failed\",code=\"CANCELLED\""), Some(1));
        assert_eq!(total("outcome=\"failed\",code=\"PARSE\""), Some(1));
        assert_eq!(total("outcome=\"failed\",code=\"DEADLINE\""), Some(0));
        let count = "gateway_service_call_duration_seconds_count{service=\"s000\"}";
        assert_eq!(world.value(count), Some(2));
    }

    #[test]
    fn the_average_follows_what_calls_take() {
        let world = World::of(&names(1));
        assert_eq!(world.calls.average_latency(), None);
        let took =
            |nanos| world.calls.end(&Service::Unnamed("s000".into()), Outcome::Result, nanos);
        took(Duration::from_millis(80));
        assert_eq!(world.calls.average_latency(), Some(Duration::from_millis(80)));
        took(Duration::from_millis(160));
        assert_eq!(world.calls.average_latency(), Some(Duration::from_millis(90)));
    }
}
