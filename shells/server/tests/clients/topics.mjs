// Subscribes, publishes after each connection, and says what comes.
import WebSocket from "ws";
import { RelayClient } from "./websocket-client.js";

const onState = (state, why) => console.log("state:", state, why?.code ?? "");
const client = new RelayClient(process.argv[2], { WebSocket, onState });
const hear = (name) => ({ topic, data, seq }) =>
  console.log(name, topic, data instanceof Uint8Array ? `bytes ${data}` : JSON.stringify(data), seq);
await client.subscribe("messages.**", hear("all"));
const end = await client.subscribe("messages.*.x", hear("some"));
try {
  await client.subscribe("a..b", hear("none"));
} catch (error) {
  console.log("refused:", error.data.code);
}
console.log("handed:", JSON.stringify(await client.publish("messages.a.x", { n: 1 }, { from: "node" })));
await end();
await client.publish("messages.b.x", null);
await client.subscribe("done", () => client.close());
console.log("ready");
