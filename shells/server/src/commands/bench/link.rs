//! Calls over relay links, as a program with the Rust API makes them.

use super::answer::Answer;
use super::plan::Plan;
use super::targets::{Attempt, LOST_AFTER};
use crate::cli::Failure;
use crate::commands::call::{reach, start_failed};
use futures_util::future::join_all;
use relay_tokio::{Answer as Told, Endpoint, Pool, PoolConfig, Runtime as _, Selection, Tokio};
use std::slice;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The links to one URL.
#[derive(Debug)]
pub(super) struct Links {
    endpoint: Endpoint,
    pool: Pool,
}

impl Links {
    /// Begins to dial. What is not reached now is dialled again and again.
    pub(super) fn start(endpoint: &Endpoint, plan: &Plan) -> Result<Self, Failure> {
        let mut settings = plan.settings.clone();
        settings.upstreams = vec![endpoint.clone()];
        let mut config = PoolConfig::new(settings);
        (config.min, config.max) = (plan.links.into(), plan.links_max.into());
        config.selection = Selection::RoundRobin;
        let runtime = Tokio::current().with_tls(plan.tls.clone());
        let pool = Pool::start_on(config, runtime).map_err(|error| start_failed(&error))?;
        Ok(Self { endpoint: endpoint.clone(), pool })
    }

    /// Waits for all of them.
    pub(super) async fn reach(&self, timeout: Duration) -> Result<(), Failure> {
        let mains = slice::from_ref(&self.endpoint);
        let nodes = self.pool.nodes();
        let reached = nodes.iter().map(|node| reach(node, mains, timeout));
        join_all(reached).await.into_iter().collect()
    }

    pub(super) async fn ask(&self, attempt: &Attempt<'_>) -> Answer {
        let mut request = attempt.question.request.clone();
        request.body = attempt.params.clone();
        let left = attempt.until.saturating_duration_since(Instant::now());
        request.deadline = left.max(Duration::from_millis(1));
        // The node answers by the deadline itself; the rest only covers a node that does not.
        match timeout_at(attempt.until + LOST_AFTER, self.pool.call(request)).await {
            Ok(Ok(Told::Result(result))) => Answer::Result(result),
            Ok(Ok(Told::ApplicationError(object))) => Answer::of_service(&object),
            Ok(Err(error)) => Answer::of_relay(&error),
            Err(_) => Answer::Lost,
        }
    }

    /// Says goodbye on every link.
    pub(super) async fn close(&self) {
        self.pool.shutdown(GOODBYE_MAX).await;
    }
}

const GOODBYE_MAX: Duration = Duration::from_millis(250);
