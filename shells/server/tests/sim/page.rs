//! The page of the hour of chaos: what stands in it, and what a browser draws.

use crate::browser::screenshot;
use crate::command::{EXAMPLES, Folder, json, relay_sim, stderr};
use crate::png::Picture;

#[test]
fn an_hour_of_chaos_is_answered_and_drawn() {
    let folder = Folder::new("page");
    let output = relay_sim(&folder, &format!("{EXAMPLES}/chaos-1h.toml --json --page hour.html"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let figures = json(&output);
    let calls = |name: &str| figures["calls"][name].as_u64().unwrap();
    assert!(figures["virtual_seconds"].as_f64() >= Some(3_600.0), "{figures}");
    assert!(calls("made") > 50_000 && calls("failed") > 0, "{figures}");
    assert_eq!(calls("cancelled"), 0, "every call is answered unless its caller dies");
    // A call that got no answer would be a violation.
    assert_eq!(figures["violations"], 0, "{figures}");
    assert!(figures["faults"].as_object().unwrap().len() >= 5, "{figures}");

    let path = folder.0.join("hour.html");
    let page = std::fs::read_to_string(&path).unwrap();
    for (shape, least) in
        [("<svg ", 9), ("class=\"bar ok\"", 200), ("class=\"bar bad\"", 50), ("class=\"curve\"", 2)]
    {
        assert!(page.matches(shape).count() >= least, "{shape}");
    }
    for text in ["seed 1", "duration = &quot;1h&quot;", "every promise kept", "virtual time (min)"]
    {
        assert!(page.contains(text), "{text}");
    }
    for text in ["<script", "http://", "https://", "url("] {
        assert!(!page.contains(text), "{text}");
    }

    let picture = Picture::read(&screenshot(&path, &folder.0, WIDTH, HEIGHT));
    assert_eq!((picture.width, picture.height), (WIDTH, HEIGHT));
    let pixels = |colour| picture.pixels().filter(|pixel| *pixel == colour).count();
    // Bars of calls, distributions and links; failed calls; faults: in the colours of the style
    // sheet, and on more of the page than a legend takes.
    for (name, colour, least) in [
        ("calls", [0x2a, 0x78, 0xd6], 50_000),
        ("failed calls", [0xd9, 0x54, 0x1e], 10_000),
        ("faults", [0x78, 0x73, 0x6b], 5_000),
        ("cards", [0xff, 0xff, 0xff], 500_000),
    ] {
        assert!(pixels(colour) > least, "{name}: {} pixels", pixels(colour));
    }
}

const WIDTH: u32 = 1_200;
const HEIGHT: u32 = 2_400;
