//! Whatever the DNS does, known peers stay, others are unaffected, and the log says why.

use crate::dns::{Dns, name};
use crate::relay::{Main, peer_at};
use hickory_server::proto::rr::rdata::SRV;
use hickory_server::proto::rr::{Name, RData, RecordType};

/// A Main with one known peer, which nobody answers for.
async fn with_a_peer(dns: &Dns) -> (Main, Vec<String>) {
    dns.addresses("host.test.", &["127.0.0.9"]).await;
    dns.srv("_relay._tcp.test.", &[(0, 0, 9, "host.test.")]).await;
    let main = Main::asking(dns, "main-a", &["--peers", "dns+srv://_relay._tcp.test"]);
    let known = vec![peer_at("127.0.0.9:9")];
    main.until_peers(&known).await;
    (main, known)
}

#[tokio::test]
async fn e12_a_name_that_is_gone_keeps_its_peers() {
    let dns = Dns::start().await;
    let (a, known) = with_a_peer(&dns).await;
    dns.srv("_relay._tcp.test.", &[]).await;
    a.until_said("there is no such name (NXDOMAIN) keeps=1", 3).await;
    a.until_peers(&known).await;
    // The name is there, with records of another kind.
    dns.addresses("_relay._tcp.test.", &["127.0.0.1"]).await;
    a.until_said("the name has no SRV records keeps=1", 3).await;
    a.until_peers(&known).await;
    assert_eq!(a.said("peer removed"), 0);
    // What is said on purpose counts: the root as target is "no such service here".
    dns.srv("_relay._tcp.test.", &[(0, 0, 0, ".")]).await;
    a.until_peers(&[]).await;
}

#[tokio::test]
async fn e12_a_server_that_is_silent_changes_nothing_and_is_asked_again() {
    let dns = Dns::start().await;
    let (a, known) = with_a_peer(&dns).await;
    dns.silence(true);
    a.until_said("no DNS server answered in time keeps=1", 1).await;
    a.until_peers(&known).await;
    dns.silence(false);
    let more = [(0, 0, 9, "host.test."), (0, 0, 10, "host.test.")];
    dns.srv("_relay._tcp.test.", &more).await;
    a.until_peers(&[known[0].clone(), peer_at("127.0.0.9:10")]).await;
}

#[tokio::test]
async fn e12_a_main_starts_while_no_dns_server_answers() {
    let dns = Dns::start().await;
    dns.silence(true);
    let flags = ["--peers", "dns+srv://_relay._tcp.test,ws://127.0.0.9:9"];
    let a = Main::asking(&dns, "main-a", &flags);
    a.until_said("no DNS server answered in time keeps=0", 1).await;
    a.until_peers(&[peer_at("127.0.0.9:9")]).await;
}

#[tokio::test]
async fn e12_a_large_answer_comes_by_tcp_and_gives_64_peers() {
    let dns = Dns::start().await;
    dns.addresses("host.test.", &["127.0.0.9"]).await;
    // The ones to prefer are the last that the zone lists.
    let records: Vec<_> = (1..=100).map(|port| (200 - port, 0, port, "host.test.")).collect();
    dns.srv("_relay._tcp.test.", &records).await;
    let a = Main::asking(&dns, "main-a", &["--peers", "dns+srv://_relay._tcp.test"]);
    let best: Vec<String> =
        (37..=100).map(|port| peer_at(format_args!("127.0.0.9:{port}"))).collect();
    a.until_peers(&best).await;
    a.until_said("36 targets beyond 64 are left out", 1).await;
    let first = a.process.lines_until("peer added").pop().expect("a line");
    assert!(first.contains("127.0.0.9:100/"), "the one to prefer comes first: {first}");
    // By weight where the priorities are equal.
    let records: Vec<_> = (1..=100).map(|port| (7, port, port, "host.test.")).collect();
    dns.srv("_weights._tcp.test.", &records).await;
    assert_eq!(a.remove("dns+srv://_relay._tcp.test").await.status, 200);
    a.add(r#"{"address": "dns+srv://_weights._tcp.test"}"#).await;
    a.until_peers(&best).await;
}

#[tokio::test]
async fn e12_many_addresses_give_64_peers() {
    let dns = Dns::start().await;
    let addresses: Vec<String> = (1..=100).map(|last| format!("127.0.7.{last}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    dns.addresses("mains.test.", &addresses).await;
    let a = Main::asking(&dns, "main-a", &["--peers", "dns://mains.test:9"]);
    let first: Vec<String> =
        (1..=64).map(|last| peer_at(format_args!("127.0.7.{last}:9"))).collect();
    a.until_peers(&first).await;
    a.until_said("more than 64 records: the rest is left out", 1).await;
}

#[tokio::test]
async fn e12_a_truncated_answer_is_a_failure_where_tcp_is_blocked() {
    let dns = Dns::without_tcp().await;
    let (a, known) = with_a_peer(&dns).await;
    let records: Vec<_> = (10..=109).map(|port| (0, 0, port, "host.test.")).collect();
    dns.srv("_relay._tcp.test.", &records).await;
    a.until_said("the answer is truncated, and TCP gives no more keeps=1", 3).await;
    a.until_peers(&known).await;
}

#[tokio::test]
async fn e12_targets_that_are_no_hosts_are_left_out() {
    let dns = Dns::start().await;
    dns.addresses("host.test.", &["127.0.0.9"]).await;
    let odd = |labels: &[&[u8]]| Name::from_labels(labels.iter().copied()).unwrap();
    let records = [
        SRV::new(0, 0, 1, odd(&[b"not a host", b"test"])),
        SRV::new(0, 0, 2, odd(&[b"ws://evil/\n", b"test"])),
        SRV::new(0, 0, 3, odd(&["ä".as_bytes(), b"test"])),
        SRV::new(0, 0, 4, name("10.0.0.1.")),
        SRV::new(0, 0, 5, name("nowhere.test.")),
        SRV::new(0, 0, 0, name("host.test.")),
        SRV::new(9, 0, 9, name("host.test.")),
    ];
    dns.set("_relay._tcp.test.", RecordType::SRV, records.map(RData::SRV)).await;
    let a = Main::asking(&dns, "main-a", &["--peers", "dns+srv://_relay._tcp.test"]);
    a.until_peers(&[peer_at("127.0.0.9:9")]).await;
    a.until_said("not the name of a host", 4).await;
    a.until_said("nowhere.test: there is no such name", 1).await;
    a.until_said("host.test. port 0: no port", 1).await;
    let questions = dns.questions();
    while dns.questions() < questions + 30 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(a.said("DNS records are left out"), 6, "said once each");
    // One bad record keeps no other from going.
    dns.srv("_relay._tcp.test.", &[(0, 0, 5, "nowhere.test."), (0, 0, 10, "host.test.")]).await;
    a.until_peers(&[peer_at("127.0.0.9:10")]).await;
    assert!(a.process.lines().iter().all(|line| !line.starts_with("ws://evil")));
}
