// A call of this tab, whichever tab has the link, and however often that changes.

import { failureHere } from '../caller.js';
import { deferred } from './deferred.js';

/** One call from when it is made until it has its one ending. */
export class Pending {
  #request;
  #until;
  #call;
  #changed = deferred();
  #isDone = false;
  #isDelivered = false;
  #stop = deferred();

  /** @param link what waits for the link of the moment */
  constructor(request, link) {
    this.#request = request;
    this.#until = Date.now() + request.deadline;
    const timer = setTimeout(() => this.#expire(), request.deadline + ANSWER_SLACK);
    this.ending = Promise.race([this.#run(link), this.#stop.promise]).finally(() => {
      clearTimeout(timer);
      this.#isDone = true;
      this.#change(this.#call);
    });
  }

  async next() {
    for (;;) {
      const call = await this.#present();
      if (!call) return undefined;
      const text = await call.next();
      if (text !== undefined) {
        this.#isDelivered = true;
        return text;
      }
      if (!call.isLost || !this.#mayRepeat()) return undefined;
      // Another link takes the call up again.
      while (this.#call === call && !this.#isDone) await this.#changed.promise;
    }
  }

  async send(text) {
    return (await this.#present())?.send(text) ?? false;
  }

  cancel() {
    this.#call?.cancel();
    this.#stop.resolve(failureHere('CANCELLED', 'unknown', 'cancelled here'));
  }

  async #run(link) {
    for (;;) {
      const { open } = await link();
      const deadline = this.#until - Date.now();
      if (this.#isDone || deadline <= 0) return LATE_BEFORE_SENT;
      const call = await open({ ...this.#request, deadline });
      if (!call) continue;
      if (this.#isDone) {
        call.cancel();
        return LATE_BEFORE_SENT;
      }
      this.#change(call);
      const ending = await call.ending;
      if (ending.isUnsent) continue;
      if (!ending.isLost) return ending;
      call.isLost = true;
      if (!this.#mayRepeat()) {
        const text = 'the tab with the link was closed while the call waited there';
        return failureHere('LINK_LOST', 'unknown', text);
      }
    }
  }

  /** Running twice does no harm, and nothing of the first attempt was seen. */
  #mayRepeat() {
    return this.#request.idempotent && !this.#isDelivered;
  }

  async #present() {
    while (this.#call === undefined && !this.#isDone) await this.#changed.promise;
    return this.#call;
  }

  #change(call) {
    this.#call = call;
    const changed = this.#changed;
    this.#changed = deferred();
    changed.resolve();
  }

  /** The answer of the link comes first where there is one: it knows more. */
  #expire() {
    const text = 'the deadline passed before an answer came';
    const sent = failureHere('DEADLINE', 'unknown', text);
    this.#stop.resolve(this.#call ? sent : LATE_BEFORE_SENT);
    this.#call?.cancel();
  }
}

const LATE_BEFORE_SENT = failureHere('DEADLINE', 'no', 'no tab had a link before the deadline');
/** Time for the answer of the link about the same deadline, in milliseconds. */
const ANSWER_SLACK = 250;
