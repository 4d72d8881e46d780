// How tabs of one origin reach each other, and how they know of each other's end.

import { deferred } from './deferred.js';

/** Messages between tabs: `{ kind, from, to, … }`; without `to` they are for all. */
export class Channel {
  #broadcast;

  constructor(group, tab, receive) {
    this.tab = tab;
    this.#broadcast = new BroadcastChannel(`relay-wasm:${group}`);
    this.#broadcast.onmessage = ({ data }) => {
      const isForUs = data?.to === undefined || data.to === tab;
      if (isForUs && typeof data?.kind === 'string') receive(data);
    };
  }

  post(kind, fields = {}) {
    this.#broadcast?.postMessage({ ...fields, kind, from: this.tab });
  }

  close() {
    this.#broadcast.close();
    this.#broadcast = undefined;
  }
}

/**
 * Waits for a lock and keeps it until `release` is called or the tab is gone: the browser gives it
 * to the next one then, however the tab ended.
 */
export function hold(name, onHeld, onRefused = () => {}) {
  const controller = new AbortController();
  const { promise: held, resolve } = deferred();
  const granted = () => {
    onHeld();
    return held;
  };
  navigator.locks
    .request(name, { signal: controller.signal }, granted)
    .catch((error) => {
      // Given up before it was granted, or there are no locks for this origin.
      if (error?.name !== 'AbortError') onRefused(error);
    });
  return () => {
    controller.abort();
    resolve();
  };
}

/** The lock that a tab holds for as long as it lives. */
export const lifeOf = (group, tab) => `relay-wasm:${group}:tab:${tab}`;
/** The lock of whoever has the link. */
export const leadOf = (group) => `relay-wasm:${group}:leader`;
