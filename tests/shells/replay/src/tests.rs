//! Equal digests mean nothing unless unequal ones are possible.

use crate::player::{Player, replay_in};
use crate::runtime::Around;
use crate::smol::play_on_smol;
use crate::tokio::{Tokio, block_on, play_on_tokio};
use crate::transport::Planted;
use relay_sim::golden::{Input, Trace, play, record};
use std::sync::Arc;
use std::time::Duration;

/// Whether a defect changes the digest of this trace, and nothing worse.
fn shows(trace: &Trace, defect: Planted) -> Result<bool, String> {
    let mut around = Around::default();
    around.planted = Some(defect);
    let found = block_on(replay_in::<Tokio>(trace, Arc::new(around)))??;
    Ok(found.hash != play(trace)?.hash)
}

#[test]
fn the_bare_loop_and_both_executors_agree() {
    for seed in 1..=10 {
        let trace = record(seed).expect("a trace");
        let golden = play(&trace);
        assert!(golden.is_ok(), "{golden:?}");
        assert_eq!(play_on_tokio(&trace), golden, "tokio, seed {seed}");
        assert_eq!(play_on_smol(&trace), golden, "smol, seed {seed}");
    }
}

#[test]
fn a_driver_that_changes_the_order_of_frames_is_noticed() {
    assert_eq!(shows(&record(1).expect("a trace"), Planted::Reordered), Ok(true));
}

#[test]
fn a_driver_that_loses_the_report_of_a_write_is_noticed() {
    assert_eq!(shows(&record(1).expect("a trace"), Planted::UnreportedWrites), Ok(true));
}

#[test]
fn bytes_that_come_twice_are_noticed() {
    let shown: Vec<_> = (1..=4)
        .map(|seed| shows(&record(seed).expect("a trace"), Planted::ReceivedTwice))
        .collect();
    // In some traces nothing that follows fits any more, which is noticed as well.
    assert!(shown.contains(&Ok(true)) && !shown.contains(&Ok(false)), "{shown:?}");
}

#[test]
fn a_driver_that_sleeps_on_when_there_is_room_is_noticed() {
    let trace = record(WITH_STALLS).expect("a trace");
    let rooms = trace.steps.iter().filter(|step| matches!(step.input, Input::Room { .. })).count();
    assert!(rooms > 10, "{rooms}");
    assert_eq!(shows(&trace, Planted::RoomUnnoticed), Ok(true));
}

#[test]
fn an_input_that_is_missing_is_noticed() {
    let mut trace = record(2).expect("a trace");
    let is_large = |input: &Input| matches!(input, Input::Received { .. });
    let at = trace.steps.iter().position(|step| is_large(&step.input)).expect("bytes came");
    trace.steps.remove(at);
    assert!(play(&trace).is_err());
}

#[test]
fn traces_are_the_same_after_they_were_bytes() {
    let traces = [record(3).expect("a trace"), record(4).expect("a trace")];
    let bytes = Trace::encode(&traces).expect("bytes");
    assert_eq!(Trace::decode(&bytes).expect("traces"), traces);
    assert!(Trace::decode(&bytes[..bytes.len() / 2]).is_err());
}

#[test]
fn a_peer_that_reads_nothing_does_not_keep_a_link_that_its_node_has_closed() {
    // A Home sends its request at once, nobody takes it, and the handshake runs out of time.
    let trace = record(8).expect("a trace");
    let mut steps = trace.steps.iter();
    let connected = steps.find(|step| matches!(step.input, Input::Connected { .. }));
    let connected = connected.expect("it connects");
    let mut around = Around::default();
    around.planted = Some(Planted::TakesNothing);
    let held = block_on(async {
        let mut player = Player::<Tokio>::start(&trace.profile, Arc::new(around))?;
        player.end_step().await?;
        player.step(connected).await?;
        let before = player.pipes[0].is_held();
        let closed = trace.profile.limits().handshake_timeout + Duration::from_secs(3);
        player.advance(Duration::from_nanos(connected.at) + closed).await?;
        Ok::<_, String>((before, player.pipes[0].is_held()))
    });
    assert_eq!(held, Ok(Ok((true, false))));
}

/// A seed in whose world a Main has links that are full.
const WITH_STALLS: u64 = 17;
