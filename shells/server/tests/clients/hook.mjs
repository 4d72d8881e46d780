// Mounts the React hook, calls, offers a service, and unmounts. Prints one line for each.
import { createElement } from "react";
import { act, create } from "react-test-renderer";
import WebSocket from "ws";
import { useWebSocket } from "./useWebSocket.mjs";

globalThis.IS_REACT_ACT_ENVIRONMENT = true;
const [url, token] = process.argv.slice(2);
let seen;

function Probe() {
  seen = useWebSocket(token, { url, WebSocket });
  return createElement("p", null, seen.state);
}

let tree;
await act(async () => {
  tree = create(createElement(Probe));
});
const until = async (holds) => {
  while (!holds()) await act(async () => new Promise((done) => setTimeout(done, 5)));
};
await until(() => seen.state === "open");
console.log("state:", tree.toJSON().children[0]);
let echoed;
await act(async () => {
  echoed = await seen.call("echo.echo", ["hi"]);
});
console.log("call:", JSON.stringify(echoed));
await act(async () => {
  await seen.register("hook", { twice: (n) => 2 * n });
  console.log("service:", await seen.call("hook.twice", [21]));
});
await until(() => seen.messages.some((message) => message.result === 42));
console.log("messages:", seen.messages.length > 0);
const { ws } = seen;
await act(async () => tree.unmount());
console.log("closed:", await ws.call("echo.echo").catch((error) => error.data.executed));
process.exit(0);
