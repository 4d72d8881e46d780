//! `relay explain`: what an error means, what causes it and what to do about it.

mod advice;

use super::table::{lines, table};
use crate::cli::{Failure, one_line, print};
use advice::{Advice, advice};
use relay_tokio::{ErrorCode, Executed, Retry};
use std::fmt::Write as _;
use std::process::ExitCode;

/// Prints what `code` stands for, or a table of all codes.
///
/// # Errors
/// [`Failure`] when there is no such code.
pub fn execute(code: Option<&str>) -> Result<ExitCode, Failure> {
    match code {
        Some(code) => print(&explained(code)?),
        None => print(&listed()),
    }
}

fn listed() -> String {
    let mut table = table(&["CODE", "NAME", "JSON-RPC", "HTTP", "EXECUTED", "RETRY", "MEANING"]);
    for code in ErrorCode::ALL {
        table.add_row([
            (*code as u16).to_string(),
            code.name().to_owned(),
            code.json_rpc().to_string(),
            code.http_status().to_string(),
            code.executed().name().to_owned(),
            code.retry().name().to_owned(),
            code.meaning().to_owned(),
        ]);
    }
    lines(&table) + "\nrelay explain CODE says what causes one of them and what to do.\n"
}

fn explained(asked: &str) -> Result<String, Failure> {
    let found = found(asked);
    if found.is_empty() {
        return Err(unknown(asked));
    }
    let mut text = String::new();
    if found.len() > 1 {
        let names: Vec<&str> = found.iter().map(|code| code.name()).collect();
        let _ = writeln!(text, "{asked} stands for {} errors: {}\n", found.len(), names.join(", "));
    }
    let sections: Vec<String> = found.iter().map(|code| section(*code)).collect();
    text.push_str(&sections.join("\n"));
    Ok(text)
}

/// The codes that `asked` names: by name, by number, by JSON-RPC code, else by HTTP status.
fn found(asked: &str) -> Vec<ErrorCode> {
    let of = |is_it: &dyn Fn(&ErrorCode) -> bool| {
        ErrorCode::ALL.iter().copied().filter(is_it).collect::<Vec<_>>()
    };
    let Ok(number) = asked.trim().parse::<i32>() else {
        let name = name_of(asked);
        return of(&|code| code.name() == name);
    };
    let by_number = of(&|code| i32::from(*code as u16) == number || code.json_rpc() == number);
    if by_number.is_empty() {
        return of(&|code| i32::from(code.http_status()) == number);
    }
    by_number
}

/// The name as codes are written, from any way to type it.
fn name_of(asked: &str) -> String {
    let name = asked.trim().to_ascii_uppercase();
    name.replace(['-', ' '], "_")
}

fn unknown(asked: &str) -> Failure {
    let failure = Failure::usage(format!("there is no error {:?}", one_line(asked)));
    let name = name_of(asked);
    let mut near: Vec<(usize, &str)> = ErrorCode::ALL
        .iter()
        .map(|code| (crate::config::distance(&name, code.name()), code.name()))
        .filter(|(distance, known)| {
            let has_part = name.len() >= PART_MIN && known.contains(&name);
            *distance <= 1 + name.len().min(known.len()) / 5 || has_part
        })
        .collect();
    near.sort_unstable();
    let near: Vec<&str> = near.iter().take(NEAR_MAX).map(|(_, known)| *known).collect();
    if near.is_empty() {
        failure.with_hint("relay explain lists all errors")
    } else {
        failure.with_hint(format!("did you mean {}? relay explain lists all", near.join(" or ")))
    }
}

fn section(code: ErrorCode) -> String {
    let Advice { cause, remedy } = advice(code).unwrap_or(UNKNOWN);
    let (executed, retry) = (code.executed(), code.retry());
    let mut text = format!("{} ({})\n{}\n\n", code.name(), code as u16, code.meaning());
    for (title, said) in [
        ("executed", format!("{}: {}", executed.name(), executed_text(executed))),
        ("retry", format!("{}: {}", retry.name(), retry_text(retry))),
        ("JSON-RPC", code.json_rpc().to_string()),
        ("HTTP", code.http_status().to_string()),
        ("cause", cause.to_owned()),
        ("what to do", remedy.to_owned()),
    ] {
        push_wrapped(&mut text, title, &said);
    }
    text
}

const fn executed_text(executed: Executed) -> &'static str {
    match executed {
        Executed::No => "provably never handed to a handler, unless the answer says otherwise",
        Executed::Yes => "the handler ran",
        Executed::Unknown => "the handler may have run",
    }
}

const fn retry_text(retry: Retry) -> &'static str {
    match retry {
        Retry::Safe => "trying again cannot run the call twice",
        Retry::Unsafe => "try again only if running the call twice does no harm",
        Retry::AfterMs(_) => "safe, but not before the time that the answer names",
        Retry::Never => "the same call will fail the same way",
    }
}

/// A title and its text, which goes on under itself.
fn push_wrapped(text: &mut String, title: &str, said: &str) {
    let mut column = TITLE_WIDTH;
    let _ = write!(text, "{title:<TITLE_WIDTH$}");
    for (at, word) in said.split_whitespace().enumerate() {
        let width = word.chars().count();
        if at > 0 && column + 1 + width > WIDTH {
            let _ = write!(text, "\n{:TITLE_WIDTH$}", "");
            column = TITLE_WIDTH;
        } else if at > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text.push('\n');
}

/// For a code of the core that is newer than the table; a test keeps that from being released.
const UNKNOWN: Advice = Advice {
    cause: "see docs/errors.md",
    remedy: "follow 'executed' and 'retry' of the answer, and look at the log of its node",
};
const TITLE_WIDTH: usize = 12;
const WIDTH: usize = 90;
/// Fewest letters by which a longer name is found.
const PART_MIN: usize = 4;
const NEAR_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../../docs/errors.md");

    #[test]
    fn each_code_has_advice_and_stands_in_the_document() {
        for code in ErrorCode::ALL {
            let advice = advice(*code).unwrap_or_else(|| panic!("{code} has no advice"));
            assert!(advice.cause.len() > 20 && advice.remedy.len() > 20, "{code}");
            for text in [advice.cause, advice.remedy] {
                assert!(!text.ends_with('.') && !text.contains("  "), "{code}: {text}");
            }
            let row = format!("| {} | `{}` |", *code as u16, code.name());
            assert!(DOCUMENT.contains(&row), "docs/errors.md has no row {row}");
        }
    }

    #[test]
    fn codes_are_found_by_name_number_and_json_rpc_code() {
        use ErrorCode::{CircuitOpen, Draining, NoSuchMethod, NoSuchService};
        for asked in
            ["CIRCUIT_OPEN", "circuit_open", "Circuit-Open", " circuit open", "402", "-32012"]
        {
            assert_eq!(found(asked), [CircuitOpen], "{asked}");
        }
        assert_eq!(found("503"), [Draining], "the number on the wire comes first");
        assert_eq!(found("404"), [NoSuchMethod, NoSuchService], "no number: an HTTP status");
        assert_eq!(found("-32601"), [NoSuchMethod]);
        assert!(found("-32600").len() > 3);
        for asked in ["", "0", "-1", "99999999999", "BREAKER"] {
            assert_eq!(found(asked), [], "{asked}");
        }
    }

    #[test]
    fn unknown_codes_name_what_is_near() {
        for (asked, wanted) in [
            ("CIRCUT_OPEN", "CIRCUIT_OPEN"),
            ("dead-line", "DEADLINE"),
            ("timeout", "lists all errors"),
            ("overload", "OVERLOADED"),
            ("service", "NO_SUCH_SERVICE"),
            ("9999", "lists all errors"),
            ("foo", "lists all errors"),
        ] {
            let failure = explained(asked).expect_err(asked);
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.hint().is_some_and(|hint| hint.contains(wanted)), "{failure:?}");
        }
        let failure = explained("\u{1b}[31m").expect_err("nothing");
        assert!(!failure.lines().contains('\u{1b}'));
    }

    #[test]
    fn an_error_is_explained() {
        let text = explained("deadline").expect("known");
        for part in [
            "DEADLINE (500)\nThe deadline passed before an answer came.\n",
            "executed    unknown: the handler may have run\n",
            "retry       unsafe: ",
            "JSON-RPC    -32006\n",
            "HTTP        504\n",
            "cause       ",
            "what to do  ",
            "Relay-Timeout-Ms",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let several = explained("-32600").expect("known");
        assert!(several.starts_with("-32600 stands for "), "{several}");
        assert!(several.contains("BAD_REQUEST (101)") && several.contains("BAD_STATE (113)"));
    }

    #[test]
    fn the_table_lists_every_code() {
        let text = listed();
        for code in ErrorCode::ALL {
            assert!(text.lines().any(|line| line.contains(code.name())), "{code}\n{text}");
        }
    }
}
