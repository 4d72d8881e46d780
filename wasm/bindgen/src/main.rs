//! `relay-bindgen IN.wasm OUT_FOLDER`: what `wasm-bindgen --target web` does, without the test
//! runner and the web server that come with that program and take minutes to build.

use std::{env, process::ExitCode};

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let [input, folder] = words.as_slice() else {
        eprintln!("usage: relay-bindgen IN.wasm OUT_FOLDER");
        return ExitCode::FAILURE;
    };
    let mut bindgen = Bindgen::new();
    let made = bindgen.input_path(input).web(true).and_then(|bindgen| {
        bindgen.typescript(true).remove_name_section(true).remove_producers_section(true);
        bindgen.generate(folder)
    });
    if let Err(error) = made {
        eprintln!("relay-bindgen: {error:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
