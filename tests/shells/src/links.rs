//! Links that end, come back, or are refused.

use crate::Outcome;
use crate::world::{Home, World, ensure, equal, failed, request, result};
use futures_util::future::{join, join_all};
use relay_driver::Runtime;
use relay_driver::api::{
    Answer, CallRequest, CloseReason, ErrorCode, Event, Executed, NodeConfig, Role,
};

pub(crate) async fn a_home_that_goes_is_missed_at_once_and_comes_back<R: Runtime>(
    world: &World<R>,
) -> Outcome {
    let service = world.name("gone");
    let caller = world.caller().await?;
    let mut config = world.config(Role::Home, &world.name("home"));
    config.secret_key = Some(world.secret());
    let home = world.home_with(&caller, &service, config.clone()).await?;
    let going = async {
        world.until("the call runs", || home.desk.running() == 1).await?;
        world.leave([home.node.clone()]).await
    };
    let hanging = world.call(&caller, request(&service, "hang", ""));
    let (answer, gone) = join(hanging, going).await;
    gone?;
    failed("the call that ran", answer?, ErrorCode::LinkLost, Executed::Unknown)?;
    // Whoever was told that the link is lost finds nothing behind it any more.
    let answer = world.call(&caller, request(&service, "echo", "")).await?;
    failed("the next call", answer, ErrorCode::NoSuchService, Executed::No)?;
    let ran = home.desk.began();
    equal("calls that ran", &ran, &1)?;

    let again = world.home_with(&caller, &service, config).await?;
    let answer = world.call(&caller, request(&service, "who", "")).await?;
    equal("who answers", &answer, &result(home.node.id().to_string()))?;
    world.leave([again.node, caller]).await
}

pub(crate) async fn another_home_takes_over<R: Runtime>(world: &World<R>) -> Outcome {
    let service = world.name("twice");
    let (first, caller) = world.pair(&service).await?;
    let second = world.home(&caller, &service).await?;
    let homes = [first, second];
    let who = || CallRequest { idempotent: true, ..request(&service, "who", "") };
    // Who answers is up to the Main, which may prefer one of them for ever.
    let answer = world.call(&caller, who()).await?;
    let is_of = |home: &Home<R>| answer == result(home.node.id().to_string());
    let [went, stayed] = match (is_of(&homes[0]), is_of(&homes[1])) {
        (true, false) => homes,
        (false, true) => {
            let [first, second] = homes;
            [second, first]
        }
        _ => return Err(format!("neither of both answered: {answer:?}")),
    };
    let calling = async {
        let mut by_both = [0, 0];
        while by_both[1] < ENOUGH || went.node.link_count() > 0 {
            let answer = world.call(&caller, who()).await?;
            let from_gone = answer == result(went.node.id().to_string());
            if !from_gone {
                equal("who answers", &answer, &result(stayed.node.id().to_string()))?;
            }
            by_both[usize::from(!from_gone)] += 1;
        }
        Ok::<_, String>(by_both)
    };
    let calling = world.within("the Home that stays gets all calls", calling);
    let (by_both, left) = join(calling, world.leave([went.node.clone()])).await;
    let by_both = by_both??;
    left?;
    ensure(went.desk.began() > by_both[0], || "more answers than calls that ran".into())?;
    ensure(stayed.desk.began() >= by_both[1], || "more answers than calls that ran".into())?;
    world.leave([stayed.node, caller]).await
}

pub(crate) async fn who_shows_the_wrong_token_is_refused_with_the_reason<R: Runtime>(
    world: &World<R>,
) -> Outcome {
    for token in [None, Some(String::from("wrong"))] {
        let mut config = world.config(Role::Caller, &world.name("stranger"));
        config.token = token;
        refused(world, config, ErrorCode::Unauthenticated, "token").await?;
    }
    Ok(())
}

pub(crate) async fn who_belongs_to_another_cluster_is_refused_with_the_reason<R: Runtime>(
    world: &World<R>,
) -> Outcome {
    let mut config = world.config(Role::Home, &world.name("stranger"));
    config.cluster = String::from("elsewhere");
    refused(world, config, ErrorCode::Forbidden, "cluster").await
}

/// Starts a node that must be turned away, with a reason in words that hold `word`.
async fn refused<R: Runtime>(
    world: &World<R>,
    config: NodeConfig,
    code: ErrorCode,
    word: &str,
) -> Outcome {
    let node = world.start(config)?;
    let mut events = node.events();
    let told = async {
        loop {
            match events.next().await {
                Some(Event::LinkDown { reason, detail, .. }) => return Ok((reason, detail)),
                Some(Event::LinkUp { .. }) => return Err(String::from("a stranger was let in")),
                Some(_) => {}
                None => return Err(String::from("the node is gone")),
            }
        }
    };
    let (reason, detail) = world.within("the refusal comes", told).await??;
    equal("the reason", &reason, &CloseReason::Fault(code))?;
    ensure(detail.contains(word), || format!("no word of a {word}: {detail:?}"))?;
    ensure(!node.is_connected(), || "a stranger is connected".into())?;
    world.leave([node]).await
}

pub(crate) async fn a_home_that_leaves_in_good_order_loses_no_call<R: Runtime>(
    world: &World<R>,
) -> Outcome {
    let service = world.name("leaving");
    let (home, caller) = world.pair(&service).await?;
    let calls =
        (0..CALLS).map(|index| world.call(&caller, request(&service, "wait", index.to_string())));
    let leaving = world.within("the Home has left", home.node.shutdown(crate::PATIENCE));
    let meanwhile = async {
        world.until("the Home is leaving", || home.node.is_draining()).await?;
        let answer = world.call(&caller, request(&service, "wait", "new")).await?;
        let refused = matches!(&answer, Err(error) if error.executed == Executed::No);
        ensure(refused, || format!("a new call was not refused: {answer:?}"))?;
        equal("calls that run", &home.desk.running(), &CALLS)?;
        home.desk.open();
        Ok::<(), String>(())
    };
    let ending = async {
        world.until("all calls run", || home.desk.running() == CALLS).await?;
        let (left, meanwhile) = join(leaving, meanwhile).await;
        meanwhile.and(left)
    };
    let (answers, ended) = join(join_all(calls), ending).await;
    ended?;
    for (index, answer) in answers.into_iter().enumerate() {
        equal("an answer", &answer?, &Ok(Answer::Result(index.to_string().into())))?;
    }
    equal("calls that ran", &home.desk.began(), &CALLS)?;
    world.leave([caller]).await
}

/// Calls that the Home that stays has to answer.
const ENOUGH: u32 = 30;
const CALLS: u32 = 40;
