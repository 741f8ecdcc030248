// Questions of which only the newest counts: an older one is dropped, and its answer never seen.

import { pause } from "./api.js";

export class Asker {
  constructor(waitMs) {
    this.waitMs = waitMs;
    this.stopper = null;
  }

  drop() {
    this.stopper?.abort();
    this.stopper = null;
  }

  get busy() { return this.stopper !== null; }

  // Calls ``work`` with a signal after a short wait, again where the service is busy. Undefined if another came first.
  async ask(work) {
    this.drop();
    const stopper = this.stopper = new AbortController();
    const { signal } = stopper;
    try {
      await pause(this.waitMs, signal);
      for (;;) {
        if (signal.aborted) return undefined;
        try {
          const answer = await work(signal);
          return signal.aborted ? undefined : answer;
        } catch (error) {
          if (signal.aborted) return undefined;
          if (error.code !== "too-much") throw error;
          await pause(1000 * Math.max(1, error.retryAfterS), signal);
        }
      }
    } finally {
      if (this.stopper === stopper) this.stopper = null;
    }
  }
}
