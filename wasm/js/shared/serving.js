// Calls that the leader hands to this tab, because this tab offers the service.

import { deferred } from './deferred.js';

/** The calls that run here. */
export class Serving {
  #channel;
  #running = new Map();

  constructor(channel) {
    this.#channel = channel;
  }

  /** Runs a call and tells the leader what came of it. */
  async serve({ from, id, request }, handler) {
    const key = `${from}:${id}`;
    const post = (kind, fields) => this.#channel.post(kind, { to: from, id, ...fields });
    const controller = new AbortController();
    const stream = request.isStreaming ? new ServedStream(post) : undefined;
    this.#running.set(key, { from, controller, stream });
    let outcome;
    try {
      const { signal } = controller;
      outcome = { result: await handler({ ...request, signal, stream }) };
    } catch (thrown) {
      outcome = { thrown };
    }
    if (this.#running.delete(key)) post('served', outcome);
  }

  receive(message) {
    const running = this.#running.get(`${message.from}:${message.id}`);
    switch (message.kind) {
      case 'stop':
        this.#running.delete(`${message.from}:${message.id}`);
        running?.stream?.end();
        return running?.controller.abort();
      case 'emitted':
      case 'taken':
        return running?.stream?.settle(message.n, message.value);
    }
  }

  /** Stops what runs for leaders other than this one: nobody hears the answers any more. */
  keepOnly(leader) {
    for (const [key, { from, controller, stream }] of this.#running) {
      if (from === leader) continue;
      this.#running.delete(key);
      stream?.end();
      controller.abort();
    }
  }
}

/** The streams of a call that runs here, over the leader. */
class ServedStream {
  #post;
  #waiting = new Map();
  #last = 0;
  #isEnded = false;

  constructor(post) {
    this.#post = post;
  }

  send(text) {
    return this.#ask('emit', { text }, false);
  }

  next() {
    return this.#ask('take', {}, undefined);
  }

  settle(n, value) {
    this.#waiting.get(n)?.answer.resolve(value);
    this.#waiting.delete(n);
  }

  end() {
    this.#isEnded = true;
    for (const { answer, otherwise } of this.#waiting.values()) answer.resolve(otherwise);
    this.#waiting.clear();
  }

  #ask(kind, fields, otherwise) {
    if (this.#isEnded) return Promise.resolve(otherwise);
    const n = ++this.#last;
    const answer = deferred();
    this.#waiting.set(n, { answer, otherwise });
    this.#post(kind, { n, ...fields });
    return answer.promise;
  }
}
