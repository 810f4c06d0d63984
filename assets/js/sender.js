// Sends the outbox's messages, one after the other, so that they keep their order.

import { verdict } from './delivery.js';
import { problemDetail, publishBody, publishUrl, retryAfterMs } from './protocol.js';

const ANSWER_WITHIN_MS = 15_000;

async function post(entry) {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), ANSWER_WITHIN_MS);
  try {
    const response = await fetch(publishUrl(document.baseURI), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: publishBody(entry),
      signal: limit.signal,
    });
    const detail = response.status === 202 ? '' : problemDetail(await response.text());
    return { status: response.status, retryAfter: retryAfterMs(response.headers.get('Retry-After'), Date.now()), detail };
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** `changed(entry)` is told of every change of state. */
export function startSender(outbox, changed) {
  const queue = [];
  let running = false;

  // An entry that is no longer pending was seen in the stream meanwhile, or taken back: there is nothing left to do.
  const isPending = (id) => outbox.get(id)?.state === 'pending';

  async function deliver(id) {
    for (let attempt = 0; isPending(id); attempt += 1) {
      const result = verdict(await post(outbox.get(id)), attempt);
      if (!isPending(id)) return;
      if (result.kind === 'sent') changed(outbox.sent(id, Date.now()));
      else if (result.kind === 'failed') changed(outbox.failed(id, result));
      else await wait(result.after);
    }
  }

  async function run() {
    running = true;
    while (queue.length > 0) await deliver(queue.shift());
    running = false;
  }

  /** Sends a message, or sends it again under the same id. */
  return function send(id) {
    const entry = outbox.pending(id);
    if (!entry || queue.includes(id)) return;
    changed(entry);
    queue.push(id);
    if (!running) run();
  };
}
