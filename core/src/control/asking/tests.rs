use super::*;
use crate::config::{Config, Role};
use crate::handshake::{Capabilities, Peer};
use crate::mail::Mail;
use crate::name::NodeId;
use alloc::format;
use alloc::vec::Vec;

const MAIN: LinkId = LinkId { shard: 0, slot: 1, generation: 1 };

fn peer(config: &Config) -> Arc<Peer> {
    Arc::new(Peer {
        node: NodeId::new("main").expect("a name"),
        key: [1; 32],
        mark: [1; 8],
        role: Role::Main,
        version: 1,
        capabilities: Capabilities::new(config, Role::Home),
        session: [0; 16],
        epoch: 1,
    })
}

/// A Home, and what it does.
struct Home {
    control: Control,
    out: Outbox,
    now: Instant,
    peer: Arc<Peer>,
}

impl Home {
    fn new() -> Self {
        let config = Config::new(Role::Home);
        let peer = peer(&config);
        let node = NodeId::new("home").expect("a name");
        let control = Control::new(Arc::new(config), node, 1, [3; 32]);
        Self { control, out: Outbox::default(), now: Instant::ZERO, peer }
    }

    fn linked() -> Self {
        let mut home = Self::new();
        let dial = home.control.dial(&["ws://main"], home.now, &mut home.out);
        home.link(MAIN, dial);
        home.said();
        home
    }

    fn link(&mut self, link: LinkId, dial: crate::DialId) {
        let body = MailBody::LinkUp { link, peer: Arc::clone(&self.peer), dial: Some(dial) };
        self.mail(body);
    }

    fn mail(&mut self, body: MailBody) {
        let mail = Mail { to: MailTo::Control, body };
        self.control.handle_mail(mail, self.now, &mut self.out);
    }

    fn hear(&mut self, message: &ControlMessage<'_>) {
        let payload = crate::shard::control_payload(message).into();
        self.mail(MailBody::Control { link: MAIN, payload });
    }

    fn subscribe(&mut self, pattern: &str) {
        self.control.subscribe(pattern, self.now, &mut self.out).expect("subscribed");
    }

    fn unsubscribe(&mut self, pattern: &str) {
        assert!(self.control.unsubscribe(pattern, self.now, &mut self.out));
    }

    /// What was said to the Main of topics, `+` and `-`, and to the application, `!`.
    fn said(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        for output in self.out.drain() {
            if let Output::Mail(Mail { body: MailBody::Send { link, payload }, .. }) = output {
                assert_eq!(link, MAIN);
                let message = ControlMessage::decode(&payload);
                if let Ok(ControlMessage::Subscribe { pattern }) = message {
                    said.push(format!("+{pattern}"));
                } else if let Ok(ControlMessage::Unsubscribe { pattern }) = message {
                    said.push(format!("-{pattern}"));
                }
            } else if let Output::Event(event) = output
                && let Event::Subscribed { pattern } = *event
            {
                said.push(format!("!{pattern}"));
            }
        }
        said
    }
}

#[test]
fn a_main_is_told_no_faster_than_it_reads() {
    let mut home = Home::linked();
    for n in 0..200 {
        home.subscribe(&format!("a.{n}"));
    }
    let mut told = home.said().len();
    assert_eq!(told, MESSAGES_PER_WINDOW as usize);
    let mut windows = 1;
    while told < 200 {
        home.now = home.control.asking.next().expect("there is more to say");
        home.control.handle_timeout(home.now, &mut home.out);
        let said = home.said().len();
        assert!(said > 0 && said <= MESSAGES_PER_WINDOW as usize);
        told += said;
        windows += 1;
    }
    assert_eq!((told, windows), (200, 4));
    assert_eq!(home.control.asking.next(), None);
}

#[test]
fn who_comes_and_goes_costs_the_main_little() {
    let mut home = Home::linked();
    for _ in 0..10_000 {
        home.subscribe("a");
        home.unsubscribe("a");
    }
    assert!(home.said().len() <= MESSAGES_PER_WINDOW as usize);
    for n in 0..10_000 {
        home.subscribe(&format!("b.{n}"));
        home.unsubscribe(&format!("b.{n}"));
    }
    home.now = home.now.after(WINDOW);
    home.control.handle_timeout(home.now, &mut home.out);
    assert!(home.said().len() <= MESSAGES_PER_WINDOW as usize);
    home.now = home.now.after(WINDOW);
    home.control.handle_timeout(home.now, &mut home.out);
    home.said();
    assert!(home.control.asking.queue.is_empty(), "what is not wanted any more needs no word");
}

#[test]
fn a_pattern_that_was_never_given_up_at_the_main_still_stands() {
    let mut home = Home::linked();
    home.subscribe("a");
    assert_eq!(home.said(), ["+a"]);
    home.hear(&ControlMessage::Subscribed { pattern: "a" });
    assert_eq!(home.said(), ["!a"]);
    for n in 0..MESSAGES_PER_WINDOW {
        home.subscribe(&format!("b.{n}"));
    }
    home.said();
    home.unsubscribe("a");
    home.subscribe("a");
    assert_eq!(home.said(), Vec::<String>::new(), "the window is used up");
    home.now = home.now.after(WINDOW);
    home.control.handle_timeout(home.now, &mut home.out);
    assert!(home.said().contains(&String::from("!a")), "whoever waits for it is told");
}

#[test]
fn only_the_last_answer_counts() {
    let mut home = Home::linked();
    home.subscribe("a");
    home.unsubscribe("a");
    home.subscribe("a");
    assert_eq!(home.said(), ["+a", "-a", "+a"]);
    home.hear(&ControlMessage::Subscribed { pattern: "a" });
    assert!(home.said().is_empty(), "that was about the first one");
    home.hear(&ControlMessage::Unsubscribed { pattern: "a" });
    home.hear(&ControlMessage::Subscribed { pattern: "a" });
    assert_eq!(home.said(), ["!a"]);
}

#[test]
fn what_was_refused_is_asked_for_again_when_it_is_wanted_again() {
    let mut home = Home::linked();
    home.subscribe("a");
    let refused = ControlMessage::NotSubscribed { pattern: "a", code: 301, message: "no" };
    home.hear(&refused);
    assert!(!home.control.subscriptions.is_own("a"));
    home.subscribe("a");
    assert_eq!(home.said(), ["+a", "+a"]);
    assert!(!home.unsubscribed_leaves_anything());
}

impl Home {
    fn unsubscribed_leaves_anything(&mut self) -> bool {
        self.hear(&ControlMessage::Subscribed { pattern: "a" });
        self.unsubscribe("a");
        self.control.asking.len() > 0
    }
}

#[test]
fn another_main_is_told_all_and_a_second_one_nothing() {
    let mut home = Home::linked();
    home.subscribe("a");
    home.said();
    let second = LinkId { shard: 0, slot: 2, generation: 1 };
    let dial = home.control.dial(&["ws://other"], home.now, &mut home.out);
    let other = Peer { node: NodeId::new("other").expect("a name"), ..Peer::clone(&home.peer) };
    home.peer = Arc::new(other);
    home.link(second, dial);
    assert!(home.said().is_empty(), "one Main is enough");
    home.mail(MailBody::LinkDown { link: MAIN, dial: None, pause: None });
    assert_eq!(home.control.asking.main, Some(second));
    let told = home.control.asking.told.get("a").map(|told| told.is_wanted);
    assert_eq!(told, Some(true));
}
