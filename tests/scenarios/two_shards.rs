//! A Main on two threads: the caller's link is on one shard, the Home's on the other.

use bytes::BytesMut;
use relay_core::{
    Answer, Call, Config, Delivery, Identity, Instant, Mail, Node, NodeId, Outbox, Output, Reply,
    Role, Side,
};
use relay_sim::{Machine, place_of};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// What reaches a thread from outside.
enum Input {
    Bytes(Vec<u8>),
    Mail(Mail),
    Stop,
}

/// Runs a shard with one link until it is told to stop; `others` are the threads of all shards.
fn run_shard(
    mut machine: Machine,
    inputs: Receiver<Input>,
    peer: &Sender<Input>,
    others: &[Sender<Input>],
) {
    let (mut out, mut tail) = (Outbox::default(), BytesMut::new());
    let started = std::time::Instant::now();
    let link = machine.open_link(Side::Accepted, Instant::ZERO, &mut out).expect("room");
    loop {
        let input = inputs.recv_timeout(Duration::from_millis(1));
        let now = Instant::ZERO.after(started.elapsed());
        match input {
            Ok(Input::Bytes(bytes)) => {
                tail.extend_from_slice(&bytes);
                machine.handle_received(link, &mut tail, now, &mut out);
            }
            Ok(Input::Mail(mail)) => machine.handle_mail(mail, now, &mut out),
            Ok(Input::Stop) => return,
            Err(_) => machine.handle_timeout(now, &mut out),
        }
        for output in out.drain() {
            match output {
                Output::Transmit { frame, .. } => drop(peer.send(Input::Bytes(frame.to_vec()))),
                Output::Mail(mail) => {
                    others[place_of(&mail)].send(Input::Mail(mail)).expect("the shard runs");
                }
                Output::Close { reason, .. } => panic!("a link closed: {reason}"),
                _ => {}
            }
        }
    }
}

fn peer(role: Role, name: &str, key: u8) -> Node {
    let identity = Identity::new(&[key; 32], NodeId::new(name).ok()).expect("legal");
    Node::new(Config::new(role), identity, [key; 32])
}

/// Runs a Home whose service answers with the parameters.
fn run_home(mut node: Node, inputs: Receiver<Input>, main: &Sender<Input>) {
    let (mut out, mut tail, now) = (Outbox::default(), BytesMut::new(), Instant::ZERO);
    node.register("echo", &["echo"], now, &mut out).expect("legal");
    let dial = node.dial("main", now, &mut out);
    let link = node.open_link(Side::Dialled(dial), now, &mut out).expect("room");
    loop {
        let outputs: Vec<Output> = out.drain().collect();
        for output in outputs {
            match output {
                Output::Transmit { frame, .. } => drop(main.send(Input::Bytes(frame.to_vec()))),
                Output::Deliver(Delivery::Request(call)) => {
                    node.reply(call.call, Reply::Result(&call.body()), now, &mut out);
                }
                _ => {}
            }
        }
        if !out.is_empty() {
            continue;
        }
        match inputs.recv() {
            Ok(Input::Bytes(bytes)) => {
                tail.extend_from_slice(&bytes);
                node.handle_received(link, &mut tail, now, &mut out);
            }
            Ok(Input::Mail(_)) => panic!("a node of one shard gets no mail"),
            Ok(Input::Stop) | Err(_) => return,
        }
    }
}

#[test]
fn a_call_crosses_from_one_shard_to_the_other_and_back() {
    let identity = Identity::new(&[1; 32], NodeId::new("main").ok()).expect("legal");
    let (first, mut siblings) = Node::with_shards(Config::new(Role::Main), identity, [1; 32], 2);
    let second = siblings.pop().expect("two shards");
    let ((main0, inputs0), (main1, inputs1)) = (channel(), channel());
    let ((home, home_inputs), (caller, caller_inputs)) = (channel(), channel());
    let others = [main0.clone(), main1.clone()];
    thread::scope(|scope| {
        let (first, second) = (Machine::First(Box::new(first)), Machine::Other(Box::new(second)));
        let (home, caller, others, main0) = (&home, &caller, &others, &main0);
        scope.spawn(move || run_shard(first, inputs0, home, others));
        scope.spawn(move || run_shard(second, inputs1, caller, others));
        scope.spawn(move || run_home(peer(Role::Home, "home", 2), home_inputs, main0));
        let answered = call_many(&caller_inputs, &main1, 2_000);
        for thread in [main0, &main1, home] {
            thread.send(Input::Stop).expect("it runs");
        }
        assert_eq!(answered, 2_000);
    });
}

/// Calls `echo` from a caller that is linked to `main`, 50 calls at a time, and counts the answers.
fn call_many(inputs: &Receiver<Input>, main: &Sender<Input>, calls: u32) -> u32 {
    let mut node = peer(Role::Caller, "caller", 3);
    let (mut out, mut tail, now) = (Outbox::default(), BytesMut::new(), Instant::ZERO);
    let dial = node.dial("main", now, &mut out);
    let link = node.open_link(Side::Dialled(dial), now, &mut out).expect("room");
    let (mut made, mut answered, mut waiting) = (0_u32, 0, std::collections::BTreeMap::new());
    while answered < calls {
        while node.control().is_connected() && made < calls && waiting.len() < 50 {
            let body = made.to_be_bytes();
            let deadline = Duration::from_secs(60);
            let (service, method) = ("echo", "echo");
            let call = Call { service, method, body: &body, deadline, ..Call::default() };
            let call = node.call(call, now, &mut out).expect("accepted");
            waiting.insert(call, body);
            made += 1;
        }
        for output in out.drain() {
            match output {
                Output::Transmit { frame, .. } => drop(main.send(Input::Bytes(frame.to_vec()))),
                Output::Deliver(Delivery::Answer { call, answer, .. }) => {
                    let body = waiting.remove(&call).expect("it was made");
                    match answer {
                        Answer::Result(result) => {
                            assert_eq!(result, &body[..]);
                            answered += 1;
                        }
                        // The Home may register a moment after the first calls.
                        Answer::Failed(error) if error.code.name() == "NO_SUCH_SERVICE" => {
                            made = answered + waiting.len() as u32;
                            thread::yield_now();
                        }
                        other => panic!("{other:?}"),
                    }
                }
                _ => {}
            }
        }
        if waiting.is_empty() && node.control().is_connected() {
            continue;
        }
        if let Ok(Input::Bytes(bytes)) = inputs.recv_timeout(Duration::from_secs(60)) {
            tail.extend_from_slice(&bytes);
            node.handle_received(link, &mut tail, now, &mut out);
        }
    }
    answered
}
