// The tab that has the link: it calls for the others and hands them the calls they serve.

import { Home } from '../home.js';
import { failureHere } from '../caller.js';
import { RelayError } from '../errors.js';
import { deferred } from './deferred.js';
import { hold, lifeOf } from './channel.js';

/** The Home of all tabs, in this one. */
export class Leader {
  #channel;
  #group;
  /** Tabs in the order in which they came, this one first. */
  #tabs = new Map();
  #served = new Map();
  #lastServed = 0;
  #offered = new Map();
  #isLost = false;
  #own = new Set();
  /** The first link is there, or is not for so long that nobody waits for it any more. */
  #ready;

  static async start(address, options, channel, group) {
    return new this(await Home.connect(address, options), channel, group);
  }

  constructor(home, channel, group) {
    this.home = home;
    this.#channel = channel;
    this.#group = group;
    let timer;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, FIRST_LINK)));
    this.#ready = Promise.race([home.connected(), late]).finally(() => clearTimeout(timer));
    this.#tabs.set(channel.tab, { services: new Map(), calls: new Map(), forget() {} });
  }

  /** Whether other tabs could take over. */
  get isFollowed() {
    return this.#tabs.size > 1;
  }

  /** A call of this tab. */
  async open(request) {
    // A call that moves here must not fail because this link is not there yet.
    await this.#ready;
    if (this.#isLost) return undefined;
    const call = this.home._open(request);
    const lost = deferred();
    const own = { ...call, isLost: false, ending: Promise.race([lost.promise, call.ending]) };
    own.lose = () => {
      own.isLost = true;
      lost.resolve({ isLost: true });
    };
    this.#own.add(own);
    own.ending.finally(() => this.#own.delete(own));
    return own;
  }

  /** What this tab offers: `{ name: { methods, handler } }`. The failures, by service. */
  offerOwn(services) {
    return this.#offer(this.#tabs.get(this.#channel.tab), services);
  }

  receive(message) {
    if (message.kind === 'bye') return this.#forget(message.from);
    const tab = this.#tabOf(message.from);
    const call = tab.calls.get(message.id);
    const answer = (kind, fields) =>
      this.#channel.post(kind, { to: message.from, id: message.id, ...fields });
    switch (message.kind) {
      case 'offers':
        return answer('offered', { failures: this.#offer(tab, new Map(message.services)) });
      case 'ask':
        return this.#isLost ? undefined : answer('ready');
      case 'call':
        if (this.#isLost) return answer('ending', { ending: { isUnsent: true } });
        return this.#call(tab, message, answer);
      case 'pull':
        return call?.next().then((text) => {
          answer('chunk', { text });
          if (text === undefined) tab.calls.delete(message.id);
        });
      case 'push':
        return call?.send(message.text).then((isTaken) => answer('pushed', { n: message.n, isTaken }));
      case 'cancel':
        call?.cancel();
        return tab.calls.delete(message.id);
      default:
        return this.#receiveServed(message, answer);
    }
  }

  /** Ends the link, after calls in flight had `grace` milliseconds. */
  async close(grace) {
    this.#isLost = true;
    if (grace > 0) await this.home.close(grace);
    // Calls that have no answer now are decided by whoever made them.
    for (const own of this.#own) own.lose();
    for (const tab of this.#tabs.values()) tab.forget();
    await this.home.close(0);
  }

  async #call(tab, { id, request }, answer) {
    if (tab.calls.size >= CALLS_OF_TAB_MAX) {
      const text = `a tab has at most ${CALLS_OF_TAB_MAX} calls in flight`;
      return answer('ending', { ending: failureHere('OVERLOADED', 'no', text) });
    }
    const opened = deferred();
    const waiting = {
      next: async () => (await opened.promise)?.next(),
      send: async (text) => (await opened.promise)?.send(text) ?? false,
      cancel: () => opened.resolve(undefined),
    };
    tab.calls.set(id, waiting);
    await this.#ready;
    if (tab.calls.get(id) !== waiting) return;
    if (this.#isLost) {
      tab.calls.delete(id);
      return answer('ending', { ending: { isUnsent: true } });
    }
    const call = this.home._open(request);
    tab.calls.set(id, call);
    opened.resolve(call);
    call.ending.then((ending) => {
      // A link that ended because this tab leaves is no news: whoever made the call decides.
      if (this.#isLost && ending.failure?.code === 'LINK_LOST') return;
      answer('ending', { ending: { ...ending, isStreaming: request.streams } });
      if (!request.streams) tab.calls.delete(id);
    });
  }

  #tabOf(name) {
    let tab = this.#tabs.get(name);
    if (!tab) {
      const forget = hold(lifeOf(this.#group, name), () => this.#forget(name));
      tab = { services: new Map(), calls: new Map(), forget };
      this.#tabs.set(name, tab);
    }
    return tab;
  }

  /** A tab is gone: its calls are cancelled, its services are served by others or not at all. */
  #forget(name) {
    const tab = this.#tabs.get(name);
    if (!tab) return;
    this.#tabs.delete(name);
    tab.forget();
    for (const call of tab.calls.values()) call.cancel();
    this.#offer(tab, new Map());
    const message = 'the tab that served the call was closed';
    for (const served of [...this.#served.values()].filter((served) => served.tab === name)) {
      served.outcome.reject({ code: 'LINK_LOST', executed: 'unknown', message });
    }
  }

  #offer(tab, services) {
    const before = tab.services;
    tab.services = services;
    const failures = {};
    for (const name of new Set([...before.keys(), ...services.keys()])) {
      try {
        this.#settle(name);
      } catch (error) {
        if (!(error instanceof RelayError)) throw error;
        tab.services.delete(name);
        const { code, message, executed, retry, node } = error;
        failures[name] = { code, message, executed, retry, node };
      }
    }
    return failures;
  }

  /** Offers a service at the Main as long as some tab has it, with the methods of the first. */
  #settle(name) {
    const first = this.#ownerOf(name)?.[1].services.get(name);
    if (!first) {
      if (this.#offered.delete(name)) this.home._withdraw(name);
      return;
    }
    const methods = JSON.stringify(first.methods);
    if (this.#offered.get(name) === methods) return;
    this.home._register(name, first.methods, (request) => this.#dispatch(name, request));
    this.#offered.set(name, methods);
  }

  #ownerOf(name) {
    return [...this.#tabs].find(([, tab]) => tab.services.has(name));
  }

  /** Runs a call in the first tab that has the service. */
  async #dispatch(name, request) {
    const owner = this.#ownerOf(name);
    if (!owner) throw { code: 'NO_SUCH_SERVICE', executed: 'no', message: 'no tab offers it now' };
    const [tab, { services }] = owner;
    const { handler } = services.get(name);
    if (handler) return handler(request);
    const id = ++this.#lastServed;
    const outcome = deferred();
    this.#served.set(id, { tab, outcome, request });
    const { signal, stream, ...plain } = request;
    const stop = () => {
      this.#channel.post('stop', { to: tab, id });
      outcome.reject({ code: 'CANCELLED', message: 'the call was cancelled' });
    };
    signal.addEventListener('abort', stop, { once: true });
    this.#channel.post('serve', {
      to: tab,
      id,
      name,
      request: { ...plain, isStreaming: stream !== undefined },
    });
    try {
      return await outcome.promise;
    } finally {
      signal.removeEventListener('abort', stop);
      this.#served.delete(id);
    }
  }

  #receiveServed({ kind, from, id, n, text, result, thrown }, answer) {
    const served = this.#served.get(id);
    if (served?.tab !== from) return;
    const { outcome, request } = served;
    switch (kind) {
      case 'served':
        return thrown === undefined ? outcome.resolve(result) : outcome.reject(thrown);
      case 'emit':
        return request.stream?.send(text).then(
          (value) => answer('emitted', { n, value }),
          () => answer('emitted', { n, value: false }),
        );
      case 'take':
        return request.stream?.next().then((value) => answer('taken', { n, value }));
    }
  }
}

/** How long calls wait for the first link of a new leader, in milliseconds. */
const FIRST_LINK = 10_000;
const CALLS_OF_TAB_MAX = 4_096;
