// From where to resume after a reconnect: the last position received. Pure.

// A `joined` frame's position says how far the room was read, and the history that leads up to it follows. A connection
// that breaks between the two must not skip that history, so this position counts only after nothing else came for a while.
const SETTLED_MS = 10_000;

export class ResumePoint {
  #received = null;
  #joined = null;

  /** A connection was joined. */
  joined(position, now) {
    this.#joined = { position, at: now };
  }

  /** Messages were received, in stream order; also ones that were shown before. */
  received(messages) {
    if (messages.length === 0) return;
    this.#received = messages[messages.length - 1].position;
    this.#joined = null;
  }

  /** The connection closed. */
  closed(now) {
    if (this.#joined && now - this.#joined.at >= SETTLED_MS) this.#received = this.#joined.position;
    this.#joined = null;
  }

  /** The position to resume from, or `null` for a newcomer. */
  get after() {
    return this.#received;
  }
}
