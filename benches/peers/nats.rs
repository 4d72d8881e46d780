//! nats-server, and a client for it: one inbox for each connection, headers off, all that waits in
//! one write. The protocol is text lines with a counted body behind some of them.

use crate::Failure;
use crate::line::Tcp;
use crate::mux::{CallId, Mux, Taken, Wire};
use crate::process::{self, Address, Part};
use crate::pump::{self, Handler};
use bytes::{Buf, BytesMut};
use std::net::TcpStream as BlockingTcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::task::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The program on this machine.
pub(crate) struct Program {
    path: PathBuf,
    /// As it says.
    pub(crate) version: String,
}

/// Looks for nats-server where programs are. Packages put it where only root's PATH may look.
pub(crate) fn find() -> Option<Program> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join("nats-server")).find_map(|path| {
        let said = Command::new(&path).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&said.stdout);
        let version = text.trim().trim_start_matches("nats-server:").trim().to_owned();
        said.status.success().then_some(Program { path, version })
    })
}

impl Program {
    /// Starts it on a free port with the settings it comes with.
    pub(crate) fn start(&self) -> Result<Part, Failure> {
        let address = process::free_address()?;
        let mut command = Command::new(&self.path);
        command.args(["--addr", &address.ip().to_string()]);
        command.args(["--port", &address.port().to_string()]);
        Part::start_foreign(&mut command, address)
    }
}

/// Opens connections with an inbox each.
pub(crate) async fn connect(
    broker: Address,
    connections: usize,
) -> Result<Vec<Mux<Inbox>>, Failure> {
    let mut callers = Vec::with_capacity(connections);
    for number in 0..connections {
        let inbox = Inbox { prefix: format!("_INBOX.{number}.") };
        let (socket, read) = subscribe(broker, &format!("{}*", inbox.prefix)).await?;
        callers.push(Mux::start(inbox, Tcp::new(socket)?, read));
    }
    Ok(callers)
}

/// Answers requests with their own bodies.
pub(crate) async fn respond(broker: Address) -> Result<(), Failure> {
    let (socket, read) = subscribe(broker, SUBJECT).await?;
    process::say_ready(broker)?;
    pump::run(&mut Tcp::new(socket)?, &mut Echo { output: BytesMut::new() }, read).await
}

/// Connects and subscribes; what was read behind the answer is returned with the connection.
async fn subscribe(broker: Address, subject: &str) -> Result<(TcpStream, BytesMut), Failure> {
    let socket = BlockingTcpStream::connect(broker)?;
    socket.set_nonblocking(true)?;
    let mut socket = TcpStream::from_std(socket)?;
    let hello = format!("CONNECT {OPTIONS}\r\nSUB {subject} 1\r\nPING\r\n");
    socket.write_all(hello.as_bytes()).await?;
    let mut input = BytesMut::new();
    loop {
        while let Some(message) = read(&input)? {
            let is_pong = matches!(message.kind, Kind::Pong);
            let length = message.length;
            input.advance(length);
            if is_pong {
                return Ok((socket, input));
            }
        }
        if socket.read_buf(&mut input).await? == 0 {
            return Err("nats-server closed the connection".into());
        }
    }
}

/// Where the answers of one connection go.
pub(crate) struct Inbox {
    prefix: String,
}

impl Wire for Inbox {
    fn request(&self, call: CallId, body: &[u8], output: &mut BytesMut) {
        output.reserve(self.prefix.len() + body.len() + LINE_BYTES_USUAL);
        output.extend_from_slice(b"PUB ");
        output.extend_from_slice(SUBJECT.as_bytes());
        output.extend_from_slice(b" ");
        output.extend_from_slice(self.prefix.as_bytes());
        put_decimal(call, output);
        put_body(body, output);
    }

    fn take(&self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Taken, Failure> {
        let Some(message) = read(input)? else { return Ok(Taken::Incomplete) };
        let length = message.length;
        let taken = match message.kind {
            Kind::Message { subject, body, .. } => {
                let call = subject.strip_prefix(self.prefix.as_bytes()).and_then(decimal);
                let call = call.ok_or("a message came for another inbox")?;
                let (begin, size) = (length - body.len() - END.len(), body.len());
                input.advance(begin);
                let answer = input.split_to(size).freeze();
                input.advance(END.len());
                return Ok(Taken::Answer(call, answer));
            }
            Kind::Ping => {
                output.extend_from_slice(b"PONG\r\n");
                Taken::Nothing
            }
            Kind::Pong | Kind::Other => Taken::Nothing,
        };
        input.advance(length);
        Ok(taken)
    }
}

struct Echo {
    output: BytesMut,
}

impl Handler for Echo {
    fn take(&mut self, input: &mut BytesMut) -> Result<(), Failure> {
        while let Some(message) = read(input)? {
            match message.kind {
                Kind::Message { reply, body, .. } => {
                    self.output.reserve(reply.len() + body.len() + LINE_BYTES_USUAL);
                    self.output.extend_from_slice(b"PUB ");
                    self.output.extend_from_slice(reply);
                    put_body(body, &mut self.output);
                }
                Kind::Ping => self.output.extend_from_slice(b"PONG\r\n"),
                Kind::Pong | Kind::Other => {}
            }
            let length = message.length;
            input.advance(length);
        }
        Ok(())
    }

    fn poll_output(&mut self, output: &mut BytesMut, _: &mut Context<'_>) {
        pump::append(output, &mut self.output);
    }
}

/// One message of the server.
struct Message<'a> {
    kind: Kind<'a>,
    /// Bytes of all of it.
    length: usize,
}

enum Kind<'a> {
    Message {
        subject: &'a [u8],
        reply: &'a [u8],
        body: &'a [u8],
    },
    Ping,
    Pong,
    /// `INFO` and `+OK`.
    Other,
}

/// Reads the first message; `None` when it is not whole.
fn read(input: &[u8]) -> Result<Option<Message<'_>>, Failure> {
    let searched = &input[..input.len().min(LINE_BYTES_MAX)];
    let Some(end) = searched.iter().position(|byte| *byte == b'\n') else {
        let is_too_long = searched.len() == LINE_BYTES_MAX;
        return if is_too_long { Err("nats-server sent no line".into()) } else { Ok(None) };
    };
    let (line, begin) = (input[..end].trim_ascii_end(), end + 1);
    let mut words = line.split(|byte| *byte == b' ');
    let kind = match words.next().unwrap_or_default() {
        b"MSG" => {
            let subject = words.next().unwrap_or_default();
            let (Some(_), Some(third)) = (words.next(), words.next()) else {
                return Err("nats-server sent half a MSG line".into());
            };
            let (reply, size) = words.next().map_or((&b""[..], third), |size| (third, size));
            let size = decimal(size).ok_or("nats-server sent a MSG without its size")?;
            let size = usize::try_from(size)?;
            if size > BODY_BYTES_MAX {
                return Err("nats-server sent more than a body may hold".into());
            }
            let length = begin + size + END.len();
            let Some(body) = input.get(begin..begin + size) else { return Ok(None) };
            if input.len() < length {
                return Ok(None);
            }
            return Ok(Some(Message { kind: Kind::Message { subject, reply, body }, length }));
        }
        b"PING" => Kind::Ping,
        b"PONG" => Kind::Pong,
        b"-ERR" => {
            let text = String::from_utf8_lossy(line).into_owned();
            return Err(format!("nats-server says {text}").into());
        }
        _ => Kind::Other,
    };
    Ok(Some(Message { kind, length: begin }))
}

fn put_body(body: &[u8], output: &mut BytesMut) {
    output.extend_from_slice(b" ");
    put_decimal(body.len() as u64, output);
    output.extend_from_slice(END);
    output.extend_from_slice(body);
    output.extend_from_slice(END);
}

fn put_decimal(mut number: u64, output: &mut BytesMut) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    output.extend_from_slice(&digits[at..]);
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let mut number = (!digits.is_empty()).then_some(0_u64)?;
    for digit in digits {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number = number.checked_mul(10)?.checked_add(value)?;
    }
    Some(number)
}

const SYSTEM_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
const SUBJECT: &str = "echo";
const OPTIONS: &str = r#"{"verbose":false,"pedantic":false,"tls_required":false,"headers":false,"no_responders":false,"echo":true,"protocol":1,"lang":"rust","version":"1","name":"peers"}"#;
const END: &[u8] = b"\r\n";
const LINE_BYTES_USUAL: usize = 64;
/// `INFO` is the longest line, about 400 bytes.
const LINE_BYTES_MAX: usize = 8 << 10;
const BODY_BYTES_MAX: usize = 1 << 20;

#[test]
fn messages_are_taken_whole() {
    let inbox = Inbox { prefix: "_INBOX.3.".into() };
    let text = b"INFO {}\r\nPING\r\nMSG _INBOX.3.42 1 5\r\nab\r\nc\r\n+OK\r\n";
    for cut in 0..=text.len() {
        let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
        let mut answers = Vec::new();
        for part in [&text[..cut], &text[cut..]] {
            input.extend_from_slice(part);
            loop {
                match inbox.take(&mut input, &mut output).expect("well formed") {
                    Taken::Answer(call, body) => answers.push((call, body)),
                    Taken::Nothing => {}
                    Taken::Incomplete => break,
                }
            }
        }
        assert_eq!(answers, [(42, bytes::Bytes::from_static(b"ab\r\nc"))], "cut at {cut}");
        assert_eq!((&output[..], input.len()), (&b"PONG\r\n"[..], 0));
    }
}

#[test]
fn requests_are_answered_where_they_ask() {
    let mut wire = BytesMut::new();
    let inbox = Inbox { prefix: "_INBOX.0.".into() };
    inbox.request(u64::MAX, b"xyz", &mut wire);
    assert_eq!(&wire[..], b"PUB echo _INBOX.0.18446744073709551615 3\r\nxyz\r\n");
    let mut echo = Echo { output: BytesMut::new() };
    echo.take(&mut BytesMut::from("MSG echo 1 _INBOX.0.7 3\r\nxyz\r\n")).expect("well formed");
    assert_eq!(&echo.output[..], b"PUB _INBOX.0.7 3\r\nxyz\r\n");
}

#[test]
fn bad_lines_are_failures() {
    for text in ["-ERR 'Unknown'\r\n", "MSG a 1\r\n", "MSG a 1 x\r\n", "MSG a 1 9999999\r\n"] {
        assert!(read(text.as_bytes()).is_err(), "{text}");
    }
    assert!(read(&[b'x'; LINE_BYTES_MAX]).is_err());
    assert_eq!(
        (decimal(b""), decimal(b"1x"), decimal(b"99999999999999999999")),
        (None, None, None)
    );
}
