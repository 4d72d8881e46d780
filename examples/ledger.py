#!/usr/bin/env python3
"""A service that writes down each call that it runs, so that a test can tell afterwards which calls
ran, and how often. Only the standard library.

    relay --connect ws://main:8080 --service ledger="exec:python3 examples/ledger.py ledger.txt"

record(uid) adds a line to the file and answers with the uid. Any number of processes may write to
one file. Nothing is kept in memory: what a killed process ran is still written down.
"""

import json
import os
import sys

ledger = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def record(uid):
    if not isinstance(uid, str) or not 0 < len(uid) <= 100 or "\n" in uid:
        raise ValueError("'uid' must be a line of at most 100 characters")
    os.write(ledger, (uid + "\n").encode())  # one write: lines of several processes do not mix
    return {"uid": uid}


def discover():
    return {"methods": [{"name": "record"}]}


METHODS = {"record": record, "rpc.discover": discover}

for line in sys.stdin:
    call = json.loads(line)
    reply = {"jsonrpc": "2.0", "id": call["id"]}
    params = call.get("params", {})
    try:
        function = METHODS.get(call["method"])
        if function is None:
            reply["error"] = {"code": -32601, "message": "no such method"}
        elif isinstance(params, dict):
            reply["result"] = function(**params)
        else:
            reply["result"] = function(*params)
    except Exception as mistake:
        reply["error"] = {"code": -32000, "message": str(mistake)}
    print(json.dumps(reply), flush=True)
