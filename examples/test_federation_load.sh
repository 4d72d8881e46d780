#!/usr/bin/env bash
# Load across two Mains: callers at the first, the service at a Home of the second. Every answer is
# checked, and any error fails.
#
#   examples/test_federation_load.sh [--calls N] [--concurrency C] [--seconds S] [--within S]
#
# Makes N calls (1,000), C (50) at a time, then N at once; both must be done within 60 s (--within).
# With --seconds the highest rate that holds is looked for, and then 80 % of it held for S seconds.
# What the figures mean is in docs/bench.md.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CALLS=1000 CONCURRENCY=50 LONG=0 WITHIN=60
while (($# > 0)); do
    case "$1" in
        --calls) CALLS="$2" ;;
        --concurrency) CONCURRENCY="$2" ;;
        --seconds) LONG="$2" ;;
        --within) WITHIN="$2" ;;
        *)
            echo "usage: $0 [--calls N] [--concurrency C] [--seconds S] [--within S]" >&2
            exit 2
            ;;
    esac
    [[ "${2:-}" =~ ^[0-9]+$ ]] || { echo "$1 needs a number" >&2 && exit 2; }
    shift 2
done
begin

# figures TEXT: what a run was like, in a line.
figures() {
    json '"{} calls in {:.2f} s, {:.0f} each second; p50 {} ms, p99 {} ms, p99.9 {} ms".format(
        d.ok, d.duration_seconds, d.throughput_per_second,
        *(d.latency and [d.latency.p50_ms, d.latency.p99_ms, d.latency.p999_ms] or "---"))' <<<"$1"
}

# run WHAT URL CALLS FLAG…: a closed loop without an error, within the time.
run() {
    local what="$1" url="$2" calls="$3" report
    report="$("$RELAY" bench --connect "$url" --calls "$calls" --unique --json "${@:4}" echo.echo ||
        true)"
    check_json "$what: every answer is right" '[d.ok, d.wrong, d.errors, d.never_came_back]' \
        "[$calls,0,0,0]" "$report"
    check_json "$what: within $WITHIN s" "d.duration_seconds <= $WITHIN" true "$report"
    note "$(figures "$report")"
}

phase "Two Mains"
start_node relay-a --server --node-id relay-a --port 0
start_node relay-b --server --node-id relay-b --port 0 --peers "$(ws_url relay-a)"
start_node bob --connect "$(ws_url relay-b)" --node-id bob.home --service echo=demo:echo
offered relay-a bob.home echo
target='"service_name":"echo","method":"echo","args":[1]'
answer="$(rpc relay-a remote_call "{$target,\"trace\":true}")"
check_json "calls cross both" .trace.path '["relay-a","relay-b","bob.home"]' "$answer"

# files NODE: how many files and sockets it has open, where the system tells.
files() { find "/proc/${NODE_PID[$1]}/fd" -type l 2>/dev/null | wc -l; }
has_files_at_most() { (($(files "$1") <= $2)); }
declare -A FILES
for name in relay-a relay-b bob; do FILES[$name]="$(files $name)"; done

phase "$CALLS calls, $CONCURRENCY at a time"
run "over a relay link" "$(ws_url relay-a)" "$CALLS" --concurrency "$CONCURRENCY"
run "over HTTP" "$(http_url relay-a)" "$CALLS" --concurrency "$CONCURRENCY"

phase "$CALLS calls at once"
run "over a relay link" "$(ws_url relay-a)" "$CALLS" --concurrency "$CALLS"
run "over HTTP" "$(http_url relay-a)" "$CALLS" --concurrency "$CALLS"

if ((LONG > 0)); then
    phase "$LONG s at 80 % of the highest rate that holds"
    report="$("$RELAY" bench --connect "$(ws_url relay-a)" --unique --find-rate --seconds "$LONG" \
        --json echo.echo || true)"
    check_json "a rate holds" 'd.search.sustainable_rate > 0' true "$report"
    check_json "every answer is right" '[d.wrong, d.errors, d.never_came_back, d.ok > 0]' \
        '[0,0,0,true]' "$report"
    note "$(json 'f"the highest rate: {d.search.sustainable_rate:.0f} each second"' <<<"$report")"
    note "$(figures "$report")"
fi

phase "Afterwards"
for name in relay-a relay-b; do
    check_json "$name is healthy" '[d.status, d.failed_services]' '["healthy",0]' \
        "$(get $name /federation/health)"
done
for name in relay-a relay-b bob; do
    check_soon "$name has closed every connection that it had opened" has_files_at_most $name \
        "${FILES[$name]}"
done
