#!/usr/bin/env python3
"""Calls, reads a stream, and cancels, in Python. `pip install websockets`

    python3 python_caller.py ws://127.0.0.1:8080/ws py
"""
import json
import sys

from websockets.sync.client import connect

url, service = sys.argv[1:] if len(sys.argv) > 2 else ("ws://127.0.0.1:8080/ws", "py")

# With a token: connect(url, additional_headers={"Authorization": "Bearer " + token})
with connect(url) as ws:

    def send(method, params, **more):
        request = {"jsonrpc": "2.0", "method": f"{service}.{method}", "params": params, **more}
        ws.send(json.dumps(request))

    def receive():
        message = json.loads(ws.recv())
        if "error" in message:  # did it run? data.executed says no, yes or unknown
            print(message["id"], "failed:", message["error"])
        return message

    send("add", [2, 3], id=1)
    print("add:", receive()["result"])

    send("count", [3], id=2, relay={"stream": True, "timeout": "10s"})
    while (message := receive()).get("method") == "rpc.chunk":
        print("chunk:", message["params"]["chunk"])
    print("count:", message["result"])

    send("count", [1_000_000], id=3, relay={"stream": True})
    receive()
    ws.send(json.dumps({"jsonrpc": "2.0", "method": "rpc.cancel", "params": {"id": 3}}))
    while (message := receive()).get("method") == "rpc.chunk":
        pass
    print("cancelled:", message["error"]["data"]["code"])
