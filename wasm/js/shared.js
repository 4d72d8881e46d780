// One Home for all tabs of an origin: one of them has the link, the others reach it over it.

import { Caller } from './caller.js';
import { RelayError } from './errors.js';
import { eventOf } from './home.js';
import { methodsOf, handlerOf } from './services.js';
import { Channel, hold, leadOf, lifeOf } from './shared/channel.js';
import { deferred } from './shared/deferred.js';
import { Leader } from './shared/leader.js';
import { Pending } from './shared/pending.js';
import { RemoteLink } from './shared/remote.js';
import { Serving } from './shared/serving.js';

/** Time for calls in flight when the tab with the link is closed in good order. */
const GRACE = 5_000;

/** A Home that all tabs share. */
export class SharedHome extends Caller {
  #address;
  #options;
  #group;
  #channel;
  #serving;
  #services = new Map();
  #key;
  /** When the leader of now began to lead. */
  #term = 0;
  /** The leader, if it is this tab. */
  #leader;
  /** The leader, if it was this tab and still has calls to end. */
  #leaving;
  /** The leader, if it is another. */
  #remote;
  #link = deferred();
  #status = { nodeId: undefined, isConnected: false };
  #releaseLife = () => {};
  #releaseLead = () => {};
  #pageListeners = [];
  #isClosed = false;

  /** Joins the Home of this origin, or starts it. */
  static async connect(address, options = {}) {
    if (!globalThis.navigator?.locks || typeof BroadcastChannel !== 'function') {
      throw new Error(
        'tabs cannot share a Home here: there are no Web Locks (pages need https or localhost, ' +
          'Node has none before 24); use Home',
      );
    }
    const shared = new this(address, options);
    await shared.#join();
    return shared;
  }

  /** @private Use `connect`. */
  constructor(address, options) {
    super();
    this.#address = address;
    this.#options = options;
    const { nodeId = '', cluster = '' } = options;
    this.#group = options.name ?? [[address].flat().join(','), nodeId, cluster].join(' ');
    this.#key = options.secretKey;
    const tab = crypto.randomUUID();
    this.#channel = new Channel(this.#group, tab, (message) => this.#receive(message));
    this.#serving = new Serving(this.#channel);
  }

  /** Whether this tab has the link. */
  get isLeader() {
    return this.#leader !== undefined;
  }

  /** The id of the node, once the tab with the link has told it. */
  get nodeId() {
    return this.#leader?.home.nodeId ?? this.#status.nodeId;
  }

  /** Whether a Main has accepted the link. */
  get isConnected() {
    return this.#leader?.home.isConnected ?? this.#status.isConnected;
  }

  /** Ready when a Main has accepted the link. */
  async connected() {
    while (!this.isConnected) {
      await new Promise((resolve) => this.addEventListener('connected', resolve, { once: true }));
    }
  }

  /** Looks at the clock and dials at once, if this tab has the link. */
  wake() {
    this.#leader?.home.wake();
  }

  /** Offers a service. Where several tabs offer the same, the one with the link serves it, or the
   * first of the others. Throws what the node says against it. */
  async register(name, service) {
    const before = this.#services.get(name);
    this.#services.set(name, { methods: methodsOf(service), handler: handlerOf(service) });
    const failure = (await this.#publish())[name];
    if (!failure) return;
    if (before) this.#services.set(name, before);
    else this.#services.delete(name);
    throw new RelayError(failure);
  }

  /** Takes a service of this tab back. Tells whether it was offered. */
  async withdraw(name) {
    const isKnown = this.#services.delete(name);
    if (isKnown) await this.#publish();
    return isKnown;
  }

  /** Leaves. If this tab has the link, calls in flight get `grace` milliseconds, and then another
   * tab takes over. */
  async close(grace = GRACE) {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const [target, type, listener] of this.#pageListeners) {
      target.removeEventListener(type, listener);
    }
    await this.#resign(grace);
    this.#channel.post('bye');
    this.#remote?.lose();
    this.#serving.keepOnly(undefined);
    this.#releaseLife();
    this.#channel.close();
  }

  _open(request) {
    return new Pending(request, () => this.#link.promise);
  }

  async #join() {
    const isAlive = deferred();
    const life = lifeOf(this.#group, this.#channel.tab);
    this.#releaseLife = hold(life, isAlive.resolve, isAlive.reject);
    await isAlive.promise;
    this.#follow();
    const listeners = [
      ['freeze', document, () => this.#freeze()],
      ['resume', document, () => this.#thaw()],
      ['pagehide', globalThis, () => this.#hide()],
      ['pageshow', globalThis, ({ persisted }) => persisted && this.#thaw()],
    ].filter(([, target]) => typeof target?.addEventListener === 'function');
    this.#pageListeners = listeners.map(([type, target, listener]) => [target, type, listener]);
    for (const [target, type, listener] of this.#pageListeners) {
      target.addEventListener(type, listener);
    }
  }

  /** Looks for the leader, and stands by to be the next one. */
  #follow() {
    this.#channel.post('join');
    this.#releaseLead = hold(leadOf(this.#group), () => this.#lead());
  }

  async #lead() {
    const term = Math.max(this.#term + 1, Date.now());
    this.#key ??= crypto.getRandomValues(new Uint8Array(32));
    const options = { ...this.#options, secretKey: this.#key };
    let leader;
    try {
      leader = await Leader.start(this.#address, options, this.#channel, this.#group);
    } catch (error) {
      // No tab could do better: the options are the same in all of them.
      this.#link.reject(error);
      return this.#releaseLead();
    }
    if (this.#isClosed) return leader.close(0);
    this.#lose();
    this.#term = term;
    this.#leader = leader;
    for (const type of ['connected', 'disconnected', 'retrying', 'refused']) {
      leader.home.addEventListener(type, (event) => this.#relayEvent(type, event));
    }
    leader.offerOwn(new Map(this.#services));
    this.#announce();
    this.#link.resolve({ open: (request) => leader.open(request), leader });
    this.dispatchEvent(new Event('leading'));
  }

  #announce(to) {
    const { nodeId, isConnected } = this.#leader.home;
    const fields = { term: this.#term, key: this.#key, nodeId, isConnected };
    this.#channel.post('leading', { to, ...fields });
  }

  #relayEvent(type, event) {
    const { node, reason, address, pause, service, code, message } = event;
    const detail = { node, reason, address, pause, service, code, message };
    const { nodeId, isConnected } = this.#leader?.home ?? this.#status;
    this.#channel.post('event', { type, detail, nodeId, isConnected });
    this.dispatchEvent(eventOf(type, detail));
  }

  #receive(message) {
    const isFromLeader = message.from === this.#remote?.leader;
    switch (message.kind) {
      case 'join':
        return this.#leader && this.#announce(message.from);
      case 'leading':
        return this.#heed(message);
      case 'leaving':
        return isFromLeader && this.#expectNext();
      case 'event':
        if (!isFromLeader) return undefined;
        this.#status = { nodeId: message.nodeId, isConnected: message.isConnected };
        return this.dispatchEvent(eventOf(message.type, message.detail));
      case 'serve': {
        const { handler } = this.#services.get(message.name) ?? { handler: noSuchService };
        return isFromLeader && this.#serving.serve(message, handler);
      }
      case 'stop':
      case 'emitted':
      case 'taken':
        return this.#serving.receive(message);
      default:
        if (isFromLeader) return this.#remote.receive(message);
        return (this.#leader ?? this.#leaving)?.receive(message);
    }
  }

  /** Another tab leads. */
  #heed({ from, term, key, nodeId, isConnected }) {
    if (term < this.#term || this.#leader || this.#isClosed) return;
    this.#term = term;
    this.#key = key ?? this.#key;
    if (this.#remote?.leader === from && !this.#remote.isLost) return;
    this.#lose();
    this.#status = { nodeId, isConnected };
    const remote = new RemoteLink(this.#channel, from);
    this.#remote = remote;
    this.#link.resolve({ open: (request) => remote.open(request), remote });
    remote.offer(this.#plainServices());
    if (isConnected) this.dispatchEvent(eventOf('connected', {}));
  }

  /** The leader of before is gone, and so is everything that waits there. */
  #lose() {
    const remote = this.#remote;
    this.#remote = undefined;
    this.#serving.keepOnly(undefined);
    this.#expectNext();
    remote?.lose();
  }

  /** New calls wait for the next leader; those that were sent may still be answered. */
  #expectNext() {
    this.#status = { ...this.#status, isConnected: false };
    this.#link.resolve({ open: async () => undefined });
    this.#link = deferred();
  }

  async #publish() {
    for (;;) {
      const link = await this.#link.promise;
      if (link.leader) return link.leader.offerOwn(new Map(this.#services));
      const failures = await link.remote?.offer(this.#plainServices());
      if (failures) return failures;
      if (this.#isClosed) return {};
    }
  }

  #plainServices() {
    return [...this.#services].map(([name, { methods }]) => [name, { methods }]);
  }

  /** Gives the link up, so that another tab can take over. */
  async #resign(grace) {
    const leader = this.#leader;
    if (leader) {
      this.#channel.post('leaving');
      this.#expectNext();
      this.#leader = undefined;
      this.#leaving = leader;
      const closing = leader.close(grace);
      // Without grace nothing may be waited for: a page that is frozen runs no more code.
      if (grace > 0) await closing;
      this.#leaving = undefined;
    }
    this.#releaseLead();
  }

  /** The page will run no more code for a while: others serve what it served. */
  #freeze() {
    if (this.#leader?.isFollowed) this.#resign(0);
    else if (this.#remote) this.#remote.offer([]);
  }

  /** The page goes, or is kept to come back. */
  #hide() {
    this.#resign(0);
    this.#channel.post('bye');
  }

  /** The page runs again. */
  #thaw() {
    if (this.#isClosed) return;
    if (this.#leader) return this.#leader.home.wake();
    this.#releaseLead();
    this.#follow();
    if (this.#remote && !this.#remote.isLost) this.#remote.offer(this.#plainServices());
  }
}

const noSuchService = async () => {
  throw { code: 'NO_SUCH_SERVICE', executed: 'no', message: 'this tab offers it no more' };
};
