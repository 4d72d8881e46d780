#!/usr/bin/env bash
# The registry of two nodes that run test_p2p_registry.rhai: what it lists, peers added and removed
# by HTTP, and calls to the peer.
#
#   examples/test_p2p_registry.sh

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin
cd "$EXAMPLES"

phase "Two nodes that do not know each other"
start_node node1 test_p2p_registry.rhai -server -port "$(port_or_any "${PORT1:-8080}")" \
    -node-id node1
start_node node2 test_p2p_registry.rhai -server -port "$(port_or_any "${PORT2:-8081}")"
ID2="$(get node2 /info | json .node_id)"
registry="$(get node1 /registry)"
check_json "two services are registered" 'sorted(d.servers)' '["discovery_test","test_counter"]' \
    "$registry"
check_json "with all that describes one" \
    '[k for k in ("name", "node_id", "node_address", "methods", "last_seen", "is_local")
        if k not in d.servers.test_counter]' '[]' "$registry"
check_json "methods" .servers.test_counter.methods '["get_count","get_info","increment","reset"]' \
    "$registry"
check_json "no peers" .peers '{}' "$registry"
check_match "the time is RFC 3339" '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]+)?Z$' \
    "$(json .timestamp <<<"$registry")"
check_json "health" '[d.status, d.node_id, d.node_address, d.server_count, d.peer_count]' \
    "[\"healthy\",\"node1\",\"127.0.0.1:${NODE_PORT[node1]}\",2,0]" "$(get node1 /registry/health)"

phase "A peer is added"
check_json "by POST /registry/peers/add" .status added "$(post node2 /registry/peers/add \
    "{\"node_id\": \"node1\", \"address\": \"localhost:${NODE_PORT[node1]}\"}")"
check_soon "it is healthy" get_is node2 /registry/peers '.node1.is_healthy' true
check_soon "it has two services" get_is node2 /registry/peers '.node1.server_count' 2
check_soon "node 2 knows what node 1 offers" knows node2 test_counter node1 "$ID2"
check_soon "node 1 knows what node 2 offers" knows node1 test_counter node1 "$ID2"
check_json "the peer is told with address and time" \
    'sorted(set(d.peers.node1) & {"node_id","address","last_seen","is_healthy","server_count"})' \
    '["address","is_healthy","last_seen","node_id","server_count"]' "$(get node2 /registry)"

phase "Calls"
offered node2 node1 test_counter discovery_test
check_json "a local one" .result.local_count 1 "$(rpc node1 test_counter.increment)"
check_json "a remote one" .result '{"increment":10,"local_count":11,"node_id":"node1"}' \
    "$(rpc node2 node1.test_counter.increment '[10]')"
check_json "info" '[d.result.name, d.result.count, d.result.calls]' '["test_counter",11,2]' \
    "$(rpc node2 node1.test_counter.get_info)"
check_json "without a node the own service answers" .result.node_id "$ID2" \
    "$(rpc node2 test_counter.increment)"
check_json "reset" .result 0 "$(rpc node2 node1.test_counter.reset)"
check_json "a discovery event is recorded" .result 1 \
    "$(rpc node2 node1.discovery_test.record_event "[\"peer_added\",\"$ID2\"]")"
check_json "and counted" .result.by_kind '{"peer_added":1}' "$(rpc node1 discovery_test.get_stats)"
check_json "and kept" '[[e.kind, e.peer] for e in d.result]' "[[\"peer_added\",\"$ID2\"]]" \
    "$(rpc node1 discovery_test.get_events)"

phase "The peer is removed"
check_json "by DELETE /registry/peers/remove" .status removed "$(curl -sS -X DELETE \
    -H 'Content-Type: application/json' -d '{"node_id":"node1"}' \
    "$(http_url node2)/registry/peers/remove")"
check_soon "it is not listed any more" get_is node2 /registry/peers 'd' '{}'
check_soon "nor are its services" get_is node2 /federation/registry \
    '.servers.test_counter.get("instances", [])' '[]'
check_json "a call does not run" .error.data.executed no "$(rpc node2 node1.test_counter.get_count)"

phase "Without a registry"
start_node node3 -server -port 0 -disable-registry
check_json "it says that it has none" .error "Registry Not Available" "$(get node3 /registry)"
