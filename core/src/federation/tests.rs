//! What counts of what peers announce.

use super::*;
use alloc::format;
use alloc::vec;

/// What one Main knows, and when.
struct Main {
    federation: Federation,
    slots: Slots,
    limits: Limits,
    now: Instant,
}

/// A record that an offer stands, as a test varies it.
#[derive(Clone, Copy)]
struct Said<'a> {
    origin: &'a str,
    service: &'a str,
    word: (u64, u64),
    ttl_ms: u32,
    path: &'a [&'a str],
}

/// "home" offers "news" at the Main "b", which says so itself.
const NEWS: Said<'static> =
    Said { origin: "b", service: "news", word: (7, 1), ttl_ms: 60_000, path: &["b"] };

fn id(name: &str) -> NodeId {
    NodeId::new(name).expect("a legal name")
}

fn link(slot: u32) -> LinkId {
    LinkId { shard: 0, slot, generation: 1 }
}

/// The links to the Mains "b" and "c".
const fn to(peer: &str) -> LinkId {
    let slot = if matches!(peer.as_bytes(), b"b") { 10 } else { 11 };
    LinkId { shard: 0, slot, generation: 1 }
}

impl Main {
    /// The Main "a", linked to "b" and "c". Calls may cross three Mains behind it.
    fn new() -> Self {
        let limits = Limits { hops_max: 5, services_per_peer_max: 5, ..Limits::default() };
        let (federation, slots) = (Federation::default(), Slots::default());
        let mut main = Self { federation, slots, limits, now: Instant::ZERO };
        main.wait(1);
        for peer in ["b", "c"] {
            main.federation.link_up(to(peer), main.now);
        }
        main
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    fn told(&mut self, peer: &str, record: &Record<'_>) -> Change {
        let (link, peer, own) = (to(peer), id(peer), id("a"));
        let who = (link, &peer, &own);
        let (limits, slots) = (&self.limits, &mut self.slots);
        self.federation.announced(who, record, limits, self.now, slots).1
    }

    fn up(&mut self, peer: &str, said: Said<'_>) -> Change {
        let mut packed = Vec::new();
        let path = Texts::pack(said.path, &mut packed);
        let Said { origin, service, word: (epoch, seq), ttl_ms, .. } = said;
        let (methods, labels) = (Texts::default(), Texts::default());
        let (node, key) = ("home", [1; 8]);
        let up =
            Record::Up { origin, epoch, seq, service, node, key, methods, labels, ttl_ms, path };
        self.told(peer, &up)
    }

    fn down(&mut self, peer: &str, origin: &str, (epoch, seq): (u64, u64)) -> Change {
        self.told(peer, &Record::Down { origin, epoch, seq, service: "news", node: "home" })
    }

    fn digest(&mut self, peer: &str, digest: (u32, u64)) -> Option<Vec<Offer>> {
        let pause = Duration::from_secs(15);
        self.federation.digest(to(peer), digest, pause, self.now, &mut self.slots)
    }

    /// The links over which calls of a service may go.
    fn ways(&self, service: &str) -> Vec<LinkId> {
        let offers = self.federation.iter().filter(|(name, ..)| *name == service);
        offers.map(|(_, _, _, link, _)| link).collect()
    }
}

fn news(origin: &str) -> Offer {
    Offer { service: Arc::from("news"), node: id("home"), origin: id(origin) }
}

#[test]
fn an_offer_stands_until_its_origin_ends_it() {
    let mut main = Main::new();
    assert_eq!(main.up("b", NEWS), Change::Routes);
    assert_eq!((main.ways("news"), main.federation.len()), (vec![to("b")], 1));
    assert_eq!(main.down("b", "b", (7, 2)), Change::Routes);
    assert_eq!((main.ways("news"), main.federation.len()), (vec![], 0));
    assert_eq!(main.federation.ended(&news("b")), Some((7, 2)));
}

/// Interests count for the digest and the quota of the peer, but not as services.
#[test]
fn what_subscribers_want_is_no_service() {
    let mut main = Main::new();
    main.up("b", NEWS);
    for pattern in ["#a", "#b.*", "#c", "#d"] {
        main.up("b", Said { service: pattern, ..NEWS });
    }
    assert_eq!((main.federation.len(), main.federation.count_of(to("b"))), (1, 1));
    assert_eq!((main.federation.count.all(), main.federation.interests().count()), (5, 4));
    assert_eq!(main.up("b", Said { service: "sixth", ..NEWS }), Change::OverQuota);
    main.down("b", "b", (7, 2));
    assert_eq!((main.federation.is_empty(), main.federation.count.all()), (true, 4));
    main.federation.link_down(to("b"), main.now, &mut main.slots);
    assert_eq!((main.federation.count.all(), main.federation.count_of(to("b"))), (0, 0));
}

#[test]
fn r04_an_old_word_never_counts_whichever_way_it_comes() {
    let mut main = Main::new();
    main.up("b", NEWS);
    main.down("b", "b", (7, 2));
    let replayed = Said { path: &["c", "b"], ..NEWS };
    for word in [(7, 1), (7, 2), (6, 9)] {
        main.up("b", Said { word, ..NEWS });
        main.up("c", Said { word, ..replayed });
        assert_eq!(main.ways("news"), [], "{word:?}");
    }
    main.up("c", Said { word: (7, 3), ..replayed });
    assert_eq!(main.ways("news"), [to("c")]);
    // The word over one link outdates the one that is known over the other.
    main.up("b", Said { word: (7, 4), ..NEWS });
    assert_eq!(main.ways("news"), [to("b")]);
    main.up("c", Said { word: (7, 4), ..replayed });
    assert_eq!(main.ways("news"), [to("b"), to("c")]);
}

#[test]
fn a_new_life_of_an_origin_ends_all_of_the_one_before() {
    let mut main = Main::new();
    main.up("b", NEWS);
    main.up("c", Said { service: "shop", path: &["c", "b"], ..NEWS });
    assert_eq!((main.ways("news").len(), main.ways("shop").len()), (1, 1));
    main.up("b", Said { service: "new", word: (8, 1), ..NEWS });
    assert_eq!((main.ways("news"), main.ways("shop")), (vec![], vec![]));
    assert_eq!(main.ways("new"), [to("b")]);
    assert_eq!(main.federation.epoch_of(&id("b")), 8);
    // The first word of the new life may be an end, and its numbers start again.
    assert_eq!(main.down("b", "b", (9, 1)), Change::Life);
    assert_eq!(main.ways("new"), []);
}

/// Words about an origin come from it, or from whoever announced what they end: a Main cannot end
/// what it has nothing to do with.
#[test]
fn a_peer_cannot_end_what_it_did_not_announce() {
    let mut main = Main::new();
    main.up("b", NEWS);
    assert_eq!(main.down("c", "b", (u64::MAX, u64::MAX)), Change::None);
    assert_eq!(main.ways("news"), [to("b")]);
    assert_eq!(main.federation.epoch_of(&id("b")), 7);
    main.up("c", Said { path: &["c", "b"], ..NEWS });
    assert_eq!(main.down("c", "b", (7, 2)), Change::Routes);
    assert_eq!(main.ways("news"), [], "it passed on what the origin said");
}

#[test]
fn r03_a_path_through_this_main_is_kept_and_never_used() {
    let mut main = Main::new();
    main.up("b", Said { origin: "z", path: &["b", "a", "z"], ..NEWS });
    main.up("c", Said { origin: "a", path: &["c", "a"], ..NEWS });
    assert_eq!((main.ways("news"), main.federation.len()), (vec![], 2));
    assert_eq!(main.federation.best(&news("z"), &id("none")), None);
    // Both sides still count the same.
    let hash = hash_of(&news("z"), 7, 1, &[id("b"), id("a"), id("z")]);
    assert_eq!(main.digest("b", (1, hash)), None);
    assert_eq!(main.federation.count_of(to("b")), 1);
}

#[test]
fn r10_a_path_starts_with_the_peer_and_ends_with_the_origin() {
    let mut main = Main::new();
    for (origin, path) in [
        ("b", &["c"][..]),
        ("b", &["c", "b"]),
        ("z", &["b"]),
        ("z", &["b", "y", "y", "z"]),
        ("b", &["b", "z", "b"]),
        ("z", &["b", "w", "x", "z"]),
    ] {
        let change = main.up("b", Said { origin, path, ..NEWS });
        assert_eq!(change, Change::Broken, "{path:?} to {origin}");
    }
    assert_eq!(main.federation.len(), 0);
    assert_eq!(main.up("b", Said { origin: "z", path: &["b", "y", "z"], ..NEWS }), Change::Routes);
}

#[test]
fn r05_a_lease_is_at_most_as_long_as_the_limit() {
    let mut main = Main::new();
    main.up("b", Said { ttl_ms: 0, ..NEWS });
    assert_eq!(main.federation.next_expiry(), Some(main.now));
    let gone = main.federation.expire(main.now, &mut main.slots);
    assert_eq!((gone, main.federation.len()), (vec![(news("b"), to("b"))], 0));
    main.up("b", Said { ttl_ms: u32::MAX, ..NEWS });
    let ends_at = main.now.after(main.limits.registry_ttl);
    assert_eq!(main.federation.next_expiry(), Some(ends_at));
    main.now = ends_at;
    assert_eq!(main.federation.expire(main.now, &mut main.slots).len(), 1);
}

#[test]
fn r06_beyond_the_quota_nothing_is_taken_and_nothing_is_pushed_out() {
    let mut main = Main::new();
    for number in 0..5 {
        let service = format!("service-{number}");
        assert_eq!(main.up("b", Said { service: &service, ..NEWS }), Change::Routes);
    }
    for number in 5..50 {
        let service = format!("service-{number}");
        // It is told once: the log must not grow with what a peer says in vain.
        let change = if number == 5 { Change::OverQuota } else { Change::None };
        assert_eq!(main.up("b", Said { service: &service, ..NEWS }), change);
    }
    assert_eq!((main.ways("service-0").len(), main.ways("service-5").len()), (1, 0));
    // What is known may still be changed, and others have their own share.
    let changed = Said { service: "service-0", word: (7, 2), ..NEWS };
    assert_eq!(main.up("b", changed), Change::Routes);
    assert_eq!(main.up("c", Said { origin: "c", path: &["c"], ..NEWS }), Change::Routes);
    assert_eq!(main.federation.len(), 6);
    // Its digests cannot fit any more, which is no reason to ask it for all of that again.
    assert_eq!(main.digest("b", (50, 1)), None);
    assert_eq!(main.federation.count_of(to("b")), 5);
}

#[test]
fn r15_a_digest_confirms_everything_or_costs_one_resync_in_a_pause() {
    let mut main = Main::new();
    main.up("b", NEWS);
    main.up("c", Said { origin: "c", path: &["c"], ..NEWS });
    let sum = hash_of(&news("b"), 7, 1, &[id("b")]);
    for _ in 0..5 {
        main.wait(30);
        assert_eq!(main.digest("b", (1, sum)), None);
        let gone = main.federation.expire(main.now, &mut main.slots);
        assert!(gone.iter().all(|(offer, _)| offer.origin == id("c")), "confirmed: {gone:?}");
    }
    assert_eq!(main.ways("news"), [to("b")]);
    assert_eq!(main.digest("b", (1, sum ^ 1)), Some(vec![news("b")]));
    assert_eq!(main.ways("news"), []);
    for wait in [0, 1, 13] {
        main.wait(wait);
        main.up("b", NEWS);
        assert_eq!(main.digest("b", (9, 9)), None, "asked a moment ago");
        assert_eq!(main.ways("news"), [to("b")], "and nothing is forgotten meanwhile");
    }
    main.wait(1);
    assert_eq!(main.digest("b", (9, 9)), Some(vec![news("b")]));
}

#[test]
fn the_end_of_a_link_takes_what_came_over_it_and_leaves_other_ways() {
    let mut main = Main::new();
    main.up("b", NEWS);
    main.up("c", Said { path: &["c", "b"], ..NEWS });
    main.up("c", Said { origin: "c", service: "shop", path: &["c"], ..NEWS });
    let best = |main: &Main, avoid| {
        let best = main.federation.best(&news("b"), &id(avoid));
        best.map(|learned| learned.path.iter().map(NodeId::as_str).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(best(&main, "z").as_deref(), Some("b"), "the shortest");
    assert_eq!(best(&main, "b"), None, "every way ends there");
    let gone = main.federation.link_down(to("b"), main.now, &mut main.slots);
    assert_eq!(gone, [news("b")]);
    assert_eq!(best(&main, "z").as_deref(), Some("c b"));
    assert_eq!(best(&main, "c"), None);
    assert_eq!(main.federation.link_down(to("c"), main.now, &mut main.slots).len(), 2);
    assert!(main.federation.is_empty() && main.federation.next_expiry().is_none());
    // What is said over a link that has ended counts for nothing.
    assert_eq!(main.up("b", NEWS), Change::None);
    assert!(main.federation.is_empty());
}

/// What is known of a service behind a peer is kept in one place, however many nodes are there.
#[test]
fn offers_of_a_service_behind_a_peer_share_a_slot() {
    let mut main = Main::new();
    main.up("b", NEWS);
    main.up("b", Said { origin: "z", path: &["b", "z"], ..NEWS });
    main.up("b", Said { service: "shop", ..NEWS });
    let slots = |main: &Main| {
        let mut all: Vec<Slot> = main.federation.iter().map(|(.., known)| known.slot).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    };
    assert_eq!((slots(&main), main.slots.len()), (2, 2));
    main.down("b", "b", (7, 2));
    assert_eq!(slots(&main), 2, "one node is still there");
    main.federation.link_down(to("b"), main.now, &mut main.slots);
    let (first, second) = (main.slots.take(), main.slots.take());
    assert_eq!((first.generation, second.generation, main.slots.len()), (2, 2, 2), "all are back");
}

#[test]
fn lost_is_the_word_of_the_peer_alone() {
    let mut main = Main::new();
    main.up("b", NEWS);
    main.up("c", Said { path: &["c", "b"], ..NEWS });
    main.told("c", &Record::Lost { origin: "b", service: "news", node: "home" });
    assert_eq!(main.ways("news"), [to("b")]);
    assert_eq!(main.federation.ended(&news("b")), None);
    main.up("c", Said { path: &["c", "b"], ..NEWS });
    assert_eq!(main.ways("news").len(), 2, "the same word counts again");
}

#[test]
fn words_and_lives_are_forgotten_when_no_lease_can_stand() {
    let mut main = Main::new();
    main.up("b", NEWS);
    main.down("b", "b", (7, 2));
    let life = Duration::from_mins(10);
    main.wait(600);
    main.federation.forget_old_words(life, main.now);
    assert_eq!(main.federation.ended(&news("b")), Some((7, 2)), "somebody may still say it");
    assert_eq!(main.federation.epoch_of(&id("b")), 7);
    main.wait(1);
    main.federation.forget_old_words(life, main.now);
    assert_eq!(main.federation.ended(&news("b")), None);
    // Its clock may have been set back in the meantime.
    main.up("b", Said { word: (6, 9), ..NEWS });
    assert_eq!((main.ways("news"), main.federation.epoch_of(&id("b"))), (vec![to("b")], 6));
    // A word on what stands is kept, however old it is.
    main.up("b", Said { word: (7, 5), ttl_ms: u32::MAX, ..NEWS });
    main.wait(6_000);
    main.federation.forget_old_words(life, main.now);
    main.up("c", Said { word: (7, 4), path: &["c", "b"], ..NEWS });
    assert_eq!(main.ways("news"), [to("b")]);
}

/// The number of docs/protocol.md and tests/wire, which another program computed.
#[test]
fn the_hash_is_that_of_the_vectors() {
    let offer = Offer { service: Arc::from("blog"), node: id("alice"), origin: id("main") };
    let hash = hash_of(&offer, 1_800_000_000_000_001, 1, &[id("main")]);
    assert_eq!(hash, 0x7da2_9f59_a2c2_cd99);
    assert_ne!(hash, hash_of(&offer, 1_800_000_000_000_001, 1, &[id("main"), id("main")]));
}

#[test]
fn a_name_is_held_by_the_key_of_what_stands() {
    let mut main = Main::new();
    assert_eq!(main.federation.holder(&id("home")), None);
    main.up("b", NEWS);
    assert_eq!(main.federation.holder(&id("home")), Some([1; 8]));
    main.federation.link_down(link(10), main.now, &mut main.slots);
    assert_eq!(main.federation.holder(&id("home")), None);
}
