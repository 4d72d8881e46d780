//! A page in a headless Chromium: a loopback server gives it its files and takes what it reports.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Opens `index.html` of a folder and returns what the page posts to `/lines`.
pub(crate) fn lines(folder: &Path, chromium: &str) -> Result<String, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    listener.set_nonblocking(true).map_err(|error| error.to_string())?;
    let mut browser = Command::new(chromium)
        .args(FLAGS)
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("http://{address}/index.html"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot run {chromium}: {error}"))?;
    let reported = serve(&listener, folder, &mut browser);
    let _ = browser.kill();
    let _ = browser.wait();
    reported
}

/// Answers requests until the page has reported.
fn serve(listener: &TcpListener, folder: &Path, browser: &mut Child) -> Result<String, String> {
    let started = Instant::now();
    while started.elapsed() < LONG {
        match listener.accept() {
            Ok((socket, _)) => {
                // Chromium opens connections ahead, which say nothing for a while.
                if let Some(reported) = answer(&socket, folder) {
                    return reported;
                }
            }
            Err(_) => {
                if let Ok(Some(status)) = browser.try_wait() {
                    return Err(format!("it ended before the page had reported: {status}"));
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
    Err(format!("the page reported nothing within {LONG:?}"))
}

/// Answers one request. Returns what it reported, if it did.
fn answer(socket: &TcpStream, folder: &Path) -> Option<Result<String, String>> {
    socket.set_nonblocking(false).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(socket);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut words = first.split(' ');
    let (method, path) = (words.next()?, words.next()?.trim_start_matches('/'));
    if method == "POST" {
        let mut body = String::new();
        reader.take(length).read_to_string(&mut body).ok()?;
        respond(socket, "204 No Content", "text/plain", b"");
        return Some(if path == "lines" { Ok(body) } else { Err(body) });
    }
    let file = FILES.iter().find(|(name, _)| *name == path);
    match file.and_then(|(name, kind)| Some((fs::read(folder.join(name)).ok()?, *kind))) {
        Some((bytes, kind)) => respond(socket, "200 OK", kind, &bytes),
        None => respond(socket, "404 Not Found", "text/plain", b"no such file"),
    }
    None
}

/// Whoever has gone does not read it, which is his affair.
fn respond(mut socket: &TcpStream, status: &str, kind: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let _ = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(body));
}

/// Nothing else is served.
const FILES: [(&str, &str); 4] = [
    ("index.html", "text/html"),
    ("relay_replay.js", "text/javascript"),
    ("relay_replay_bg.wasm", "application/wasm"),
    ("traces", "application/octet-stream"),
];
/// Nothing is asked of the network, and no sandbox is needed for a page of our own.
const FLAGS: [&str; 7] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];
/// A connection that was opened ahead.
const PATIENCE: Duration = Duration::from_millis(500);
/// Far more than it takes, so that only what hangs is ended.
const LONG: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(request: &str) -> (String, Option<Result<String, String>>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("heard");
        client.write_all(request.as_bytes()).expect("sent");
        let (socket, _) = listener.accept().expect("a client");
        let reported = answer(&socket, Path::new("no-such-folder"));
        drop(socket);
        let mut text = String::new();
        client.read_to_string(&mut text).expect("an answer");
        (text, reported)
    }

    #[test]
    fn what_the_page_posts_is_taken_and_nothing_but_its_files_is_given() {
        let head = "Host: x\r\nContent-Length: 4\r\n\r\n";
        let (text, reported) = ask(&format!("POST /lines HTTP/1.1\r\n{head}1 aa"));
        assert!(text.starts_with("HTTP/1.1 204 "), "{text}");
        assert_eq!(reported, Some(Ok("1 aa".to_owned())));
        let (_, reported) = ask(&format!("POST /failed HTTP/1.1\r\n{head}oh, "));
        assert_eq!(reported, Some(Err("oh, ".to_owned())));
        let (text, reported) = ask("GET /../Cargo.toml HTTP/1.1\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 404 "), "{text}");
        assert_eq!(reported, None);
    }
}
