// From an object of functions to what the Rust half calls.

import { refusal, thrownOf } from './errors.js';

/** The names of the methods of a service: its own functions and those of its class. */
export function methodsOf(service) {
  if (typeof service === 'function') return [];
  const names = new Set();
  for (let at = service; at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) {
      const { value } = Object.getOwnPropertyDescriptor(at, name);
      const isPublic = name !== 'constructor' && !name.startsWith('_');
      if (isPublic && typeof value === 'function') names.add(name);
    }
  }
  return [...names];
}

/**
 * The function that answers every call of a service.
 *
 * @param service an object of functions `(params, context)`, or one function
 *   `(method, params, context)` that takes every method
 */
export function handlerOf(service) {
  const names = new Set(methodsOf(service));
  return async (request) => {
    try {
      const params = parse(request.params);
      const context = contextOf(request);
      let made;
      if (typeof service === 'function') {
        made = service(request.method, params, context);
      } else if (names.has(request.method)) {
        made = service[request.method](params, context);
      } else {
        throw refusal('NO_SUCH_METHOD', `no method '${request.method}'`);
      }
      const result = isGenerator(made) ? await drain(made, request) : await made;
      return JSON.stringify(result) ?? 'null';
    } catch (error) {
      throw thrownOf(error);
    }
  };
}

function parse(text) {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw refusal('BAD_PARAMS', 'the params are no JSON');
  }
}

function contextOf(request) {
  const { stream } = request;
  return {
    method: request.method,
    signal: request.signal,
    deadline: Date.now() + request.deadline,
    idempotent: request.idempotent,
    headers: Object.fromEntries(request.headers),
    /** Whether the caller asked for chunks. */
    isStreaming: stream !== undefined,
    /** Sends a chunk to the caller. False when it takes none. */
    send: async (chunk) => (stream ? stream.send(JSON.stringify(chunk) ?? 'null') : false),
    /** What the caller sends. */
    chunks: chunksOf(stream),
  };
}

async function* chunksOf(stream) {
  for (;;) {
    const text = await stream?.next();
    if (text === undefined) return;
    yield JSON.parse(text);
  }
}

function isGenerator(value) {
  return value !== null && typeof value === 'object' && Symbol.asyncIterator in value;
}

/** Sends what a generator yields, and returns what it returns. */
async function drain(generator, { stream, signal }) {
  const iterator = generator[Symbol.asyncIterator]();
  // A generator that waits for something is told by its signal, one that yields by its return.
  let aborted;
  const abort = new Promise((resolve) => {
    aborted = () => resolve(false);
    signal.addEventListener('abort', aborted, { once: true });
  });
  try {
    for (;;) {
      const { done, value } = await iterator.next();
      if (done) return value;
      if (!stream) continue;
      const sent = await Promise.race([stream.send(JSON.stringify(value) ?? 'null'), abort]);
      if (!sent && signal.aborted) {
        await iterator.return?.();
        return undefined;
      }
    }
  } finally {
    signal.removeEventListener('abort', aborted);
  }
}
