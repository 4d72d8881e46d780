//! Calls that end without an answer of their handler.

use crate::Outcome;
use crate::world::{World, equal, failed, request, result};
use futures_util::future::{Either, select};
use relay_driver::Runtime;
use relay_driver::api::{CallRequest, ErrorCode, Executed};
use std::pin::pin;
use std::time::Duration;

pub(crate) async fn a_cancelled_call_ends_its_handler<R: Runtime>(world: &World<R>) -> Outcome {
    let service = world.name("cancelled");
    let (home, caller) = world.pair(&service).await?;
    let started = world.until("the handler runs", || home.desk.running() == 1);
    let hanging = caller.call(request(&service, "hang", ""));
    match select(pin!(hanging), pin!(started)).await {
        Either::Left((answer, _)) => return Err(format!("a call that hangs: {answer:?}")),
        // The call is dropped here.
        Either::Right((started, _)) => started?,
    }
    world.until("the handler was dropped", || home.desk.running() == 0).await?;
    let in_flight = || (home.node.calls_in_flight(), caller.calls_in_flight());
    world.until("no call is left", || in_flight() == (0, 0)).await?;
    world.leave([home.node, caller]).await
}

pub(crate) async fn a_deadline_passes_and_nobody_claims_to_know<R: Runtime>(
    world: &World<R>,
) -> Outcome {
    let service = world.name("late");
    let (home, caller) = world.pair(&service).await?;
    let hanging = request(&service, "hang", "");
    let hanging = CallRequest { deadline: Duration::from_millis(200), ..hanging };
    let answer = world.call(&caller, hanging).await?;
    failed("a call that hangs", answer, ErrorCode::Deadline, Executed::Unknown)?;
    world.until("the handler was dropped", || home.desk.running() == 0).await?;
    let answer = world.call(&caller, request(&service, "echo", "[1]")).await?;
    equal("the call after it", &answer, &result("[1]"))?;
    world.leave([home.node, caller]).await
}

#[cfg(panic = "unwind")]
pub(crate) async fn a_panic_ends_its_own_call_and_no_other<R: Runtime>(
    world: &World<R>,
) -> Outcome {
    let service = world.name("panicking");
    let (home, caller) = world.pair(&service).await?;
    let beside = world.call(&caller, request(&service, "wait", "[1]"));
    let panicking = async {
        world.until("the first call runs", || home.desk.running() == 1).await?;
        let answer = world.call(&caller, request(&service, "panic", "")).await?;
        failed("a panic", answer, ErrorCode::Internal, Executed::Unknown)?;
        home.desk.open();
        Ok::<(), String>(())
    };
    let (beside, panicking) = futures_util::future::join(beside, panicking).await;
    panicking?;
    equal("the call beside it", &beside?, &result("[1]"))?;
    world.leave([home.node, caller]).await
}
