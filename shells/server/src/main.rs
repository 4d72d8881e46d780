//! The binary `relay`.

fn main() -> std::process::ExitCode {
    relay_server::cli::main()
}
