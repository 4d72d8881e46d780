//! One hunt: the program `hunt` of relay-sim tries seed after seed until an oracle is broken or the
//! time is over, and says in one line of JSON what came of it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    iter::Peekable,
    path::Path,
    process::{Child, Command, Stdio},
    str::Chars,
    thread,
    time::{Duration, Instant},
};

/// What came of a hunt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hunt {
    pub(crate) seeds_tried: u64,
    pub(crate) seconds: f64,
    /// Nothing when every seed was good.
    pub(crate) catch: Option<Catch>,
}

/// A seed that broke an oracle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Catch {
    pub(crate) seed: u64,
    pub(crate) oracle: String,
    pub(crate) what: String,
}

/// Hunts `mutant` with `program` from `first_seed` on, over at most that many `seeds`. What it
/// prints besides the result goes to `log`.
pub(crate) fn run(
    program: &Path,
    mutant: Option<&str>,
    first_seed: u64,
    seeds: Option<u64>,
    seconds: u32,
    log: &Path,
) -> Result<Hunt, String> {
    let errors =
        File::create(log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    let mut child = Command::new(program)
        .args(["--mixed", "--first-seed", &first_seed.to_string()])
        .args(["--seconds", &seconds.to_string()])
        .args(["--seeds", &seeds.unwrap_or(u64::MAX).to_string()])
        .args(mutant.map(|name| format!("--planted={name}")))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    let mut stdout = child.stdout.take();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.as_mut().map(|stdout| stdout.read_to_string(&mut text));
        read.is_some_and(|read| read.is_ok()).then_some(text)
    });
    let code = wait(&mut child, Duration::from_secs(u64::from(seconds)) + GRACE)?;
    let text = reader.join().ok().flatten().unwrap_or_default();
    understand(code, &text).map_err(|message| format!("{message}; see {}", log.display()))
}

/// The exit code; a hunt that does not end by itself is ended.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<i32>, String> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.code()),
            Ok(None) if started.elapsed() < limit => thread::sleep(POLL),
            Ok(None) => {
                // It may have ended between the two calls; then there is nothing to kill.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("a seed did not end within {} s", limit.as_secs()));
            }
            Err(error) => return Err(format!("cannot wait for the hunt: {error}")),
        }
    }
}

fn understand(code: Option<i32>, text: &str) -> Result<Hunt, String> {
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let fields = fields(line)
        .ok_or_else(|| format!("the hunt ended with {code:?} and without a line of JSON"))?;
    let field = |name: &str| {
        let missing = || format!("the hunt's line has no `{name}`: {line}");
        fields.get(name).ok_or_else(missing)
    };
    let number = |name: &str| {
        let wrong = |_| format!("the hunt's `{name}` is no whole number: {line}");
        field(name)?.parse::<u64>().map_err(wrong)
    };
    let seconds = field("wall_seconds")?;
    let seconds = seconds.parse().map_err(|_| format!("no time in the hunt's line: {line}"))?;
    let catch = match code {
        Some(0) => None,
        Some(1) => Some(Catch {
            seed: number("seed")?,
            oracle: field("oracle")?.clone(),
            what: field("what")?.clone(),
        }),
        _ => return Err(format!("the hunt ended with {code:?}, expected 0 or 1")),
    };
    Ok(Hunt { seeds_tried: number("seeds_tried")?, seconds, catch })
}

/// The members of a JSON object of texts and numbers, numbers as they are written.
fn fields(line: &str) -> Option<BTreeMap<String, String>> {
    let mut rest = line.trim().strip_prefix('{')?.strip_suffix('}')?.chars().peekable();
    let mut fields = BTreeMap::new();
    loop {
        skip_spaces(&mut rest);
        let name = text(&mut rest)?;
        skip_spaces(&mut rest);
        rest.next_if_eq(&':')?;
        skip_spaces(&mut rest);
        let value = match rest.peek()? {
            '"' => text(&mut rest)?,
            _ => number(&mut rest)?,
        };
        fields.insert(name, value);
        skip_spaces(&mut rest);
        match rest.next() {
            Some(',') => {}
            Some(_) => return None,
            None => return Some(fields),
        }
    }
}

fn skip_spaces(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| c.is_whitespace()).is_some() {}
}

fn number(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut digits = String::new();
    while let Some(c) = rest.next_if(|c| c.is_ascii_digit() || "+-.eE".contains(*c)) {
        digits.push(c);
    }
    digits.parse::<f64>().is_ok().then_some(digits)
}

fn text(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    rest.next_if_eq(&'"')?;
    let mut text = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(text),
            '\\' => text.push(escaped(rest)?),
            c => text.push(c),
        }
    }
}

fn escaped(rest: &mut Peekable<Chars<'_>>) -> Option<char> {
    Some(match rest.next()? {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'u' => {
            let digits: String = rest.by_ref().take(4).collect();
            let unit = u32::from_str_radix(&digits, 16).ok()?;
            // Half of a pair; what it stands for is only shown.
            char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        c => c,
    })
}

const POLL: Duration = Duration::from_millis(20);
/// The last seed may begin just before the time is over.
const GRACE: Duration = Duration::from_mins(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catch_is_read() {
        let line = "note\n{\"seed\":7, \"seeds_tried\":3,\"wall_seconds\":1.25,\"oracle\":\"S5\",\
                    \"what\":\"call \\\"a\\\"\\u0041\\n{ran}\"}\n\n";
        let hunt = understand(Some(1), line).expect("good");
        assert_eq!((hunt.seeds_tried, hunt.seconds), (3, 1.25));
        let catch = hunt.catch.expect("a catch");
        assert_eq!((catch.seed, &*catch.oracle), (7, "S5"));
        assert_eq!(catch.what, "call \"a\"A\n{ran}");
    }

    #[test]
    fn a_hunt_without_a_catch_is_read() {
        let hunt = understand(Some(0), "{\"seeds_tried\":90,\"wall_seconds\":60}").expect("good");
        assert_eq!(hunt, Hunt { seeds_tried: 90, seconds: 60.0, catch: None });
    }

    #[test]
    fn what_is_no_result_is_refused() {
        let good = "{\"seeds_tried\":90,\"wall_seconds\":60}";
        assert!(understand(Some(101), good).is_err_and(|text| text.contains("101")));
        assert!(understand(None, good).is_err());
        assert!(understand(Some(1), good).is_err_and(|text| text.contains("`seed`")));
        for bad in ["", "{}", "{\"seeds_tried\":1", "{\"seeds_tried\":x,\"wall_seconds\":1}", "{,}"]
        {
            assert!(understand(Some(0), bad).is_err(), "{bad}");
        }
    }
}
