#!/usr/bin/env bash
# A Main and a Home that offers the blog; the blog is tried out from the Main.
#
#   examples/federated-blog/run.sh [--stay]
#
# With --stay it goes on running until Ctrl-C, to be called by hand.

# shellcheck source=../lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
begin
cd "$EXAMPLES"

phase "The blog at alice.home"
start_node relay-a --server --node-id relay-a --port "$(port_or_any "${PORT1:-8080}")"
start_node alice federated-blog/blog.rhai --connect "$(ws_url relay-a)" --node-id alice.home
offered relay-a alice.home blog_service
check_json "three posts are there" 'len(d.result.posts)' 3 "$(rpc relay-a blog_service.get_posts)"
check_json "one of them" .result.title "A good cup" "$(rpc relay-a blog_service.get_post '[2]')"
check_json "a new one" .result 4 \
    "$(rpc relay-a blog_service.add_post '["Rice", "Wash it well.", "food"]')"
check_json "is found" .result '[{"id":4,"title":"Rice"}]' \
    "$(rpc relay-a blog_service.find '["food"]')"
check_json "a comment" .result 1 \
    "$(rpc relay-a blog_service.add_comment '[4, "bob", "How often?"]')"
check_json "belongs to it" '.result.comments[0].author' bob \
    "$(rpc relay-a blog_service.get_post '[4]')"
check_json "a post that is not there" .error.code 404 "$(rpc relay-a blog_service.get_post '[99]')"
check_json "one without a text" .error.code -32602 "$(rpc relay-a blog_service.add_post '["Rice"]')"

if [[ "${1:-}" == --stay ]]; then
    note "relay call --connect $(ws_url relay-a) blog_service.get_posts"
    end_node relay-a
fi
