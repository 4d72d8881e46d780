//! `relay-bindgen IN.wasm OUT_FOLDER`: what `wasm-bindgen --target web` does, without the test
//! runner and the web server that come with that program and take minutes to build.

mod order;

use std::{env, fs, path::Path, process::ExitCode};

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let [input, folder] = words.as_slice() else {
        eprintln!("usage: relay-bindgen IN.wasm OUT_FOLDER");
        return ExitCode::FAILURE;
    };
    let mut bindgen = Bindgen::new();
    let made = bindgen.input_path(input).web(true).and_then(|bindgen| {
        bindgen.typescript(true).remove_producers_section(true);
        bindgen.generate(folder)
    });
    if let Err(error) = made {
        eprintln!("relay-bindgen: {error:?}");
        return ExitCode::FAILURE;
    }
    if let Err(text) = put_in_order(Path::new(input), Path::new(folder)) {
        eprintln!("relay-bindgen: {text}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn put_in_order(input: &Path, folder: &Path) -> Result<(), String> {
    let stem = input.file_stem().unwrap_or_default().to_string_lossy();
    let path = folder.join(format!("{stem}_bg.wasm"));
    let wasm = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let ordered = order::by_name(&wasm).map_err(|error| format!("{}: {error}", path.display()))?;
    fs::write(&path, ordered).map_err(|error| format!("{}: {error}", path.display()))
}
