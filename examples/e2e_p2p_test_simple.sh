#!/usr/bin/env bash
# Two nodes and two services: local calls, remote calls, the registry, errors. The short form of
# e2e_p2p_test.sh.
#
#   examples/e2e_p2p_test_simple.sh

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin
cd "$EXAMPLES"

phase "Two nodes"
start_node node1 e2e_p2p_test_simple.rhai -server -port "$(port_or_any "${PORT1:-8080}")" \
    -node-id node1
start_node node2 e2e_p2p_test_simple.rhai -server -port "$(port_or_any "${PORT2:-8081}")" \
    -node-id node2 -add-peer "$(http_url node1)"
check_json "node 1 is alive" .status healthy "$(get node1 /health)"
check_json "node 2 is alive" .status healthy "$(get node2 /health)"
check_soon "they are linked" get_is node2 /registry '.peers.node1.is_healthy' true

phase "Local calls"
check "increment" \
    '{"jsonrpc":"2.0","result":{"increment":10,"local_count":10,"node_id":"node1"},"id":1}' \
    "$(rpc node1 counter.increment '[10]')"
check_json "get_count" .result 10 "$(rpc node1 counter.get_count)"

phase "Registry"
check_soon "node 1 knows both counters" knows node1 counter node1 node2
check_json "its own comes first" '[d.servers.counter.node_id, d.servers.counter.is_local]' \
    '["node1",true]' \
    "$(get node1 /registry)"

phase "Remote calls"
offered node1 node2 counter adder
offered node2 node1 counter
check_json "node 1 calls node 2" .result '{"increment":5,"local_count":5,"node_id":"node2"}' \
    "$(rpc node1 node2.counter.increment '[5]')"
check_json "a program calls a program" .result \
    '{"increment":7,"local_count":17,"node_id":"node1"}' \
    "$(rpc node1 node2.adder.add_at '["node1",7]')"
check_json "and adds up what all have" .result 22 \
    "$(rpc node1 node2.adder.sum '[["node1","node2"]]')"

phase "Errors"
check_json "an unknown service" .error.data.code NO_SUCH_SERVICE "$(rpc node1 nothing.at_all)"
check_json "an unknown method" .error.code -32601 "$(rpc node1 node2.counter.nothing)"
check_json "text that is no JSON" .error.code -32700 "$(post node1 /rpc 'hello')"

phase "Many calls"
for number in {1..20}; do
    rpc node1 node2.counter.increment '[1]' "$number" >/dev/null
done
check_json "each of 20 was counted" .result 25 "$(rpc node1 node2.counter.get_count)"
