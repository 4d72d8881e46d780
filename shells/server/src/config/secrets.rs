//! Files with secrets: the key of the node, which is made on the first start, and the token of the
//! federation. Neither is ever logged, printed or given on the command line.

use crate::cli::Failure;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

/// The secret key in the file at `path`. A missing file is made, readable by its owner only.
///
/// # Errors
/// [`Failure`] when the file cannot be read or made, when others than its owner may read it, or
/// when it holds no key.
pub fn secret_key(path: &Path) -> Result<[u8; 32], Failure> {
    match File::open(path) {
        Ok(file) => read_key(file, path),
        Err(error) if error.kind() == ErrorKind::NotFound => create_key(path),
        Err(error) => Err(failed("read", path, &error)),
    }
}

/// The token in the file at `path`, without the white space around it.
///
/// # Errors
/// [`Failure`] when the file cannot be read or holds no token.
pub fn read_token(path: &Path) -> Result<String, Failure> {
    let file = File::open(path).map_err(|error| failed("read", path, &error))?;
    warn_if_open(path, "token file");
    let text = read_short(file, path, TOKEN_BYTES_MAX)?;
    let token = text.trim();
    let is_legal = (1..=TOKEN_BYTES_MAX).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_legal {
        return Err(Failure::usage(format!("{} holds no token", path.display()))
            .with_hint("put one line of visible ASCII into it, at most 4096 bytes"));
    }
    Ok(token.to_owned())
}

/// Says in the log when others than the owner may read a file with a secret.
pub fn warn_if_open(path: &Path, what: &str) {
    if File::open(path).and_then(|file| is_open_to_others(&file)).unwrap_or(false) {
        tracing::warn!(file = %path.display(), "others than the owner may read the {what}");
    }
}

fn read_key(file: File, path: &Path) -> Result<[u8; 32], Failure> {
    if is_open_to_others(&file).map_err(|error| failed("read", path, &error))? {
        return Err(Failure::usage(format!(
            "others than its owner may read or write the key file {}",
            path.display()
        ))
        .with_hint(format!("run: chmod 600 {}", path.display())));
    }
    let text = read_short(file, path, 256)?;
    decode_hex(text.trim()).ok_or_else(|| {
        Failure::usage(format!("{} holds no key: 64 hex digits are expected", path.display()))
            .with_hint("give --key-file the path of a file that does not exist to get a new key")
    })
}

fn create_key(path: &Path) -> Result<[u8; 32], Failure> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)
        .map_err(|error| Failure::work(format!("the system has no random numbers: {error}")))?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = Path::new(&name);
    let written = write_key(new, &key)
        // The link appears whole or not at all, and never replaces a key that another process
        // made in the meantime.
        .and_then(|()| std::fs::hard_link(new, path));
    let _ = std::fs::remove_file(new);
    match written {
        Ok(()) => {
            tracing::info!(file = %path.display(), "made a new secret key");
            Ok(key)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.exists() => {
            read_key(File::open(path).map_err(|error| failed("read", path, &error))?, path)
        }
        Err(error) => Err(failed("make", path, &error)),
    }
}

fn write_key(path: &Path, key: &[u8; 32]) -> std::io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let mut text = String::with_capacity(65);
    for byte in key {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn read_short(file: File, path: &Path, bytes_max: usize) -> Result<String, Failure> {
    let mut text = String::new();
    let read = file.take(bytes_max as u64 + 3).read_to_string(&mut text);
    read.map_err(|error| failed("read", path, &error))?;
    if text.len() > bytes_max + 2 {
        return Err(Failure::usage(format!("{} is larger than {bytes_max} bytes", path.display())));
    }
    Ok(text)
}

fn decode_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    bytes.try_into().ok()
}

#[cfg(unix)]
fn is_open_to_others(file: &File) -> std::io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.metadata()?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_file: &File) -> std::io::Result<bool> {
    Ok(false)
}

fn failed(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot {verb} {}: {error}", path.display()))
}

const TOKEN_BYTES_MAX: usize = 4096;

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    fn folder(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("relay-secrets-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        path
    }

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let folder = folder("key");
        let path = folder.join("node.key");
        let key = secret_key(&path).expect("made");
        assert_eq!(secret_key(&path), Ok(key));
        assert_ne!(key, [0; 32]);
        let mode = |path: &Path| std::fs::metadata(path).expect("made").permissions().mode();
        assert_eq!(mode(&path) & 0o777, 0o600);
        assert_eq!(
            std::fs::read_dir(&folder).expect("folder").count(),
            1,
            "no file is left behind"
        );

        for open in [0o640, 0o604, 0o620] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(open)).expect("chmod");
            let failure = secret_key(&path).expect_err("open to others");
            assert!(failure.hint().is_some_and(|hint| hint.contains("chmod 600")), "{failure:?}");
        }
        let _ = std::fs::remove_dir_all(folder);
    }

    #[test]
    fn a_file_without_a_key_is_refused_and_kept() {
        let folder = folder("bad");
        let path = folder.join("node.key");
        for text in [&b""[..], b"abc", &[b'0'; 63], &[b'g'; 64], &[b'0'; 5000], b"\xff\xfe"] {
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("chmod");
            secret_key(&path).expect_err("no key");
            assert_eq!(std::fs::read(&path).expect("still there"), text);
        }
        let _ = std::fs::remove_dir_all(folder);
    }

    #[test]
    fn a_token_is_one_line() {
        let folder = folder("token");
        let path = folder.join("token");
        for (text, wanted) in [("s3cret\n", Some("s3cret")), ("", None), ("a b", None)] {
            std::fs::write(&path, text).expect("written");
            assert_eq!(read_token(&path).ok().as_deref(), wanted, "{text:?}");
        }
        std::fs::write(&path, "a".repeat(5000)).expect("written");
        assert!(read_token(&path).is_err());
        assert!(read_token(&folder.join("none")).is_err());
        let _ = std::fs::remove_dir_all(folder);
    }
}
