//! A proxy of bytes in front of a listener. It understands nothing of what it carries.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of bytes that go in one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flow {
    /// They arrive.
    Pass,
    /// They arrive one at a time, each in a packet of its own as far as the kernel lets them.
    Crumbs,
    /// They wait until they may pass.
    Stall,
    /// They vanish, and so does the end of the connection: the other host is gone.
    Lose,
}

/// What becomes of a connection: to the listener, and back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fate {
    pub(crate) up: Flow,
    pub(crate) down: Flow,
    is_reset: bool,
}

impl Fate {
    pub(crate) const fn new(up: Flow, down: Flow) -> Self {
        Self { up, down, is_reset: false }
    }
}

/// The proxy: all connections to its address go on to the listener.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    target: SocketAddr,
    /// What new connections begin with.
    fate: Fate,
    /// Bytes, in both directions together, after which a connection is reset, for each connection
    /// anew.
    bytes_max: Box<dyn Fn(u64) -> u64 + Send + Sync>,
    connections: Mutex<Vec<watch::Sender<Fate>>>,
}

impl Wire {
    /// A proxy that does nothing of its own.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        Self::with(target, Fate::new(Flow::Pass, Flow::Pass), |_| u64::MAX).await
    }

    /// A proxy whose connections all begin with this fate, and of which the nth is reset after so
    /// many bytes.
    pub(crate) async fn with(
        target: SocketAddr,
        fate: Fate,
        bytes_max: impl Fn(u64) -> u64 + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (bytes_max, connections) = (Box::new(bytes_max), Mutex::default());
        let shared = Arc::new(Shared { target, fate, bytes_max, connections });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    /// Changes the fate of the connections there are. Later ones pass.
    pub(crate) fn set(&self, fate: Fate) {
        for connection in self.shared.connections().iter() {
            connection.send_replace(fate);
        }
    }

    /// Resets the connections there are (TCP RST, to both sides).
    pub(crate) fn reset(&self) {
        for connection in self.shared.connections().iter() {
            connection.send_modify(|fate| fate.is_reset = true);
        }
    }

    /// Connections so far.
    pub(crate) fn count(&self) -> usize {
        self.shared.connections().len()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, Vec<watch::Sender<Fate>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((near, _)) = listener.accept().await {
        let (fate, receiver) = watch::channel(shared.fate);
        let nth = {
            let mut connections = shared.connections();
            connections.push(fate);
            connections.len() as u64
        };
        let (target, bytes) = (shared.target, AtomicU64::new((shared.bytes_max)(nth)));
        tokio::spawn(async move {
            // Nobody listens: the one who dialled finds the connection closed.
            if let Ok(far) = TcpStream::connect(target).await {
                carry(near, far, receiver, &bytes).await;
            }
        });
    }
}

/// The connection has to be reset.
struct Cut;

async fn carry(
    mut near: TcpStream,
    mut far: TcpStream,
    fate: watch::Receiver<Fate>,
    left: &AtomicU64,
) {
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let ended = {
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        let up = pump(near_read, far_write, fate.clone(), |fate| fate.up, left);
        let down = pump(far_read, near_write, fate.clone(), |fate| fate.down, left);
        let mut fate = fate;
        tokio::select! {
            ended = async { tokio::try_join!(up, down) } => ended.map(drop),
            _ = fate.wait_for(|fate| fate.is_reset) => Err(Cut),
        }
    };
    if ended.is_err() {
        for socket in [near, far] {
            // Fails where the other side was faster.
            drop(socket.set_zero_linger());
        }
    }
}

/// Carries bytes in one direction until there are no more.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut fate: watch::Receiver<Fate>,
    flow: impl Fn(&Fate) -> Flow,
    left: &AtomicU64,
) -> Result<(), Cut> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await;
        // What has been read may not pass before it is allowed to.
        let until = fate.wait_for(|fate| flow(fate) != Flow::Stall).await;
        let now = flow(&*until.map_err(|_| Cut)?);
        let length = match read {
            _ if now == Flow::Lose && !matches!(read, Ok(1..)) => {
                return std::future::pending().await;
            }
            Ok(0) => return to.shutdown().await.map_err(|_| Cut),
            Ok(length) => length,
            Err(_) => return Err(Cut),
        };
        let allowed = left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(length as u64))
            })
            .map_or(0, |left| left.min(length as u64) as usize);
        let written = match now {
            Flow::Pass | Flow::Stall => to.write_all(&buffer[..allowed]).await,
            Flow::Crumbs => crumble(&mut to, &buffer[..allowed]).await,
            Flow::Lose => Ok(()),
        };
        if written.is_err() || allowed < length {
            return Err(Cut);
        }
    }
}

async fn crumble(to: &mut WriteHalf<'_>, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        to.write_all(std::slice::from_ref(byte)).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
