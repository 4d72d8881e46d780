//! What every shell has to do over every transport: one list of scenarios.
//!
//! Homes and callers of a scenario run on the shell under test and reach two Mains, which are
//! federated, anywhere and on any shell, by nothing but their addresses. So the scenarios need no
//! socket, no thread and no clock of their own, and run in a browser as they do on a server. A
//! scenario that fails says why in a text and does not panic, which a browser could not report.
//!
//! No outcome depends on how fast anything runs: a scenario waits for what must happen, however
//! long that takes, and [`PATIENCE`] only ends what hangs.

mod calls;
mod cut;
mod desk;
mod endings;
mod links;
mod streams;
mod topics;
mod world;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use relay_driver::Runtime;

pub use world::{PATIENCE, World};

/// Nothing, or what went wrong.
pub type Outcome = Result<(), String>;

/// One of the things that every shell has to do.
pub struct Scenario<R> {
    /// Its name, which says what is shown.
    pub name: &'static str,
    run: for<'a> fn(&'a World<R>) -> LocalBoxFuture<'a, Outcome>,
}

impl<R: Runtime> Scenario<R> {
    /// Runs it in a world, which may serve other scenarios before, after and at the same time.
    pub async fn run(&self, world: &World<R>) -> Outcome {
        (self.run)(world).await
    }
}

macro_rules! scenarios {
    ($($module:ident::$name:ident,)+) => {
        vec![$(Scenario {
            name: stringify!($name),
            run: |world| $module::$name(world).boxed_local(),
        },)+]
    };
}

/// Every scenario. To add one, add a line.
#[must_use]
pub fn scenarios<R: Runtime>() -> Vec<Scenario<R>> {
    let list = scenarios![
        calls::a_service_is_called_by_its_name,
        calls::a_service_is_called_at_a_node,
        calls::what_is_not_there_is_refused_unexecuted,
        calls::an_error_of_the_application_comes_as_it_was_written,
        calls::large_bodies_pass_in_both_directions,
        calls::each_of_many_calls_gets_its_own_answer,
        calls::what_the_caller_says_of_a_call_reaches_the_handler,
        calls::a_trace_names_every_node_on_the_way,
        calls::a_frame_over_the_limit_fails_alone,
        streams::a_service_streams_no_faster_than_it_is_read,
        streams::a_caller_streams_to_its_handler,
        endings::a_cancelled_call_ends_its_handler,
        endings::a_deadline_passes_and_nobody_claims_to_know,
        links::a_home_that_goes_is_missed_at_once_and_comes_back,
        links::another_home_takes_over,
        links::who_shows_the_wrong_token_is_refused_with_the_reason,
        links::who_belongs_to_another_cluster_is_refused_with_the_reason,
        links::a_home_that_leaves_in_good_order_loses_no_call,
        topics::who_subscribed_gets_all_in_order_and_nothing_twice,
        topics::a_publication_crosses_to_another_main,
        topics::a_subscription_outlives_its_link_and_the_gap_is_told,
        topics::who_does_not_read_misses_the_oldest_and_is_told,
        topics::a_pattern_too_many_is_refused_and_the_others_stand,
    ];
    // A panic that cannot be caught ends the program, as on wasm32.
    #[cfg(panic = "unwind")]
    let list = [list, scenarios![endings::a_panic_ends_its_own_call_and_no_other,]]
        .into_iter()
        .flatten()
        .collect();
    list
}
