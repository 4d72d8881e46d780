//! What is asked of the sockets beneath the links, and connecting to a host with several addresses.

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

/// Options of the sockets of a node. How long a silent link is kept is no option of a socket:
/// `Limits` has its keepalive and its timeouts, which work the same over every transport.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SocketOptions {
    /// How long connecting to a host may take, with all its addresses and with the handshakes of
    /// TLS, QUIC and WebSocket; at most the eleven seconds that a node gives every dial.
    pub connect_timeout: Duration,
    /// Send small frames at once (`TCP_NODELAY`). Without it a frame waits for the acknowledgement
    /// of earlier ones.
    pub nodelay: bool,
    /// Silence after which the kernel asks whether the peer is there (`TCP_KEEPIDLE`); never when
    /// there is none. The protocol's own pings are faster; this ends connections that no node
    /// drives.
    pub keepalive_time: Option<Duration>,
    /// Pause between two such questions (`TCP_KEEPINTVL`).
    pub keepalive_interval: Duration,
    /// Bytes that the kernel keeps for sending (`SO_SNDBUF`); the system decides when there is
    /// none.
    pub send_buffer: Option<u32>,
    /// Bytes that the kernel keeps for receiving (`SO_RCVBUF`); the system decides when there is
    /// none, which lets it grow with the speed of a link.
    pub receive_buffer: Option<u32>,
    /// Listen on a port whose earlier connections the kernel has not forgotten yet
    /// (`SO_REUSEADDR`): a restart need not wait a minute.
    pub reuse_address: bool,
    /// Share a port with other processes that ask for this too (`SO_REUSEPORT`): one process for
    /// each core, or a new version beside the old one.
    pub reuse_port: bool,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            nodelay: true,
            keepalive_time: Some(Duration::from_secs(60)),
            keepalive_interval: Duration::from_secs(15),
            send_buffer: None,
            receive_buffer: None,
            reuse_address: true,
            reuse_port: false,
            backlog: 1024,
        }
    }
}

impl SocketOptions {
    /// Sets what can be set on a connection. A link works without it, only worse, so that failures
    /// are no errors.
    pub fn apply(&self, socket: &TcpStream) {
        let options = SockRef::from(socket);
        let mut set = options.set_tcp_nodelay(self.nodelay);
        if let Some(time) = self.keepalive_time {
            let keepalive = TcpKeepalive::new().with_time(time);
            let keepalive = keepalive.with_interval(self.keepalive_interval);
            set = set.and_then(|()| options.set_tcp_keepalive(&keepalive));
        }
        if let Err(error) = set {
            tracing::debug!(%error, "socket options");
        }
    }

    /// Listens on `address`.
    ///
    /// # Errors
    /// Those of the system.
    pub fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = self.bound(address, Type::STREAM, Protocol::TCP)?;
        socket.listen(i32::try_from(self.backlog).unwrap_or(i32::MAX))?;
        TcpListener::from_std(socket.into())
    }

    /// A UDP socket at `address`, for QUIC.
    ///
    /// # Errors
    /// Those of the system.
    pub fn udp(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        Ok(self.bound(address, Type::DGRAM, Protocol::UDP)?.into())
    }

    fn bound(&self, address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
        socket.set_nonblocking(true)?;
        // Over UDP it would let two processes take one port, each with some of the packets.
        if kind == Type::STREAM {
            socket.set_reuse_address(self.reuse_address && cfg!(unix))?;
        }
        #[cfg(unix)]
        socket.set_reuse_port(self.reuse_port)?;
        // Set before anyone connects: the window of a connection is agreed in its first packets.
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes as usize)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes as usize)?;
        }
        socket.bind(&address.into())?;
        Ok(socket)
    }

    /// Connects to `host:port`, to the first of its addresses that answers.
    ///
    /// # Errors
    /// That of the last address.
    pub async fn connect(&self, authority: &str) -> io::Result<TcpStream> {
        self.each_address(authority, |address| self.connect_to(address)).await
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(address).await?;
        self.apply(&stream);
        Ok(stream)
    }

    /// Tries `attempt` with each address of `authority` in turn. An address that does not answer
    /// takes no more than its share of the time that is left, so that the next one has some.
    pub(crate) async fn each_address<T, F: Future<Output = io::Result<T>>>(
        &self,
        authority: &str,
        attempt: impl Fn(SocketAddr) -> F,
    ) -> io::Result<T> {
        let until = Instant::now() + self.connect_timeout;
        let found = timeout(self.connect_timeout, tokio::net::lookup_host(authority)).await;
        let addresses: Vec<SocketAddr> = found.map_err(|_| late())??.take(ADDRESSES_MAX).collect();
        let mut trouble = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for (index, address) in addresses.iter().enumerate() {
            let left = until.saturating_duration_since(Instant::now());
            let untried = u32::try_from(addresses.len() - index).unwrap_or(1);
            match timeout(left / untried, attempt(*address)).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => trouble = error,
                Err(_) => trouble = late(),
            }
        }
        Err(trouble)
    }
}

pub(crate) fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no connection in time")
}

/// A name that leads to more is no name of a relay.
const ADDRESSES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn n17_options_reach_the_socket() {
        let options = SocketOptions {
            keepalive_time: Some(Duration::from_secs(33)),
            keepalive_interval: Duration::from_secs(7),
            send_buffer: Some(40_000),
            receive_buffer: Some(50_000),
            reuse_port: true,
            ..SocketOptions::default()
        };
        let listener = options.listen(ANY_PORT).expect("listens");
        let address = listener.local_addr().expect("bound");
        let second = options.listen(address).expect("a port can be shared");
        drop(second);
        let stream = options.connect(&address.to_string()).await.expect("connects");
        let set = SockRef::from(&stream);
        assert!(set.tcp_nodelay().expect("asked"));
        assert!(set.keepalive().expect("asked"));
        assert_eq!(set.tcp_keepalive_time().expect("asked"), Duration::from_secs(33));
        assert_eq!(set.tcp_keepalive_interval().expect("asked"), Duration::from_secs(7));
        // Linux doubles both for its own needs.
        assert!((40_000..=80_000).contains(&set.send_buffer_size().expect("asked")));
        assert!((50_000..=100_000).contains(&set.recv_buffer_size().expect("asked")));
    }

    #[tokio::test]
    async fn every_address_is_tried() {
        let listener = SocketOptions::default().listen(ANY_PORT).expect("listens");
        let good = listener.local_addr().expect("bound");
        let tried = std::sync::Mutex::new(Vec::new());
        // The name stands for one address or two, as the machine is set up.
        let connected = SocketOptions::default()
            .each_address(&format!("localhost:{}", good.port()), |address| {
                tried.lock().expect("no panic").push(address);
                async move {
                    if address.is_ipv4() { Ok(address) } else { Err(io::Error::other("first")) }
                }
            })
            .await;
        assert_eq!(connected.expect("the last one answers"), good);
        assert_eq!(tried.lock().expect("no panic").last(), Some(&good));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_silent_does_not_take_all_the_time() {
        let options = SocketOptions::default();
        let begun = Instant::now();
        let silent = options
            .each_address("127.0.0.1:1", |_| std::future::pending::<io::Result<()>>())
            .await
            .expect_err("nothing answers");
        assert_eq!(silent.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 10);
    }
}
