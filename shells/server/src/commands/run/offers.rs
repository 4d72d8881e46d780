//! What a node offers: the services of its settings and its program. One that cannot run stops
//! the start, and is never announced.

use crate::cli::Failure;
use crate::config::Config;
use crate::hosts::{Caller, Program};
use relay_tokio::{Node, Service};
use std::path::Path;
use std::sync::Arc;

/// Compiles the program, if there is one, before anything starts.
pub(super) fn load_program(program: Option<&Path>) -> Result<Option<Program>, Failure> {
    check_program(program)?;
    let load = |path| Program::load(path).map_err(|error| Failure::work(error.to_string()));
    program.map(load).transpose()
}

/// Opens all services, those of the program too, and registers them with `node`.
pub(super) async fn open(
    config: &Config,
    program: Option<Program>,
    node: &Node,
) -> Result<(), Failure> {
    let caller: Arc<dyn Caller> = Arc::new(node.clone());
    for spec in &config.services {
        let name = spec.name().to_owned();
        let spec = spec.clone().for_node(Arc::clone(&caller));
        let service = spec.open().await.map_err(|error| not_offered(&name, &error))?;
        register(node, &name, service)?;
    }
    if let Some(program) = program {
        let services = program.start(&caller).map_err(|error| Failure::work(error.to_string()))?;
        for (name, service) in services {
            if config.services.iter().any(|spec| spec.name() == name) {
                return Err(not_offered(&name, &"the program and --service both name it")
                    .with_hint("rename one of them"));
            }
            register(node, &name, service)?;
        }
    }
    Ok(())
}

fn register(node: &Node, name: &str, service: Arc<dyn Service>) -> Result<(), Failure> {
    node.register(name, service).map_err(|error| not_offered(name, &error))?;
    tracing::info!(service = name, "offering a service");
    Ok(())
}

fn not_offered(name: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::work(format!("the service {name} cannot be offered: {why}"))
}

/// Refuses what is surely not a program, before anything starts.
fn check_program(program: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = program else { return Ok(()) };
    let shown = path.display();
    let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned());
    match extension.as_deref() {
        Some("rhai") if path.is_file() => Ok(()),
        Some("rl") => {
            let rhai = path.with_extension("rhai");
            let hint = if rhai.is_file() {
                format!("the program is there in Rhai: give {} instead", rhai.display())
            } else {
                format!(
                    "write it in Rhai (https://rhai.rs) as {}; its functions become methods",
                    rhai.display()
                )
            };
            Err(Failure::usage(format!("{shown} is a .rl file, but programs are written in Rhai"))
                .with_hint(hint))
        }
        Some("rhai") => Err(Failure::usage(format!("there is no program {shown}"))
            .with_hint("give the path of a .rhai file")),
        Some(_) | None => {
            let failure =
                Failure::usage(format!("{shown} is neither a command nor a .rhai program"));
            match nearest_command(&path.to_string_lossy()) {
                Some(command) => Err(failure.with_hint(format!("did you mean relay {command}?"))),
                None => Err(failure.with_hint("relay --help lists the commands")),
            }
        }
    }
}

fn nearest_command(text: &str) -> Option<String> {
    use clap::CommandFactory;
    let commands = crate::cli::Cli::command();
    let names = commands.get_subcommands().map(|command| command.get_name().to_owned());
    names
        .map(|name| (crate::config::distance(text, &name), name))
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, name)| name)
}
