// What everything that can call has in common, wherever the link is.

import { errorOf, RelayError } from './errors.js';
import { CallStream } from './stream.js';

/** How long a call waits for its answer unless it says otherwise, in milliseconds. */
export const DEADLINE = 60_000;

/** Calls and streams on top of `open(request)`, which makes a call and returns its handle. */
export class Caller extends EventTarget {
  /**
   * Calls `service.method`, or `node.service.method`, and waits for the result.
   */
  async call(target, params, options = {}) {
    const { signal } = options;
    signal?.throwIfAborted();
    const handle = this._open({ ...requestOf(target, params, options), streams: false });
    const ending = await endOf(handle, signal);
    options.trace?.(ending.trace ?? []);
    return resultOf(ending);
  }

  /**
   * Calls a method that sends chunks before its result.
   */
  stream(target, params, options = {}) {
    const { signal } = options;
    signal?.throwIfAborted();
    const handle = this._open({ ...requestOf(target, params, options), streams: true });
    let cancelled;
    const cancel = new Promise((_, reject) => {
      cancelled = reject;
    });
    const ended = Promise.race([endOf(handle, signal).then(resultOf), cancel]);
    const call = {
      next: () => handle.next(),
      send: (text) => handle.send(text),
      ended,
      cancel(reason) {
        handle.cancel();
        cancelled(reason ?? new DOMException('the call was cancelled', 'AbortError'));
      },
    };
    return new CallStream(call, signal);
  }
}

/** The ending of a call; cancels it when the signal fires, and throws the signal's reason then. */
function endOf(handle, signal) {
  if (!signal) return handle.ending;
  return new Promise((resolve, reject) => {
    const abort = () => {
      handle.cancel();
      reject(signal.reason);
    };
    signal.addEventListener('abort', abort, { once: true });
    handle.ending
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', abort));
    if (signal.aborted) abort();
  });
}

function resultOf(ending) {
  if (ending.result !== undefined) return JSON.parse(ending.result);
  throw errorOf(ending);
}

/** A call as the Rust half takes it: everything checked, the params as text. */
function requestOf(target, params, options) {
  const parts = String(target).split('.');
  if (parts.length < 2) {
    throw new TypeError(`'${target}' is no method: write service.method or node.service.method`);
  }
  const method = parts.pop();
  const service = parts.pop();
  const deadline = options.deadline ?? DEADLINE;
  if (!(deadline > 0)) throw new RangeError('a deadline is a number of milliseconds above 0');
  return {
    node: options.node ?? (parts.length > 0 ? parts.join('.') : undefined),
    service,
    method,
    params: JSON.stringify(params) ?? '',
    deadline,
    idempotent: options.idempotent === true,
    priority: options.priority,
    trace: options.trace !== undefined,
    headers: pairsOf(options.headers),
  };
}

/** Headers as the Rust half takes them: keys and values in turn. */
export function pairsOf(headers = {}) {
  return Object.entries(headers).flatMap(([key, value]) => [key, String(value)]);
}

/** A failure that was decided in this process. */
export function failureHere(code, executed, message, node) {
  const retry = executed === 'no' ? 'safe' : 'unsafe';
  return { failure: { code, executed, retry, node, message } };
}

/** Throws unless the promise is ready in time. */
export async function within(millis, promise, message) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      const { failure } = failureHere('UNAVAILABLE', 'no', message);
      reject(new RelayError(failure));
    }, millis);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
