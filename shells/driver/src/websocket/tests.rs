use super::*;
use futures_util::FutureExt;

/// A peer whose bytes come one at a time.
struct Crumbs {
    to_read: VecDeque<u8>,
    written: Vec<u8>,
}

impl AsyncRead for Crumbs {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Some(byte) = self.to_read.pop_front() else { return Poll::Ready(Ok(0)) };
        buffer[0] = byte;
        Poll::Ready(Ok(1))
    }
}

impl AsyncWrite for Crumbs {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What comes of the upgrade that `head` asks for.
fn upgraded(head: &str) -> io::Result<WebSocketTransport<Crumbs>> {
    let stream = Crumbs { to_read: head.bytes().collect(), written: Vec::new() };
    WebSocketTransport::upgrade(stream).now_or_never().expect("nothing has to be waited for")
}

fn head(more: &str) -> String {
    format!(
        "GET /ws/p2p HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

#[test]
fn an_upgrade_may_come_one_byte_at_a_time() {
    let mut transport = upgraded(&head("")).expect("upgraded");
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let received = transport.poll_receive(&mut cx, &mut |_| panic!("there are no frames"));
    assert!(matches!(received, Poll::Ready(Ok(false) | Err(_))), "the peer is gone: {received:?}");
}

#[test]
fn web_pages_and_others_are_refused_with_a_reason() {
    for (head, why) in [
        (head("Origin: http://example.com\r\n"), "403"),
        (String::from("POST /ws/p2p HTTP/1.1\r\nHost: relay\r\n\r\n"), "upgrade failed"),
        (head(&"X-Long: 0123456789\r\n".repeat(10_000)), "upgrade failed"),
        (String::from("GET /ws/p2p HTTP/1.1\r\nHost: re"), "upgrade failed"),
        (String::new(), "upgrade failed"),
    ] {
        let error = upgraded(&head).err().expect("refused").to_string();
        assert!(error.contains(why), "{error}");
    }
}
