#!/usr/bin/env bash
# Chaos: 3 Mains and 6 Homes, all real processes, are killed, stopped, frozen and restarted at
# random while calls run all the time. Nothing is repaired by hand except that a process that is
# gone is started again, as a service manager would do.
#
#   examples/test_federation_chaos.sh [--duration 1h] [--failure-rate 10%] [--seed N]
#
# Time goes in ticks of 2 s. In each tick each process has a fault with the probability of the
# failure rate, so that at any moment this share of them is in trouble:
#
#   kill      SIGKILL, started again when the tick is over
#   stop      SIGTERM, the same
#   freeze    SIGSTOP until the tick is over: a laptop asleep, or a network that is cut
#   restart   SIGKILL, started again at once
#
# One seed gives one order of faults (in one version of bash); --seed replays it. It fails on a
# wrong answer, on a call that ran twice, on one that ran although its caller was told that it did
# not, on one that was answered although it never ran, and when not all works again at the end.
# Availability is printed.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    echo "usage: $0 [--duration 30s|5m|1h] [--failure-rate 10%] [--seed N]" >&2
    exit 2
}

DURATION=1h RATE=10% SEED="$RANDOM"
while (($# > 0)); do
    case "$1" in
        --duration) DURATION="${2:-}" ;;
        --failure-rate) RATE="${2:-}" ;;
        --seed) SEED="${2:-}" ;;
        *) usage ;;
    esac
    shift 2 || usage
done
[[ "$DURATION" =~ ^([0-9]+)(s|m|h)$ ]] || usage
case "${BASH_REMATCH[2]}" in
    s) TOTAL="${BASH_REMATCH[1]}" ;;
    m) TOTAL=$((BASH_REMATCH[1] * 60)) ;;
    h) TOTAL=$((BASH_REMATCH[1] * 3600)) ;;
esac
[[ "$RATE" =~ ^([0-9]{1,2})%?$ ]] || usage
PERCENT="${BASH_REMATCH[1]}"
[[ "$SEED" =~ ^[0-9]+$ ]] || usage
begin
cd "$EXAMPLES"

TICK=2
MAINS=(relay-a relay-b relay-c)
HOMES=(home-1 home-2 home-3 home-4 home-5 home-6)
LEDGER="$WORK_DIR/ledger.txt"
CALLS="$WORK_DIR/calls.tsv"
declare -A FAULT FLAGS

# flags_of NAME: with the ports of all Mains known, a node is started the same way each time.
flags_of() {
    local name="$1" number="${1##*-}" peers=() main
    if [[ "$name" == relay-* ]]; then
        for main in "${MAINS[@]}"; do
            [[ "$main" == "$name" ]] || peers+=("$(ws_url "$main")")
        done
        FLAGS[$name]="--server --node-id $name --port ${NODE_PORT[$name]}"
        FLAGS[$name]+=" --peers $(IFS=, && echo "${peers[*]}")"
    else
        # Each Home has two Mains to choose from.
        local first="${MAINS[$(((number - 1) % 3))]}" second="${MAINS[$((number % 3))]}"
        FLAGS[$name]="--node-id $name --connect $(ws_url "$first"),$(ws_url "$second")"
    fi
    FLAGS[$name]+=" --shutdown-grace 1s --key-file $WORK_DIR/$name.key"
}

launch() {
    local flags
    read -ra flags <<<"${FLAGS[$1]}"
    if [[ "$1" == home-* ]]; then
        flags+=(--service "ledger=exec:python3 $EXAMPLES/ledger.py $LEDGER")
    fi
    launch_node "$1" "${flags[@]}"
}

# strike NAME FAULT
strike() {
    local pid="${NODE_PID[$1]}"
    FAULT[$1]="$2"
    case "$2" in
        kill) stop_node "$1" KILL ;;
        stop) kill -TERM "$pid" ;;
        freeze) kill -STOP "$pid" ;;
        restart) stop_node "$1" KILL && heal "$1" ;;
    esac
}

heal() {
    case "${FAULT[$1]}" in
        freeze) kill -CONT "${NODE_PID[$1]}" ;;
        # It ends by itself within its --shutdown-grace of 1 s.
        stop) end_node "$1" && launch "$1" ;;
        *) launch "$1" ;;
    esac
    unset "FAULT[$1]"
}

heal_all() {
    local name
    for name in "${!FAULT[@]}"; do heal "$name"; done
}

# One tick of faults. All draws are made whatever happens, so that they follow from the seed alone.
KINDS=(kill stop freeze restart)
declare -A STRUCK
tick() {
    local name kind drawn said=()
    heal_all
    for name in "${MAINS[@]}" "${HOMES[@]}"; do
        drawn=$((RANDOM % 100))
        kind="${KINDS[$((RANDOM % 4))]}"
        ((drawn < PERCENT)) || continue
        strike "$name" "$kind"
        STRUCK[$kind]=$((${STRUCK[$kind]:-0} + 1))
        said+=("$kind $name")
    done
    if ((${#said[@]} > 0)); then
        note "$(printf '%4d s:' $((SECONDS - BEGAN)))$(printf ' %s;' "${said[@]}")"
    fi
}

# works MAIN HOME: a call reaches the ledger of that Home.
works() {
    PROBE=$((${PROBE:-0} + 1))
    rpc_is "$1" "$2.ledger.record" "{\"uid\":\"probe-$1-$2-$PROBE-$RANDOM\"}" '"result" in d' true
}

phase "3 Mains and 6 Homes"
note "seed $SEED, $DURATION, $PERCENT % of the processes in trouble at any moment"
for name in "${MAINS[@]}"; do
    start_node "$name" --server --node-id "$name" --port 0 --key-file "$WORK_DIR/$name.key"
done
for name in "${MAINS[@]}" "${HOMES[@]}"; do flags_of "$name"; done
for name in "${MAINS[@]}"; do
    stop_node "$name" KILL
    launch "$name"
done
for name in "${HOMES[@]}"; do launch "$name"; done
for main in "${MAINS[@]}"; do
    for home in "${HOMES[@]}"; do wait_until works "$main" "$home"; done
done
pass "each Main reaches each Home"

phase "Chaos"
URLS=()
for name in "${MAINS[@]}"; do URLS+=("$(http_url "$name")"); done
python3 "$EXAMPLES/chaos_calls.py" run "$CALLS" "${URLS[@]}" &
NODE_PID[caller]=$!
RANDOM="$SEED"
BEGAN=$SECONDS
while ((SECONDS - BEGAN < TOTAL)); do
    tick
    sleep "$TICK"
done
heal_all
stop_node caller TERM
check "the caller comes to its end" 0 "$STOP_CODE"
for kind in "${KINDS[@]}"; do note "$kind: ${STRUCK[$kind]:-0} times"; done

phase "Everything heals"
for main in "${MAINS[@]}"; do
    check_soon "$main is linked to both other Mains" get_is "$main" /federation/health \
        .connected_peers 2
    missing=()
    for home in "${HOMES[@]}"; do
        try_until works "$main" "$home" || missing+=("$home")
    done
    check "$main reaches each Home" "" "${missing[*]}"
    check_soon "$main is healthy" get_is "$main" /federation/health .status healthy
done
report="$("$RELAY" bench --connect "$(http_url relay-a)" --calls 200 --concurrency 10 --unique \
    --json ledger.record || true)"
check_json "200 calls without an error" '[d.ok, d.wrong, d.errors]' '[200,0,0]' "$report"

phase "What became of the calls"
verdict="$(python3 "$EXAMPLES/chaos_calls.py" judge "$CALLS" "$LEDGER")"
told() { note "$(json "$1" <<<"$verdict")"; }
told 'f"{d.calls} calls, availability {d.availability:.3%}; p50 {d.p50_ms} ms, p99 {d.p99_ms} ms"'
told 'f"{d.ok} right, {d.moved_on} of all after an attempt that did not run"'
told 'f"{d.errors} errors, by executed and by code:"'
told .errors_by_executed
told .errors_by_code
check_json "calls were answered" 'd.ok > 0' true "$verdict"
check_json "no answer was wrong" .wrong 0 "$verdict"
check_json "no call ran twice" .ran_twice '[]' "$verdict"
check_json "none ran whose caller was told that it did not" .ran_although_told_no '[]' "$verdict"
check_json "each that was answered ran" .answered_but_never_ran '[]' "$verdict"
((FAILED == 0)) || note \
    "the same faults again: $0 --duration $DURATION --failure-rate $RATE --seed $SEED"
