// What is published on topics, for a handler or a loop.

import { RelayError } from './errors.js';

/** What was published. */
export class Publication {
  /** @param fields { topic, bytes, publisher, headers, seq, gap } */
  constructor({ headers, ...fields }) {
    Object.assign(this, fields, { headers: Object.fromEntries(headers) });
  }

  /** The content. Throws where it is no JSON; it is in `bytes` then. */
  get value() {
    const text = new TextDecoder().decode(this.bytes);
    return text === '' ? undefined : JSON.parse(text);
  }
}

/** What `subscribe()` returns: iterate it for the publications, unless a handler gets them. */
export class Subscription {
  #source;
  #missed;
  #forget;
  #isClosed = false;

  /** @param source { ready(), next(), end() } */
  constructor(source, missed, forget) {
    this.#source = source;
    this.#missed = missed;
    this.#forget = forget;
  }

  /** Ready when the Main has confirmed all patterns. */
  async ready() {
    try {
      await this.#source.ready();
    } catch (failure) {
      throw new RelayError(failure);
    }
  }

  /** Ends the subscription. */
  close() {
    this.#isClosed = true;
    this.#source.end();
    this.#forget();
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        const next = await this.#source.next();
        if (next === undefined || this.#isClosed) return;
        if (next.missed === undefined) yield new Publication(next);
        else report(this.#missed, next.missed);
      }
    } finally {
      this.close();
    }
  }

  /** @private Hands everything to a handler, one after the other. */
  async _handle(handler) {
    for await (const publication of this) {
      try {
        await handler(publication);
      } catch (error) {
        // What it throws is its own affair: the environment reports it, and the next one comes.
        Promise.reject(error);
      }
    }
  }
}

/** Tells somebody. What they throw is their own affair: the environment reports it. */
function report(handler, value) {
  try {
    handler?.(value);
  } catch (error) {
    Promise.reject(error);
  }
}

/** A value as it is published: bytes as they are, everything else as JSON. */
export function bytesOf(value) {
  if (value instanceof Uint8Array) return value;
  return new TextEncoder().encode(JSON.stringify(value) ?? 'null');
}
