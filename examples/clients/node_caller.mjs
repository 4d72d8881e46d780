// Calls, reads a stream, and cancels, in Node. `npm install ws`
//
//     node node_caller.mjs ws://127.0.0.1:8080/ws js
import WebSocket from "ws";
import { RelayClient } from "./websocket-client.js";

const [url = "ws://127.0.0.1:8080/ws", service = "js"] = process.argv.slice(2);
const client = new RelayClient(url, { token: process.env.RELAY_TOKEN, WebSocket });

console.log("add:", await client.call(`${service}.add`, [2, 3]));

const count = client.stream(`${service}.count`, [3], { timeout: "10s" });
for await (const chunk of count) console.log("chunk:", chunk);
console.log("count:", await count.result);

const endless = client.stream(`${service}.count`, [1_000_000]);
for await (const chunk of endless) {
  console.log("chunk:", chunk);
  break; // which cancels the call
}
// Did it run? error.data.executed says no, yes or unknown.
await endless.result.catch((error) => console.log("cancelled:", error.data.code));
client.close();
