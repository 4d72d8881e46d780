// A Home and a caller with a link of their own.

import { Caller, pairsOf, within } from './caller.js';
import { RelayError } from './errors.js';
import { init } from './init.js';
import { RelayNode } from './relay_wasm.js';
import { handlerOf, methodsOf } from './services.js';
import { Subscription, bytesOf } from './topics.js';

/** Time for the first link, in milliseconds. */
const CONNECT_TIMEOUT = 10_000;
/** Time for calls in flight when a node is closed, in milliseconds. */
const GRACE = 5_000;

/** A caller with a link to a Main. */
export class Client extends Caller {
  #node;
  #closed;
  #forget = () => {};
  #subscriptions = new Set();

  /** Connects to a Main and waits for it. */
  static async connect(address, options = {}) {
    const client = new this(await startNode('caller', address, options));
    try {
      await within(
        options.timeout ?? CONNECT_TIMEOUT,
        client.connected(),
        `no Main at ${[address].flat().join(', ')} accepted the link in time`,
      );
    } catch (error) {
      await client.close(0);
      throw error;
    }
    return client;
  }

  /** @private Use `connect`. */
  constructor(node) {
    super();
    this.#node = node;
    node.listen(({ type, ...detail }) => this.dispatchEvent(eventOf(type, detail)));
    this.#forget = wakeWithThePage(() => node.wake());
  }

  /** The id of the node. */
  get nodeId() {
    return this.#node.id;
  }

  /** Whether a Main has accepted the link. */
  get isConnected() {
    return this.#closed === undefined && this.#node.isConnected;
  }

  /** Ready when a Main has accepted the link. */
  connected() {
    return this.#node.connected();
  }

  /** Looks at the clock and dials at once. Pages that come back are noticed without it. */
  wake() {
    this.#node.wake();
  }

  /** Says something on a topic. */
  async publish(topic, value, { headers } = {}) {
    try {
      this.#node.publish(String(topic), bytesOf(value), pairsOf(headers));
    } catch (failure) {
      throw new RelayError(failure);
    }
  }

  /** Subscribes to all topics of a pattern, or of several: for a handler, or for a loop. */
  subscribe(patterns, ...rest) {
    const handler = typeof rest[0] === 'function' ? rest.shift() : undefined;
    const { signal, missed } = rest[0] ?? {};
    signal?.throwIfAborted();
    const source = this.#node.subscription();
    try {
      for (const pattern of [patterns].flat()) source.add(String(pattern));
    } catch (failure) {
      source.free();
      throw new RelayError(failure);
    }
    const subscription = new Subscription(source, missed, () => {
      signal?.removeEventListener('abort', end);
      this.#subscriptions.delete(subscription);
    });
    const end = () => subscription.close();
    signal?.addEventListener('abort', end, { once: true });
    this.#subscriptions.add(subscription);
    if (handler) subscription._handle(handler);
    return subscription;
  }

  /** Says goodbye, after calls in flight had `grace` milliseconds to end. */
  close(grace = GRACE) {
    this.#closed ??= (async () => {
      this.#forget();
      await this.#node.close(grace);
      for (const subscription of [...this.#subscriptions]) subscription.close();
    })();
    return this.#closed;
  }

  _open(request) {
    let outgoing;
    try {
      outgoing = this.#node.call(request);
    } catch (failure) {
      return { ending: Promise.resolve({ failure }), next: never, send: never, cancel() {} };
    }
    const chunks = outgoing.chunks();
    const ending = outgoing.answer().then((ending) => ending ?? CANCELLED);
    return {
      ending,
      next: () => (chunks ? chunks.next() : never()),
      send: (text) => (chunks ? chunks.send(text) : never()),
      cancel: () => outgoing.cancel(),
    };
  }

  /** @private */
  _register(name, methods, handler) {
    try {
      this.#node.register(name, methods, handler);
    } catch (failure) {
      throw new RelayError(failure);
    }
  }

  /** @private */
  _withdraw(name) {
    return this.#node.withdraw(name);
  }
}

/** A Home: it offers services at a Main, and calls. */
export class Home extends Client {
  /** Starts a Home. It dials until it has a link, and again whenever the link is lost. */
  static async connect(address, options = {}) {
    return new this(await startNode('home', address, options));
  }

  /** Offers a service to everyone. */
  async register(name, service) {
    this._register(name, methodsOf(service), handlerOf(service));
  }

  /** Takes a service back. Tells whether it was offered. */
  async withdraw(name) {
    return this._withdraw(name);
  }
}

async function startNode(role, address, options) {
  await init();
  const addresses = [address].flat().map(String);
  if (addresses.length === 0) throw new TypeError('name the address of a Main');
  return new RelayNode({ ...options, role, addresses });
}

/** An event with fields of its own, where there is no CustomEvent (Node 18) too. */
export function eventOf(type, detail) {
  return Object.assign(new Event(type), detail);
}

/**
 * Calls `wake` whenever time may have stood still for this page or the network has come back.
 * Returns what ends that.
 */
function wakeWithThePage(wake) {
  const { document } = globalThis;
  if (typeof globalThis.addEventListener !== 'function') return () => {};
  const seen = () => document.visibilityState === 'visible' && wake();
  const pairs = [
    [globalThis, 'online', wake],
    [globalThis, 'pageshow', wake],
  ];
  if (document) pairs.push([document, 'resume', wake], [document, 'visibilitychange', seen]);
  for (const [target, type, listener] of pairs) target.addEventListener(type, listener);
  return () => {
    for (const [target, type, listener] of pairs) target.removeEventListener(type, listener);
  };
}

const never = async () => undefined;
const CANCELLED = {
  failure: { code: 'CANCELLED', executed: 'unknown', retry: 'unsafe', message: 'cancelled here' },
};
