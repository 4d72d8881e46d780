// The leader as another tab sees it: what this tab calls goes there.

import { deferred } from './deferred.js';

/** Calls over the link of another tab. */
export class RemoteLink {
  #channel;
  #calls = new Map();
  #offers = new Map();
  #last = 0;

  constructor(channel, leader) {
    this.#channel = channel;
    this.leader = leader;
    this.isLost = false;
  }

  /**
   * Makes a call. Nothing when the leader was lost before the call was sent: it asks whether the
   * leader is there, and the call is sent only after it has answered. So a call that was not sent
   * provably did not run.
   */
  async open(request) {
    const id = ++this.#last;
    const call = new RemoteCall(id, (kind, fields) => this.#post(kind, { id, ...fields }), () =>
      this.#calls.delete(id),
    );
    this.#calls.set(id, call);
    this.#post('ask', { id });
    if (!(await call.ready.promise)) return undefined;
    this.#post('call', { id, request });
    return call;
  }

  /** Tells the leader what this tab offers. The failures, by service; nothing when it was lost. */
  offer(services) {
    const id = ++this.#last;
    const answered = deferred();
    this.#offers.set(id, answered);
    this.#post('offers', { id, services });
    return answered.promise;
  }

  receive(message) {
    const call = this.#calls.get(message.id);
    switch (message.kind) {
      case 'ready':
        return call?.ready.resolve(true);
      case 'ending':
        return call?.end(message.ending);
      case 'chunk':
        return call?.take(message.text);
      case 'pushed':
        return call?.pushed(message.n, message.isTaken);
      case 'offered':
        this.#offers.get(message.id)?.resolve(message.failures);
        return this.#offers.delete(message.id);
    }
  }

  /** The leader is gone. */
  lose() {
    this.isLost = true;
    for (const call of [...this.#calls.values()]) call.lose();
    for (const offer of this.#offers.values()) offer.resolve(undefined);
  }

  #post(kind, fields) {
    if (!this.isLost) this.#channel.post(kind, { to: this.leader, ...fields });
  }
}

/** A call that the leader makes for this tab. */
class RemoteCall {
  #post;
  #forget;
  #ending = deferred();
  #chunks = [];
  #pushes = new Map();
  #pushed = 0;
  #isOver = false;

  constructor(id, post, forget) {
    this.#post = post;
    this.#forget = forget;
    this.ready = deferred();
    this.ending = this.#ending.promise;
    this.isLost = false;
  }

  next() {
    if (this.#isOver) return Promise.resolve(undefined);
    const waiting = deferred();
    this.#chunks.push(waiting);
    this.#post('pull');
    return waiting.promise;
  }

  send(text) {
    if (this.#isOver) return Promise.resolve(false);
    const n = ++this.#pushed;
    const waiting = deferred();
    this.#pushes.set(n, waiting);
    this.#post('push', { n, text });
    return waiting.promise;
  }

  cancel() {
    this.#post('cancel');
    this.#finish();
  }

  end(ending) {
    this.#ending.resolve(ending);
    if (!ending.isStreaming) this.#finish();
  }

  take(text) {
    this.#chunks.shift()?.resolve(text);
    if (text === undefined) this.#finish();
  }

  pushed(n, isTaken) {
    this.#pushes.get(n)?.resolve(isTaken);
    this.#pushes.delete(n);
  }

  lose() {
    this.isLost = true;
    this.ready.resolve(false);
    this.#ending.resolve({ isLost: true });
    this.#finish();
  }

  #finish() {
    this.#isOver = true;
    for (const waiting of this.#chunks.splice(0)) waiting.resolve(undefined);
    for (const waiting of this.#pushes.values()) waiting.resolve(false);
    this.#forget();
  }
}
