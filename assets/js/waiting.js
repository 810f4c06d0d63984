// The elements of the sender's own messages that the stream has not brought back yet; they stand below all others.

import { placement } from './grouping.js';
import { messageElement, showState } from './message.js';

// Acknowledged, but not brought back by a connection that is as old as this: it is shown where it stands.
const OVERDUE_MS = 30_000;

export function mountWaiting(outbox) {
  const list = document.getElementById('outbox');
  const elements = new Map(); // by id

  function withdraw(id) {
    elements.get(id)?.remove();
    elements.delete(id);
  }

  return {
    get isEmpty() {
      return elements.size === 0;
    },

    clear() {
      elements.clear();
      list.replaceChildren();
    },

    /** Shows an entry of the outbox, or its new state. */
    show(entry) {
      let element = elements.get(entry.id);
      if (!element) {
        element = messageElement({ ...entry, mine: true });
        elements.set(entry.id, element);
        list.append(element);
      }
      showState(element, entry.state, entry.reason);
    },

    withdraw,

    /** Gives an element away to the stream; `null` if there is none for this id. */
    take(id) {
      const element = elements.get(id) ?? null;
      elements.delete(id);
      if (element) showState(element, 'sent');
      return element;
    },

    /** Entries that the stream should have brought back by now, over a connection joined at `joinedAt`. */
    overdue(now, joinedAt) {
      const limit = now - OVERDUE_MS;
      if (joinedAt > limit) return [];
      return [...elements.keys()].map((id) => outbox.get(id)).filter((entry) => entry?.state === 'sent' && entry.sentAt <= limit);
    },

    /** Lets go of what came back with so much else that it was not placed. */
    sweep() {
      for (const id of elements.keys()) if (!outbox.get(id)) withdraw(id);
    },

    /** Forms groups, beginning after the stream's last message. */
    regroup(last) {
      let previous = last;
      for (const [id, element] of elements) {
        const entry = outbox.get(id);
        if (!entry) continue;
        const message = { ...entry, mine: true };
        element.classList.toggle('lead', placement(previous, message, Date.now()).lead);
        previous = message;
      }
    },
  };
}
