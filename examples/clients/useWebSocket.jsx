// A React hook on websocket-client.js: the connection, what came over it, calls and services.
//
//     const { ws, messages, state, call, register } = useWebSocket(token);
//     useEffect(() => { if (state === "open") call("notes.list").then(setNotes); }, [state]);
import { useCallback, useEffect, useState } from "react";
import { RelayClient } from "./websocket-client.js";

/** `ws` is the RelayClient, null before the first render is done; `messages` are the last 100. */
export function useWebSocket(token, { url = "ws://127.0.0.1:8080/ws", ...options } = {}) {
  const [ws, setWs] = useState(null);
  const [state, setState] = useState("connecting");
  const [messages, setMessages] = useState([]);

  useEffect(() => {
    const onMessage = (message) => setMessages((before) => [...before.slice(-99), message]);
    const client = new RelayClient(url, { ...options, token, onMessage, onState: setState });
    setWs(client);
    return () => client.close();
  }, [url, token]);

  const ready = () => ws ?? Promise.reject(new Error("not mounted yet"));
  const call = useCallback(async (...given) => (await ready()).call(...given), [ws]);
  const register = useCallback(async (...given) => (await ready()).register(...given), [ws]);
  return { ws, messages, state, call, register };
}
