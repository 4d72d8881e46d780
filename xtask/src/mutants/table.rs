//! What became of each planted bug, for a person at a terminal and for the documentation.

use super::{hunt::Hunt, list::Mutant};
use std::{collections::BTreeMap, fs, path::Path};

/// A planted bug and its hunt, or why there was none.
pub(crate) struct Row {
    pub(crate) mutant: &'static Mutant,
    pub(crate) hunt: Result<Hunt, String>,
}

impl Row {
    pub(crate) fn is_caught(&self) -> bool {
        self.hunt.as_ref().is_ok_and(|hunt| hunt.catch.is_some())
    }

    /// Name, expected oracles, oracle broken, seed, seeds tried, seconds.
    fn cells(&self) -> [String; 6] {
        let expected = self.mutant.oracles.join(" ");
        let (caught, seed) = match &self.hunt {
            Ok(Hunt { catch: Some(catch), .. }) => {
                let known = self.mutant.oracles.contains(&&*catch.oracle);
                let note = if known { "" } else { " (unexpected)" };
                (format!("{}{note}", catch.oracle), catch.seed.to_string())
            }
            Ok(Hunt { catch: None, .. }) => ("NOT CAUGHT".to_owned(), String::new()),
            Err(_) => ("NOT HUNTED".to_owned(), String::new()),
        };
        let (tried, seconds) = match &self.hunt {
            Ok(hunt) => (hunt.seeds_tried.to_string(), format!("{:.1}", hunt.seconds)),
            Err(_) => (String::new(), String::new()),
        };
        [self.mutant.name.to_owned(), expected, caught, seed, tried, seconds]
    }
}

/// The table for a terminal, and below it why hunts failed.
pub(crate) fn plain(rows: &[Row]) -> String {
    let mut text = String::from("\n");
    let heads = ["planted bug", "expected", "caught by", "seed", "seeds tried", "seconds"];
    let mut line = |cells: [&str; 6]| {
        let [name, expected, caught, seed, tried, seconds] = cells;
        let line =
            format!("{name:<26} {expected:<16} {caught:<18} {seed:>8} {tried:>12} {seconds:>9}");
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(heads);
    for row in rows {
        line(row.cells().each_ref().map(String::as_str));
    }
    for row in rows {
        if let Err(message) = &row.hunt {
            text.push_str(&format!("*** {}: {message}\n", row.mutant.name));
        }
    }
    text
}

/// The table as Markdown.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| Planted bug | What the core does | Must be caught by | Caught by | Seed | Seeds tried \
         | Seconds |\n|---|---|---|---|--:|--:|--:|\n",
    );
    for row in rows {
        let [name, expected, caught, seed, tried, seconds] = row.cells();
        let about = row.mutant.about;
        text.push_str(&format!(
            "| `{name}` | {about} | {expected} | {caught} | {seed} | {tried} | {seconds} |\n"
        ));
    }
    text
}

/// Tells whether `path` has the place for the table, before hours are spent on filling it.
pub(crate) fn check_place(path: &Path) -> Result<(), String> {
    replaced(&read(path)?, "").map(drop).ok_or_else(|| no_place(path))
}

/// The seeds of the table in `path`, by the name of the bug that each of them caught.
pub(crate) fn known_seeds(path: &Path) -> Result<BTreeMap<String, u64>, String> {
    Ok(seeds(&read(path)?))
}

fn seeds(text: &str) -> BTreeMap<String, u64> {
    let table = text.split_once(BEGIN).map_or("", |(_, rest)| rest);
    let table = table.split_once(END).map_or(table, |(table, _)| table);
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, _, _, _, seed, ..] = cells[..] else { return None };
        let name = name.strip_prefix('`')?.strip_suffix('`')?;
        Some((name.to_owned(), seed.parse().ok()?))
    };
    table.lines().filter_map(row).collect()
}

/// Puts the table into its place in `path`.
pub(crate) fn write(path: &Path, table: &str) -> Result<(), String> {
    let text = replaced(&read(path)?, table).ok_or_else(|| no_place(path))?;
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn no_place(path: &Path) -> String {
    format!("{} has no place for the table: add the lines `{BEGIN}` and `{END}`", path.display())
}

/// `text` with `table` between the markers.
fn replaced(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

const BEGIN: &str = "<!-- mutants: begin -->";
const END: &str = "<!-- mutants: end -->";

#[cfg(test)]
mod tests {
    use super::{
        super::{hunt::Catch, list::MUTANTS},
        *,
    };

    fn rows() -> [Row; 4] {
        let mutant = &MUTANTS[0];
        let hunt = |oracle: &str| {
            let catch = Catch { seed: 9, oracle: oracle.to_owned(), what: "w".to_owned() };
            Ok(Hunt { seeds_tried: 3, seconds: 1.26, catch: Some(catch) })
        };
        [
            Row { mutant, hunt: hunt(mutant.oracles[0]) },
            Row { mutant, hunt: hunt("S99") },
            Row { mutant, hunt: Ok(Hunt { seeds_tried: 80, seconds: 60.0, catch: None }) },
            Row { mutant, hunt: Err("it does not build".to_owned()) },
        ]
    }

    #[test]
    fn every_outcome_is_told() {
        let rows = rows();
        let text = plain(&rows);
        for part in ["S99 (unexpected)", "NOT CAUGHT", "NOT HUNTED", "1.3\n", "it does not build"] {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
        assert_eq!(rows.iter().filter(|row| row.is_caught()).count(), 2);
        let table = markdown(&rows);
        assert_eq!(table.lines().count(), 6);
        assert!(table.lines().all(|line| line.matches('|').count() == 8), "{table}");
    }

    #[test]
    fn the_seeds_of_a_table_are_read_again() {
        let text = replaced(&format!("`x` | 3\n{BEGIN}\n{END}\n"), &markdown(&rows()[..1]));
        let known = seeds(&text.expect("a place"));
        assert_eq!(known, BTreeMap::from([(MUTANTS[0].name.to_owned(), 9)]));
        assert!(seeds(&markdown(&rows())).is_empty(), "not between the markers");
    }

    #[test]
    fn the_table_replaces_the_one_before() {
        let once = replaced(&format!("a\n{BEGIN}\nold\n{END}\nz\n"), "t1\n").expect("a place");
        assert_eq!(once, format!("a\n{BEGIN}\n\nt1\n\n{END}\nz\n"));
        let twice = replaced(&once, "t2\n").expect("a place");
        assert_eq!(twice, once.replace("t1", "t2"));
        assert!(replaced(&format!("{END}\n{BEGIN}\n"), "t").is_none());
    }
}
