use super::*;

fn client(limits: ClientLimits) -> Client {
    Client::new(limits)
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn ask(client: &Client) -> Bytes {
    client.ask(None, |id| format!("call {}", String::from_utf8_lossy(id))).unwrap()
}

/// The text of what is written next.
fn written(client: &Client) -> Option<String> {
    match client.poll_text(&mut cx()) {
        Poll::Ready(Ok(text)) => Some(text),
        Poll::Ready(Err(_)) | Poll::Pending => None,
    }
}

fn failure(answer: &Poll<ServiceResult>) -> (ErrorCode, Executed) {
    match answer {
        Poll::Ready(Err(ServiceError::Failed { code, executed, .. })) => (*code, *executed),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_what_was_handed_over_may_have_run() {
    let client = client(ClientLimits::default());
    let (first, second) = (ask(&client), ask(&client));
    assert_eq!(written(&client).unwrap(), r#"call "relay:1""#);
    client.lost();
    let outcome = |id: &Bytes| failure(&client.poll_answer(id, &cx()));
    assert_eq!(outcome(&first), (ErrorCode::LinkLost, Executed::Unknown));
    assert_eq!(outcome(&second), (ErrorCode::LinkLost, Executed::No));
    let refused = client.ask(None, |_| String::new()).unwrap_err();
    let refused = Poll::Ready(Err(refused));
    assert_eq!(failure(&refused), (ErrorCode::Unavailable, Executed::No));
}

#[test]
fn a_call_that_nobody_waits_for_is_not_written() {
    let client = client(ClientLimits::default());
    let (first, second) = (ask(&client), ask(&client));
    client.end_served(&first);
    assert_eq!(written(&client).unwrap(), r#"call "relay:2""#);
    assert_eq!(written(&client), None);
    // This one was, so the client is told.
    client.end_served(&second);
    assert_eq!(written(&client).unwrap(), text::cancel(&second));
    assert!(client.is_idle());
}

#[test]
fn an_answer_to_a_call_that_was_not_written_is_a_guess() {
    let client = client(ClientLimits::default());
    let id = ask(&client);
    assert!(!client.handle_answer(&id, Ok(Bytes::from_static(b"1"))));
    written(&client).unwrap();
    assert!(client.handle_answer(&id, Ok(Bytes::from_static(b"2"))));
    assert_eq!(client.poll_answer(&id, &cx()), Poll::Ready(Ok(Bytes::from_static(b"2"))));
    client.end_served(&id);
    assert_eq!(written(&client), None, "an answered call is not cancelled");
}

#[test]
fn the_queue_is_bounded() {
    let client = client(ClientLimits { queue_bytes_max: 100, ..ClientLimits::default() });
    client.push("x".repeat(60));
    let refused = Poll::Ready(Err(client.ask(None, |_| String::new()).unwrap_err()));
    assert_eq!(failure(&refused), (ErrorCode::Overloaded, Executed::No), "half is for answers");
    client.push("x".repeat(60));
    assert!(!client.is_closing(), "one more than fits is taken");
    client.push(String::new());
    assert_eq!(client.poll_text(&mut cx()), Poll::Ready(Err(Close::SLOW)));
    client.push("late".to_owned());
    assert_eq!(client.poll_text(&mut cx()), Poll::Ready(Err(Close::SLOW)));
}

#[test]
fn chunks_wait_until_others_were_read() {
    let client = client(ClientLimits::default());
    let id = Bytes::from_static(b"7");
    client.begin(Some(&id), None).unwrap();
    assert!(client.poll_room(&id, 10, &cx()).is_ready());
    client.push("x".repeat(ROOM_BYTES + 1));
    assert!(client.poll_room(&id, 10, &cx()).is_pending());
    written(&client).unwrap();
    assert!(client.poll_room(&id, 10, &cx()).is_ready());
}

#[test]
fn what_is_queued_is_written_before_the_close() {
    let client = client(ClientLimits::default());
    client.push("last".to_owned());
    let close = Close { code: 1001, reason: "" };
    client.close(close);
    client.close(Close::SLOW);
    assert_eq!(client.poll_text(&mut cx()), Poll::Ready(Ok("last".to_owned())));
    assert_eq!(client.poll_text(&mut cx()), Poll::Ready(Err(close)), "the first reason stays");
}
