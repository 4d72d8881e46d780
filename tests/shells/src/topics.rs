//! Publications and those who subscribed to them.

use crate::Outcome;
use crate::cut::{Cuttable, Scissors};
use crate::world::{World, ensure, equal, short};
use relay_driver::api::{
    CallError, ErrorCode, Event, Gap, Limits, Publication, Publish, Received, Role, Subscription,
};
use relay_driver::{Node, Runtime};

pub(crate) async fn who_subscribed_gets_all_in_order_and_nothing_twice<R: Runtime>(
    world: &World<R>,
) -> Outcome {
    let name = world.name("said");
    let (publisher, subscriber) = (world.caller().await?, world.caller().await?);
    let pattern = format!("{name}.*.news");
    let all = world.subscribe(&subscriber, &pattern).await?;
    // Whoever asks in several ways gets it once all the same.
    for pattern in [format!("{name}.**"), format!("{name}.a.*")] {
        add(&all, &pattern)?;
    }
    let narrow = world.subscribe(&subscriber, &format!("{name}.a.news")).await?;
    world.within("the patterns stand", all.ready()).await?.map_err(refused)?;
    for n in 0..MANY {
        for place in ["a", "b", "c"] {
            publish(&publisher, &format!("{name}.{place}.news"), n)?;
        }
        publish(&publisher, &format!("{name}-other.a.news"), n)?;
    }
    for n in 0..MANY {
        for place in ["a", "b", "c"] {
            let got = world.next(&all).await?;
            came(&got, &format!("{name}.{place}.news"), n, Gap::None)?;
            equal("who published", &got.publisher(), &publisher.id().as_str())?;
        }
        came(&world.next(&narrow).await?, &format!("{name}.a.news"), n, Gap::None)?;
    }
    let body: Vec<u8> = (0..300_007_u32).map(|index| (index % 251) as u8).collect();
    let headers = [("lang", "ä"), ("kind", "whole")];
    let topic = format!("{name}.a");
    let large = Publish { topic: &topic, body: &body, headers: &headers };
    publisher.publish_with(large).map_err(|error| format!("cannot publish: {error}"))?;
    let got = world.next(&all).await?;
    ensure(got.body() == body, || format!("300 KB came as {}", short(&got.body())))?;
    let headers: Vec<_> = got.headers().collect();
    equal("headers", &headers, &vec![("kind", "whole"), ("lang", "ä")])?;
    unsubscribed(world, &name, &publisher, &subscriber, all).await?;
    world.leave([publisher, subscriber]).await
}

/// What was unsubscribed is not even sent any more.
async fn unsubscribed<R: Runtime>(
    world: &World<R>,
    name: &str,
    publisher: &Node<R>,
    subscriber: &Node<R>,
    all: Subscription,
) -> Outcome {
    let end = format!("{name}-end");
    let ending = world.subscribe(subscriber, &end).await?;
    ensure(all.remove(&format!("{name}.**")), || "there was no such pattern".into())?;
    ensure(!all.remove(&format!("{name}.**")), || "a pattern was there twice".into())?;
    drop(all);
    equal("patterns that are left", &subscriber.subscriptions().len(), &2)?;
    // The Main has heard of it once it has answered what was said after it.
    publish(subscriber, &end, 1)?;
    came(&world.next(&ending).await?, &end, 1, Gap::None)?;
    let before = subscriber.stats().publications;
    publish(publisher, &format!("{name}.b.news"), MANY)?;
    publish(publisher, &end, 2)?;
    came(&world.next(&ending).await?, &end, 2, Gap::None)?;
    equal("publications that came", &(subscriber.stats().publications - before), &1)
}

pub(crate) async fn a_publication_crosses_to_another_main<R: Runtime>(world: &World<R>) -> Outcome {
    let name = world.name("far");
    let pattern = format!("{name}.*");
    for (here, there) in [(0, 1), (1, 0)] {
        let (subscriber, publisher) = (world.caller_at(here).await?, world.caller_at(there).await?);
        let neighbour = world.caller_at(there).await?;
        let all = world.subscribe(&subscriber, &pattern).await?;
        let near = world.subscribe(&neighbour, &format!("{name}.said{here}")).await?;
        // The other Main hears of a pattern a moment later.
        let (probe, said) = (format!("{name}.probe{here}"), format!("{name}.said{here}"));
        let probing = async {
            while subscriber.stats().publications == 0 {
                publish(&publisher, &probe, 0)?;
                world.pause().await;
            }
            Ok::<(), String>(())
        };
        world.within("a probe crosses", probing).await??;
        for n in 0..MANY {
            publish(&publisher, &said, n)?;
        }
        let mut got = world.next(&all).await?;
        while got.topic() == probe {
            got = world.next(&all).await?;
        }
        for n in 0..MANY {
            came(&got, &said, n, Gap::None)?;
            came(&world.next(&near).await?, &said, n, Gap::None)?;
            if n + 1 < MANY {
                got = world.next(&all).await?;
            }
        }
        world.leave([subscriber, publisher, neighbour]).await?;
    }
    Ok(())
}

pub(crate) async fn a_subscription_outlives_its_link_and_the_gap_is_told<R: Runtime>(
    world: &World<R>,
) -> Outcome {
    let name = world.name("cut");
    let (topic, fresh) = (format!("{name}.a"), format!("{name}.b"));
    let scissors = Scissors::default();
    let runtime = Cuttable::new(world.runtime(), scissors.clone());
    let config = world.config(Role::Home, &world.name("subscriber"));
    let subscriber = Node::start_on(config, runtime).map_err(|error| error.to_string())?;
    let publisher = world.caller().await?;
    let pattern = format!("{name}.*");
    let all = world.subscribe(&subscriber, &pattern).await?;
    // Whoever publishes hears of it when the Main is through with it.
    let echo = world.subscribe(&publisher, &topic).await?;
    for n in 0..3 {
        publish(&publisher, &topic, n)?;
        came(&world.next(&all).await?, &topic, n, Gap::None)?;
    }
    for round in 1..=2 {
        let mut events = subscriber.events();
        scissors.cut();
        world.until("the link is lost", || !subscriber.is_connected()).await?;
        for n in 0..MISSED {
            publish(&publisher, &topic, n)?;
        }
        for _ in 0..MISSED + if round == 1 { 3 } else { 1 } {
            world.next(&echo).await?;
        }
        scissors.mend();
        subscriber.dial_now();
        let standing = async {
            while let Some(event) = events.next().await {
                if event == (Event::Subscribed { pattern: pattern.clone() }) {
                    return;
                }
            }
        };
        world.within("the subscription stands again", standing).await?;
        publish(&publisher, &topic, 100 * round)?;
        publish(&publisher, &fresh, 100 * round)?;
        let gap = Gap::Of(u64::from(MISSED));
        came(&world.next(&all).await?, &topic, 100 * round, gap)?;
        came(&world.next(&all).await?, &fresh, 100 * round, Gap::None)?;
    }
    world.within("the nodes leave", subscriber.shutdown(std::time::Duration::ZERO)).await?;
    world.leave([publisher]).await
}

pub(crate) async fn who_does_not_read_misses_the_oldest_and_is_told<R: Runtime>(
    world: &World<R>,
) -> Outcome {
    let name = world.name("slow");
    let (publisher, first, second) =
        (world.caller().await?, world.caller().await?, world.caller().await?);
    let slow = world.subscribe(&first, &name).await?;
    let beside = world.subscribe(&first, &format!("{name}.**")).await?;
    let elsewhere = world.subscribe(&second, &name).await?;
    for batch in 0..BATCHES {
        for n in batch * MANY..(batch + 1) * MANY {
            publish(&publisher, &name, n)?;
        }
        for n in batch * MANY..(batch + 1) * MANY {
            came(&world.next(&beside).await?, &name, n, Gap::None)?;
            came(&world.next(&elsewhere).await?, &name, n, Gap::None)?;
        }
    }
    let left_out = BATCHES * MANY - KEPT;
    match world.within("something comes", slow.next()).await? {
        Some(Received::Missed { count }) => equal("missed", &count, &u64::from(left_out))?,
        other => return Err(format!("not told what was missed: {}", short(&other))),
    }
    for n in left_out..BATCHES * MANY {
        came(&world.next(&slow).await?, &name, n, Gap::None)?;
    }
    // From now on it reads, and nothing is missed.
    for n in 0..3 {
        publish(&publisher, &name, n)?;
        for subscription in [&slow, &beside, &elsewhere] {
            came(&world.next(subscription).await?, &name, n, Gap::None)?;
        }
    }
    world.leave([publisher, first, second]).await
}

pub(crate) async fn a_pattern_too_many_is_refused_and_the_others_stand<R: Runtime>(
    world: &World<R>,
) -> Outcome {
    let name = world.name("many");
    // Its own bound is higher, so that it is the Main that refuses.
    let most = Limits::default().subscriptions_per_link_max;
    let mut config = world.config(Role::Caller, &world.name("subscriber"));
    config.limits.subscriptions_per_link_max = most + 1;
    let node = world.start(config)?;
    let all = node.subscription();
    for n in 0..most {
        add(&all, &format!("{name}.{n}"))?;
    }
    world.within("all patterns stand", all.ready()).await?.map_err(refused)?;
    let beyond = format!("{name}.beyond");
    add(&all, &beyond)?;
    let Err(error) = world.within("the refusal comes", all.ready()).await? else {
        return Err("one more than allowed was taken".into());
    };
    equal("the refusal", &error.code, &ErrorCode::Overloaded)?;
    ensure(!all.remove(&beyond), || "what was refused is still there".into())?;
    equal("patterns that stand", &node.subscriptions().len(), &(most as usize))?;
    // Another in its place.
    ensure(all.remove(&format!("{name}.0")), || "a pattern is missing".into())?;
    add(&all, &beyond)?;
    world.within("the pattern stands", all.ready()).await?.map_err(refused)?;
    for topic in [&format!("{name}.1"), &beyond] {
        publish(&node, topic, 1)?;
        came(&world.next(&all).await?, topic, 1, Gap::None)?;
    }
    let illegal = node.publish(&format!("{name}.*"), b"").map_err(|error| error.code);
    equal("a pattern as a topic", &illegal, &Err(ErrorCode::NameInvalid))?;
    world.leave([node]).await
}

impl<R: Runtime> World<R> {
    /// A subscription that the Main has confirmed.
    async fn subscribe<S: Runtime>(
        &self,
        node: &Node<S>,
        pattern: &str,
    ) -> Result<Subscription, String> {
        let subscription = node.subscribe(pattern).map_err(refused)?;
        let ready = self.within("the pattern stands", subscription.ready());
        ready.await?.map_err(refused)?;
        Ok(subscription)
    }

    /// The next publication, where nothing may be missed.
    async fn next(&self, subscription: &Subscription) -> Result<Publication, String> {
        match self.within("a publication comes", subscription.next()).await? {
            Some(Received::Publication(publication)) => Ok(publication),
            other => Err(format!("no publication: {other:?}")),
        }
    }
}

fn add(subscription: &Subscription, pattern: &str) -> Outcome {
    let is_new = subscription.add(pattern).map_err(refused)?;
    ensure(is_new, || format!("{pattern} was there already"))
}

fn refused(error: CallError) -> String {
    format!("refused: {error}")
}

fn publish<R: Runtime>(node: &Node<R>, topic: &str, n: u32) -> Outcome {
    let published = node.publish(topic, n.to_string().as_bytes());
    published.map(drop).map_err(|error| format!("cannot publish {n} on {topic}: {error}"))
}

/// Checks that this is what was published.
fn came(got: &Publication, topic: &str, n: u32, gap: Gap) -> Outcome {
    equal("the topic", &got.topic(), &topic)?;
    let body = got.body();
    let seen = (String::from_utf8_lossy(&body).into_owned(), got.gap);
    equal(topic, &seen, &(n.to_string(), gap))
}

const MANY: u32 = 100;
const BATCHES: u32 = 13;
/// What a subscription keeps that is not read.
const KEPT: u32 = 1_024;
const MISSED: u32 = 4;
