//! Tables of what another machine says: without lines, without control characters.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// A table with this header.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table
}

/// The table as lines without blanks at their ends.
pub(super) fn lines(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// A value for a cell; `-` when there is none.
pub(super) fn cell(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) if text.is_empty() => String::from("-"),
        Some(Value::String(text)) => clean(text),
        Some(other @ (Value::Number(_) | Value::Bool(_))) => other.to_string(),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => String::from("-"),
    }
}

/// Text from another machine, shortened and without control characters.
pub(super) fn clean(text: &str) -> String {
    crate::cli::one_line(&text.chars().take(200).collect::<String>())
}
