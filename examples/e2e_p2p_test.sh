#!/usr/bin/env bash
# Three nodes in a chain, 8081 <-> 8082 <-> 8083, each with the five services of e2e_p2p_test.rhai:
# local calls, calls to a neighbour, calls over a node in the middle, and what happens when it goes.
#
#   examples/e2e_p2p_test.sh [--ports A,B,C] [--report-times]
#
# A port that is in use is replaced by a free one; 0 takes any. With --report-times slow answers are
# told but do not fail.

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PORTS=(8081 8082 8083)
REPORT_ONLY=false
while (($# > 0)); do
    case "$1" in
        --ports) IFS=, read -ra PORTS <<<"$2" && shift 2 ;;
        --report-times) REPORT_ONLY=true && shift ;;
        *) echo "usage: $0 [--ports A,B,C] [--report-times]" >&2 && exit 2 ;;
    esac
done
begin
cd "$EXAMPLES"

SERVICES=(directory monitor store tasks test_counter)
ALL='["node1","node2","node3"]'

# node NAME PORT FLAG…
node() {
    start_node "$1" e2e_p2p_test.rhai -server -port "$2" -node-id "$1" -mode p2p "${@:3}"
}

# Median, in milliseconds, of 100 calls of a method through node 1, each answer checked.
median_ms() {
    "$RELAY" bench --connect "$(http_url node1)" --calls 100 --concurrency 1 --json "$@" |
        json '.latency.p50_ms'
}

# in_time WHAT LIMIT_MS MILLISECONDS
in_time() {
    local answer
    answer="$(json "float(\"$3\") <= $2" <<<'{}')"
    if $REPORT_ONLY; then
        note "$1: $3 ms (limit $2 ms)"
    else
        check "$1: $3 ms of $2 ms" true "$answer"
    fi
}

phase "1 of 11: HTTP servers"
node node3 "$(port_or_any "${PORTS[2]}")"
node node2 "$(port_or_any "${PORTS[1]}")" -add-peer "$(http_url node3)"
node node1 "$(port_or_any "${PORTS[0]}")" -cors '*'
for name in node1 node2 node3; do
    check_json "$name is alive" '[d.status, d.node_id]' "[\"healthy\",\"$name\"]" \
        "$(get $name /health)"
    check_json "$name says what it is" '[d.node_type, d.node_id]' "[\"main\",\"$name\"]" \
        "$(get $name /info)"
done
headers="$(curl -sS -D - -o /dev/null -H 'Origin: https://app.example.com' \
    "$(http_url node1)/health")"
check_match "cross-origin requests are allowed" 'access-control-allow-origin: \*' "${headers,,}"

phase "2 of 11: WebSocket endpoints and node ids"
for name in node1 node2 node3; do
    check_soon "$name tells its endpoint" log_has $name \
        "WebSocket P2P endpoint: ws://127.0.0.1:${NODE_PORT[$name]}/ws/p2p"
    check_soon "$name tells its id" log_has $name "WebSocket P2P system started for node $name"
done
start_node stranger -server -port 0
check_match "a node without a name makes an id of 16 hex digits" '^[0-9a-f]{16}$' \
    "$(get stranger /info | json .node_id)"
stop_node stranger
check "/ws/p2p takes WebSocket connections" 101 "$(curl -sS -o /dev/null -w '%{http_code}' \
    --max-time 1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
    -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "$(http_url node1)/ws/p2p" 2>/dev/null)"

phase "3 of 11: local calls"
check "increment" \
    '{"jsonrpc":"2.0","result":{"increment":10,"local_count":10,"node_id":"node1"},"id":1}' \
    "$(rpc node1 test_counter.increment '[10]')"
check_json "get_count" .result 10 "$(rpc node1 test_counter.get_count)"
check_json "get_info" .result '{"count":10,"name":"test_counter","node_id":"node1"}' \
    "$(rpc node1 test_counter.get_info)"
check_json "parameters by name" .result.local_count 15 \
    "$(rpc node1 test_counter.increment '{"by":5}')"
check_json "reset" .result 0 "$(rpc node1 test_counter.reset)"
check_json "store" .result 1 "$(rpc node1 store.put '["colour","red"]')"
check_json "store gives it back" .result red "$(rpc node1 store.get '["colour"]')"
check_json "tasks" .result.square 49 "$(rpc node1 tasks.run '[7]')"
check_json "directory" .result.pong node1 "$(rpc node1 directory.ping)"
check_json "monitor" .result 4 "$(rpc node1 monitor.divide '[9,2]')"

phase "4 of 11: peers"
check_json "node 1 has no peer yet" .peers '[]' "$(get node1 /federation/peers)"
check_json "a peer is added" .status added "$(post node1 /registry/peers/add \
    "{\"node_id\":\"node2\",\"address\":\"127.0.0.1:${NODE_PORT[node2]}\"}")"
check_soon "node 1 is linked to node 2" get_is node1 /registry/peers '.node2.is_healthy' true
check_soon "node 2 is linked to both" get_is node2 /federation/peers \
    'sorted(p.node_id for p in d.peers if p.is_healthy)' '["node1","node3"]'
check_json "node 3 is linked to node 2 only" '[p.node_id for p in d.peers]' '["node2"]' \
    "$(get node3 /federation/peers)"

phase "5 of 11: registry and discovery"
for name in node1 node2 node3; do
    for service in "${SERVICES[@]}"; do
        wait_until knows "$name" "$service" node1 node2 node3
    done
    check_json "$name knows the five services of all three nodes" \
        '[sorted(d.servers), sorted({len(s.instances) for s in d.servers.values()})]' \
        '[["directory","monitor","store","tasks","test_counter"],[2]]' \
        "$(get $name /federation/registry)"
done
check_json "methods are listed" .test_counter.methods \
    '["get_count","get_info","increment","reset"]' \
    "$(get node1 /registry/servers)"
check_json "what is far away says which way it is" \
    '[i.path for i in d.servers.tasks.instances if i.node_id == "node3"]' '[["node2","node3"]]' \
    "$(get node1 /federation/registry)"
check_json "the registry is healthy" '[d.status, d.server_count]' '["healthy",5]' \
    "$(get node1 /registry/health)"

phase "6 of 11: calls to a neighbour"
for service in "${SERVICES[@]}"; do
    wait_until can_call node1 node2 "$service"
    wait_until can_call node1 node3 "$service"
    wait_until can_call node3 node1 "$service"
done
check_json "node 1 calls node 2" .result '{"increment":3,"local_count":3,"node_id":"node2"}' \
    "$(rpc node1 node2.test_counter.increment '[3]')"
check_json "by remote_call" '[d.result, d.id]' '[3,"a"]' "$(rpc node1 remote_call \
    '{"node_id":"node2","server_name":"test_counter","method":"get_count"}' '"a"')"
check_json "parameters of any shape arrive" .result '{"a":[1,{"b":null}],"c":"ü"}' "$(
    rpc node1 node2.store.put '["shape",{"a":[1,{"b":null}],"c":"ü"}]' >/dev/null
    rpc node1 node2.store.get '["shape"]'
)"

phase "7 of 11: calls over the node in the middle"
target='"node_id":"node3","server_name":"test_counter","method":"increment"'
answer="$(rpc node1 remote_call "{$target,\"args\":[4],\"trace\":true}")"
check_json "node 1 calls node 3" .result '{"increment":4,"local_count":4,"node_id":"node3"}' \
    "$answer"
check_json "the way is node 1, node 2, node 3" .trace.path '["node1","node2","node3"]' "$answer"
check_json "each hop tells its time" 'min(h.ms for h in d.trace.hops) >= 0' true "$answer"
check_json "and none more than all" 'max(h.ms for h in d.trace.hops) <= d.trace.total_ms' true \
    "$answer"
check_json "and back" .result.node_id node1 "$(rpc node3 node1.test_counter.get_info)"
check_json "programs call each other along the chain" .result '["node1","node2","node3"]' \
    "$(rpc node1 directory.visit '[["node2","node3"]]')"

phase "8 of 11: synchronization and distribution"
rpc node3 store.put '["colour","blue"]' >/dev/null
rpc node3 store.put '["colour","green"]' >/dev/null
rpc node3 store.put '["size",4]' >/dev/null
check_json "node 1 takes over what is newer at node 3" .result 2 \
    "$(rpc node1 store.pull '["node3"]')"
check_json "the higher version wins" .result green "$(rpc node1 store.get '["colour"]')"
check_json "again there is nothing to take" .result 0 "$(rpc node1 store.pull '["node3"]')"
check_json "node 3 has nothing to take either" .result 0 "$(rpc node3 store.pull '["node1"]')"
work="$(rpc node1 tasks.distribute "[$ALL,9]")"
check_json "nine tasks are done, three at each node" \
    '[[r.node_id for r in d.result].count(n) for n in ("node1", "node2", "node3")]' '[3,3,3]' \
    "$work"
check_json "with the right results" '[r.square for r in d.result]' '[0,1,4,9,16,25,36,49,64]' \
    "$work"

phase "9 of 11: errors"
code_of='[d.error.code, d.error.data.executed]'
check_json "an unknown service" "$code_of" '[-32003,"no"]' "$(rpc node1 nothing.at_all)"
check_json "an unknown method" '.error.code' -32601 "$(rpc node1 node3.test_counter.nothing)"
check_json "an unknown node" "$code_of" '[-32003,"no"]' "$(rpc node1 node9.test_counter.get_count)"
check_json "a service that fails says so in its own words" \
    '[d.error.code, d.error.message, d.error.data.node_id]' \
    '[7,"out of paper","node3"]' "$(rpc node1 node3.monitor.fail '["out of paper"]')"
check_match "a mistake in a program is an error of that call only" '"error"' \
    "$(rpc node1 node3.monitor.divide '[1,0]')"
check_json "bad parameters" .error.code -32602 "$(rpc node1 node2.test_counter.increment '["x"]')"
check_json "text that is no JSON" '[d.error.code, d.id]' '[-32700,null]' \
    "$(post node1 /rpc '{"jsonrpc":')"
check_json "JSON that is no request" '[d.error.code, d.id]' '[-32600,null]' \
    "$(post node1 /rpc '{"foo":1}')"
batch='[{"jsonrpc":"2.0","method":"node3.test_counter.get_count","id":1},
    {"jsonrpc":"2.0","method":"node3.monitor.fail","params":["x"],"id":2}]'
check_json "in a batch each call has its own answer" 'sorted([r.id, "error" in r] for r in d)' \
    '[[1,false],[2,true]]' "$(post node1 /rpc "$batch")"
check "a notification has no answer" "" "$(post node1 /rpc \
    '{"jsonrpc":"2.0","method":"node2.test_counter.increment","params":[1]}')"
check_json "everything works on" .result '{"node1":"healthy","node2":"healthy","node3":"healthy"}' \
    "$(rpc node1 monitor.check "[$ALL]")"

phase "10 of 11: many calls"
before="$(rpc node1 node3.test_counter.get_count | json .result)"
for target in test_counter node2.test_counter node3.test_counter; do
    report="$("$RELAY" bench --connect "$(http_url node1)" --calls 200 --concurrency 20 --json \
        "$target.increment" '[1]' || true)"
    check_json "200 calls of $target, 20 at once" '[d.ok, d.wrong, d.errors, d.never_came_back]' \
        '[200,0,0,0]' "$report"
done
check_json "each was counted once" ".result - $before" 200 \
    "$(rpc node1 node3.test_counter.get_count)"
in_time "a local call" 10 "$(median_ms test_counter.increment '[1]')"
in_time "a call to a neighbour" 100 "$(median_ms node2.test_counter.increment '[1]')"
in_time "a call over a node" 200 "$(median_ms node3.test_counter.increment '[1]')"
in_time "taking over a store over a node" 300 "$(median_ms store.pull '["node3"]')"

phase "11 of 11: failure, recovery, shutdown"
stop_node node2 KILL
check_soon "node 1 sees that node 2 is gone" get_is node1 /federation/peers '.peers[0].is_healthy' \
    false
check_json "a call over it did not run" .error.data.executed no \
    "$(rpc node1 node3.test_counter.get_count)"
check_json "local calls go on" .result.node_id node1 "$(rpc node1 test_counter.get_info)"
node node2 "${NODE_PORT[node2]}" -add-peer "$(http_url node3)"
check_soon "node 2 is back" rpc_is node1 node2.directory.ping '[]' .result.pong node2
check_soon "node 3 is reached over it again" rpc_is node1 node3.directory.ping '[]' .result.pong \
    node3
check_soon "and node 1 from the other end" rpc_is node3 node1.directory.ping '[]' .result.pong node1
for name in node1 node2 node3; do
    stop_node $name
    check "$name stops in order" 0 "$STOP_CODE"
done
