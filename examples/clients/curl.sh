#!/usr/bin/env bash
# What a caller without a WebSocket sends, here to the service of python_service.py.
#
#     examples/clients/curl.sh http://127.0.0.1:8080 py
set -euo pipefail
url=${1:-http://127.0.0.1:8080} service=${2:-py}
post() { curl -sS -H 'Content-Type: application/json' "$@" && echo; }

post "$url/rpc" -d '{"jsonrpc":"2.0","id":1,"method":"'"$service"'.add","params":[2,3]}'
post "$url/rpc/$service" -d '{"jsonrpc":"2.0","id":2,"method":"add","params":[2,3]}'
post "$url/rpc" -H 'Relay-Timeout: 5s' -H 'Relay-Trace: 1' -d '[
  {"jsonrpc":"2.0","id":3,"method":"'"$service"'.add","params":[1,1]},
  {"jsonrpc":"2.0","id":4,"method":"rpc.discover"}]'
