//! `relay sub`: what is published on some topics, a line for each publication, for as long as
//! somebody reads.

use super::printer::{self, Printer};
use super::{GOODBYE_MAX, Link, failed};
use crate::cli::{Failure, SubArgs, one_line};
use crate::commands::block_on;
use crate::commands::call::push_safe;
use crate::commands::run::StopSignals;
use crate::publication::write_members;
use relay_tokio::{
    Event, EventStream, Gap, NameInvalid, Node, Publication, Received, Role, Subscription,
    is_pattern,
};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

/// Subscribes and prints until the end.
///
/// # Errors
/// [`Failure`] when the command line is wrong, no Main is reached or it refuses a pattern.
pub fn execute(args: &SubArgs) -> Result<ExitCode, Failure> {
    if let Some(bad) = args.patterns.iter().find(|pattern| !is_pattern(pattern)) {
        let text = format!("{bad:?} is no pattern: {}", NameInvalid::Pattern);
        return Err(Failure::usage(text).with_hint("write it as in 'messages.*' or 'orders.**'"));
    }
    let link = Link::of(&args.link)?;
    block_on(async {
        let mut signals = StopSignals::install()?;
        let (printer, printed) = printer::start()?;
        let node = link.start()?;
        let heard = tokio::select! {
            heard = hear(&node, &link, args, printer) => Some(heard),
            () = signals.next() => None,
        };
        // Whoever stops this does not wait for a reader that does not read.
        let ended = match heard {
            Some(Err(failure)) => Err(failure),
            Some(Ok(())) => tokio::select! {
                ended = printed.end() => ended,
                () = signals.next() => Ok(ExitCode::SUCCESS),
            },
            None => {
                let in_time = tokio::time::timeout(LAST_LINES, printed.end()).await;
                in_time.unwrap_or(Ok(ExitCode::SUCCESS))
            }
        };
        node.shutdown(GOODBYE_MAX).await;
        ended
    })
}

/// Prints what comes until there is enough, or nobody reads any more.
async fn hear(node: &Node, link: &Link, args: &SubArgs, printer: Printer) -> Result<(), Failure> {
    let main = link.reach(node).await?;
    let mut events = node.events();
    let subscription = node.subscription();
    for pattern in &args.patterns {
        subscription.add(pattern).map_err(|error| failed(&error))?;
    }
    ready(&subscription, link.timeout).await?;
    say(&format!("subscribed at {main} to {}", args.patterns.join(", ")));
    let is_terminal = std::io::stdout().is_terminal();
    let mut left = args.count;
    let mut trouble = Trouble::new(args);
    while left != Some(0) {
        let received = tokio::select! {
            received = subscription.next() => received,
            () = trouble.watch(&mut events) => return Err(trouble.refused()),
        };
        match received {
            Some(Received::Publication(publication)) => {
                if !printer.print(line(&publication, is_terminal)).await {
                    break;
                }
                left = left.map(|left| left - 1);
            }
            Some(Received::Missed { count }) => say(&format!(
                "missed: {count} publications were left out, because they were not read in time"
            )),
            None => break,
        }
    }
    Ok(())
}

async fn ready(subscription: &Subscription, timeout: Duration) -> Result<(), Failure> {
    let confirmed = tokio::time::timeout(timeout, subscription.ready()).await;
    let late = |_| Failure::work("the Main did not confirm the patterns in time");
    confirmed.map_err(late)?.map_err(|error| failed(&error))
}

/// A publication as one line, which says on the standard error output what is missing before it.
fn line(publication: &Publication, is_terminal: bool) -> String {
    let (publisher, topic, seq) = (publication.publisher(), publication.topic(), publication.seq);
    match publication.gap {
        Gap::None => {}
        Gap::Of(count) => say(&format!(
            "gap: {count} publications of {publisher} on {topic} are missing before number {seq}"
        )),
        Gap::Unknown => say(&format!(
            "gap: publications of {publisher} on {topic} may be missing before number {seq}"
        )),
    }
    let mut out = vec![b'{'];
    write_members(&mut out, publication);
    // In JSON they are white space: those of texts are escaped.
    out.iter_mut().filter(|byte| matches!(**byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    out.extend_from_slice(b"}");
    let text = String::from_utf8_lossy(&out);
    let mut line = String::with_capacity(text.len() + 1);
    if is_terminal {
        text.chars().for_each(|character| push_safe(&mut line, character));
    } else {
        line.push_str(&text);
    }
    line.push('\n');
    line
}

/// What happens to the link and to the patterns meanwhile.
struct Trouble {
    /// Patterns that are not confirmed since the link broke.
    unconfirmed: BTreeSet<String>,
    patterns: BTreeSet<String>,
    refused: String,
}

impl Trouble {
    fn new(args: &SubArgs) -> Self {
        let patterns = args.patterns.iter().cloned().collect();
        Self { unconfirmed: BTreeSet::new(), patterns, refused: String::new() }
    }

    /// Says what happens. Resolves when a pattern is refused.
    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is of interest here")]
    async fn watch(&mut self, events: &mut EventStream) {
        while let Some(event) = events.next().await {
            match event {
                Event::LinkDown { node: Some(node), reason, detail, .. } => {
                    let why = if detail.is_empty() { reason.to_string() } else { detail };
                    say(&format!("the link to {node} broke: {why}; dialling again"));
                    self.unconfirmed.clone_from(&self.patterns);
                }
                Event::LinkUp { node, role: Role::Main, .. } => {
                    say(&format!("connected to {node} again"));
                }
                Event::Subscribed { pattern } => {
                    let was_lost = self.unconfirmed.remove(&pattern);
                    if was_lost && self.unconfirmed.is_empty() {
                        say("subscribed again: what was published meanwhile is missing");
                    }
                }
                Event::SubscriptionRefused { pattern, code, message } => {
                    self.refused = format!("{code}: the Main refused {pattern}: {message}");
                    return;
                }
                _ => {}
            }
        }
        // The node is gone, and the subscription ends with it.
        std::future::pending::<()>().await;
    }

    fn refused(&self) -> Failure {
        Failure::work(self.refused.clone())
    }
}

/// A line for whoever watches. With nobody reading, nothing is lost that matters.
fn say(text: &str) {
    let _unread = std::io::stderr().write_all((one_line(text) + "\n").as_bytes());
}

/// How long the last lines may take once this is to stop.
const LAST_LINES: Duration = Duration::from_millis(100);
