#!/usr/bin/env python3
"""A service in Python: add, and count, which sends a stream. `pip install websockets`

    python3 python_service.py ws://127.0.0.1:8080/ws
"""
import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def add(_chunk, a, b):
    return a + b


async def count(chunk, to):
    for number in range(1, to + 1):
        await chunk(number)
        await asyncio.sleep(0.01)
    return "done"


METHODS = {"add": add, "count": count}


async def answer(ws, request):
    async def chunk(value):  # reaches callers that asked for a stream
        params = {"id": request["id"], "chunk": value}
        await ws.send(json.dumps({"jsonrpc": "2.0", "method": "rpc.chunk", "params": params}))

    response = {"jsonrpc": "2.0", "id": request["id"]}
    try:
        method = METHODS[request["method"].partition(".")[2]]
        response["result"] = await method(chunk, *request.get("params", []))
    except Exception as error:
        response["error"] = {"code": -32000, "message": repr(error)}
    await ws.send(json.dumps(response))


async def main(url):
    async for ws in connect(url):  # again, with a pause, whenever the connection is lost
        try:
            offer = {"service": "py", "methods": list(METHODS)}
            register = {"jsonrpc": "2.0", "id": 1, "method": "rpc.register", "params": offer}
            await ws.send(json.dumps(register))
            running = {}
            async for text in ws:
                message = json.loads(text)
                if message.get("method") == "rpc.cancel":
                    running.pop(message["params"]["id"]).cancel()
                elif "method" in message and "id" in message:
                    running[message["id"]] = task = asyncio.create_task(answer(ws, message))
                    task.add_done_callback(lambda _, id=message["id"]: running.pop(id, None))
                else:
                    print("relay:", text, flush=True)
        except ConnectionClosed as closed:
            print("closed:", closed, flush=True)


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8080/ws"))
