//! A DNS server on a free port of this machine, with one zone whose records the test changes.

use hickory_server::Server;
use hickory_server::net::runtime::{Time, TokioRuntimeProvider};
use hickory_server::proto::rr::rdata::{A, AAAA, CNAME, SOA, SRV};
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordType, RrKey};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};

pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    zone: Arc<InMemoryZoneHandler>,
    behaviour: Arc<Behaviour>,
    _server: Server<Switchable>,
}

/// What the server does, as the test tells it.
#[derive(Default)]
struct Behaviour {
    is_silent: AtomicBool,
    questions: AtomicU32,
}

/// The zone, unless the server is told to be silent.
struct Switchable {
    catalog: Catalog,
    behaviour: Arc<Behaviour>,
}

#[async_trait::async_trait]
impl RequestHandler for Switchable {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        response: R,
    ) -> ResponseInfo {
        self.behaviour.questions.fetch_add(1, Ordering::SeqCst);
        if self.behaviour.is_silent.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        self.catalog.handle_request::<R, T>(request, response).await
    }
}

impl Dns {
    /// A server that is reached by UDP and TCP, as servers are.
    pub(crate) async fn start() -> Self {
        loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            // Another program may have the port of that number for TCP.
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                return Self::of(udp, Some(tcp)).await;
            }
        }
    }

    /// A server behind a firewall that lets no TCP through.
    pub(crate) async fn without_tcp() -> Self {
        Self::of(UdpSocket::bind("127.0.0.1:0").await.unwrap(), None).await
    }

    async fn of(udp: UdpSocket, tcp: Option<TcpListener>) -> Self {
        let origin = name("test.");
        let zone = InMemoryZoneHandler::<TokioRuntimeProvider>::empty(
            origin.clone(),
            ZoneType::Primary,
            AxfrPolicy::Deny,
        );
        let soa = SOA::new(origin.clone(), name("admin.test."), 1, 3600, 600, 86_400, 60);
        assert!(zone.upsert(Record::from_rdata(origin.clone(), 60, RData::SOA(soa)), 1).await);
        let zone = Arc::new(zone);
        let mut catalog = Catalog::default();
        catalog.upsert(origin.into(), vec![zone.clone()]);
        let behaviour = Arc::new(Behaviour::default());
        let address = udp.local_addr().unwrap();
        let mut server = Server::new(Switchable { catalog, behaviour: behaviour.clone() });
        server.register_socket(udp);
        if let Some(tcp) = tcp {
            server.register_listener(tcp, Duration::from_secs(60), 64);
        }
        Self { address, zone, behaviour, _server: server }
    }

    /// The SRV records of `owner` from now on: priority, weight, port and target.
    pub(crate) async fn srv(&self, owner: &str, records: &[(u16, u16, u16, &str)]) {
        let srv = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
            RData::SRV(SRV::new(*priority, *weight, *port, name(target)))
        };
        self.set(owner, RecordType::SRV, records.iter().map(srv)).await;
    }

    /// The addresses of `owner` from now on.
    pub(crate) async fn addresses(&self, owner: &str, addresses: &[&str]) {
        let parse = |text: &&str| text.parse::<IpAddr>().unwrap();
        let a = addresses.iter().map(parse).filter_map(|ip| match ip {
            IpAddr::V4(ip) => Some(RData::A(A(ip))),
            IpAddr::V6(_) => None,
        });
        self.set(owner, RecordType::A, a).await;
        let aaaa = addresses.iter().map(parse).filter_map(|ip| match ip {
            IpAddr::V6(ip) => Some(RData::AAAA(AAAA(ip))),
            IpAddr::V4(_) => None,
        });
        self.set(owner, RecordType::AAAA, aaaa).await;
    }

    pub(crate) async fn cname(&self, owner: &str, target: &str) {
        self.set(owner, RecordType::CNAME, [RData::CNAME(CNAME(name(target)))]).await;
    }

    /// Any records at all.
    pub(crate) async fn set(
        &self,
        owner: &str,
        kind: RecordType,
        records: impl IntoIterator<Item = RData>,
    ) {
        let owner = name(owner);
        let key = RrKey::new(LowerName::new(&owner), kind);
        // The records must be gone before the new ones are there: a set is never half changed.
        let mut all = self.zone.records_mut().await;
        all.remove(&key);
        let mut set = hickory_server::proto::rr::RecordSet::new(owner.clone(), kind, 1);
        for record in records {
            assert!(set.insert(Record::from_rdata(owner.clone(), 60, record), 1));
        }
        if !set.is_empty() {
            all.insert(key, Arc::new(set));
        }
    }

    /// Whether questions stay without an answer from now on.
    pub(crate) fn silence(&self, is_silent: bool) {
        self.behaviour.is_silent.store(is_silent, Ordering::SeqCst);
    }

    /// How many questions came so far.
    pub(crate) fn questions(&self) -> u32 {
        self.behaviour.questions.load(Ordering::SeqCst)
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}
