//! TLS and QUIC between real processes: calls that cross them, and the one line when they do not.

use crate::certificates::{Ca, Folder, Pair};
use crate::client::Client;
use crate::process::{Process, command};
use crate::world::{Main, until};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// A Main that listens in every way, and where.
struct TlsMain {
    process: Process,
    wss: SocketAddr,
    tls: SocketAddr,
    quic: SocketAddr,
    tcp: SocketAddr,
    folder: Folder,
    ca: Ca,
}

impl TlsMain {
    fn start(name: &str, ca: Ca, pair: &Pair) -> Self {
        let folder = Folder::new(name);
        folder.write("ca.crt", &ca.pem());
        let chain = folder.write("node.crt", &pair.chain);
        let key = folder.write("node.key", &pair.key);
        let any = "127.0.0.1:0";
        let process = Process::relay(&[
            "--server",
            "--node-id",
            "main-tls",
            "--port",
            "0",
            "--listen-tls",
            any,
            "--listen-quic",
            any,
            "--listen-tcp",
            any,
            "--tls-cert",
            &chain,
            "--tls-key",
            &key,
        ]);
        let lines = process.lines_until(" ready ");
        let address = |scheme: &str| {
            let start = format!("endpoint: {scheme}://");
            let found = lines.iter().find_map(|line| Some(line.split_once(&start)?.1));
            let found = found.unwrap_or_else(|| panic!("{scheme}: {lines:#?}"));
            found.trim_end_matches("/ws/p2p").parse().unwrap()
        };
        let (wss, tls) = (address("wss"), address("tls"));
        let (quic, tcp) = (address("quic"), address("tcp"));
        Self { process, wss, tls, quic, tcp, folder, ca }
    }

    fn urls(&self) -> [String; 3] {
        [
            format!("wss://{}", self.wss),
            format!("tls://{}", self.tls),
            format!("quic://{}", self.quic),
        ]
    }

    fn ca_file(&self) -> String {
        self.folder.path("ca.crt")
    }

    /// The lines about connections that were refused.
    fn refusals(&self) -> Vec<String> {
        let mut lines = self.process.lines();
        lines.retain(|line| line.contains("a connection was refused: "));
        lines
    }
}

fn start(arguments: &[&str]) -> Child {
    let mut command = command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs")
}

/// Exit code, output and errors.
fn ended(child: Child) -> (Option<i32>, String, String) {
    let output = child.wait_with_output().expect("ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// What a tool says that fails: one line, and one with a hint.
fn error_of(child: Child) -> String {
    let (code, _, errors) = ended(child);
    assert_eq!(code, Some(1), "{errors}");
    let lines: Vec<&str> = errors.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with("hint: "), "{errors}");
    lines[0].to_owned()
}

fn call_in_vain(url: &str, ca: &str) -> Child {
    start(&["call", "--connect", url, "--tls-ca", ca, "--timeout", "3s", "a.b"])
}

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").arg("-sS").args(arguments).output().expect("curl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[tokio::test]
async fn l9_calls_cross_every_encrypted_transport() {
    let ca = Ca::new("a CA");
    let pair = ca.sign(&["localhost", "127.0.0.1"]);
    let main = TlsMain::start("calls", ca, &pair);
    let ca = main.ca_file();
    let homes: Vec<Process> = (main.urls().iter().enumerate())
        .map(|(number, url)| {
            let (id, service) = (format!("home{number}"), format!("echo{number}=demo:echo"));
            let flags =
                ["--connect", url, "--tls-ca", &ca, "--node-id", &id, "--service", &service];
            Process::relay(&flags)
        })
        .collect();
    let https = format!("https://{}", main.wss);
    let services = || {
        let (code, out, errors) = ended(start(&["services", "--connect", &https, "--tls-ca", &ca]));
        assert_eq!(code, Some(0), "{errors}");
        out
    };
    until("all are offered", async || {
        let table = services();
        (0..3).all(|number| table.contains(&format!("echo{number}")))
    })
    .await;
    for url in main.urls() {
        for number in 0..3 {
            let target = format!("echo{number}.echo");
            let flags = ["call", "--connect", &url, "--tls-ca", &ca, "--timeout", "30s", &target];
            let (code, out, errors) = ended(start(&[&flags[..], &["text=hello"]].concat()));
            assert_eq!((code, out.contains("hello")), (Some(0), true), "{url} {target}: {errors}");
        }
    }
    for url in [https.clone(), format!("quic://{}", main.quic)] {
        let flags = ["bench", "echo2.echo", "--unique", "--calls", "50", "--concurrency", "5"];
        let flags = [&flags[..], &["--connect", &url, "--tls-ca", &ca]].concat();
        let (code, _, errors) = ended(start(&flags));
        assert_eq!(code, Some(0), "{url}: {errors}");
    }
    let health = curl(&["--cacert", &ca, &format!("{https}/health")]);
    assert!(health.contains("healthy"), "{health}");
    for home in homes {
        home.signal("TERM");
        assert_eq!(home.ended().0, Some(0));
    }
    assert_eq!(main.refusals(), Vec::<String>::new());
}

/// The acceptance of the issue: wrong name, unknown CA and expired, one clear line each, at both
/// ends, over each transport.
#[tokio::test]
async fn a_certificate_that_is_not_believed_is_one_line_at_both_ends() {
    let other = Ca::new("another CA");
    let folder = Folder::new("believed");
    let other = folder.write("other.crt", &other.pem());
    let here = &["127.0.0.1"];
    for (name, wanted, told) in [
        (
            "name",
            "is for other names (relay.example.com): dial one",
            "another name than was dialled",
        ),
        ("ca", "signed by a CA that is not known here: name the file", "does not know the CA"),
        ("date", "expired at 20", "it has expired"),
    ] {
        let ca = Ca::new("a CA");
        let pair = match name {
            "name" => ca.sign(&["relay.example.com"]),
            "ca" => ca.sign(here),
            _ => ca.sign_expired(here),
        };
        let main = TlsMain::start(name, ca, &pair);
        let believed = if name == "ca" { other.clone() } else { main.ca_file() };
        let calls = main.urls().map(|url| call_in_vain(&url, &believed));
        for (call, url) in calls.into_iter().zip(main.urls()) {
            let error = error_of(call);
            let host = url.split_once("://").unwrap().1;
            let whose = format!("the certificate of {host} ");
            assert!(error.contains(&whose) && error.contains(wanted), "{error}");
        }
        let url = &main.urls()[1];
        let home = Process::relay(&["--connect", url, "--tls-ca", &believed, "--node-id", "h"]);
        let lines = home.lines_until("could not connect");
        assert!(lines.last().unwrap().contains(wanted), "{lines:#?}");
        until("the Main tells all three", async || main.refusals().len() >= 3).await;
        for line in main.refusals() {
            assert!(line.contains(told) && line.contains("127.0.0.1:"), "{line}");
        }
    }
}

#[tokio::test]
async fn tls_where_none_is_spoken_and_the_reverse_are_one_line_at_both_ends() {
    let ca = Ca::new("a CA");
    let pair = ca.sign(&["127.0.0.1"]);
    let main = TlsMain::start("mixed", ca, &pair);
    let plain = Main::with(&["--port", "0"]);
    let ca = main.ca_file();
    let dials = [
        (format!("ws://{}", main.wss), "this port speaks TLS: use https:// or wss://"),
        (format!("tcp://{}", main.wss), "TLS is spoken there: dial tls:// instead of tcp://"),
        (format!("ws://{}", main.tls), "dial it by a tls:// address"),
        (format!("tcp://{}", main.tls), "TLS is spoken there: dial tls:// instead of tcp://"),
        (format!("tls://{}", main.wss), "another protocol is spoken at"),
        (format!("wss://{}", main.tls), "another protocol is spoken at"),
        (format!("tls://{}", main.tcp), "closed the connection in the TLS handshake"),
        (format!("wss://{}", plain.address), "no TLS is spoken at"),
        (format!("tls://{}", plain.address), "no TLS is spoken at"),
        (format!("tcp://{}", plain.address), "HTTP is spoken there"),
    ];
    let calls: Vec<Child> = dials.iter().map(|(url, _)| call_in_vain(url, &ca)).collect();
    for (call, (url, wanted)) in calls.into_iter().zip(&dials) {
        let error = error_of(call);
        assert!(error.contains(wanted), "{url}: {error}");
    }
    for wanted in [
        "HTTP without TLS came to a port for TLS: dial wss:// or https:// there",
        "bytes without TLS came to a port for TLS: dial tls:// there",
        "the client speaks another protocol over TLS than this port",
        "TLS came to a port without TLS: dial tcp:// there",
    ] {
        main.process.lines_until(wanted);
    }
    plain.process.lines_until("TLS came to a port without TLS: dial ws:// or http:// there");

    let answer = curl(&[&format!("http://{}/health", main.wss)]);
    assert_eq!(answer, "this port speaks TLS: use https:// or wss://\n");
    let tool = start(&["peers", "--connect", &format!("http://{}", main.wss)]);
    assert!(error_of(tool).contains("this port speaks TLS"));
    let tool = start(&["peers", "--connect", &format!("https://{}", plain.address)]);
    assert!(error_of(tool).contains("no TLS is spoken at"));
}

/// Nobody waits for those who connect and say nothing, or never finish what they began to say.
#[tokio::test]
async fn strangers_do_not_hold_up_tls() {
    let ca = Ca::new("a CA");
    let pair = ca.sign(&["127.0.0.1"]);
    let main = TlsMain::start("strangers", ca, &pair);
    let mut silent = Vec::new();
    for address in [main.tls, main.wss] {
        let mut begun = Client::connect(address).await;
        begun.send([22, 3, 1, 2]).await;
        silent.push(begun);
        silent.push(Client::connect(address).await);
    }
    let https = format!("https://{}/health", main.wss);
    assert!(curl(&["--cacert", &main.ca_file(), &https]).contains("healthy"));
    for mut client in silent {
        assert!(client.is_closed_within(crate::world::LONG).await, "it is bounded");
    }
    let late = "no TLS handshake within 5 s";
    until("it is told", async || main.refusals().len() == 4).await;
    assert!(main.refusals().iter().all(|line| line.contains(late)), "{:#?}", main.refusals());
}

#[tokio::test]
async fn a_certificate_is_read_again_at_sighup() {
    let first = Ca::new("the first CA");
    let pair = first.sign(&["127.0.0.1"]);
    let main = TlsMain::start("sighup", first, &pair);
    let ca = main.ca_file();
    let flags = ["--node-id", "h", "--service", "echo=demo:echo"];
    let home =
        Process::relay(&[&["--connect", &main.urls()[2], "--tls-ca", &ca], &flags[..]].concat());
    home.lines_until("connected to the Main Relay");

    let second = Ca::new("the second CA");
    let new = second.sign(&["127.0.0.1"]);
    main.folder.write("node.crt", &new.chain);
    main.process.signal("HUP");
    main.process.lines_until("the certificate stays the old one");
    main.folder.write("node.key", &new.key);
    main.process.signal("HUP");
    main.process.lines_until("the certificate was read again");
    let second = main.folder.write("second.crt", &second.pem());
    for url in main.urls() {
        let flags = ["call", "--connect", &url, "--tls-ca", &second, "--timeout", "30s"];
        let (code, out, errors) = ended(start(&[&flags[..], &["echo.echo", "text=x"]].concat()));
        assert_eq!((code, out.contains('x')), (Some(0), true), "{errors}");
    }
    assert_ne!(main.ca.pem(), std::fs::read_to_string(&second).unwrap());
    assert!(!home.lines().iter().any(|line| line.contains("link down")), "{:#?}", home.lines());
}

#[test]
fn files_are_checked_before_anything_starts() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("start");
    let ca = Ca::new("a CA");
    let (one, two) = (ca.sign(&["a"]), ca.sign(&["a"]));
    let (chain, key) = (folder.write("a.crt", &one.chain), folder.write("a.key", &one.key));
    let other = folder.write("b.key", &two.key);
    let none = folder.path("none");
    let server = ["--server", "--port", "0"];
    for (flags, wanted) in [
        (&["--tls-cert", &chain, "--tls-key", &other][..], "is not that of the first certificate"),
        (&["--tls-cert", &none, "--tls-key", &key], "cannot read"),
        (&["--tls-cert", &key, "--tls-key", &key], "holds no certificate"),
        (&["--tls-cert", &chain], "tls.cert is set (flag --tls-cert), but tls.key is not"),
        (&["--listen-quic", "127.0.0.1:0"], "node.listen_quic is set (flag --listen-quic), but"),
        (&["--tls-ca", &key], "--tls-ca: "),
    ] {
        let (code, _, errors) = ended(start(&[&server, flags].concat()));
        let lines: Vec<&str> = errors.lines().filter(|line| !line.contains(" INFO ")).collect();
        assert_eq!(code, Some(2), "{errors}");
        assert!(lines[0].contains(wanted) && lines[1].starts_with("hint: "), "{errors}");
    }
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    let token = folder.write("token", "s3cret");
    let public = ["--server", "--listen", "0.0.0.0:0", "--token-file", &token];
    let flags = [&public[..], &["--tls-cert", &chain, "--tls-key", &key]].concat();
    let main = Process::relay(&flags);
    let lines = main.lines_until(" ready ");
    let warning = "others than the owner may read the private key of the certificate";
    assert!(lines.iter().any(|line| line.contains(warning)), "{lines:#?}");
}
