//! Peers come and go with the records.

use crate::dns::Dns;
use crate::relay::{Main, peer_at};

#[tokio::test]
async fn e12_srv_peers_come_and_go_with_the_records() {
    let dns = Dns::start().await;
    let (b, c) = (Main::start("main-b"), Main::start("main-c"));
    let (port_b, port_c) = (b.address.port(), c.address.port());
    dns.addresses("host.test.", &["127.0.0.1"]).await;
    dns.srv("_relay._tcp.test.", &[(1, 1, port_b, "host.test.")]).await;
    let a = Main::asking(&dns, "main-a", &["--peers", "dns+srv://_relay._tcp.test"]);
    a.until_linked(&[&b]).await;
    let both = [(1, 1, port_b, "host.test."), (1, 1, port_c, "host.test.")];
    dns.srv("_relay._tcp.test.", &both).await;
    a.until_linked(&[&b, &c]).await;
    dns.srv("_relay._tcp.test.", &[(1, 1, port_c, "host.test.")]).await;
    a.until_linked(&[&c]).await;
    for (main, why) in [(&b, "in the DNS answer"), (&c, "in the DNS answer")] {
        let line = format!("peer added peer={}", main.peer_address());
        let lines = a.process.lines();
        let line = lines.iter().find(|said| said.contains(&line)).expect("added");
        assert!(line.contains(why) && line.contains("dns+srv://_relay._tcp.test"), "{line}");
    }
    // The line is written a moment after the link has ended.
    let removed = format!("peer removed peer={}", b.peer_address());
    a.until_said(&removed, 1).await;
    assert_eq!((a.said(&removed), a.said("peer removed")), (1, 1));
}

#[tokio::test]
async fn e12_each_address_of_a_name_is_a_peer() {
    let dns = Dns::start().await;
    let b = Main::start("main-b");
    let port = b.address.port();
    // At the second address nobody listens: a peer that is down is still a peer.
    dns.addresses("mains.test.", &["127.0.0.1", "127.0.0.9", "0.0.0.0", "224.0.0.1"]).await;
    let a = Main::asking(&dns, "main-a", &["--add-peer", &format!("dns://mains.test:{port}")]);
    let down = peer_at(format_args!("127.0.0.9:{port}"));
    a.until_peers(&[b.peer_address(), down.clone()]).await;
    a.until_said("0.0.0.0 is the address of no host", 1).await;
    a.until_said("224.0.0.1 is the address of no host", 1).await;
    dns.addresses("mains.test.", &["127.0.0.1", "::1"]).await;
    a.until_peers(&[b.peer_address(), peer_at(format_args!("[::1]:{port}"))]).await;
    dns.addresses("mains.test.", &["127.0.0.1"]).await;
    a.until_linked(&[&b]).await;
    assert_eq!(a.said("address of no host"), 2, "said once each");
}

#[tokio::test]
async fn e12_a_cname_leads_on() {
    let dns = Dns::start().await;
    let b = Main::start("main-b");
    let port = b.address.port();
    dns.addresses("real.test.", &["127.0.0.1"]).await;
    dns.cname("host.test.", "real.test.").await;
    dns.srv("_mains._tcp.real.test.", &[(1, 1, port, "host.test.")]).await;
    dns.cname("_alias._tcp.test.", "_mains._tcp.real.test.").await;
    dns.cname("_relay._tcp.test.", "_alias._tcp.test.").await;
    dns.cname("_loop._tcp.test.", "_loop._tcp.test.").await;
    let by_srv = Main::asking(&dns, "main-a", &["--peers", "dns+srv://_relay._tcp.test"]);
    let name = format!("dns://host.test:{port}");
    let by_address = Main::asking(&dns, "main-c", &["--peers", &name]);
    by_srv.until_peers(&[b.peer_address()]).await;
    by_address.until_peers(&[b.peer_address()]).await;
    let looping = Main::asking(&dns, "main-d", &["--peers", "dns+srv://_loop._tcp.test"]);
    looping.until_said("cannot look up peers by DNS", 2).await;
}

#[tokio::test]
async fn e12_names_are_added_and_removed_over_http() {
    let dns = Dns::start().await;
    dns.addresses("mains.test.", &["127.0.0.8", "127.0.0.9"]).await;
    let a = Main::asking(&dns, "main-a", &["--peers", "ws://127.0.0.9:9"]);
    let fixed = peer_at("127.0.0.9:9");
    for body in [r#"{"address": "dns://mains.test"}"#, r#"{"address": "dns+srv://a b"}"#] {
        let refused = a.add(body).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(refused.body.contains("names no peers"), "{refused:?}");
    }
    for _ in 0..2 {
        let added = a.add(r#"{"node_id": "them", "address": "dns://mains.test:9"}"#).await;
        assert_eq!(added.status, 200, "{added:?}");
    }
    a.until_peers(&[fixed.clone(), peer_at("127.0.0.8:9")]).await;
    assert_eq!(a.remove("them").await.status, 200);
    assert!(a.peers().await.into_keys().eq([fixed.clone()]), "a person still names it");
    assert_eq!(a.remove("them").await.status, 404);
    a.add(r#"{"address": "dns://mains.test:9"}"#).await;
    a.until_peers(&[fixed, peer_at("127.0.0.8:9")]).await;
    assert_eq!(a.remove("dns://mains.test:9").await.status, 200);
    for number in 0..64 {
        let body = format!(r#"{{"address": "dns+srv://n{number}.test"}}"#);
        assert_eq!(a.add(&body).await.status, 200);
    }
    let refused = a.add(r#"{"address": "dns+srv://one.more.test"}"#).await;
    assert_eq!(refused.status, 429, "{refused:?}");
}

#[tokio::test]
async fn e12_a_node_that_finds_itself_says_so_once() {
    let dns = Dns::start().await;
    let b = Main::start("main-b");
    dns.addresses("host.test.", &["127.0.0.1"]).await;
    let a = Main::asking(&dns, "main-a", &["--peers", "dns+srv://_relay._tcp.test"]);
    let own = (0, 0, a.address.port(), "host.test.");
    let other = (0, 0, b.address.port(), "host.test.");
    dns.srv("_relay._tcp.test.", &[own, other]).await;
    a.until_said("peer found by DNS is not dialled", 1).await;
    a.until_linked(&[&b]).await;
    let questions = dns.questions();
    while dns.questions() < questions + 12 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    a.until_linked(&[&b]).await;
    assert_eq!(a.said("peer found by DNS is not dialled"), 1);
    let added = format!("peer added peer={}", a.peer_address());
    assert_eq!(a.said(&added), 1);
    dns.srv("_relay._tcp.test.", &[other]).await;
    a.until_said(&format!("peer removed peer={}", a.peer_address()), 1).await;
}

#[tokio::test]
async fn e12_mains_that_share_a_name_keep_one_link() {
    let dns = Dns::start().await;
    dns.addresses("host.test.", &["127.0.0.1"]).await;
    let shared = ["--peers", "dns+srv://_relay._tcp.test"];
    let a = Main::asking(&dns, "main-a", &shared);
    let b = Main::asking(&dns, "main-b", &shared);
    let all = [(0, 0, a.address.port(), "host.test."), (0, 0, b.address.port(), "host.test.")];
    dns.srv("_relay._tcp.test.", &all).await;
    for main in [&a, &b] {
        main.until_said("link up", 1).await;
        main.until_said("peer found by DNS is not dialled", 1).await;
    }
    let questions = dns.questions();
    while dns.questions() < questions + 60 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // Both may dial at the same moment; links that replace each other without end are many more.
    let ups = [a.said("link up"), b.said("link up")];
    assert!(ups.iter().all(|ups| (1..=4).contains(ups)), "{ups:?}");
}
