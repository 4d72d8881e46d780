//! Calls and their answers.

use crate::Outcome;
use crate::world::{World, ensure, equal, failed, request, result, short};
use futures_util::future::{join, join_all};
use relay_driver::Runtime;
use relay_driver::api::{Answer, CallRequest, ErrorCode, Executed};

pub(crate) async fn a_service_is_called_by_its_name<R: Runtime>(world: &World<R>) -> Outcome {
    let service = world.name("named");
    let (home, caller) = world.pair(&service).await?;
    for method in ["echo", "later"] {
        for body in ["", "[1, \"ä\"]", "{\"a\":1e400,\"a\":2}"] {
            let answer = world.call(&caller, request(&service, method, body)).await?;
            equal(method, &answer, &result(body))?;
        }
    }
    equal("calls that ran", &home.desk.began(), &6)?;
    // A Home calls as well as it serves, its own services by the same name.
    let answer = world.call(&home.node, request(&service, "echo", "[7]")).await?;
    equal("a call of the Home", &answer, &result("[7]"))?;
    world.leave([home.node, caller]).await
}

pub(crate) async fn a_service_is_called_at_a_node<R: Runtime>(world: &World<R>) -> Outcome {
    let service = world.name("at");
    let (first, caller) = world.pair(&service).await?;
    let second = world.home(&caller, &service).await?;
    for home in [&first, &second, &first] {
        let node = home.node.id().to_string();
        let at_node = CallRequest { node: Some(node.clone()), ..request(&service, "who", "") };
        let answer = world.call(&caller, at_node).await?;
        equal("who answered", &answer, &result(node))?;
    }
    world.leave([first.node, second.node, caller]).await
}

pub(crate) async fn what_is_not_there_is_refused_unexecuted<R: Runtime>(
    world: &World<R>,
) -> Outcome {
    let service = world.name("there");
    let (home, caller) = world.pair(&service).await?;
    let nowhere = world.name("nowhere");
    let refusals = [
        (request(&nowhere, "echo", ""), ErrorCode::NoSuchService),
        (request(&service, "echos", ""), ErrorCode::NoSuchMethod),
        (
            CallRequest { node: Some(nowhere.clone()), ..request(&service, "echo", "") },
            ErrorCode::NoSuchService,
        ),
    ];
    for (request, code) in refusals {
        let what = format!("{:?} {}.{}", request.node, request.service, request.method);
        failed(&what, world.call(&caller, request).await?, code, Executed::No)?;
    }
    equal("calls that ran", &home.desk.began(), &0)?;
    world.leave([home.node, caller]).await
}

pub(crate) async fn an_error_of_the_application_comes_as_it_was_written<R: Runtime>(
    world: &World<R>,
) -> Outcome {
    let service = world.name("failing");
    let (home, caller) = world.pair(&service).await?;
    let written = "{ \"code\":-1,\"message\" : \"\\u00e4 ä\", \"data\":{\"x\":1e400,\"x\":2} }";
    let answer = world.call(&caller, request(&service, "fail", written)).await?;
    equal("the error", &answer, &Ok(Answer::ApplicationError(written.into())))?;
    world.leave([home.node, caller]).await
}

pub(crate) async fn large_bodies_pass_in_both_directions<R: Runtime>(world: &World<R>) -> Outcome {
    let service = world.name("large");
    let (home, caller) = world.pair(&service).await?;
    // Neither of a period that a frame, a message or a buffer could have.
    let body: Vec<u8> = (0..300_007_u32).map(|index| (index % 251) as u8).collect();
    let answer = world.call(&caller, request(&service, "later", body.clone())).await?;
    ensure(answer == result(body), || format!("300 KB came back as {}", short(&answer)))?;
    for length in [1_000_000, 0] {
        let grown = request(&service, "grow", length.to_string());
        let answer = world.call(&caller, grown).await?;
        ensure(answer == result(vec![b'7'; length]), || {
            format!("{length} bytes came as {}", short(&answer))
        })?;
    }
    world.leave([home.node, caller]).await
}

pub(crate) async fn each_of_many_calls_gets_its_own_answer<R: Runtime>(
    world: &World<R>,
) -> Outcome {
    let service = world.name("many");
    let (home, caller) = world.pair(&service).await?;
    let (world, caller_ref, service) = (world, &caller, service.as_str());
    let lanes = (0..LANES).map(|lane| async move {
        for turn in 0..TURNS {
            let body = format!("[{lane},{turn},\"{}\"]", "x".repeat((lane * turn) as usize % 997));
            let method = if turn % 2 == 0 { "echo" } else { "later" };
            let answer = world.call(caller_ref, request(service, method, body.clone())).await?;
            equal(method, &answer, &result(body))?;
        }
        Ok::<(), String>(())
    });
    join_all(lanes).await.into_iter().collect::<Outcome>()?;
    equal("calls that ran", &home.desk.began(), &(LANES * TURNS))?;
    equal("calls that still run", &home.desk.running(), &0)?;
    equal("calls in flight", &caller.calls_in_flight(), &0)?;
    world.leave([home.node, caller]).await
}

pub(crate) async fn what_the_caller_says_of_a_call_reaches_the_handler<R: Runtime>(
    world: &World<R>,
) -> Outcome {
    let service = world.name("told");
    let (home, caller) = world.pair(&service).await?;
    let header = |key: &str, value: &str| (String::from(key), String::from(value));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let told = CallRequest {
        idempotent: true,
        headers: vec![header("lang", "ä"), header("traceparent", parent)],
        ..request(&service, "tell", "")
    };
    let answer = world.call(&caller, told).await?;
    equal("told", &answer, &result(format!("true lang=ä traceparent={parent}")))?;
    let answer = world.call(&caller, request(&service, "tell", "")).await?;
    equal("not told", &answer, &result("false "))?;
    world.leave([home.node, caller]).await
}

pub(crate) async fn a_trace_names_every_node_on_the_way<R: Runtime>(world: &World<R>) -> Outcome {
    let service = world.name("traced");
    let (home, caller) = world.pair(&service).await?;
    let traced = CallRequest { trace: true, ..request(&service, "later", "[1]") };
    let called = world.within("the traced call is answered", caller.call_traced(traced));
    let (answer, trace) = called.await?;
    equal("the answer", &answer, &result("[1]"))?;
    let nodes: Vec<&str> = trace.iter().map(|hop| hop.node.as_str()).collect();
    let [served, _main, made] = nodes.as_slice() else {
        return Err(format!("a way of three nodes came as {nodes:?}"));
    };
    equal("who served it", served, &home.node.id().as_str())?;
    equal("who made it", made, &caller.id().as_str())?;
    let grows = trace.windows(2).all(|pair| pair[0].took <= pair[1].took);
    ensure(grows, || format!("a node waited less than the one behind it: {trace:?}"))?;
    let untraced =
        world.within("the call is answered", caller.call_traced(request(&service, "echo", "")));
    ensure(untraced.await?.1.is_empty(), || "a trace that nobody asked for".into())?;
    world.leave([home.node, caller]).await
}

pub(crate) async fn a_frame_over_the_limit_fails_alone<R: Runtime>(world: &World<R>) -> Outcome {
    let service = world.name("over");
    let (home, caller) = world.pair(&service).await?;
    let beside = world.call(&caller, request(&service, "wait", "[1]"));
    let too_large = async {
        world.until("the first call runs", || home.desk.running() == 1).await?;
        let request_up = request(&service, "echo", vec![b'1'; 2 << 20]);
        let answer = world.call(&caller, request_up).await?;
        let error = failed("2 MiB from a caller", answer, ErrorCode::TooLarge, Executed::No)?;
        ensure(error.limit.is_some(), || format!("no limit is named: {error}"))?;
        let down = request(&service, "grow", (2_u32 << 20).to_string());
        let answer = world.call(&caller, down).await?;
        failed("2 MiB to a caller", answer, ErrorCode::TooLarge, Executed::Yes)?;
        home.desk.open();
        Ok::<(), String>(())
    };
    let (beside, too_large) = join(beside, too_large).await;
    too_large?;
    equal("the call beside it", &beside?, &result("[1]"))?;
    let answer = world.call(&caller, request(&service, "echo", "[2]")).await?;
    equal("the call after it", &answer, &result("[2]"))?;
    equal("calls that ran", &home.desk.began(), &3)?;
    world.leave([home.node, caller]).await
}

const LANES: u32 = 32;
const TURNS: u32 = 25;
