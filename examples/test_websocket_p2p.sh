#!/usr/bin/env bash
# Links between nodes: which type a node is, how it connects by WebSocket, who is refused, and how
# links come back.
#
#   examples/test_websocket_p2p.sh

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin
cd "$EXAMPLES"

# upgrade HEADER…: status of an attempt to open /ws/p2p.
upgrade() {
    local headers=() header
    for header in "$@"; do headers+=(-H "$header"); done
    curl -sS --max-time 1 -o /dev/null -w '%{http_code}' "${headers[@]}" \
        "$(http_url main-a)/ws/p2p" 2>/dev/null || true
}

# refused FLAG…: the first line that a node says that does not start.
refused() {
    timeout 20 "$RELAY" "$@" 2>&1 </dev/null | head -n 1 || true
}

phase "Types of nodes"
start_node main-a -server -node-type main -node-id main-a -port 0
check_soon "-server is a Main" log_has main-a 'Starting as Main Relay with node ID.* node_id=main-a'
start_node unnamed -server -port 0
check_soon "an id is made when none is given" log_has unnamed \
    'Starting as Main Relay with auto-generated node ID node_id=[0-9a-f]{16}'
stop_node unnamed
start_node bob -node-type home -node-id bob.home -connect "$(ws_url main-a)" \
    --service counter=demo:counter
check_soon "-connect is a Home" log_has bob 'Starting as Home Relay with node ID.* node_id=bob.home'
check_match "-server and -node-type home exclude each other" '(error|Error)' \
    "$(refused -server -node-type home)"

phase "The link of a Home"
offered main-a bob.home counter
check_json "its services are called through the Main" .result.node_id bob.home \
    "$(rpc main-a counter.increment)"
check_json "they are local ones of the Main" \
    '[d.servers.counter.node_id, d.servers.counter.scope]' \
    '["bob.home","attached"]' "$(get main-a /registry)"

phase "The WebSocket endpoint"
WS=('Connection: Upgrade' 'Upgrade: websocket' 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==')
check "a WebSocket is accepted" 101 "$(upgrade "${WS[@]}" 'Sec-WebSocket-Version: 13')"
check "another version is not" 426 "$(upgrade "${WS[@]}" 'Sec-WebSocket-Version: 8')"
check_match "nor is plain HTTP" '^4' "$(upgrade)"
check_match "nor a page of another site" '^403$' \
    "$(upgrade "${WS[@]}" 'Sec-WebSocket-Version: 13' 'Origin: https://evil.example.com')"

phase "Links between Mains"
start_node main-b -server -node-id main-b -port 0 -peers "$(ws_url main-a)"
check_soon "they find each other" get_is main-a /federation/peers \
    '[p.node_id for p in d.peers if p.is_healthy]' '["main-b"]'
offered main-b bob.home counter
check_json "a call crosses both" .result.node_id bob.home "$(rpc main-b counter.increment)"

phase "Who is refused"
launch_node other -server -node-id main-c -port 0 -cluster other -peers "$(ws_url main-a)"
wait_until node_is_ready other
check_soon "a node of another federation is told why" log_has other "cluster"
stop_node other
launch_node thief -node-id bob.home -connect "$(ws_url main-a)" --service counter=demo:counter
check_soon "nobody takes the name of another node" log_has thief \
    "another node uses the id of this one"
stop_node thief
check_json "its owner still has it" .result.node_id bob.home "$(rpc main-a counter.increment)"

phase "Links come back"
stop_node main-a KILL
check_soon "the other Main sees that" get_is main-b /federation/peers \
    '[p.is_healthy for p in d.peers]' '[false]'
start_node main-a -server -node-type main -node-id main-a -port "${NODE_PORT[main-a]}"
check_soon "the Home is back" rpc_is main-a counter.get_count '[]' '"result" in d' true
check_soon "so is the other Main" rpc_is main-b bob.home.counter.get_count '[]' '"result" in d' true
stop_node bob
check "the Home stops in order" 0 "$STOP_CODE"
check_soon "its services are gone at once" get_is main-b /registry 'list(d.servers)' '[]'

phase "A Home before its Main"
PORT="$(dead_port)"
start_node early -node-id early.home -connect "ws://127.0.0.1:$PORT" --service echo=demo:echo
start_node late -server -node-id main-late -port "$PORT"
check_soon "connects when it comes" rpc_is late echo.echo '[1]' .result '[1]'
