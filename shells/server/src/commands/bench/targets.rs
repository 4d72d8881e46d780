//! Where calls go, in turn, and where they go when they provably did not run.

use super::answer::Answer;
use super::http::Http;
use super::link::Links;
use super::plan::{Plan, Url};
use super::question::Question;
use crate::cli::Failure;
use bytes::Bytes;
use futures_util::future::join_all;
use std::io::Write as _;
use std::time::Duration;
use tokio::time::Instant;

/// All URLs, and the question that is asked there.
#[derive(Debug)]
pub(super) struct Targets {
    question: Question,
    targets: Vec<Target>,
    fails_over: bool,
    timeout: Duration,
}

#[derive(Debug)]
enum Target {
    Links(Links),
    Http(Box<Http>),
}

/// One call, as it is tried at one URL or more.
pub(super) struct Attempt<'a> {
    pub(super) question: &'a Question,
    pub(super) params: Bytes,
    /// When it is too late for an answer.
    pub(super) until: Instant,
}

/// What came of a call.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) answer: Answer,
    /// The number of the URL that it was tried at first; the others follow in their order.
    pub(super) first: usize,
    /// URLs that it was tried at.
    pub(super) tried: usize,
    /// URLs that there are.
    pub(super) urls: usize,
}

impl Targets {
    /// Connects. A URL that is not reached is told about, and is an error only if all are.
    pub(super) async fn open(plan: &Plan) -> Result<Self, Failure> {
        let targets = plan.urls.iter().map(|url| match url {
            Url::Link(endpoint) => Links::start(endpoint, plan).map(Target::Links),
            Url::Http { endpoint, uri } => {
                Ok(Target::Http(Box::new(Http::new(endpoint, uri, plan.tls.clone()))))
            }
        });
        let targets = targets.collect::<Result<Vec<_>, _>>()?;
        let reached = join_all(targets.iter().map(|target| target.reach(plan.timeout))).await;
        let mut failures: Vec<Failure> = reached.into_iter().filter_map(Result::err).collect();
        if failures.len() == targets.len() {
            return Err(failures.swap_remove(0));
        }
        for failure in failures {
            let line = format!("warning: {}\n", crate::cli::one_line(failure.message()));
            // With nobody reading, the figures of the URL tell it, too.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        Ok(Self {
            question: plan.question.clone(),
            targets,
            fails_over: plan.fails_over,
            timeout: plan.timeout,
        })
    }

    /// How long a call may take from when it is due.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) const fn question(&self) -> &Question {
        &self.question
    }

    /// Makes a call, at one URL after the other while it provably did not run.
    pub(super) async fn call(&self, number: u64, until: Instant) -> Ended {
        let params = self.question.params(number);
        let attempt = Attempt { question: &self.question, params, until };
        let count = self.targets.len();
        let first = (number % count as u64) as usize;
        let mut tried = 0;
        loop {
            let target = &self.targets[(first + tried) % count];
            let answer = match target {
                Target::Links(links) => links.ask(&attempt).await,
                Target::Http(http) => http.ask(&attempt, number).await,
            };
            tried += 1;
            let is_over = !self.fails_over || tried == count || Instant::now() >= until;
            if is_over || !answer.may_move() {
                return Ended { answer, first, tried, urls: count };
            }
        }
    }

    pub(super) async fn close(&self) {
        join_all(self.targets.iter().map(Target::close)).await;
    }
}

impl Target {
    async fn reach(&self, timeout: Duration) -> Result<(), Failure> {
        match self {
            Self::Links(links) => links.reach(timeout).await,
            Self::Http(http) => http.reach(timeout).await,
        }
    }

    async fn close(&self) {
        match self {
            Self::Links(links) => links.close().await,
            Self::Http(_) => {}
        }
    }
}

/// How much later than its deadline a call counts as lost.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(1);
