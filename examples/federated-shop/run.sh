#!/usr/bin/env bash
# Two Mains that federate, the blog at a Home of the one and the shop at a Home of the other: the
# shop calls the blog across the federation, and sells without it while it is away.
#
#   examples/federated-shop/run.sh [--stay]
#
# With --stay it goes on running until Ctrl-C, to be called by hand.

# shellcheck source=../lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
begin
cd "$EXAMPLES"

blog() {
    start_node alice federated-blog/blog.rhai --connect "$(ws_url relay-a)" --node-id alice.home \
        --key-file "$WORK_DIR/alice.key"
    offered relay-b alice.home blog_service
}

phase "A blog at relay-a, a shop at relay-b"
start_node relay-a --server --node-id relay-a --port "$(port_or_any "${PORT1:-8080}")"
start_node relay-b --server --node-id relay-b --port "$(port_or_any "${PORT2:-8081}")" \
    --peers "$(ws_url relay-a)"
start_node bob federated-shop/shop.rhai --connect "$(ws_url relay-b)" --node-id bob.home
blog
offered relay-a bob.home shop_service

phase "The shop reads the blog"
check_json "products" '[p.name for p in d.result.products]' '["Green tea, 100 g","Clay cup"]' \
    "$(rpc relay-b shop_service.get_products)"
check_json "a product comes with what the blog says about it" \
    '[p.title for p in d.result.reading.posts]' \
    '["Tea from the hills","Water first"]' "$(rpc relay-b shop_service.get_product '[1]')"
check_json "also when asked at the other Main" '[p.title for p in d.result.reading.posts]' \
    '["A good cup"]' \
    "$(rpc relay-a shop_service.get_product '[2]')"

phase "The shop writes to the blog"
check_json "a review becomes a post" .result 4 \
    "$(rpc relay-a shop_service.review '[2, "carol", "Keeps warm for an hour."]')"
check_json "the blog has it" '[d.result.title, d.result.text]' \
    '["carol on Clay cup","Keeps warm for an hour."]' \
    "$(rpc relay-a blog_service.get_post '[4]')"
check_json "and the shop shows it" 'len(d.result.reading.posts)' 2 \
    "$(rpc relay-b shop_service.get_product '[2]')"

phase "Orders"
check_json "an order" .result '{"cents":2800,"id":2,"number":1,"quantity":2}' \
    "$(rpc relay-a shop_service.order '[2, 2]')"
check_json "more than there is" .error.code 409 "$(rpc relay-a shop_service.order '[2, 4]')"
check_json "of nothing" .error.code 404 "$(rpc relay-a shop_service.order '[9]')"
check_json "one was taken" 'len(d.result)' 1 "$(rpc relay-b shop_service.get_orders)"

phase "Without the blog"
stop_node alice KILL
check_soon "a product comes without reading" rpc_is relay-b shop_service.get_product '[1]' \
    '[d.result.name, d.result.reading.posts, "unavailable" in d.result.reading]' \
    '["Green tea, 100 g",[],true]'
check_json "orders go on" .result.number 2 "$(rpc relay-b shop_service.order '[1]')"
blog
check_json "the blog is back" 'len(d.result.reading.posts)' 2 \
    "$(rpc relay-b shop_service.get_product '[1]')"

if [[ "${1:-}" == --stay ]]; then
    note "relay call --connect $(ws_url relay-a) shop_service.get_product '[1]'"
    end_node relay-a
fi
