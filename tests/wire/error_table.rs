//! docs/errors.md says what the code says: its table is written from `ErrorCode::ALL`.

use relay_core::ErrorCode;
use std::fmt::Write as _;
use std::{env, fs, path::Path};

#[test]
fn the_table_of_errors_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    let text = fs::read_to_string(&path).expect("docs/errors.md is there");
    let (before, after) = (text.find(BEGIN), text.find(END));
    let (Some(begin), Some(end)) = (before, after) else {
        panic!("docs/errors.md lost its lines '{BEGIN}' and '{END}': put them back")
    };
    let expected = format!("{}{BEGIN}\n\n{}\n{}", &text[..begin], table(), &text[end..]);
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &expected).expect("docs/errors.md can be written");
        return;
    }
    assert!(
        expected == text,
        "docs/errors.md does not fit ErrorCode::ALL: run\n  \
         UPDATE_DOCS=1 cargo test -p relay-sim --test wire error_table\n\nexpected:\n{}",
        table()
    );
}

#[test]
fn every_code_has_one_row_and_one_name() {
    let table = table();
    for code in ErrorCode::ALL {
        let row = format!("\n| {} | `{code}` |", *code as u16);
        assert_eq!(table.matches(&row).count(), 1, "{code}");
        assert_eq!(ErrorCode::from_wire(*code as u16), Some(*code));
    }
}

/// One row for each code, and below the table a line with its meaning.
fn table() -> String {
    let mut out = String::from(
        "| Code | Name | JSON-RPC | HTTP | Executed | Retry |\n\
         | ---: | --- | ---: | ---: | --- | --- |\n",
    );
    for code in ErrorCode::ALL {
        let (number, json, http) = (*code as u16, code.json_rpc(), code.http_status());
        let (executed, retry) = (code.executed().name(), code.retry().name());
        let _ = writeln!(out, "| {number} | `{code}` | {json} | {http} | {executed} | {retry} |");
    }
    out.push('\n');
    for code in ErrorCode::ALL {
        let _ = writeln!(out, "- `{code}`: {}", code.meaning());
    }
    out
}

const BEGIN: &str = "<!-- table: written by tests/wire from ErrorCode::ALL -->";
const END: &str = "<!-- end of table -->";
