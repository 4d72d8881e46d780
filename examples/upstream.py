#!/usr/bin/env python3
"""A small JSON-RPC 2.0 server over HTTP, to stand behind a relay. Only the standard library.

    python3 examples/upstream.py 3000
    relay --connect ws://main:8080 --service math=http://127.0.0.1:3000/

Port 0 picks a free port. The first line printed is the port.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def add(a, b):
    return a + b


def slow(ms):
    time.sleep(min(ms, 60_000) / 1000)
    return {"slept_ms": ms}


def fail(*_args, **_named):
    raise ValueError("failed, as you asked")


def discover():
    return {"methods": [{"name": name} for name in sorted([*METHODS, "echo"])]}


# What can be called. A method of yours is one function and one line here.
METHODS = {"add": add, "slow": slow, "fail": fail}


def answer(text):
    """The answer to one request, as JSON text."""
    try:
        request = json.loads(text)
        call_id = json.dumps(request["id"])
        method, params = request["method"], request.get("params", [])
    except (ValueError, KeyError, TypeError):
        return error("null", -32600, "not a JSON-RPC request")
    if method == "echo":
        # Back as it was written, not as Python reads it: large numbers stay whole.
        return f'{{"jsonrpc":"2.0","result":{raw_params(text)},"id":{call_id}}}'
    function = discover if method == "rpc.discover" else METHODS.get(method)
    if function is None:
        return error(call_id, -32601, "no such method")
    try:
        result = function(**params) if isinstance(params, dict) else function(*params)
    except TypeError as mistake:
        return error(call_id, -32602, str(mistake))
    except ValueError as mistake:
        return error(call_id, -32000, str(mistake))
    return f'{{"jsonrpc":"2.0","result":{json.dumps(result)},"id":{call_id}}}'


def error(call_id, code, message):
    detail = json.dumps({"code": code, "message": message})
    return f'{{"jsonrpc":"2.0","error":{detail},"id":{call_id}}}'


def raw_params(text):
    """The text of `params`, found by reading member after member."""
    decoder, place = json.JSONDecoder(), text.index("{") + 1
    skip = lambda at: at + len(text[at:]) - len(text[at:].lstrip(" \t\r\n,:"))
    while True:
        place = skip(place)
        if text[place] == "}":
            return "null"
        name, place = decoder.raw_decode(text, place)
        begin = skip(place)
        _, place = decoder.raw_decode(text, begin)
        if name == "params":
            return text[begin:place]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open between calls
    disable_nagle_algorithm = True

    def do_POST(self):
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        body = answer(text).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
