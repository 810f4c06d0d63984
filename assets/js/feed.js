// Messages between the socket and the page: each once, in order, bounded. Pure.

import { Recent } from './recent.js';

// What waits while the tab is hidden or an older place is read.
const MAX_WAITING = 2_000;
// Ids are remembered for longer than messages are shown, for the replay after a reconnect.
const MAX_REMEMBERED = 5_000;

export class Feed {
  #waiting = [];
  #known = new Recent(MAX_REMEMBERED);
  #skipped = 0;
  #doubtful = false;

  /** A connection was joined: unless it carries on exactly, messages may be missing before the next one. */
  joined(recovered) {
    this.#doubtful = !recovered && this.#known.size > 0;
  }

  /**
   * Takes messages; returns those that are new. After a doubtful join, one that is known already shows that the replay
   * reaches back to what is here, so that nothing is missing; otherwise the first new one is marked with `gap`.
   */
  push(messages) {
    const fresh = [];
    for (const message of messages) {
      const known = this.#known.has(message.id);
      const gap = this.#doubtful && !known;
      this.#doubtful = false;
      if (known) continue;
      this.#known.add(message.id);
      fresh.push(gap ? { ...message, gap } : message);
    }
    this.#waiting.push(...fresh);
    const excess = this.#waiting.length - MAX_WAITING;
    if (excess > 0) {
      this.#waiting.splice(0, excess);
      this.#skipped += excess;
    }
    return fresh;
  }

  /** A message is shown that did not come this way: if it does later, it is a repeat. */
  remember(id) {
    this.#known.add(id);
  }

  /** The next `count` messages; the first is marked with how many had to be `skipped` before it. */
  next(count) {
    const taken = this.#waiting.splice(0, count);
    if (taken.length > 0 && this.#skipped > 0) {
      taken[0] = { ...taken[0], skipped: this.#skipped };
      this.#skipped = 0;
    }
    return taken;
  }

  /** The newest `count` messages; what is older is let go, for it would scroll out at once. */
  newest(count) {
    const taken = this.#waiting.slice(-count);
    this.#waiting = [];
    this.#skipped = 0;
    return taken;
  }

  get waiting() {
    return this.#waiting.length;
  }

  /** Whether anything was ever received. */
  get isEmpty() {
    return this.#known.size === 0;
  }
}
