// A client of /ws for browsers and Node, without dependencies: calls, streams, cancel, services,
// topics, the token, and a connection that comes back. See docs/websocket.md and docs/topics.md.
//
//     const client = new RelayClient("ws://127.0.0.1:8080/ws", { token });
//     await client.call("notes.add", ["milk"], { timeout: "5s" });
//     await client.register("clock", { now: () => Date.now() });
//     await client.subscribe("messages.*", ({ topic, data, missed }) => console.log(topic, data));
//     await client.publish("messages.news", { text: "hello" });
//
// In Node, pass the WebSocket of the package `ws`: { WebSocket }.

/** An error that came back; `data` says the code, whether the call ran, and whether to retry. */
export class RelayError extends Error {
  constructor({ code, message, data }) {
    super(data?.detail ?? message);
    this.code = code;
    this.data = data ?? {};
  }
}

const lost = (executed) =>
  new RelayError({
    code: -32007,
    message: "the connection was lost",
    data: { code: "LINK_LOST", executed, retry: executed === "no" ? "safe" : "unsafe" },
  });

export class RelayClient {
  #url; #options; #ws; #timer;
  #attempt = 0;
  #nextId = 1;
  #calls = new Map();
  #served = new Map();
  #services = new Map();
  #subscriptions = new Map(); // Pattern to functions.
  #asked = new Map(); // Id to who waits for the answer about a topic.
  #isOpen = false;
  #isClosed = false;
  #waiting = [];

  /** options: token, WebSocket, onState(state, why) with "open", "lost", "closed" and "refused",
   *  onMessage, and onMissed(count): so many publications gave way because they were not read. */
  constructor(url, options = {}) {
    this.#url = url;
    this.#options = options;
    this.#connect();
  }

  /** The result of a call. options: timeout, idempotent, priority, trace, signal (AbortSignal). */
  async call(method, params, { signal, ...relay } = {}) {
    return this.#start(method, params, relay, signal).result;
  }

  /** The stream of a call, to be read with `for await`; `.result` is its result. */
  stream(method, params, { signal, ...relay } = {}) {
    const call = this.#start(method, params, { credit: WINDOW, ...relay }, signal);
    call.result.catch(() => {});
    const chunks = async function* () {
      try {
        while (true) {
          while (call.chunks.length > 0) {
            const chunk = call.chunks.shift();
            call.read(chunk);
            yield chunk.value;
          }
          if (call.ended) break;
          await new Promise((wake) => (call.wake = wake));
        }
        await call.result;
      } finally {
        call.cancel();
      }
    };
    return Object.assign(chunks(), { result: call.result });
  }

  /** Offers functions under a name, again after each reconnection. The last argument of each is
   *  { signal, chunk(value) }. options: share, to let several clients offer the same service. */
  async register(service, functions, options = {}) {
    await new Promise((run) => this.#whenOpen(run));
    this.#services.set(service, { functions, options });
    return this.#offer(service);
  }

  async withdraw(service) {
    this.#services.delete(service);
    return this.call("rpc.withdraw", { service });
  }

  /** Hears what is published on the topics of a pattern, again after each reconnection; what is
   *  published while there is no connection does not come. `hear` gets { topic, data, publisher,
   *  seq, headers, missed, missed_maybe }; data that is no JSON is a Uint8Array. Resolves once the
   *  pattern stands, and gives a function that ends it. */
  async subscribe(pattern, hear) {
    await new Promise((run) => this.#whenOpen(run));
    const hearing = this.#subscriptions.get(pattern) ?? new Set();
    hearing.add(hear);
    this.#subscriptions.set(pattern, hearing);
    const end = async () => {
      hearing.delete(hear);
      if (hearing.size > 0 || this.#subscriptions.get(pattern) !== hearing) return;
      this.#subscriptions.delete(pattern);
      if (this.#isOpen) await this.#ask({ type: "unsubscribe", topic: pattern });
    };
    try {
      await this.#ask({ type: "subscribe", topic: pattern });
    } catch (error) {
      // A connection that broke is not a refusal: the next one asks again.
      if (error.data.code === "LINK_LOST" && !this.#isClosed) return end;
      hearing.delete(hear);
      if (hearing.size === 0) this.#subscriptions.delete(pattern);
      throw error;
    }
    return end;
  }

  /** Publishes on a topic, at most once; gives { links, mains }, to how many it was handed. */
  async publish(topic, data, headers) {
    await new Promise((run) => this.#whenOpen(run));
    const { links, mains } = await this.#ask({ type: "message", topic, data, headers });
    return { links, mains };
  }

  /** Ends it for good. */
  close() {
    clearTimeout(this.#timer);
    this.#isClosed = true;
    this.#ws.close(1000);
    this.#flush();
  }

  #connect() {
    const WebSocket = this.#options.WebSocket ?? globalThis.WebSocket;
    const ws = (this.#ws = new WebSocket(this.#url));
    ws.onopen = async () => {
      try {
        const { token } = this.#options;
        if (token) await this.#start("rpc.auth", { token }, undefined, undefined, true).result;
        this.#attempt = 0;
        this.#isOpen = true;
        const offers = [...this.#services.keys()].map((service) => this.#offer(service));
        for (const topic of this.#subscriptions.keys()) {
          offers.push(this.#ask({ type: "subscribe", topic }));
        }
        this.#flush();
        this.#options.onState?.("open");
        await Promise.all(offers);
      } catch (error) {
        this.#options.onState?.("refused", error);
      }
    };
    ws.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    ws.onerror = () => {}; // A close follows, and says more.
    ws.onclose = ({ code, reason }) => {
      this.#isOpen = false;
      const calls = [...this.#calls.values()].filter((call) => call.sent);
      calls.forEach((call) => call.fail(lost("unknown")));
      this.#served.forEach((abort) => abort.abort());
      this.#asked.forEach(({ reject }) => reject(lost("unknown")));
      this.#asked.clear();
      if (this.#isClosed) return this.#options.onState?.("closed", { code, reason });
      this.#options.onState?.("lost", { code, reason });
      // What was not sent yet waits on, for the next connection.
      const pause = Math.min(30_000, 100 * 2 ** this.#attempt++) * Math.random();
      this.#timer = setTimeout(() => this.#connect(), pause);
    };
  }

  #start(method, params, relay, signal, isFirst = false) {
    const id = this.#nextId++;
    const call = { id, chunks: [], sent: false, ended: false, wake: () => {} };
    call.result = new Promise((resolve, reject) => {
      const end = (settle) => (value) => {
        if (call.ended) return;
        call.ended = true;
        this.#calls.delete(id);
        settle(value);
        call.wake();
      };
      call.succeed = end(resolve);
      call.fail = end(reject);
    });
    call.cancel = () => {
      if (call.ended) return;
      if (call.sent) this.#notify("rpc.cancel", { id });
      else call.fail(lost("no"));
    };
    let read = 0;
    call.read = ({ bytes }) => {
      read += bytes + CHUNK_OVERHEAD;
      if (read < WINDOW / 4 || call.ended) return;
      this.#notify("rpc.credit", { id, bytes: read });
      read = 0;
    };
    this.#calls.set(id, call);
    signal?.addEventListener("abort", call.cancel, { once: true });
    const send = () => {
      if (call.ended) return;
      if (this.#isClosed) return call.fail(lost("no"));
      call.sent = true;
      this.#send({ id, method, params, relay });
    };
    if (isFirst) send();
    else this.#whenOpen(send);
    return call;
  }

  /** Says something about a topic, and waits for the answer to it. */
  #ask(message) {
    if (this.#isClosed || this.#ws.readyState !== 1) return Promise.reject(lost("no"));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#ws.send(JSON.stringify({ ...message, id }));
    });
  }

  #whenOpen(run) {
    if ((this.#isOpen && this.#ws.readyState === 1) || this.#isClosed) run();
    else this.#waiting.push(run);
  }

  #flush() {
    this.#waiting.splice(0).forEach((run) => run());
  }

  async #offer(service) {
    const { functions, options } = this.#services.get(service);
    return this.call("rpc.register", { service, methods: Object.keys(functions), ...options });
  }

  #receive(message) {
    const { id, method, params } = message;
    if (message.type) this.#hear(message);
    else if (method === "rpc.cancel") this.#served.get(params.id)?.abort();
    else if (method === "rpc.chunk") this.#take(params);
    else if (method === "rpc.credit") this.#served.get(params.id)?.granted?.(params.bytes);
    else if (method) this.#serve(message);
    else if ("result" in message) this.#calls.get(id)?.succeed(message.result);
    else this.#calls.get(id)?.fail(new RelayError(message.error));
    this.#options.onMessage?.(message);
  }

  #hear(message) {
    const { type, id, topic, count, code, data_base64: base64 } = message;
    if (type === "message") {
      const said = base64 === undefined ? message : { ...message, data: bytesIn(base64) };
      for (const [pattern, hearing] of this.#subscriptions) {
        if (standsFor(pattern, topic)) hearing.forEach((hear) => hear(said));
      }
    } else if (type === "missed") {
      this.#options.onMissed?.(count);
    } else {
      const asked = this.#asked.get(id);
      this.#asked.delete(id);
      if (type !== "error") return asked?.resolve(message);
      const data = { ...message, detail: message.message };
      const error = new RelayError({ code, message: message.message, data });
      // Nobody asked: the relay lost its own Main, and another one refuses the pattern.
      if (!asked && topic !== undefined) this.#subscriptions.delete(topic);
      if (asked) asked.reject(error);
      else this.#options.onState?.("refused", error);
    }
  }

  #take({ id, chunk, base64 }) {
    const call = this.#calls.get(id);
    if (!call) return;
    const value = base64 === undefined ? chunk : bytesIn(base64);
    const bytes = base64 === undefined ? bytesOf(JSON.stringify(chunk)) : value.length;
    call.chunks.push({ value, bytes });
    call.wake();
  }

  async #serve({ id, method, params }) {
    const [service, name] = method.split(".");
    const abort = new AbortController();
    this.#served.set(id, abort);
    let credit = WINDOW;
    let wake = () => {};
    abort.granted = (bytes) => ((credit += bytes), wake());
    abort.signal.addEventListener("abort", () => wake());
    const chunk = async (value) => {
      while (credit <= 0 && !abort.signal.aborted) await new Promise((w) => (wake = w));
      abort.signal.throwIfAborted();
      credit -= bytesOf(JSON.stringify(value)) + CHUNK_OVERHEAD;
      this.#notify("rpc.chunk", { id, chunk: value });
    };
    const context = { signal: abort.signal, chunk };
    const given = Array.isArray(params) ? params : params === undefined ? [] : [params];
    const answer = { id };
    try {
      const run = this.#services.get(service)?.functions[name];
      if (!run) throw Object.assign(new Error("Method not found"), { code: -32601 });
      answer.result = (await run(...given, context)) ?? null;
    } catch (error) {
      const code = Number.isInteger(error.code) ? error.code : -32000;
      answer.error = { code, message: String(error.message ?? error) };
    }
    this.#served.delete(id);
    if (!abort.signal.aborted) this.#send(answer);
  }

  #notify(method, params) {
    this.#send({ method, params });
  }

  #send(message) {
    if (this.#ws.readyState === 1) this.#ws.send(JSON.stringify({ jsonrpc: "2.0", ...message }));
  }
}

/** Whether a topic is one of those that a pattern stands for. */
const standsFor = (pattern, topic) => {
  const wanted = pattern.split(".");
  const levels = topic.split(".");
  const hasTail = wanted.at(-1) === "**";
  if (hasTail) wanted.pop();
  const fits = (level, at) => at < levels.length && (level === "*" || level === levels[at]);
  return wanted.every(fits) && (hasTail || wanted.length === levels.length);
};

const bytesIn = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
const bytesOf = (text) => new TextEncoder().encode(text).length;
const WINDOW = 256 << 10;
const CHUNK_OVERHEAD = 32;
