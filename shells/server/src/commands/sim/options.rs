//! What the options and the file ask for: the plan of the world, and what becomes of its figures.

use crate::cli::{Failure, SimArgs};
use figment::error::{Actual, Kind};
use figment::providers::{Format, Toml};
use relay_sim::{Faults, Federation, Plan, Schedule, Span};
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// The world, with the first seed.
    pub(super) plan: Plan,
    /// The steps to replay, instead of those that follow from the plan.
    pub(super) replay: Option<Schedule>,
    /// For how long seed after seed is run; one seed otherwise.
    pub(super) hunt_for: Option<Duration>,
    /// Worlds at the same time.
    pub(super) jobs: usize,
    /// Whether each seed is run twice.
    pub(super) is_verified: bool,
    /// Whether the figures are for programs.
    pub(super) is_json: bool,
    /// What the user calls this world.
    pub(super) name: String,
    /// Where the page goes, if there is to be one.
    pub(super) page: Option<PathBuf>,
    /// Where the schedule of a violation goes, if the user said so.
    pub(super) schedule: Option<PathBuf>,
    /// The command that runs this world, up to its seed.
    command: String,
}

impl Order {
    pub(super) fn of(args: &SimArgs) -> Result<Self, Failure> {
        let replay = args.replay.as_deref().map(read_schedule).transpose()?;
        let plan = match &replay {
            Some(schedule) => schedule.plan.clone(),
            None => plan_of(args)?,
        };
        let file = args.replay.as_deref().or(args.file.as_deref());
        let stem = file.and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
        let name = stem.unwrap_or_else(|| String::from("sim"));
        let is_page_due = !(args.no_page || args.json || args.seconds.is_some());
        let default_page = is_page_due.then(|| PathBuf::from(format!("{name}.html")));
        let cores = available_parallelism().map_or(1, usize::from);
        Ok(Self {
            plan,
            replay,
            hunt_for: args.seconds.map(Duration::from_secs),
            jobs: args.jobs.map_or(cores, usize::from),
            is_verified: args.verify_determinism,
            is_json: args.json,
            page: args.page.clone().or(default_page),
            schedule: args.schedule.clone(),
            command: command_of(args),
            name,
        })
    }

    /// The command that runs one seed of this order again.
    pub(super) fn command(&self, seed: u64) -> String {
        match self.replay {
            Some(_) => self.command.clone(),
            None => format!("{} --seed {seed}", self.command),
        }
    }
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn plan_of(args: &SimArgs) -> Result<Plan, Failure> {
    let mut plan = match &args.file {
        Some(path) => read_plan(path)?,
        None => Plan::default(),
    };
    plan.seed = args.seed.unwrap_or(plan.seed);
    let topology = &mut plan.topology;
    topology.mains = args.mains.unwrap_or(topology.mains);
    if args.file.is_none() && topology.mains > 1 {
        topology.federation = Federation::Mesh;
    }
    topology.homes = args.homes.unwrap_or(topology.homes);
    topology.callers = args.callers.unwrap_or(topology.callers);
    if let Some(minutes) = args.minutes {
        plan.duration = minutes_of(minutes)?;
    }
    if let Some(share) = args.faults {
        plan.faults = with_share(&plan.faults, share);
    }
    plan.validate().map_err(|invalid| refused(args, &invalid.to_string()))?;
    Ok(plan)
}

fn minutes_of(minutes: f64) -> Result<Span, Failure> {
    let time = Duration::try_from_secs_f64(minutes * 60.0).map_err(|_| {
        Failure::usage(format!("--minutes {minutes} is no time"))
            .with_hint("write the virtual time in minutes, as in 60 or 0.5")
    })?;
    Ok(Span(Duration::from_millis(time.as_millis() as u64)))
}

/// The share stands for these rates, and none of them is left when it is zero.
fn with_share(faults: &Faults, share: f64) -> Faults {
    let mut faults = Faults { share, ..faults.clone() };
    let Faults { crash, pause, reset, half_open, clog, partition, .. } = &mut faults;
    for rate in [crash, pause, reset, half_open, clog, partition] {
        *rate = 0.0;
    }
    let Faults { sever, peer_reset, peer_half_open, .. } = &mut faults;
    for rate in [sever, peer_reset, peer_half_open] {
        *rate = 0.0;
    }
    faults
}

/// Says which option or file holds the value that is not allowed.
fn refused(args: &SimArgs, invalid: &str) -> Failure {
    let given = [
        ("topology.mains ", "--mains", args.mains.is_some()),
        ("topology.homes ", "--homes", args.homes.is_some()),
        ("topology.callers ", "--callers", args.callers.is_some()),
        ("duration ", "--minutes", args.minutes.is_some()),
        ("faults.share ", "--faults", args.faults.is_some()),
    ];
    let option = given.iter().find(|(field, _, given)| *given && invalid.starts_with(field));
    match (option, &args.file) {
        (Some((_, option, _)), _) => {
            Failure::usage(format!("{option}: {invalid}")).with_hint(OPTIONS_HINT)
        }
        (None, Some(path)) => {
            Failure::usage(format!("{}: {invalid}", path.display())).with_hint(FILE_HINT)
        }
        (None, None) => Failure::usage(invalid).with_hint(OPTIONS_HINT),
    }
}

fn read_plan(path: &Path) -> Result<Plan, Failure> {
    let text = read_file(path)?;
    let plan = figment::Figment::from(Toml::string(&text)).extract::<Plan>();
    plan.map_err(|error| {
        let hint = if is_schedule(&error) {
            format!("a schedule is run with relay sim --replay {}", quoted(path))
        } else {
            String::from(FILE_HINT)
        };
        let message = format!("{}: {}", path.display(), what_is_wrong(&error));
        Failure::usage(message).with_hint(hint)
    })
}

fn read_schedule(path: &Path) -> Result<Schedule, Failure> {
    let refused = |why: &str| {
        Failure::usage(format!("{}: {why}", path.display()))
            .with_hint("--replay takes a schedule that relay sim wrote; FILE takes a plan")
    };
    let schedule = Schedule::read(&read_file(path)?).map_err(|why| refused(&why))?;
    schedule.plan.validate().map_err(|invalid| refused(&invalid.to_string()))?;
    Ok(schedule)
}

fn read_file(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("cannot read {}: {error}", path.display()))
            .with_hint("name a TOML file; examples are in examples/sim")
    })
}

/// One line that names the field and what it may be.
fn what_is_wrong(error: &figment::Error) -> String {
    let field = error.path.join(".");
    match &error.kind {
        Kind::UnknownField(name, allowed) => {
            let is_in_path = error.path.last().is_some_and(|last| last == name);
            let table = if is_in_path { &error.path[..error.path.len() - 1] } else { &error.path };
            let table: String = table.iter().map(|name| format!("{name}.")).collect();
            format!("there is no field {table}{name}, allowed are {}", allowed.join(", "))
        }
        // Of all fields only times are text.
        Kind::InvalidType(actual, expected) if expected == "a string" => {
            let number = match actual {
                Actual::Unsigned(number) => i128::try_from(*number).ok(),
                Actual::Signed(number) => Some(*number),
                _ => None,
            };
            let example = number.filter(|number| *number > 0).unwrap_or(60);
            format!("{field} is {actual}: write a time with its unit, such as \"{example}s\"")
        }
        Kind::InvalidType(actual, expected) => {
            format!("{field} is {actual}, allowed is {expected}")
        }
        Kind::InvalidValue(actual, expected) => {
            format!("{field} is {actual}, allowed is {expected}")
        }
        kind if field.is_empty() => {
            let text = kind.to_string();
            // The parser draws the line with a caret below it; in one line that is only noise.
            let said = text.lines().filter(|line| !line.contains('|') && !line.trim().is_empty());
            format!("no valid TOML: {}", said.map(str::trim).collect::<Vec<_>>().join(": "))
        }
        kind => format!("{field}: {kind}"),
    }
}

fn is_schedule(error: &figment::Error) -> bool {
    matches!(&error.kind, Kind::UnknownField(name, _) if ["plan", "steps"].contains(&name.as_str()))
}

fn command_of(args: &SimArgs) -> String {
    let mut command = String::from("relay sim");
    if let Some(path) = &args.replay {
        command.push_str(" --replay ");
        command.push_str(&quoted(path));
        return command;
    }
    if let Some(path) = &args.file {
        command.push(' ');
        command.push_str(&quoted(path));
    }
    let numbers = [
        ("mains", args.mains.map(f64::from)),
        ("homes", args.homes.map(f64::from)),
        ("callers", args.callers.map(f64::from)),
        ("minutes", args.minutes),
        ("faults", args.faults),
    ];
    for (option, number) in numbers {
        if let Some(number) = number {
            command.push_str(&format!(" --{option} {number}"));
        }
    }
    command
}

const FILE_HINT: &str = "docs/simulator.md describes every field; examples are in examples/sim";
const OPTIONS_HINT: &str = "relay sim --help lists what can be given";

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(toml: &str) -> String {
        let plan = figment::Figment::from(Toml::string(toml)).extract::<Plan>();
        what_is_wrong(&plan.expect_err(toml))
    }

    #[test]
    fn what_is_wrong_names_the_field_and_what_is_allowed() {
        for (toml, parts) in [
            ("[topology]\nmainz = 2", &["topology.mainz", "mains", "homes"][..]),
            ("typo = 2", &["no field typo", "seed", "topology"]),
            ("[traffic]\nburst = \"many\"", &["traffic.burst", "\"many\"", "u32"]),
            ("[topology]\nhomes = -1", &["topology.homes", "-1"]),
            ("duration = \"5\"", &["duration", "'5' is no time", "ms, s, m"]),
            ("duration = 90", &["duration", "90", "time with its unit, such as \"90s\""]),
            ("[faults]\noutage = 1.5", &["faults.outage", "1.5", "such as \"60s\""]),
            ("duration = ", &["no valid TOML", "line 1"]),
        ] {
            let text = wrong(toml);
            assert!(parts.iter().all(|part| text.contains(part)), "{toml}: {text}");
            assert!(!text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn options_override_the_plan() {
        let args = SimArgs {
            mains: Some(2),
            minutes: Some(0.5),
            faults: Some(0.25),
            seed: Some(9),
            ..SimArgs::default()
        };
        let order = Order::of(&args).expect("allowed");
        assert_eq!((order.plan.seed, order.plan.topology.mains), (9, 2));
        assert_eq!(order.plan.duration, Span::seconds(30));
        assert!((order.plan.faults.share - 0.25).abs() < 1e-9);
        assert_eq!(order.command(9), "relay sim --mains 2 --minutes 0.5 --faults 0.25 --seed 9");
        assert_eq!(order.page.as_deref(), Some(Path::new("sim.html")));
    }

    #[test]
    fn an_option_out_of_range_is_named() {
        for (args, option) in [
            (SimArgs { mains: Some(0), ..SimArgs::default() }, "--mains: topology.mains is 0"),
            (SimArgs { faults: Some(1.5), ..SimArgs::default() }, "--faults: faults.share is 1.5"),
            (SimArgs { minutes: Some(0.0), ..SimArgs::default() }, "--minutes: duration is 0s"),
            (SimArgs { minutes: Some(-1.0), ..SimArgs::default() }, "--minutes -1 is no time"),
        ] {
            let failure = Order::of(&args).expect_err(option);
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.message().starts_with(option), "{failure:?}");
        }
    }

    #[test]
    fn no_share_of_faults_leaves_the_others() {
        let faults = Faults { crash: 3.0, corrupt: 2.0, ..Faults::default() };
        let without = with_share(&faults, 0.0);
        assert_eq!(without, Faults { corrupt: 2.0, ..Faults::default() });
    }

    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(quoted(Path::new("a/b-1.toml")), "a/b-1.toml");
        assert_eq!(quoted(Path::new("it's a.toml")), r"'it'\''s a.toml'");
    }
}
