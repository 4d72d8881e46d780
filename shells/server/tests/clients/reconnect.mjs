// Offers a service, calls it after each connection, and says what happens to the connection.
import WebSocket from "ws";
import { RelayClient } from "./websocket-client.js";

let calls = 0;
const onState = async (state, why) => {
  console.log("state:", state, why?.code ?? "");
  if (state !== "open" || calls === 0) return;
  try {
    console.log("served:", await client.call("again.count"));
  } catch (error) {
    console.log("failed:", error.message);
  }
};
const client = new RelayClient(process.argv[2], { WebSocket, onState });
await client.register("again", { count: () => ++calls });
console.log("served:", await client.call("again.count"));
