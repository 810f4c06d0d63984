// The sender's own messages until the stream brings them back, and which ids are the sender's. No DOM, no network.

import { Recent } from './recent.js';

const MAX_OWN_IDS = 500;
const MAX_KEPT = 50;

/** Entries are `{ id, room, name, text, time, state: 'pending' | 'failed' | 'sent', reason, lost, sentAt }`. */
export class Outbox {
  #entries = new Map();
  #own;
  #storage;

  /** What a reload interrupted comes back as failed: whether it was stored, only the stream or a retry can tell. */
  constructor(storage) {
    this.#storage = storage;
    this.#own = new Recent(MAX_OWN_IDS, [storage.load('own', [])].flat());
    for (const kept of [storage.load('unsent', [])].flat()) {
      if (typeof kept?.id !== 'string' || typeof kept.text !== 'string' || typeof kept.room !== 'string') continue;
      const reason = kept.reason || 'Perhaps not sent: the page was loaded again.';
      this.#entries.set(kept.id, { name: '', time: null, ...kept, state: 'failed', reason, lost: false, sentAt: null });
    }
  }

  add({ id, room, name, text, time }) {
    const entry = { id, room, name, text, time, state: 'pending', reason: '', lost: false, sentAt: null };
    this.#entries.set(id, entry);
    this.#own.add(id);
    this.#storage.save('own', this.#own.toArray());
    this.#keep();
    return entry;
  }

  get(id) {
    return this.#entries.get(id) ?? null;
  }

  isOwn(id) {
    return this.#own.has(id);
  }

  of(room) {
    return [...this.#entries.values()].filter((entry) => entry.room === room);
  }

  /** Those that failed for want of a connection not long ago: a new connection is a reason to send them again. */
  lostSince(time) {
    return [...this.#entries.values()].filter((entry) => entry.lost && entry.state === 'failed' && entry.time >= time);
  }

  pending(id) {
    return this.#change(id, { state: 'pending', reason: '', lost: false });
  }

  /** Acknowledged: durable, and on its way back through the stream. */
  sent(id, now) {
    return this.#change(id, { state: 'sent', reason: '', lost: false, sentAt: now });
  }

  failed(id, { reason, lost }) {
    return this.#change(id, { state: 'failed', reason, lost });
  }

  /** It came back from the stream, or its writer took it back. */
  remove(id) {
    if (this.#entries.delete(id)) this.#keep();
  }

  #change(id, changes) {
    const entry = this.#entries.get(id);
    if (!entry) return null;
    Object.assign(entry, changes);
    this.#keep();
    return entry;
  }

  #keep() {
    const unsent = [...this.#entries.values()].filter((entry) => entry.state !== 'sent').slice(-MAX_KEPT);
    this.#storage.save('unsent', unsent.map(({ id, room, name, text, time, reason }) => ({ id, room, name, text, time, reason })));
  }
}
