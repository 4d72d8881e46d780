//! What usually causes each error, and what to do about it. What it means, whether the call ran
//! and whether to try again is in [`ErrorCode`] itself.

use relay_tokio::ErrorCode;

/// What a person wants to know beyond the meaning of a code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Advice {
    /// What is usually behind it.
    pub(super) cause: &'static str,
    /// What to do about it.
    pub(super) remedy: &'static str,
}

/// The advice for `code`. A test demands some for each.
pub(super) fn advice(code: ErrorCode) -> Option<Advice> {
    let found = ADVICE.iter().find(|(known, ..)| *known == code);
    found.map(|(_, cause, remedy)| Advice { cause, remedy })
}

#[rustfmt::skip]
const ADVICE: &[(ErrorCode, &str, &str)] = &[
    (ErrorCode::Parse,
        "a body put together by hand: a comma too many, single quotes, or cut off by the shell",
        "check the body with a JSON tool; data.detail names the byte where reading stopped"),
    (ErrorCode::BadRequest,
        "'jsonrpc' or 'method' is missing, a member is there twice, or a batch is empty or too \
         long",
        "compare the request with the examples in README.md; data.detail names the rule it \
         breaks"),
    (ErrorCode::NoSuchMethod,
        "the method is misspelt, or the service has another version than expected",
        "relay services lists the methods that each service announces"),
    (ErrorCode::BadParams,
        "a parameter is missing, or an array was sent where the method wants names",
        "compare 'params' with what the method takes; an array gives them by position, an \
         object by name"),
    (ErrorCode::TooLarge,
        "a request, a result or a whole batch is beyond the limit that the error names, as it \
         travels or once it is inflated",
        "send less at once, or raise the limit at every node on the way; GET /info shows those \
         of a node. With executed: yes the call ran and only its result was too large"),
    (ErrorCode::BadChecksum,
        "something between two relays changes bytes: bad memory, or a proxy that rewrites what \
         it carries",
        "look at which link it happens on; take out proxies that are more than a tunnel"),
    (ErrorCode::Truncated,
        "a network or a proxy ended the connection in the middle of a message",
        "nothing, if it is rare: relays link again by themselves; otherwise look at the \
         timeouts of proxies"),
    (ErrorCode::BadState,
        "a program that is no relay speaks on a relay port, or a relay of another version has a \
         defect",
        "check what is connected there and that both sides run the same version"),
    (ErrorCode::BadFlags,
        "the other side uses a feature that was not agreed on, as a newer or faulty version may: \
         a compression that this one did not offer to take, for instance",
        "run the same version on both sides"),
    (ErrorCode::IdReused,
        "a defect of the other side, which is most likely no relay of this project",
        "report it with the log of both sides; the link is closed and opened anew by itself"),
    (ErrorCode::IdExhausted,
        "a link that carried calls for years, or many calls that never end",
        "try again: the link is opened anew as soon as nothing waits on it"),
    (ErrorCode::Version,
        "one side is much older than the other",
        "update the older side; both log the versions that they speak"),
    (ErrorCode::Capabilities,
        "one side requires a feature that the other is too old for, or has switched off; a call \
         whose body nobody takes compressed ends so only for clients that do not send it again \
         plain",
        "update the older side, or switch the feature on there"),
    (ErrorCode::Unauthenticated,
        "the token is missing or wrong, the clocks differ by minutes, or a key file belongs to \
         another node id",
        "give the same --token-file on both sides, set the clocks, and keep --key-file and \
         --node-id together"),
    (ErrorCode::Forbidden,
        "the node belongs to another federation, or may not do this in its role",
        "give the same --cluster on both sides; register services from a Home, not from a \
         caller"),
    (ErrorCode::NameConflict,
        "two nodes have the same --node-id, or one lost its key file and came back with a new \
         key",
        "give each node an id of its own; restore the key file, or stop the node that holds the \
         name"),
    (ErrorCode::NameInvalid,
        "a dot, a space or an upper-case letter where the rules allow none",
        "services are 1 to 64 of A-Z a-z 0-9 _ -, node ids 1 to 128 of a-z 0-9 . _ -"),
    (ErrorCode::NoSuchService,
        "the name is misspelt, the Home that offers it is not linked now, or another Main was \
         asked",
        "relay services lists what the Main knows; try again when the Home may just be \
         reconnecting"),
    (ErrorCode::Unavailable,
        "the program behind the service does not run, or this node has lost its Main and dials \
         it again",
        "look at the log of the Home; try again in a moment"),
    (ErrorCode::HopLimit,
        "the way to the service crosses more relays than a call may, or services call each \
         other in a circle",
        "call a Main that is nearer to the service, link the Mains directly, or run all of them \
         with --mode p2p; relay trace shows the way of a call"),
    (ErrorCode::Loop,
        "Mains point at each other for a service that none of them has any more",
        "try again after some seconds, when they agree; relay services on each shows the way it \
         would take"),
    (ErrorCode::Overloaded,
        "more calls are in flight than a node, a link or a service takes; the error names the \
         limit",
        "try again with growing pauses, offer the service from more Homes, or raise the limit"),
    (ErrorCode::RateLimited,
        "a caller in a loop, or one caller for many users",
        "slow down; retry_after_ms says how long to wait where it is known"),
    (ErrorCode::CircuitOpen,
        "the instance failed several times in a row, so calls are kept from it for a while",
        "look at why it failed before: its own log, and relay_gateway_calls_total by code at \
         /metrics. It is tried again by itself; another instance of the service would take over \
         meanwhile"),
    (ErrorCode::SlowConsumer,
        "the other side hangs, is overloaded, or its network is slower than what is sent to it",
        "look at the load of that node; repeat the call only if running it twice does no harm"),
    (ErrorCode::Deadline,
        "the service is slow or hangs, or the deadline of the call is short",
        "give more time (--timeout, or the header Relay-Timeout-Ms); repeat the call only if \
         running it twice does no harm"),
    (ErrorCode::LinkLost,
        "a Home or a Main went away while the call was there: restarted, asleep, or off the \
         network",
        "it links again by itself; repeat the call only if running it twice does no harm, or \
         mark it idempotent"),
    (ErrorCode::Cancelled,
        "the caller went away or gave up, as a browser does when its page is closed",
        "nothing, if that was intended; otherwise look for a timeout in the client or a proxy \
         before it"),
    (ErrorCode::Draining,
        "the node was asked to stop and finishes what it has",
        "try again, here in a moment or at another Main; load balancers see it at /ready"),
    (ErrorCode::BadResponse,
        "the service answered with something that is neither JSON nor a JSON-RPC response, or \
         its node with a body that cannot be inflated",
        "look at what it writes: programs behind exec: must keep their logs off the standard \
         output"),
    (ErrorCode::Internal,
        "a defect: of the service, where the node that decided is its Home, otherwise of the \
         relay",
        "look at the log of the node that the error names; report it if it is the relay's"),
];
