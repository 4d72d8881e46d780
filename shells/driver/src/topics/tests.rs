//! What no link is needed for; the rest is in the scenarios of `tests/shells`.

use super::*;
use crate::{BoxFuture, Endpoint, Node, NodeConfig, Runtime, Transport};
use relay_core::{ErrorCode, Gap, Role};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Wake;
use std::time::Duration;

/// Nothing moves here: no time passes, no task runs, nobody answers.
struct Still;

impl Runtime for Still {
    fn current() -> Self {
        Self
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn unix_time(&self) -> Duration {
        Duration::ZERO
    }

    fn random(&self) -> Option<[u8; 32]> {
        Some([7; 32])
    }

    fn spawn(&self, future: BoxFuture<()>) {
        drop(future);
    }

    fn sleep(&self, _: Duration) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }

    fn connect(&self, _: Endpoint) -> BoxFuture<io::Result<Box<dyn Transport>>> {
        Box::pin(std::future::pending())
    }
}

fn node(role: Role) -> Node<Still> {
    Node::start_on(NodeConfig::new(role), Still).unwrap()
}

/// A task that counts how often it was woken.
#[derive(Default)]
struct Task(AtomicU32);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Task {
    fn ready(self: &Arc<Self>, subscription: &Subscription) -> Poll<Result<(), CallError>> {
        subscription.poll_ready(&Context::from_waker(&Waker::from(Arc::clone(self))))
    }

    fn next(self: &Arc<Self>, subscription: &Subscription) -> Poll<Option<Received>> {
        subscription.poll_next(&Context::from_waker(&Waker::from(Arc::clone(self))))
    }

    /// Whether it was woken since this was asked last.
    fn was_woken(&self) -> bool {
        self.0.swap(0, Ordering::SeqCst) > 0
    }
}

/// What can be read now: missed ones as `-n`, others by their content.
fn read(subscription: &Subscription) -> Vec<i64> {
    let task = Arc::<Task>::default();
    let mut read = Vec::new();
    while let Poll::Ready(Some(received)) = task.next(subscription) {
        read.push(match received {
            Received::Publication(publication) => number(&publication),
            Received::Missed { count } => -i64::try_from(count).unwrap(),
        });
    }
    read
}

/// The number that a body begins with.
fn number(publication: &Publication) -> i64 {
    let body = publication.body();
    let digits = body.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&body[..digits]).unwrap().parse().unwrap()
}

fn error() -> CallError {
    CallError::new(ErrorCode::Overloaded, "main", "enough")
}

#[test]
fn a_pattern_that_is_added_or_taken_away_forgets_nobody_who_waits_for_the_main() {
    let home = node(Role::Home);
    let subscription = home.subscribe("a").unwrap();
    let task = Arc::<Task>::default();
    assert!(task.ready(&subscription).is_pending());
    assert_eq!(subscription.add("b"), Ok(true));
    assert_eq!(subscription.add("b"), Ok(false));
    assert!(subscription.remove("a"));
    assert!(task.was_woken() && task.ready(&subscription).is_pending());
    assert!(subscription.remove("b") && !subscription.remove("b"));
    assert!(task.was_woken());
    assert_eq!(task.ready(&subscription), Poll::Ready(Ok(())));
}

#[test]
fn all_who_wait_are_woken() {
    let main = node(Role::Main);
    let subscription = main.subscribe("a").unwrap();
    let tasks = [Arc::<Task>::default(), Arc::<Task>::default()];
    for task in &tasks {
        // Looking again and again leaves no more than one waker behind.
        for _ in 0..3 {
            assert!(task.next(&subscription).is_pending());
        }
    }
    assert_eq!(subscription.queue.lock().readers.0.len(), 2);
    main.publish("a", b"1").unwrap();
    assert!(tasks[1].was_woken() && tasks[0].was_woken());
    assert!(tasks[1].next(&subscription).is_ready());
    assert!(tasks[0].next(&subscription).is_pending(), "one publication, for one of them");
    drop(main);
    assert!(tasks[0].was_woken() && !tasks[1].was_woken());
    assert!(matches!(tasks[0].next(&subscription), Poll::Ready(None)));
}

#[test]
fn several_subscriptions_to_one_pattern_are_one_at_the_node() {
    let main = node(Role::Main);
    let one = vec![(String::from("a.*"), 1)];
    let [first, second] = [(); 2].map(|()| main.subscribe("a.*").unwrap());
    assert_eq!(first.add("**"), Ok(true));
    assert!(first.remove("**"));
    main.publish("a.b", b"1").unwrap();
    assert_eq!((read(&first), read(&second)), (vec![1], vec![1]));
    assert_eq!(main.subscriptions(), one);
    drop(first);
    assert_eq!(main.subscriptions(), one);
    main.publish("a.b", b"2").unwrap();
    assert_eq!(read(&second), [2]);
    drop(second);
    assert_eq!(main.subscriptions(), []);
    assert_eq!(main.publish("a.b", b"3").unwrap().links, 0);
}

#[test]
fn a_topic_comes_once_however_many_patterns_stand_for_it() {
    let main = node(Role::Main);
    let subscription = main.subscribe("a.b").unwrap();
    for pattern in ["a.*", "*.b", "**"] {
        assert_eq!(subscription.add(pattern), Ok(true));
    }
    main.publish("a.b", b"1").unwrap();
    assert!(subscription.remove("**"));
    main.publish("a.b.c", b"2").unwrap();
    main.publish("a.b", b"3").unwrap();
    assert_eq!(read(&subscription), [1, 3]);
}

#[test]
fn who_waits_hears_of_the_end_and_nothing_of_it_is_left() {
    let main = node(Role::Main);
    let subscription = main.subscribe("a").unwrap();
    main.publish("a", b"1").unwrap();
    let task = Arc::<Task>::default();
    assert!(task.next(&subscription).is_ready() && task.next(&subscription).is_pending());
    main.publish("a", b"2").unwrap();
    subscription.end();
    assert!(task.was_woken());
    assert_eq!(main.subscriptions(), []);
    assert_eq!(subscription.add("b"), Ok(false));
    assert_eq!(main.subscriptions(), [], "an ended one takes no pattern");
    assert_eq!(read(&subscription), [2], "what has come already");
    assert!(matches!(task.next(&subscription), Poll::Ready(None)));
    assert_eq!(task.ready(&subscription), Poll::Ready(Ok(())));
    // Its id is its own until it is dropped, and then the next one's.
    let next = main.subscribe("a").unwrap();
    subscription.end();
    drop(subscription);
    main.publish("a", b"3").unwrap();
    assert_eq!(read(&next), [3]);
}

#[test]
fn what_is_no_pattern_leaves_nothing_behind() {
    let home = node(Role::Home);
    for pattern in ["", "a..b", "**.a", "a b"] {
        let error = home.subscribe(pattern).expect_err(pattern);
        assert_eq!(error.code, ErrorCode::NameInvalid);
    }
    let subscription = home.subscription();
    assert!(subscription.add("a.").is_err());
    assert_eq!(Arc::<Task>::default().ready(&subscription), Poll::Ready(Ok(())));
    assert_eq!(home.subscriptions(), []);
}

#[test]
fn a_refusal_is_told_to_all_who_asked_and_to_nobody_else() {
    let mut subscribers = Subscribers::default();
    let [first, second, other] = [(); 3].map(|()| {
        let (id, queue) = subscribers.open();
        Subscription::new(id, Weak::new(), queue)
    });
    for subscription in [&first, &second] {
        assert!(subscribers.add(subscription.id, "a"));
    }
    assert!(subscribers.add(first.id, "b") && subscribers.add(other.id, "b"));
    let [task, stranger] = [Arc::<Task>::default(), Arc::default()];
    assert!(task.ready(&first).is_pending() && stranger.ready(&other).is_pending());
    let mut wakes = Vec::new();
    subscribers.refused("a", &error(), &mut wakes);
    wakes.drain(..).for_each(Waker::wake);
    assert!(task.was_woken() && !stranger.was_woken());
    assert_eq!(task.ready(&first), Poll::Ready(Err(error())));
    assert_eq!(task.ready(&second), Poll::Ready(Err(error())));
    assert!(!subscribers.has("a"));
    // The others still stand.
    assert!(task.ready(&first).is_pending(), "told once");
    subscribers.confirmed("b", &mut wakes);
    wakes.drain(..).for_each(Waker::wake);
    assert!(task.was_woken() && stranger.was_woken());
    for subscription in [&first, &second, &other] {
        assert_eq!(task.ready(subscription), Poll::Ready(Ok(())));
    }
    // Whoever comes later need not wait.
    assert!(subscribers.add(second.id, "b"));
    assert_eq!(task.ready(&second), Poll::Ready(Ok(())));
}

#[test]
fn what_the_node_missed_is_told_to_all_who_subscribed_to_something() {
    let mut subscribers = Subscribers::default();
    let [first, nothing] = [(); 2].map(|()| {
        let (id, queue) = subscribers.open();
        Subscription::new(id, Weak::new(), queue)
    });
    assert!(subscribers.add(first.id, "a"));
    let task = Arc::<Task>::default();
    assert!(task.next(&first).is_pending());
    let mut wakes = Vec::new();
    subscribers.missed(2, &mut wakes);
    subscribers.missed(3, &mut wakes);
    wakes.into_iter().for_each(Waker::wake);
    assert!(task.was_woken());
    assert_eq!((read(&first), read(&nothing)), (vec![-5], vec![]));
}

#[test]
fn a_queue_that_is_not_read_is_bounded_in_number_and_in_bytes() {
    let main = node(Role::Main);
    let subscription = main.subscribe("a").unwrap();
    let kept_of = |published: usize, bytes: usize| {
        for n in 0..published {
            let body = format!("{n:<bytes$}");
            main.publish("a", body.as_bytes()).unwrap();
        }
        let read = read(&subscription);
        let kept = published as i64 - read.len() as i64 + 1;
        let expected = std::iter::once(-kept).chain(kept..published as i64);
        assert_eq!(read, expected.collect::<Vec<_>>(), "the newest, in order");
        read.len() - 1
    };
    assert_eq!(kept_of(1_500, 1), QUEUE_MAX);
    let kept = kept_of(200, 20_000);
    assert!(kept * 20_000 < QUEUE_BYTES_MAX && (kept + 1) * 20_600 > QUEUE_BYTES_MAX, "{kept}");
    // A gap is about what comes to the node, and here everything did.
    main.publish("a", b"1").unwrap();
    let next = Arc::<Task>::default().next(&subscription);
    let Poll::Ready(Some(Received::Publication(next))) = next else { panic!("{next:?}") };
    assert_eq!((next.gap, next.seq), (Gap::None, 1_701));
}

#[test]
fn what_is_kept_for_long_keeps_nothing_else_alive() {
    let main = node(Role::Main);
    let both = [(); 2].map(|()| main.subscribe("a").unwrap());
    for n in 0..SHARED_MAX + 2 {
        main.publish("a", n.to_string().as_bytes()).unwrap();
    }
    let bodies = both.map(|subscription| {
        let queue = subscription.queue.lock();
        queue.publications.iter().map(Publication::body).collect::<Vec<_>>()
    });
    for (at, (first, second)) in std::iter::zip(&bodies[0], &bodies[1]).enumerate() {
        assert_eq!(first, second);
        assert_eq!(first.as_ptr() == second.as_ptr(), at < SHARED_MAX, "{at}");
    }
}

/// The last waker of a task may be all that keeps it: what the task holds goes with it.
#[test]
fn a_subscription_may_go_with_the_waker_of_another() {
    struct Holder(#[expect(dead_code, reason = "what counts is when it is dropped")] Subscription);
    impl Wake for Holder {
        fn wake(self: Arc<Self>) {}
    }
    let home = node(Role::Home);
    let subscription = home.subscribe("a").unwrap();
    let holder = Arc::new(Holder(home.subscribe("b").unwrap()));
    let waker = Waker::from(holder);
    assert!(subscription.poll_ready(&Context::from_waker(&waker)).is_pending());
    drop(waker);
    assert_eq!(home.subscriptions().len(), 2);
    drop(subscription);
    assert_eq!(home.subscriptions(), []);
}
