//! `relay sim` as a user meets it: what it prints, writes and returns, for the worlds in
//! examples/sim and for some made of options. The page is looked at in a real browser.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is all test code")]

#[path = "sim/browser.rs"]
mod browser;
#[path = "support/chromium.rs"]
mod chromium;
#[path = "sim/command.rs"]
mod command;
#[path = "sim/page.rs"]
mod page;
#[path = "sim/png.rs"]
mod png;

use command::{Folder, json, relay_sim, stderr, stdout};
use relay_sim::{Draw, Plan, Schedule};

const SMALL: &str = "--mains 1 --homes 3 --callers 2 --minutes 0.5 --faults 0.2";

#[test]
fn one_json_object_holds_all_figures() {
    let folder = Folder::new("figures");
    let output = relay_sim(&folder, &format!("{SMALL} --seed 7 --json"));
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(output.stderr.is_empty(), "no progress where there is no terminal");
    assert_eq!(stdout(&output).lines().count(), 1);
    let figures = json(&output);
    for name in [
        "virtual_seconds",
        "wall_seconds",
        "node_hours_per_minute",
        "calls_checked",
        "calls_per_minute",
        "frames_per_second_per_core",
        "events",
        "frames",
        "availability",
    ] {
        assert!(figures[name].as_f64().is_some_and(|number| number > 0.0), "{name}: {figures}");
    }
    for name in ["errors", "told", "faults", "marks", "latency", "recovery", "calls"] {
        assert!(figures[name].is_object(), "{name}: {figures}");
    }
    assert_eq!((&figures["violations"], &figures["seeds"]), (&0.into(), &1.into()));
    assert_eq!((&figures["nodes"], &figures["seed"]), (&6.into(), &7.into()));
    assert!(figures["virtual_seconds"].as_f64() >= Some(30.0), "{figures}");
    assert!(figures["links"].as_array().is_some_and(|links| links.len() >= 10), "{figures}");
    assert_eq!(figures["trace_hash"].as_str().map(str::len), Some(16));
    assert!(folder.files().is_empty(), "{:?}", folder.files());
}

#[test]
fn a_seed_gives_one_trace() {
    let folder = Folder::new("traces");
    let trace = |seed: u64| {
        let output = relay_sim(&folder, &format!("{SMALL} --json --seed {seed}"));
        json(&output)["trace_hash"].as_str().unwrap().to_owned()
    };
    assert_eq!(trace(3), trace(3));
    assert_ne!(trace(3), trace(4));
    for jobs in [1, 2] {
        let options = format!("{SMALL} --seed 3 --verify-determinism --no-page --jobs {jobs}");
        let output = relay_sim(&folder, &options);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("determinism: yes (1 seed run twice)"));
    }
}

#[test]
fn seed_after_seed_is_summed() {
    let folder = Folder::new("seeds");
    let output = relay_sim(&folder, &format!("{SMALL} --seed 5 --seconds 1 --jobs 2 --json"));
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let figures = json(&output);
    let seeds = figures["seeds"].as_f64().unwrap();
    assert!(seeds >= 1.0 && figures["threads"] == 2, "{figures}");
    assert!(figures["virtual_seconds"].as_f64() >= Some(30.0 * seeds), "{figures}");
    assert!(figures["wall_seconds"].as_f64() >= Some(1.0), "{figures}");
    let output = relay_sim(&folder, &format!("{SMALL} --seconds 1 --verify-determinism"));
    assert!(stdout(&output).contains("determinism: yes"), "{}", stdout(&output));
    assert!(folder.files().is_empty(), "no page unless asked for: {:?}", folder.files());
}

#[test]
fn the_summary_has_its_tables_and_says_where_the_page_is() {
    let folder = Folder::new("summary");
    let output = relay_sim(&folder, "--minutes 5 --faults 0.2 --seed 2");
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in [
        "sim, seed 2: 1 Main, 3 Homes, 2 callers",
        "calls checked",
        "availability",
        "latency           p50 ",
        "recovery          p50 ",
        "CODE",
        "FAULT",
        "FROM",
        "home-0",
        "violations: none",
        "page: sim.html",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "colour is for terminals");
    assert_eq!(folder.files(), ["sim.html"]);
}

#[test]
fn what_is_wrong_is_named_with_what_is_allowed() {
    let folder = Folder::new("wrong");
    for (file, text) in [
        ("unknown.toml", "[traffic]\nburts = 3\n"),
        ("range.toml", "[traffic]\nburst = 0\n"),
        ("kind.toml", "[topology]\nhomes = \"many\"\n"),
        ("time.toml", "duration = \"soon\"\n"),
        ("syntax.toml", "[topology\n"),
        ("limit.toml", "[limits]\nframe_bytes_max = 7\n"),
        ("unit.toml", "duration = 60\n"),
    ] {
        folder.write(file, text);
    }
    for (line, parts) in [
        ("unknown.toml", &["unknown.toml", "traffic.burts", "burst"][..]),
        ("range.toml", &["range.toml", "traffic.burst is 0", "1 to 10000"]),
        ("kind.toml", &["kind.toml", "topology.homes", "many", "u16"]),
        ("time.toml", &["time.toml", "duration", "soon", "ms, s, m or h"]),
        ("syntax.toml", &["syntax.toml", "line 1"]),
        ("limit.toml", &["limit.toml", "limits.frame_bytes_max", "4096"]),
        ("unit.toml", &["unit.toml", "duration is ", "time with its unit, such as \"60s\""]),
        ("missing.toml", &["missing.toml", "No such file"]),
        ("--page no/a.html", &["no/a.html", "--page", "a folder that exists"]),
        ("--schedule no/a.toml", &["no/a.toml", "--schedule", "a folder that exists"]),
        ("--mains 0", &["--mains", "topology.mains is 0", "1 to 100"]),
        ("--faults 2", &["--faults", "faults.share is 2", "0 to 0.9"]),
        ("--minutes soon", &["--minutes", "soon"]),
        ("--seconds 0", &["--seconds", "0"]),
        ("--replay range.toml", &["range.toml", "plan"]),
        ("--replay a.toml --seed 3", &["--replay", "--seed"]),
        ("--page a.html --no-page", &["--page", "--no-page"]),
    ] {
        let output = relay_sim(&folder, line);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{line}: {text}");
        assert!(text.starts_with("error: ") && text.lines().count() == 2, "{line}: {text}");
        assert!(text.contains("\nhint: "), "{line}: {text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{line}: {text}");
        assert!(output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn a_schedule_gives_the_run_that_it_was_taken_from() {
    let folder = Folder::new("replay");
    let mut plan = Plan { seed: 11, ..Plan::default() };
    plan.faults.reset = 3.0;
    let steps = Draw::new(&plan).collect();
    let schedule = Schedule { finding: String::new(), plan, steps };
    folder.write("taken.toml", &schedule.write());
    folder.write("plan.toml", "seed = 11\n[faults]\nreset = 3.0\n");
    let replayed = relay_sim(&folder, "--replay taken.toml --json");
    assert_eq!(replayed.status.code(), Some(0), "{}", stderr(&replayed));
    let drawn = json(&relay_sim(&folder, "plan.toml --json"));
    assert_eq!(json(&replayed)["trace_hash"], drawn["trace_hash"]);
    let refused = relay_sim(&folder, "taken.toml");
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("relay sim --replay taken.toml"), "{}", stderr(&refused));
}

#[test]
fn every_example_runs_clean() {
    let folder = Folder::new("examples");
    let examples = command::examples();
    assert!(examples.len() >= 6, "{examples:?}");
    for example in &examples {
        let output = relay_sim(&folder, &format!("{} --minutes 1 --json", example.display()));
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{}: {text}", example.display());
        let figures = json(&output);
        assert_eq!(figures["violations"], 0, "{figures}");
        assert!(figures["calls_checked"].as_u64() > Some(0), "{figures}");
        let toml = std::fs::read_to_string(example).unwrap();
        let usage = format!("#   relay sim examples/sim/{}", command::name_of(example));
        assert!(toml.lines().any(|line| line == usage), "{usage}");
    }
}

/// What the file promises, and that it is the other instances that keep it: with one Home the same
/// faults are seen by its callers.
#[test]
fn p9_services_of_several_homes_are_available() {
    let folder = Folder::new("availability");
    let example = command::examples().into_iter().find(|path| path.ends_with("availability.toml"));
    let example = example.unwrap();
    let availability = |options: &str| {
        let line = format!("{} --minutes 120 --json {options}", example.display());
        let figures = json(&relay_sim(&folder, &line));
        assert_eq!(figures["violations"], 0, "{figures}");
        assert!(figures["faults"]["crash"].as_u64() > Some(5), "{figures}");
        figures["availability"].as_f64().unwrap()
    };
    let (six, one) = (availability(""), availability("--homes 1"));
    assert!(six >= 0.999 && one < 0.99, "{six} with six Homes, {one} with one");
}

#[test]
fn every_field_is_described_with_its_default() {
    let document = document();
    let plan = serde_json::to_value(Plan::default()).unwrap();
    let described = |text: &str, name: &str, default: &serde_json::Value| {
        let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        let row = format!("| `{name}` | `{}` | ", default.trim_end_matches(".0"));
        assert!(text.lines().any(|line| line.starts_with(&row)), "{row}");
    };
    for (name, value) in plan.as_object().unwrap() {
        let Some(table) = value.as_object() else {
            described(&document, name, value);
            continue;
        };
        let heading = format!("### [{name}]");
        let section = document.split(&heading).nth(1).unwrap_or_else(|| panic!("{heading}"));
        let section = section.split("\n### ").next().unwrap();
        table.iter().for_each(|(name, value)| described(section, name, value));
    }
}

#[test]
fn every_key_of_the_json_object_is_described() {
    let folder = Folder::new("keys");
    let options = format!("{SMALL} --json --verify-determinism");
    let figures = json(&relay_sim(&folder, &options));
    assert_eq!((&figures["deterministic"], &figures["interrupted"]), (&true.into(), &false.into()));
    let document = document();
    for key in figures.as_object().unwrap().keys() {
        let is_row = |line: &str| line.starts_with("| `") && line.contains(&format!("`{key}`"));
        assert!(document.lines().any(is_row), "{key}");
    }
    let figures = json(&relay_sim(&folder, &format!("{SMALL} --json")));
    assert!(figures["deterministic"].is_null(), "{figures}");
}

#[test]
fn the_schedule_in_the_document_runs() {
    let folder = Folder::new("documented");
    let document = document();
    let section = document.split("\n## A schedule\n").nth(1).unwrap();
    let example = section.split("```toml\n").nth(1).and_then(|text| text.split("```").next());
    folder.write("documented.toml", example.unwrap());
    let output = relay_sim(&folder, "--replay documented.toml --json");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let figures = json(&output);
    assert_eq!((&figures["faults"]["clog"], &figures["seed"]), (&1.into(), &337.into()));
    assert!(figures["calls_checked"].as_u64() > Some(0), "{figures}");
}

#[test]
fn files_are_tried_before_the_run_and_left_as_they_were() {
    let folder = Folder::new("tried");
    folder.write("kept.toml", "kept");
    let options = format!("{SMALL} --json --schedule kept.toml --page no/a.html");
    assert_eq!(relay_sim(&folder, &options).status.code(), Some(2));
    let options = format!("{SMALL} --json --schedule kept.toml --page new.html");
    assert_eq!(relay_sim(&folder, &options).status.code(), Some(0));
    assert_eq!(std::fs::read_to_string(folder.0.join("kept.toml")).unwrap(), "kept");
    let options = format!("{SMALL} --json --schedule new.toml");
    assert_eq!(relay_sim(&folder, &options).status.code(), Some(0));
    assert!(!folder.0.join("new.toml").exists() && folder.0.join("new.html").exists());
}

/// What tells that the signal is caught is a file of Linux.
#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_hunt_tells_what_it_has() {
    let folder = Folder::new("interrupted");
    let child = command::start(&folder, &format!("{SMALL} --seconds 3600 --json"));
    let status = format!("/proc/{}/status", child.id());
    let is_listening = || {
        let status = std::fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() & INTERRUPT != 0
    };
    while !is_listening() {
        std::thread::yield_now();
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert_eq!(json(&output)["interrupted"], true);
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
}

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/simulator.md");
    std::fs::read_to_string(path).unwrap()
}

/// The bit of SIGINT in a mask of signals.
#[cfg(target_os = "linux")]
const INTERRUPT: u64 = 1 << 1;
