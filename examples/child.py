#!/usr/bin/env python3
"""A service as a child process: one JSON-RPC 2.0 object per line, in and out. Only the standard
library.

    relay --connect ws://main:8080 --service text="exec:python3 examples/child.py"

The relay starts this program, and starts it again when it dies. Answers may come in any order.
Standard output is for answers only; what goes to standard error ends up in the relay's log.
"""

import json
import os
import sys
import threading
import time

lock = threading.Lock()


def upper(text):
    return text.upper()


def add(a, b):
    return a + b


def whoami():
    return {"pid": os.getpid()}


def slow(ms):
    time.sleep(min(ms, 60_000) / 1000)
    return {"slept_ms": ms}


def crash():
    print("crashing, as you asked", file=sys.stderr, flush=True)
    os._exit(3)


def discover():
    return {"methods": [{"name": name} for name in sorted(METHODS)]}


# What can be called. A method of yours is one function and one entry here.
METHODS = {"upper": upper, "add": add, "whoami": whoami, "slow": slow, "crash": crash}


def answer(call):
    # The id comes first, so that even an answer that is too long finds its caller.
    reply = {"jsonrpc": "2.0", "id": call["id"]}
    function = discover if call["method"] == "rpc.discover" else METHODS.get(call["method"])
    params = call.get("params", [])
    try:
        if function is None:
            reply["error"] = {"code": -32601, "message": "no such method"}
        elif isinstance(params, dict):
            reply["result"] = function(**params)
        else:
            reply["result"] = function(*params)
    except Exception as mistake:
        reply["error"] = {"code": -32000, "message": str(mistake)}
    with lock:  # one whole line at a time
        print(json.dumps(reply), flush=True)


# A thread for each call: a slow one keeps nobody else waiting.
for line in sys.stdin:
    threading.Thread(target=answer, args=(json.loads(line),), daemon=True).start()
