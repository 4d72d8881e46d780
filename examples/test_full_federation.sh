#!/usr/bin/env bash
# A federation of 3 Mains and 6 Homes, all real processes, and every scenario of the federation
# plan: the registry (2.2), the ways of calls (2.3), peers (3.1), load balancing (3.2), traces,
# breakers and health (3.3), recovery from restarts, cuts and timeouts (4.1).
#
#   examples/test_full_federation.sh
#
#     alice.home alice1.home alice2.home bob.home      charlie.home        dave.home
#                     relay-a.com ---------------------- relay-b.com ------- relay-c.com
#                          \_____________________________________________________/

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin
cd "$EXAMPLES"

BLOG=federated-blog/blog.rhai
SHOP=federated-shop/shop.rhai

main() {
    start_node "$1" -server -node-type main -node-id "$1.com" -balance round-robin \
        -shutdown-grace 2s "${@:2}"
}

# home NAME MAIN [PROGRAM] FLAG…: the key stays the same wherever the Home goes.
home() {
    start_node "$1" "${@:3}" -node-type home -node-id "$1.home" -connect "$(ws_url "$2")" \
        -key-file "$WORK_DIR/$1.key"
}

# remote NODE MEMBERS: remote_call with these params.
remote() { rpc "$1" remote_call "{$2}"; }

# hops TEXT: the links that a traced call crossed.
hops() { json 'len(d.trace.path) - 1' <<<"$1"; }

# answering CALLS EXPRESSION TEXT: which nodes answered how many calls of blog_service at relay-a.
answering() {
    local number
    for ((number = 1; number <= $1; number++)); do
        rpc relay-a remote_call '{"service_name":"blog_service","method":"get_posts"}' "$number" |
            json '.result.node_id'
    done | sort | uniq -c | awk '{printf "%s%s=%s", sep, $2, $1; sep=" "}'
}

# scope NODE SERVICE HOME: local or federated, as the registry of the node has it.
scope() {
    get "$1" /federation/registry | json "[('local' if i.is_local else 'federated')
        for s in [d.servers['$2']] for i in [s] + s.get('instances', []) if i.node_id == '$3'][0]"
}

phase "2.2 The registry of the federation"
main relay-a -port 0
main relay-b -port 0 -peers "$(ws_url relay-a)"
home alice relay-a "$BLOG" -listen 127.0.0.1:0
home bob relay-b "$SHOP" -listen 127.0.0.1:0
offered relay-a alice.home blog_service
offered relay-a bob.home shop_service
offered relay-b alice.home blog_service
offered relay-b bob.home shop_service
check_json "Test 1: relay-a shows the services of alice.home as local" \
    '[d.servers.blog_service.node_id, d.servers.blog_service.is_local]' '["alice.home",true]' \
    "$(get relay-a /registry)"
check "Test 2: at relay-a alice.home is local" local "$(scope relay-a blog_service alice.home)"
check "and bob.home federated" federated "$(scope relay-a shop_service bob.home)"
check_json "its way leads over relay-b" \
    '[d.servers.shop_service.origin, d.servers.shop_service.path]' \
    '["relay-b.com",["relay-b.com"]]' "$(get relay-a /federation/registry)"
check "Test 3: at relay-b bob.home is local" local "$(scope relay-b shop_service bob.home)"
check "and alice.home federated" federated "$(scope relay-b blog_service alice.home)"

phase "2.3 The ways of calls"
stop_node bob
check "bob.home leaves relay-b" 0 "$STOP_CODE"
home bob relay-a "$SHOP" -listen 127.0.0.1:0
home charlie relay-b news.rhai
offered relay-a bob.home shop_service
offered relay-a charlie.home news_service
check "and is local at relay-a now" local "$(scope relay-a shop_service bob.home)"
same='"node_id":"bob.home@relay-a.com","server_name":"shop_service","method":"get_products"'
same+=',"trace":true'
other='"node_id":"charlie.home@relay-b.com","server_name":"news_service","method":"get_headlines"'
other+=',"trace":true'
answer="$(remote alice "$same")"
check_json "Test 1: alice.home calls bob.home at the same Main" .result.node_id bob.home "$answer"
check_json "the way" .trace.path '["alice.home","relay-a.com","bob.home"]' "$answer"
check "2 hops" 2 "$(hops "$answer")"
check "asked at the Main it is 1 hop" 1 "$(hops "$(remote relay-a "$same")")"
answer="$(remote alice "$other")"
check_json "Test 2: alice.home calls charlie.home at another Main" .result.node_id charlie.home \
    "$answer"
check_json "the way" .trace.path '["alice.home","relay-a.com","relay-b.com","charlie.home"]' \
    "$answer"
check "3 hops" 3 "$(hops "$answer")"
check "asked at the Main they are 2 hops" 2 "$(hops "$(remote relay-a "$other")")"
missing='"node_id":"nonexistent.home","server_name":"fake_service","method":"test"'
for name in relay-a alice; do
    check_json "Test 3: asked at $name, a service that is not there is not found" \
        '[d.error.message, d.error.data.code, d.error.data.executed]' \
        '["Service not found","NO_SUCH_SERVICE","no"]' "$(remote $name "$missing")"
done

phase "The whole federation: 3 Mains and 6 Homes"
main relay-c -port 0 -peers "$(ws_url relay-a),$(ws_url relay-b)"
home dave relay-c news.rhai
home alice1 relay-a "$BLOG"
home alice2 relay-a "$BLOG"
for name in relay-a relay-b relay-c; do
    for pair in alice:blog_service alice1:blog_service alice2:blog_service bob:shop_service \
        charlie:news_service dave:news_service; do
        offered $name "${pair%:*}.home" "${pair#*:}"
    done
    pass "$name can call each service of the six Homes"
done
check_json "the shop reads the blog across the federation" \
    '[p.title for p in d.result.reading.posts]' '["Tea from the hills","Water first"]' \
    "$(rpc relay-c shop_service.get_product '[1]')"

phase "3.1 Peers"
for name in relay-b relay-c; do
    address="127.0.0.1:${NODE_PORT[$name]}"
    post relay-a /registry/peers/add "{\"node_id\":\"$name.com\",\"address\":\"$address\"}" \
        >/dev/null
done
for name in relay-a relay-b relay-c; do
    others="$(json "['relay-%s.com' % m for m in 'abc' if m != '${name#relay-}']" <<<'{}')"
    check_soon "Test 1 and 2: $name lists both others as healthy" get_is $name /federation/peers \
        'sorted(p.node_id for p in d.peers if p.is_healthy and p.status == "connected")' "$others"
done
check_soon "links are logged" log_has relay-c 'link up peer=relay-a.com'
news='"service_name":"news_service","method":"get_headlines"'
stop_node relay-b KILL
check_soon "Test 3: relay-a sees that relay-b is down" get_is relay-a /federation/peers \
    '[p.is_healthy for p in d.peers if p.node_id != "relay-c.com"]' '[false]'
check_soon "and forgets what was behind it" get_is relay-a /federation/registry \
    '[d.servers.news_service.node_id, len(d.servers.news_service.get("instances", []))]' \
    '["dave.home",0]'
for number in 1 2 3 4 5; do
    answer="$(remote relay-a "$news,\"trace\":true")"
    check_json "call $number goes through relay-c" .trace.path \
        '["relay-a.com","relay-c.com","dave.home"]' "$answer"
done
check_json "health says so" '[d.status, d.connected_peers]' '["degraded",1]' \
    "$(get relay-a /federation/health)"
main relay-b -port "${NODE_PORT[relay-b]}" -peers "$(ws_url relay-a)"
offered relay-a charlie.home news_service
pass "relay-b is back, and so is charlie.home, without anybody's help"

phase "3.2 Load balancing"
stop_node alice
wait_until get_is relay-a /federation/registry 'len(d.servers.blog_service.get("instances", []))' 1
check "Test 1: ten calls are shared evenly" "alice1.home=5 alice2.home=5" "$(answering 10)"
check_json "each instance tells its calls" \
    'all(i.calls >= 5 and i.failures == 0 and i.latency_ms > 0
        for s in [d.servers.blog_service] for i in [s] + s.instances)' \
    true "$(get relay-a /federation/registry)"
stop_node alice1 KILL
check_soon "Test 2: relay-a sees that alice1.home is gone" get_is relay-a /federation/registry \
    '[d.servers.blog_service.node_id, len(d.servers.blog_service.get("instances", []))]' \
    '["alice2.home",0]'
check "all calls go to alice2.home" "alice2.home=10" "$(answering 10)"
home alice1 relay-a "$BLOG"
home alice relay-a "$BLOG" -listen 127.0.0.1:0
offered relay-a alice1.home blog_service
offered relay-a alice.home blog_service
check "back again, all three take their turns" "alice.home=4 alice1.home=4 alice2.home=4" \
    "$(answering 12)"

phase "3.3 Traces, breakers, health"
stop_node bob
home bob relay-b --service "shop_service=http://127.0.0.1:$(dead_port)/"
offered relay-a charlie.home news_service
wait_until knows relay-a shop_service bob.home
answer="$(remote relay-a "$other")"
check_json "Test 1: the answer has its result" .result.node_id charlie.home "$answer"
check_json "and its way" .trace.path '["relay-a.com","relay-b.com","charlie.home"]' "$answer"
check_json "and the time of each hop" \
    '[h.node for h in d.trace.hops] == d.trace.path[:len(d.trace.hops)] and d.trace.total_ms > 0
        and all(h.ms >= 0 and h.attempts >= 1 for h in d.trace.hops)' \
    true "$answer"
codes=()
while ((${#codes[@]} < 10)); do
    codes+=("$(rpc relay-b bob.home.shop_service.get_products |
        json '.error.data.code + "/" + d.error.data.executed')")
done
check "Test 2: five failures, then the breaker answers" \
    "5 UNAVAILABLE/no 5 CIRCUIT_OPEN/no" "$(printf '%s\n' "${codes[@]}" | uniq -c | xargs)"
check_json "it says when to come back" '0 < d.error.data.retry_after_ms <= 30000' true \
    "$(rpc relay-b bob.home.shop_service.get_products)"
check_json "the registry says so, too" .servers.shop_service.breaker open \
    "$(get relay-b /federation/registry)"
check_json "Test 3: health has the six keys (and latency as a number, and peers)" 'sorted(d)' \
    "[$(printf '"%s",' average_latency average_latency_ms connected_homes connected_peers \
        failed_services peers status)\"total_services\"]" "$(get relay-a /federation/health)"
check_json "and names its peers" '[[p.node_id, p.status] for p in d.peers]' \
    '[["relay-b.com","connected"],["relay-c.com","connected"]]' "$(get relay-a /federation/health)"
check_json "at relay-b one of three services has failed" \
    '[d.status, d.connected_homes, d.connected_peers, d.total_services, d.failed_services]' \
    '["degraded",2,2,3,1]' "$(get relay-b /federation/health)"
check_match "the latency is a text" '^[0-9]+(\.[0-9]+)?ms$' \
    "$(get relay-a /federation/health | json .average_latency)"
stop_node bob
home bob relay-b "$SHOP"
check_soon "a new bob.home is not blamed for the old one" rpc_is relay-a \
    bob.home.shop_service.get_products '[]' \
    .result.node_id bob.home
for name in relay-a:3 relay-b:2 relay-c:1; do
    check_soon "${name%:*} is healthy: ${name#*:} Homes, 2 peers, 3 services" get_is "${name%:*}" \
        /federation/health \
        '[d.status, d.connected_homes, d.connected_peers, d.total_services, d.failed_services]' \
        "[\"healthy\",${name#*:},2,3,0]"
done

phase "4.1 Recovery"
stop_node dave
home dave relay-c news.rhai --service echo=demo:echo
offered relay-a dave.home echo
slow='"service_name":"echo","method":"sleep","args":[20000],"timeout_ms":300'
check_json "a timeout is told when it is over, and that the call may have run" \
    '[d.error.data.code, d.error.data.executed]' '["DEADLINE","unknown"]' \
    "$(remote relay-a "$slow")"
check_json "the service is there for the next call" .result '[1]' "$(rpc relay-a echo.echo '[1]')"
kill -STOP "${NODE_PID[relay-c]}"
check_json "while relay-c is cut off, a call there ends in time, too" \
    '[d.error.data.code, d.error.data.executed]' '["DEADLINE","unknown"]' \
    "$(remote relay-a '"service_name":"echo","method":"echo","args":[1],"timeout_ms":300')"
check_json "and others go on" .result.node_id charlie.home "$(remote relay-a "$other")"
kill -CONT "${NODE_PID[relay-c]}"
check_soon "afterwards calls reach it" rpc_is relay-a echo.echo '[2]' .result '[2]'
for name in relay-a relay-b relay-c; do
    stop_node $name KILL
done
main relay-a -port "${NODE_PORT[relay-a]}"
main relay-b -port "${NODE_PORT[relay-b]}" -peers "$(ws_url relay-a)"
main relay-c -port "${NODE_PORT[relay-c]}" -peers "$(ws_url relay-a),$(ws_url relay-b)"
for name in relay-a relay-b relay-c; do
    for pair in alice:blog_service alice1:blog_service alice2:blog_service bob:shop_service \
        charlie:news_service dave:news_service; do
        offered $name "${pair%:*}.home" "${pair#*:}"
    done
    pass "all Mains were killed; started again, $name can call each service of the six Homes"
done
