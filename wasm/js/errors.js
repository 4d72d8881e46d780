// The one error of this package, in the words of docs/errors.md.

/** Why a call gave no result. */
export class RelayError extends Error {
  /** @param failure { code, message, executed, retry, retryAfter, node, limit, rpcCode, data } */
  constructor(failure) {
    super(failure.message);
    this.name = 'RelayError';
    this.code = failure.code;
    this.executed = failure.executed ?? 'unknown';
    this.retry = failure.retry ?? (this.executed === 'no' ? 'safe' : 'unsafe');
    for (const field of ['retryAfter', 'node', 'limit', 'rpcCode', 'data']) {
      if (failure[field] !== undefined) this[field] = failure[field];
    }
  }

  /** Whether the service itself answered with this error. */
  get isApplication() {
    return typeof this.code === 'number';
  }
}

/** The error that an ending `{ failure }` or `{ application }` stands for. */
export function errorOf({ failure, application }) {
  if (failure) return new RelayError(failure);
  let object;
  try {
    object = JSON.parse(application);
  } catch {
    object = null;
  }
  const { code = -32000, message = 'the service failed', data } = object ?? {};
  return new RelayError({ code, message: String(message), data, executed: 'yes', retry: 'never' });
}

/** What a handler threw, as the Rust half takes it. */
export function thrownOf(error) {
  if (error?.application !== undefined || error?.isRefusal) return error;
  const object = { code: -32000, message: String(error?.message ?? error) };
  if (Number.isSafeInteger(error?.code)) object.code = error.code;
  let data = error?.data;
  if (error instanceof RelayError && !error.isApplication) {
    // A failure behind a service is the service's failure; what the relay knew of it goes along.
    const { code, executed, retry, node } = error;
    data = { code, executed, retry, node };
  }
  if (data !== undefined) object.data = data;
  try {
    return { application: JSON.stringify(object) };
  } catch {
    delete object.data;
    return { application: JSON.stringify(object) };
  }
}

/** A refusal in the relay's own vocabulary: nothing ran. */
export function refusal(code, message) {
  return { isRefusal: true, code, executed: 'no', message };
}
