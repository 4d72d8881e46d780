//! The catalogue of hostile input, row by row: a raw peer beside honest nodes, over each transport.
//!
//! Each row is one function; [`rows!`] makes a test of it for every kind of link, and the list
//! below says which rows there must be. Every test ends by looking whether the honest nodes
//! noticed anything.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test program")]

/// Makes the tests `<row>::tcp` and `<row>::ws` of each function `async fn <row>(kind: Kind)`.
macro_rules! rows {
    ($($row:ident),+ $(,)?) => {
        /// The rows of this module.
        pub(crate) const ROWS: &[&str] = &[$(stringify!($row)),+];

        $(
            mod $row {
                use crate::wire::Kind;

                // One more transport in `Kind::ALL`, and this does not compile.
                const _: [Kind; 2] = Kind::ALL;

                #[tokio::test]
                async fn tcp() {
                    super::$row(Kind::Tcp).await;
                }

                #[tokio::test]
                async fn ws() {
                    super::$row(Kind::Ws).await;
                }
            }
        )+
    };
}

mod attacker;
mod false_main;
mod machine;
mod messages;
mod wire;
mod world;

mod bounds;
mod calls;
mod checksums;
mod chunks;
mod compression;
mod failover;
mod federation;
mod flags;
mod framing;
mod handshake;
mod keys;
mod payloads;
mod states;
mod streams;
mod topics;

/// The rows of the catalogue (RELIABILITY.md, section 2.3) that are about links, and some that came
/// later: streams (r25 to r29) and paths that are announced (r30).
const REQUIRED: [&str; 62] = [
    "f01", "f02", "f03", "f04", "f05", "f06", "f07", "f08", "f09", "f10", "f11", "f12", "f13",
    "f16", "f18", "f19", "f20", "f21", "f22", "f23", "f24", "f25", "f26", "f27", "f28", "h01",
    "h02", "h03", "h04", "h05", "h06", "h07", "h08", "h09", "h12", "h13", "h14", "h18", "p02",
    "p03", "p10", "r01", "r02", "r03", "r04", "r05", "r06", "r08", "r15", "r18", "r19", "r20",
    "r21", "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29", "r30",
];

/// Why a row about the federation is not among them.
enum Instead {
    /// It is about time or about several honest Mains: a file of these tests, and the test in it.
    Tested(&'static str, &'static str),
    /// Nothing does what the row asks for. What there is in its place.
    NotBuilt(&'static str),
}

use Instead::{NotBuilt, Tested};

const ELSEWHERE: [(&str, Instead); 9] = [
    ("r07", NotBuilt("nothing is listed in pages: no offset, no limit and no cursor can be wrong")),
    ("r09", Tested("scenarios/federation.rs", "r09_a_name_claimed_on_both_sides_of_a_partition")),
    ("r10", NotBuilt("no import filter: a peer may announce any name, within its quota")),
    ("r11", NotBuilt("Homes sign no registrations: the handshake of their link vouches for them")),
    ("r12", Tested("scenarios/federation.rs", "r12_a_main_that_never_answers_gets_five_calls")),
    ("r13", NotBuilt("no end-to-end mode: Mains on the way are trusted with answers")),
    ("r14", NotBuilt("no damping: what changes within 20 ms is announced at once, that is all")),
    ("r16", NotBuilt("there is one version so far, and h03 refuses all others")),
    (
        "r17",
        Tested("scenarios/leases.rs", "a_registration_that_nobody_refreshes_ends_with_its_ttl"),
    ),
];

/// No row about the federation is left out silently.
#[test]
fn every_row_about_the_federation_is_accounted_for() {
    let mut rows: Vec<&str> = ELSEWHERE.iter().map(|(row, _)| *row).collect();
    rows.extend(REQUIRED.iter().filter(|row| ("r01"..="r24").contains(*row)));
    rows.sort_unstable();
    let all: Vec<String> = (1..=24).map(|number| format!("r{number:02}")).collect();
    assert_eq!(rows, all);
    for (row, instead) in ELSEWHERE {
        match instead {
            Tested(file, name) => {
                let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
                let text = std::fs::read_to_string(path).expect("a file of these tests");
                assert!(text.contains(&format!("#[test]\nfn {name}()")), "{row}: {file}");
            }
            NotBuilt(reason) => assert!(!reason.is_empty(), "{row}"),
        }
    }
}

#[test]
fn every_row_of_the_catalogue_is_tested_once() {
    let modules = [
        bounds::ROWS,
        calls::ROWS,
        checksums::ROWS,
        chunks::ROWS,
        compression::ROWS,
        failover::ROWS,
        federation::ROWS,
        flags::ROWS,
        framing::ROWS,
        handshake::ROWS,
        keys::ROWS,
        payloads::ROWS,
        states::ROWS,
        streams::ROWS,
        topics::ROWS,
    ];
    let mut rows: Vec<&str> = modules.concat().iter().map(|row| &row[..3]).collect();
    rows.sort_unstable();
    assert_eq!(rows, REQUIRED);
}
