// The chunks of a call, as an async iterator.

/**
 * What `stream()` returns: iterate it for the chunks, await `result` for the answer. A loop that is
 * left early cancels the call, because nobody would read the rest.
 */
export class CallStream {
  #call;
  #signal;

  /** @param call { next(), send(text), ended: Promise, cancel() } */
  constructor(call, signal) {
    this.#call = call;
    this.#signal = signal;
    /** The result of the call. */
    this.result = call.ended;
    // Whoever only reads the chunks gets the error from the iterator.
    this.result.catch(() => {});
  }

  /** Sends a chunk to the service. False when the call has ended. */
  send(chunk) {
    return this.#call.send(JSON.stringify(chunk) ?? 'null');
  }

  /** Tells the service that no more chunks come. */
  end() {
    return this.#call.send(undefined);
  }

  /** Cancels the call. */
  cancel(reason) {
    this.#call.cancel(reason);
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        const text = await this.#call.next();
        if (text === undefined || this.#signal?.aborted) return await this.result;
        yield JSON.parse(text);
      }
    } finally {
      this.#call.cancel();
    }
  }
}
