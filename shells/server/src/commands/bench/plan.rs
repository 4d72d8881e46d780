//! What the command line asks for, checked.

use super::load::Pace;
use super::question::Question;
use crate::cli::{BenchArgs, Failure};
use crate::commands::call::{params, request_of, settings_of};
use crate::commands::timeout_of;
use crate::config;
use hyper::Uri;
use relay_tokio::tls::ClientTls;
use relay_tokio::{Endpoint, NodeConfig};
use std::fmt;
use std::time::Duration;

/// Everything that is decided before the first call.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) question: Question,
    pub(super) urls: Vec<Url>,
    pub(super) aim: Aim,
    /// Most calls in flight.
    pub(super) concurrency: u32,
    pub(super) links: u16,
    pub(super) links_max: u16,
    /// How long a call may take from when it is due.
    pub(super) timeout: Duration,
    pub(super) fails_over: bool,
    pub(super) allows_errors: bool,
    pub(super) is_json: bool,
    /// Of each node that calls, without the Main to dial.
    pub(super) settings: NodeConfig,
    /// Whom to believe.
    pub(super) tls: ClientTls,
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aim {
    /// The figures of one load.
    Measure(Pace),
    /// The highest rate at which 99 of 100 calls take no longer than this, and the figures of 80 %
    /// of it.
    Find { p99_max: Duration, seconds: u64 },
}

/// Where calls go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Url {
    /// Over relay links.
    Link(Endpoint),
    /// By POST; where to connect to, and the whole.
    Http { endpoint: Endpoint, uri: Uri },
}

impl Plan {
    /// # Errors
    /// [`Failure`] names the option that cannot be used.
    pub(super) fn of(args: &BenchArgs) -> Result<Self, Failure> {
        let mut request = request_of(&args.caller.target, None)?;
        request.idempotent = args.caller.idempotent;
        let timeout = timeout_of(&args.timeout)?;
        let urls =
            args.connect.iter().map(|text| Url::parse(text)).collect::<Result<Vec<_>, _>>()?;
        if urls.len() > URLS_MAX {
            return Err(Failure::usage(format!("--connect: {} URLs are too many", urls.len()))
                .with_hint(format!("give at most {URLS_MAX}")));
        }
        let aim = aim_of(args)?;
        let usual = match aim {
            Aim::Measure(Pace::Closed { .. }) => 50,
            Aim::Measure(Pace::Open { .. }) | Aim::Find { .. } => 1_024,
        };
        let settings = settings_of(&args.caller.cluster, args.caller.token_file.as_deref())?;
        let tls = crate::commands::tls::of_args(&args.caller.tls)?;
        let params = params::read(&args.caller.params)?;
        let question = if args.unique {
            Question::unique(request, &params, random()?)?
        } else {
            Question::same(request, params, args.expect.as_deref())?
        };
        Ok(Self {
            question,
            urls,
            aim,
            concurrency: args.concurrency.unwrap_or(usual),
            links: args.links,
            links_max: links_max_of(args)?,
            timeout,
            fails_over: !args.no_failover,
            allows_errors: args.allow_errors,
            is_json: args.json,
            settings,
            tls,
        })
    }
}

fn links_max_of(args: &BenchArgs) -> Result<u16, Failure> {
    let links_max = args.links_max.unwrap_or(args.links);
    if links_max < args.links {
        let text = format!("--links-max {links_max} is less than --links {}", args.links);
        return Err(Failure::usage(text).with_hint("leave one of them out"));
    }
    Ok(links_max)
}

fn aim_of(args: &BenchArgs) -> Result<Aim, Failure> {
    if args.find_rate {
        let text = args.p99.as_deref().unwrap_or("100ms");
        let allowed = Duration::from_millis(1)..=Duration::from_mins(10);
        let p99_max = config::duration(text).filter(|time| allowed.contains(time));
        let p99_max = p99_max.ok_or_else(|| {
            Failure::usage(format!("--p99 {text:?} is not allowed: must be a time from 1ms to 10m"))
                .with_hint("write it with a unit, as in 100ms")
        })?;
        return Ok(Aim::Find { p99_max, seconds: args.seconds.unwrap_or(10) });
    }
    let Some(rate) = args.rate else {
        let calls = match (args.calls, args.seconds) {
            (None, None) => Some(1_000),
            (calls, _) => calls,
        };
        let time = args.seconds.map(Duration::from_secs);
        return Ok(Aim::Measure(Pace::Closed { calls, time }));
    };
    let in_time = args.seconds.map(|seconds| rate * seconds);
    let calls = [in_time, args.calls].into_iter().flatten().min().ok_or_else(|| {
        Failure::usage("--rate needs to know when to stop")
            .with_hint("give --seconds S or --calls N with it")
    })?;
    Ok(Aim::Measure(Pace::Open { rate, calls }))
}

impl Url {
    fn parse(text: &str) -> Result<Self, Failure> {
        let refused = |why: &dyn fmt::Display| {
            Failure::usage(format!("--connect: {why}"))
                .with_hint("write it as in ws://127.0.0.1:8080 or http://127.0.0.1:8080")
        };
        let endpoint = Endpoint::parse(text).map_err(|error| refused(&error))?;
        let parts = text.split_once("://");
        let Some((scheme @ ("http" | "https"), rest)) = parts else {
            return Ok(Self::Link(endpoint));
        };
        let path = match rest.split_once('/') {
            Some((_, path)) if !path.is_empty() => path,
            Some(_) | None => "rpc",
        };
        let uri = format!("{scheme}://{}/{path}", endpoint.authority()).parse();
        Ok(Self::Http { endpoint, uri: uri.map_err(|error| refused(&error))? })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(endpoint) => endpoint.fmt(f),
            Self::Http { uri, .. } => uri.fmt(f),
        }
    }
}

fn random() -> Result<u64, Failure> {
    getrandom::u64()
        .map_err(|error| Failure::work(format!("the system gives no random bytes: {error}")))
}

const URLS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, Parsed, parse};

    fn plan(line: &str) -> Result<Plan, Failure> {
        let line = format!("relay bench echo.echo {line}");
        match parse(line.split_whitespace().map(Into::into).collect())? {
            Parsed::Run(cli) => match cli.command {
                Some(Command::Bench(args)) => Plan::of(&args),
                other => panic!("{other:?}"),
            },
            Parsed::Print(text) => panic!("{text}"),
        }
    }

    #[test]
    fn urls_say_how_calls_travel() {
        let plan =
            plan("--connect ws://a:1,tcp://b:2,http://c:3,http://d/x/rpc,https://e,quic://f:1")
                .expect("sound");
        let shown: Vec<String> = plan.urls.iter().map(ToString::to_string).collect();
        let wanted = [
            "ws://a:1/ws/p2p",
            "tcp://b:2",
            "http://c:3/rpc",
            "http://d:80/x/rpc",
            "https://e:443/rpc",
            "quic://f:1",
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn what_is_left_out_follows_from_the_rest() {
        let pace = |line| match plan(line).expect(line).aim {
            Aim::Measure(pace) => pace,
            Aim::Find { .. } => panic!("{line}"),
        };
        let seconds = Duration::from_secs(3);
        for (line, wanted) in [
            ("", Pace::Closed { calls: Some(1_000), time: None }),
            ("--calls 5", Pace::Closed { calls: Some(5), time: None }),
            ("--seconds 3", Pace::Closed { calls: None, time: Some(seconds) }),
            ("--calls 5 --seconds 3", Pace::Closed { calls: Some(5), time: Some(seconds) }),
            ("--rate 7 --seconds 3", Pace::Open { rate: 7, calls: 21 }),
            ("--rate 7 --calls 5", Pace::Open { rate: 7, calls: 5 }),
            ("--rate 7 --calls 50 --seconds 3", Pace::Open { rate: 7, calls: 21 }),
        ] {
            assert_eq!(pace(line), wanted, "{line}");
        }
        assert_eq!(plan("").expect("sound").concurrency, 50);
        let found = plan("--find-rate --p99 20ms").expect("sound");
        assert!(matches!(found.aim, Aim::Find { seconds: 10, .. }), "{found:?}");
        assert_eq!(found.concurrency, 1_024);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for line in [
            "--rate 5",
            "--rate 0 --seconds 1",
            "--calls 0",
            "--concurrency 0",
            "--links 0",
            "--links 3 --links-max 2",
            "--find-rate --rate 5",
            "--find-rate --p99 5",
            "--p99 5ms",
            "--unique --expect 1",
            "--unique [1]",
            "--expect {",
            "--timeout 0s",
            "--connect ftp://a",
            "--connect ws://a:1,",
        ] {
            assert_eq!(plan(line).expect_err(line).exit_code(), 2, "{line}");
        }
    }
}
