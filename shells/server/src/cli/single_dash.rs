//! A single dash before a long flag (`-server -node-type main -port=8080`): which arguments get
//! their second dash before clap reads them. Only names that some command knows are touched.

use std::collections::BTreeSet;
use std::ffi::OsString;

/// The same arguments with two dashes before each long flag that `command` (which must be built)
/// or one of its subcommands knows. All after a bare `--` stays as it is.
#[must_use]
pub fn with_two_dashes(command: &clap::Command, arguments: Vec<OsString>) -> Vec<OsString> {
    let mut names = BTreeSet::new();
    collect_names(command, &mut names);
    let mut is_open = true;
    let mut rewritten = Vec::with_capacity(arguments.len());
    for (index, argument) in arguments.into_iter().enumerate() {
        is_open = is_open && argument != "--";
        let lacks_dash = index > 0 && is_open && is_long_flag(&argument, &names);
        rewritten.push(if lacks_dash { dashed(&argument) } else { argument });
    }
    rewritten
}

fn is_long_flag(argument: &OsString, names: &BTreeSet<String>) -> bool {
    let Some(rest) = argument.to_str().and_then(|text| text.strip_prefix('-')) else {
        return false;
    };
    let name = rest.split_once('=').map_or(rest, |(name, _)| name);
    name.len() > 1 && names.contains(name)
}

fn dashed(argument: &OsString) -> OsString {
    let mut text = OsString::from("-");
    text.push(argument);
    text
}

fn collect_names(command: &clap::Command, names: &mut BTreeSet<String>) {
    for argument in command.get_arguments() {
        names.extend(argument.get_long().map(str::to_owned));
        for alias in argument.get_all_aliases().unwrap_or_default() {
            names.insert(alias.to_owned());
        }
    }
    for subcommand in command.get_subcommands() {
        collect_names(subcommand, names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    fn rewrite(line: &[&str]) -> Vec<String> {
        let mut command = Cli::command();
        command.build();
        let arguments = line.iter().map(OsString::from).collect();
        let rewritten = with_two_dashes(&command, arguments);
        rewritten.into_iter().map(|text| text.into_string().unwrap_or_default()).collect()
    }

    #[test]
    fn known_long_flags_get_their_second_dash() {
        for (given, wanted) in [
            ("-server", "--server"),
            ("-port=8080", "--port=8080"),
            ("-node-type", "--node-type"),
            ("-add-peer", "--add-peer"),
            ("-disable-registry", "--disable-registry"),
            ("-connect=ws://a:1/x=y", "--connect=ws://a:1/x=y"),
            ("-help", "--help"),
            ("-version", "--version"),
            ("-idempotent", "--idempotent"),
        ] {
            assert_eq!(rewrite(&["relay", given]), ["relay", wanted]);
        }
    }

    #[test]
    fn everything_else_stays() {
        for given in
            ["-h", "-V", "-", "-5", "-0.5", "--server", "-unknown", "server", "", "-=x", "---port"]
        {
            assert_eq!(rewrite(&["relay", given]), ["relay", given]);
        }
        assert_eq!(rewrite(&["-server", "x"]), ["-server", "x"], "the program's own name");
        let after = ["relay", "call", "a.b", "--", "-server"];
        assert_eq!(rewrite(&after), after);
    }
}
