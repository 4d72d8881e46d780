//! Streams before the answer, in both directions.

use crate::Outcome;
use crate::desk::{CHUNK_BYTES, chunk};
use crate::world::{World, ensure, equal, request, result};
use relay_driver::api::STREAM_WINDOW;
use relay_driver::{Node, Runtime};

pub(crate) async fn a_service_streams_no_faster_than_it_is_read<R: Runtime>(
    world: &World<R>,
) -> Outcome {
    let service = world.name("down");
    let (home, caller) = world.pair(&service).await?;
    let asked = request(&service, "down", CHUNKS.to_string());
    let started = caller.call_streaming(&asked).map_err(|error| error.to_string())?;
    let (stream, answer) = started;
    // Nothing is read, so it stands still when the window is full. A chunk costs more of it than
    // its bytes.
    world.until("the window is full", || home.desk.sent() >= FULL - FULL / 8).await?;
    for _ in 0..20 {
        echo(world, &caller, &service).await?;
    }
    let sent = home.desk.sent();
    ensure(sent <= FULL, || format!("{sent} chunks were sent and none was read"))?;
    for index in 0..CHUNKS {
        let got = world.within("the next chunk comes", stream.next()).await?;
        ensure(got.as_ref() == Some(&chunk(index)), || {
            format!("chunk {index} came as {:?}", got.map(|got| got.len()))
        })?;
    }
    let last = world.within("the stream ends", stream.next()).await?;
    equal("behind the last chunk", &last, &None)?;
    let answer = world.within("the answer comes", answer).await?;
    equal("the answer", &answer, &result(CHUNKS.to_string()))?;
    world.leave([home.node, caller]).await
}

pub(crate) async fn a_caller_streams_to_its_handler<R: Runtime>(world: &World<R>) -> Outcome {
    let service = world.name("up");
    let (home, caller) = world.pair(&service).await?;
    let asked = request(&service, "up", "");
    let started = caller.call_streaming(&asked).map_err(|error| error.to_string())?;
    let (stream, answer) = started;
    let sending = async {
        for index in 0..CHUNKS - 1 {
            stream.send(chunk(index)).await?;
        }
        stream.send_last(chunk(CHUNKS - 1)).await
    };
    let sent = world.within("the stream is taken", sending).await?;
    sent.map_err(|error| error.to_string())?;
    let answer = world.within("the answer comes", answer).await?;
    equal("the answer", &answer, &result(CHUNKS.to_string()))?;
    world.leave([home.node, caller]).await
}

/// A call over the same links: whatever was sent before it has arrived.
async fn echo<R: Runtime>(world: &World<R>, caller: &Node<R>, service: &str) -> Outcome {
    let answer = world.call(caller, request(service, "later", "[1]")).await?;
    equal("a call beside the stream", &answer, &result("[1]"))
}

/// Four windows.
const CHUNKS: u32 = 4 * FULL;
/// More chunks than this are not in the window.
const FULL: u32 = STREAM_WINDOW / CHUNK_BYTES as u32;
