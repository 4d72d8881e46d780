//! The planted bugs: what each of them breaks, and the oracles of the simulator that must notice.
//! In relay-core each is one condition, `planted!("…")`, false unless it was chosen.

/// One planted bug.
pub(crate) struct Mutant {
    /// As in the core's `planted!("…")`.
    pub(crate) name: &'static str,
    /// What the broken core does.
    pub(crate) about: &'static str,
    /// The oracles, of which one must be broken.
    pub(crate) oracles: &'static [&'static str],
}

/// All planted bugs, by the part of the core they are in.
pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "reply_by_index",
        about: "an answer is matched by the index of its label, whatever the generation",
        oracles: &["S1", "S3", "S12", "S14", "S5"],
    },
    Mutant {
        name: "answer_keeps_label",
        about: "an answer goes back under the label of the link it came over",
        oracles: &["S1", "S2", "S3", "S13"],
    },
    Mutant {
        name: "answered_twice",
        about: "a call out of time is answered two times",
        oracles: &["S1", "S3"],
    },
    Mutant {
        name: "delivered_twice",
        about: "a request is handed to the application two times",
        oracles: &["S4"],
    },
    Mutant {
        name: "told_no_after_dispatch",
        about: "calls that wait on a link that ends are told that they did not run",
        oracles: &["S5"],
    },
    Mutant {
        name: "told_no_after_deadline",
        about: "calls out of time are told that they did not run",
        oracles: &["S5"],
    },
    Mutant {
        name: "too_large_told_no",
        about: "a call whose answer is too large is told that it did not run",
        oracles: &["S5"],
    },
    Mutant {
        name: "link_lost_silent",
        about: "calls that wait on a link that ends are never answered",
        oracles: &["S1", "S12"],
    },
    Mutant {
        name: "deadline_ignored",
        about: "calls are never out of time",
        oracles: &["S2", "S12"],
    },
    Mutant {
        name: "header_unprotected",
        about: "the checksum covers the payload and not the header",
        oracles: &["S3", "S5", "S6", "S1"],
    },
    Mutant {
        name: "cancel_leaks",
        about: "a call that nobody waits for keeps its entry and its label",
        oracles: &["S12"],
    },
    Mutant {
        name: "cancel_stays_here",
        about: "the next node is not told that the caller gave up",
        oracles: &["L10"],
    },
    Mutant {
        name: "cap_unchecked",
        about: "a peer may have more calls in flight than it was granted",
        oracles: &["S12"],
    },
    Mutant {
        name: "named_node_ignored",
        about: "a call that names a node goes to any instance of its service",
        oracles: &["S9"],
    },
    Mutant {
        name: "damaged_is_delivered",
        about: "the application gets requests whose checksum is wrong",
        oracles: &["S3"],
    },
    Mutant {
        name: "damaged_is_believed",
        about: "the application gets answers whose checksum is wrong",
        oracles: &["S3", "S6"],
    },
    Mutant {
        name: "tail_dropped",
        about: "the beginning of a frame is thrown away when its rest comes later",
        oracles: &["S1", "L1", "L2", "L4"],
    },
    Mutant {
        name: "flushed_uncounted",
        about: "bytes that were written count as waiting for ever",
        oracles: &["L1", "L4", "S12", "L8"],
    },
    Mutant {
        name: "slow_consumer_kept",
        about: "a link stays open however many bytes wait to be written",
        oracles: &["S12"],
    },
    Mutant {
        name: "epoch_unchecked",
        about: "what arrives for an ended link reaches the link in the same slot",
        oracles: &["S14"],
    },
    Mutant {
        name: "silence_is_fine",
        about: "a link on which nothing is heard is kept",
        oracles: &["L1", "L2", "L4", "L8"],
    },
    Mutant {
        name: "handshake_waits_for_ever",
        about: "a handshake that comes to a halt is never given up",
        oracles: &["L1", "L2", "L4", "S12"],
    },
    Mutant {
        name: "challenge_amplified",
        about: "a stranger is sent its challenge twenty-one times",
        oracles: &["S16"],
    },
    Mutant { name: "ping_storm", about: "a ping is answered with a ping", oracles: &["L7"] },
    Mutant {
        name: "dial_once",
        about: "a dial that failed, or whose link ended, is not tried again",
        oracles: &["L4"],
    },
    Mutant {
        name: "refresh_forgotten",
        about: "a Home never confirms what it registered",
        oracles: &["L1", "L2"],
    },
    Mutant {
        name: "expired_stays_routed",
        about: "calls go on to a registration that has expired",
        oracles: &["S9"],
    },
    Mutant {
        name: "withdraw_ignored",
        about: "a Home takes a service back, and its Main goes on offering it",
        oracles: &["L2"],
    },
    Mutant {
        name: "withdrawn_stays_routed",
        about: "calls go on to a service that its Home has withdrawn",
        oracles: &["S9"],
    },
    Mutant {
        name: "lost_link_stays_offered",
        about: "the services of a lost Home stay in the registry until they expire",
        oracles: &["L2", "S9"],
    },
    Mutant {
        name: "old_word_counts",
        about: "what is older than the newest word of an origin counts all the same",
        oracles: &["L2", "S17", "S9", "L1"],
    },
    Mutant {
        name: "digest_forgotten",
        about: "what was announced is never confirmed",
        oracles: &["L2", "L1"],
    },
    Mutant {
        name: "main_to_main_to_main",
        about: "a call that came from a Main goes on to another one",
        oracles: &["S7", "S8"],
    },
    Mutant {
        name: "handshakes_unpaced",
        about: "as many handshakes are begun as nodes come",
        oracles: &["S16"],
    },
    Mutant {
        name: "probes_unbounded",
        about: "an instance that is being tried gets every call",
        oracles: &["S18"],
    },
    Mutant {
        name: "breaker_never_probes",
        about: "an instance that failed often is never tried again",
        oracles: &["L1", "L5"],
    },
    Mutant {
        name: "all_shut_out",
        about: "every instance of a service may be shut out",
        oracles: &["S18", "L1"],
    },
    Mutant {
        name: "retried_after_link_lost",
        about: "a call that may have run is sent to another instance",
        oracles: &["S4"],
    },
    Mutant {
        name: "first_attempt_forgotten",
        about: "a call is told what became of its last attempt, whatever became of the first",
        oracles: &["S5"],
    },
    Mutant {
        name: "retries_unbounded",
        about: "calls are sent elsewhere without a budget",
        oracles: &["S12"],
    },
    Mutant {
        name: "damaged_chunk_delivered",
        about: "a chunk with a wrong checksum is handed to the application",
        oracles: &["S2", "S22"],
    },
    Mutant {
        name: "leaves_at_once",
        about: "a link to a Main that leaves ends although calls are in flight over it",
        oracles: &["L6"],
    },
    Mutant {
        name: "first_come_first_served",
        about: "one caller may take all that an instance can do",
        oracles: &["L3"],
    },
    Mutant {
        name: "rewritten_as_plain",
        about: "a traced answer goes on without the flag that says how its body is compressed",
        oracles: &["S3"],
    },
    Mutant {
        name: "chunk_counted_packed",
        about: "of a compressed chunk only its bytes on the wire count against what was granted",
        oracles: &["S22"],
    },
    Mutant {
        name: "never_sent_plain",
        about: "a call that nobody takes compressed is not sent again plain",
        oracles: &["S13"],
    },
    Mutant {
        name: "interests_ignored",
        about: "what other Mains want to hear is not told to the data plane",
        oracles: &["L8"],
    },
    Mutant {
        name: "resubscribe_forgotten",
        about: "a new Main is not told what a node subscribed to",
        oracles: &["L8"],
    },
    Mutant {
        name: "publication_unpaved",
        about: "a publication for a Main behind others does not say the way",
        oracles: &["L8"],
    },
    Mutant {
        name: "repeated_is_delivered",
        about: "publications that come late or twice are delivered",
        oracles: &["S15"],
    },
    Mutant {
        name: "gap_unsaid",
        about: "nobody is told that publications are missing",
        oracles: &["S15"],
    },
    Mutant {
        name: "unsubscribed_is_served",
        about: "publications come after the subscription was given up",
        oracles: &["S15"],
    },
    Mutant {
        name: "any_publisher_believed",
        about: "a node may publish in the name of another one",
        oracles: &["S3"],
    },
    Mutant {
        name: "damaged_is_published",
        about: "damaged publications are delivered",
        oracles: &["S3", "S15"],
    },
];

/// The planted bug of that name.
pub(crate) fn find(name: &str) -> Result<&'static Mutant, String> {
    MUTANTS.iter().find(|mutant| mutant.name == name).ok_or_else(|| {
        let names: Vec<_> = MUTANTS.iter().map(|mutant| mutant.name).collect();
        format!("there is no planted bug '{name}'; there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invocation::root;
    use std::{collections::BTreeSet, fs, path::Path};

    /// The names in every `planted!("…")` of the Rust files under `folder`.
    fn planted(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                planted(&path, names);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("source is text");
                let after = text.split("planted!(\"").skip(1);
                names.extend(after.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
            }
        }
    }

    #[test]
    fn what_is_planted_is_listed_and_what_is_listed_is_planted() {
        let mut in_core = BTreeSet::new();
        planted(&root().join("core/src"), &mut in_core);
        let listed: BTreeSet<String> = MUTANTS.iter().map(|m| m.name.to_owned()).collect();
        assert_eq!(listed.len(), MUTANTS.len(), "a name is listed twice");
        let unlisted: Vec<_> = in_core.difference(&listed).collect();
        assert!(unlisted.is_empty(), "in core/src, not in the list: {unlisted:?}");
        let missing: Vec<_> = listed.difference(&in_core).collect();
        assert!(missing.is_empty(), "in the list, not in core/src: {missing:?}");
    }

    #[test]
    fn every_planted_bug_names_its_oracles() {
        for mutant in MUTANTS {
            assert!(!mutant.about.is_empty() && !mutant.oracles.is_empty(), "{}", mutant.name);
            for oracle in mutant.oracles {
                let number = oracle.strip_prefix(['S', 'L']);
                assert!(number.is_some_and(|n| n.parse::<u8>().is_ok()), "{oracle}");
            }
        }
        assert!(find("dial_once").is_ok());
        assert!(find("nothing").is_err_and(|message| message.contains("dial_once")));
    }
}
