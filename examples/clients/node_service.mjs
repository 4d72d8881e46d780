// A service in Node: add, and count, which sends a stream. `npm install ws`
//
//     node node_service.mjs ws://127.0.0.1:8080/ws
import WebSocket from "ws";

const url = process.argv[2] ?? "ws://127.0.0.1:8080/ws";
const methods = {
  add: async (_call, a, b) => a + b,
  count: async (call, to) => {
    for (let number = 1; number <= to && !call.cancelled; number++) {
      call.chunk(number);
      await new Promise((done) => setTimeout(done, 10));
    }
    return "done";
  },
};

function connect() {
  const ws = new WebSocket(url);
  const running = new Map();
  const send = (message) => ws.send(JSON.stringify({ jsonrpc: "2.0", ...message }));
  ws.on("open", () => {
    send({ id: 1, method: "rpc.register", params: { service: "js", methods: Object.keys(methods) } });
  });
  ws.on("message", async (text) => {
    const { id, method, params, ...rest } = JSON.parse(text);
    if (method === "rpc.cancel") running.get(params.id).cancelled = true;
    else if (!method) console.log("relay:", rest.error ?? rest.result);
    if (!method || id === undefined) return;
    // Chunks reach callers that asked for a stream.
    const call = { chunk: (chunk) => send({ method: "rpc.chunk", params: { id, chunk } }) };
    running.set(id, call);
    try {
      const result = await methods[method.split(".")[1]](call, ...(params ?? []));
      if (!call.cancelled) send({ id, result });
    } catch (error) {
      send({ id, error: { code: -32000, message: String(error) } });
    }
    running.delete(id);
  });
  ws.on("error", (error) => console.log("lost:", error.message));
  ws.on("close", () => setTimeout(connect, 1000 * Math.random()));
}

connect();
