# shellcheck shell=bash
# What the test scripts of this folder share. Sourced, never run; needs bash 4, curl and python3.
#
#   source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
#   begin "$@"                        finds or builds relay; stops every node when the script ends
#   start_node main-a --server --port 0
#   check "what must hold" EXPECTED ACTUAL
#
# The last line is "N passed, N failed", and the exit code 1 unless all passed. RELAY=PATH names the
# binary; without it the release build is made. PATIENCE is how many seconds a state may take to
# come about (60). When something failed, the logs of all nodes are kept and their folder is named.

set -euo pipefail

EXAMPLES="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
PATIENCE="${PATIENCE:-60}"
PASSED=0
FAILED=0
export STOP_CODE=0
declare -A NODE_PID NODE_PORT NODE_LOG NODE_STARTS

# begin: to be called once, before anything else.
begin() {
    WORK_DIR="$(mktemp -d "${TMPDIR:-/tmp}/relay-test.XXXXXX")"
    trap finish EXIT
    trap 'exit 130' INT TERM
    trap 'echo "stopped in line $LINENO of ${BASH_SOURCE[0]:-the script}: $BASH_COMMAND" >&2' ERR
    local name
    for name in curl python3; do
        command -v "$name" >/dev/null || { echo "please install $name" >&2; exit 2; }
    done
    # Settings of whoever runs this must not reach the nodes.
    for name in "${!RELAY_@}"; do unset "$name"; done
    find_relay
}

find_relay() {
    if [[ -z "${RELAY:-}" ]]; then
        echo "building relay (RELAY=PATH names a binary that is there)"
        cargo build --quiet --release --manifest-path "$EXAMPLES/../Cargo.toml" \
            -p relay-server --bin relay
        RELAY="${CARGO_TARGET_DIR:-$EXAMPLES/../target}/release/relay"
    fi
    [[ -x "$RELAY" ]] || { echo "RELAY=$RELAY is no program" >&2; exit 2; }
}

finish() {
    local code=$? name
    trap - EXIT INT TERM ERR
    # The shell would tell of each process that is killed here.
    exec 2>/dev/null
    for name in "${!NODE_PID[@]}"; do
        kill -KILL "${NODE_PID[$name]}" || true
    done
    wait || true
    if ((code != 0)); then
        fail "the script ran to its end" "it ended early with code $code"
    elif ((PASSED + FAILED == 0)); then
        fail "the script checked something" "it did not"
    fi
    if ((FAILED > 0)); then
        echo "logs are kept in $WORK_DIR"
    else
        rm -rf "$WORK_DIR"
    fi
    echo "$PASSED passed, $FAILED failed"
    exit $((FAILED > 0))
}

phase() { printf '\n== %s\n' "$*"; }
note() { printf '      %s\n' "$*"; }

pass() {
    PASSED=$((PASSED + 1))
    printf 'PASS  %s\n' "$1"
}

# fail WHAT DETAIL…: the details are shortened, an answer may be large.
fail() {
    FAILED=$((FAILED + 1))
    printf 'FAIL  %s\n' "$1"
    local detail
    for detail in "${@:2}"; do printf '      %s\n' "${detail:0:2000}"; done
}

# check WHAT EXPECTED ACTUAL
check() {
    if [[ "$3" == "$2" ]]; then pass "$1"; else fail "$1" "expected: $2" "got:      $3"; fi
}

# check_match WHAT REGEX ACTUAL
check_match() {
    if [[ "$3" =~ $2 ]]; then pass "$1"; else fail "$1" "expected a match of: $2" "got: $3"; fi
}

# check_json WHAT EXPRESSION EXPECTED TEXT: see json.
check_json() {
    local actual
    actual="$(json "$2" <<<"$4")"
    if [[ "$actual" == "$3" ]]; then
        pass "$1"
    else
        fail "$1" "expected: $2 is $3" "got:      $actual" "of:       $4"
    fi
}

# check_soon WHAT COMMAND…: the command succeeds within PATIENCE.
check_soon() {
    local what="$1"
    shift
    if try_until "$@"; then
        pass "$what"
    else
        fail "$what" "not within $PATIENCE s: $*"
    fi
}

# wait_until COMMAND…: ends the script when the command does not succeed within PATIENCE.
wait_until() {
    try_until "$@" || { echo "not within $PATIENCE s: $*" >&2; exit 1; }
}

try_until() {
    local until=$((SECONDS + PATIENCE))
    until "$@"; do
        ((SECONDS < until)) || return 1
        sleep 0.05
    done
}

# json EXPRESSION <<<TEXT: a part of a JSON text, as in .a.b[0], or any Python expression with d for
# the whole. Texts come as they are, everything else as compact JSON.
json() {
    python3 -ISc '
import json, sys

class Members(dict):
    def __getattr__(self, name):
        return self[name]

expression = sys.argv[1]
try:
    d = json.load(sys.stdin, object_pairs_hook=Members)
    # In brackets an expression may have several lines.
    value = eval("(" + "d" * (expression[0] == ".") + expression + ")")
except Exception as mistake:
    value = f"({type(mistake).__name__}: {mistake})"
if not isinstance(value, str):
    value = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
print(value)
' "$1"
}

# start_node NAME FLAG…: a node in the background, once it says that it is ready.
start_node() {
    launch_node "$@"
    wait_until node_is_ready "$1"
    kill -0 "${NODE_PID[$1]}" 2>/dev/null || {
        echo "$1 did not start:" >&2
        tail -n 5 "${NODE_LOG[$1]}" >&2
        exit 1
    }
    local address
    address="$(sed -n 's/.* ready .*address="\{0,1\}[^ "]*:\([0-9]*\).*/\1/p' "${NODE_LOG[$1]}")"
    NODE_PORT[$1]="${address:-}"
}

# launch_node NAME FLAG…: the same without waiting.
launch_node() {
    local name="$1"
    shift
    NODE_STARTS[$name]=$((${NODE_STARTS[$name]:-0} + 1))
    NODE_LOG[$name]="$WORK_DIR/$name.${NODE_STARTS[$name]}.log"
    : >"${NODE_LOG[$name]}"
    "$RELAY" "$@" </dev/null >>"${NODE_LOG[$name]}" 2>&1 &
    NODE_PID[$name]=$!
}

# A node that has ended is waited for no longer, too.
node_is_ready() {
    grep -q ' ready ' "${NODE_LOG[$1]}" || ! kill -0 "${NODE_PID[$1]}" 2>/dev/null
}

# stop_node NAME [SIGNAL]: TERM unless named. The exit code is left in STOP_CODE.
stop_node() {
    kill -s "${2:-TERM}" "${NODE_PID[$1]}"
    end_node "$1"
}

# end_node NAME: waits until it has ended, for a node that was told to.
end_node() {
    local pid="${NODE_PID[$1]}"
    unset "NODE_PID[$1]"
    STOP_CODE=0
    wait "$pid" 2>/dev/null || STOP_CODE=$?
}

# port_or_any PORT: the port, or 0 (any free one) when something listens there.
port_or_any() {
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then echo 0; else echo "$1"; fi
}

# A port at which nobody listens.
dead_port() {
    python3 -ISc '
import socket

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1])
'
}

http_url() { echo "http://127.0.0.1:${NODE_PORT[$1]}"; }
ws_url() { echo "ws://127.0.0.1:${NODE_PORT[$1]}"; }

# get NODE PATH
get() { curl -sS --max-time 20 "$(http_url "$1")$2"; }

# post NODE PATH BODY
post() {
    curl -sS --max-time 70 -H 'Content-Type: application/json' -d "$3" "$(http_url "$1")$2"
}

# rpc NODE METHOD [PARAMS [ID]]: the whole answer.
rpc() {
    local params="${3:-[]}"
    post "$1" /rpc "{\"jsonrpc\":\"2.0\",\"method\":\"$2\",\"params\":$params,\"id\":${4:-1}}"
}

# get_is NODE PATH EXPRESSION EXPECTED, rpc_is NODE METHOD PARAMS EXPRESSION EXPECTED: for waiting.
get_is() { [[ "$(get "$1" "$2" 2>/dev/null | json "$3")" == "$4" ]]; }
rpc_is() { [[ "$(rpc "$1" "$2" "$3" 2>/dev/null | json "$4")" == "$5" ]]; }

# knows NODE SERVICE HOME…: the registry of the node lists the service at each of these.
knows() {
    local listed home
    listed="$(get "$1" /federation/registry 2>/dev/null |
        json "[i.node_id for s in [d.servers['$2']] for i in [s] + s.get('instances', [])]")"
    for home in "${@:3}"; do
        [[ "$listed" == *"\"$home\""* ]] || return 1
    done
}

# can_call NODE HOME SERVICE: calls reach it; the registry may know of a change some milliseconds
# before calls do.
can_call() {
    local code
    code="$(rpc "$1" "$2.$3.is_there" 2>/dev/null | json '.error.get("data", {}).get("code", "")')"
    [[ "$code" != NO_SUCH_SERVICE && "$code" != UNAVAILABLE && "$code" != "("* ]]
}

# offered NODE HOME SERVICE…: waits until each service of the home can be called from the node.
offered() {
    local service
    for service in "${@:3}"; do
        wait_until knows "$1" "$service" "$2"
        wait_until can_call "$1" "$2" "$service"
    done
}

# log_has NODE REGEX
log_has() { grep -Eq -- "$2" "${NODE_LOG[$1]}"; }
