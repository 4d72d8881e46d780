//! Every scenario on every shell, over every transport, to Mains on the same shell and on others.

#![expect(clippy::expect_used, reason = "a test program")]

#[path = "../../../shells/tokio/tests/support/certificates.rs"]
mod certificates;
#[path = "rows/mains.rs"]
mod mains;
#[path = "rows/secure.rs"]
mod secure;

use relay_driver::Runtime;
use relay_shell_tests::{World, scenarios};
use relay_smol::Smol;
use relay_tokio::Tokio;

/// A test for each line: the shell of Homes and callers, and the Mains that they reach.
macro_rules! rows {
    ($($name:ident: $shell:ty => $main:ident;)+) => {
        $(#[test]
        fn $name() {
            run(mains::$main, <$shell>::current);
        })+
    };
}

rows! {
    tokio_over_websockets: Tokio => tokio_websocket;
    tokio_over_tcp: Tokio => tokio_tcp;
    smol_over_websockets: Smol => smol_websocket;
    smol_over_tcp: Smol => smol_tcp;
    tokio_at_a_main_on_smol_over_websockets: Tokio => smol_websocket;
    tokio_at_a_main_on_smol_over_tcp: Tokio => smol_tcp;
    smol_at_a_main_on_tokio_over_websockets: Smol => tokio_websocket;
    smol_at_a_main_on_tokio_over_tcp: Smol => tokio_tcp;
}

#[test]
fn tokio_over_tls() {
    run(secure::tls, secure::believing);
}

#[test]
fn tokio_over_websockets_and_tls() {
    run(secure::websocket, secure::believing);
}

#[test]
fn tokio_over_quic() {
    run(secure::quic, secure::believing);
}

/// A runtime that futures can be waited for on.
trait Shell: Runtime + Sized {
    fn block_on<T>(future: impl Future<Output = T>) -> T;
}

impl Shell for Tokio {
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        mains::tokio_runtime().block_on(future)
    }
}

impl Shell for Smol {
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        smol::block_on(future)
    }
}

/// Runs every scenario, whatever comes of the ones before it, on what `runtime` returns, at two of
/// the Mains that `main` starts.
fn run<S: Shell>(
    main: fn(Option<&str>) -> String,
    runtime: impl Fn() -> S + Send + Sync + 'static,
) {
    let first = main(None);
    let second = main(Some(&first));
    let world = World::new([&first, &second], mains::TOKEN, runtime).expect("an address");
    let list = scenarios();
    let count = list.len();
    let failures = S::block_on(async {
        let mut failures = Vec::new();
        for scenario in list {
            if let Err(text) = scenario.run(&world).await {
                failures.push(format!("{}: {text}", scenario.name));
            }
        }
        failures
    });
    let failed = failures.len();
    assert!(failures.is_empty(), "{failed} of {count} failed\n{}\n", failures.join("\n"));
}
