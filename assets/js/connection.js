// One room's WebSocket: joins, resumes, comes back. Decisions are in backoff.js and resume.js.

import { mayReconnect, nextAttempt, reconnectDelay } from './backoff.js';
import { parseFrame, streamUrl, SUBPROTOCOL } from './protocol.js';
import { ResumePoint } from './resume.js';

// A server may think for 5 s about a position before it says that it is not its own.
const JOIN_WITHIN_MS = 15_000;

/**
 * Follows a room until `close()`. Calls `onStatus({ state, detail })`, `onJoined({ recovered })` and `onMessages(messages)`.
 */
export function follow(room, { onStatus, onJoined, onMessages }) {
  const resume = new ResumePoint();
  let socket = null;
  let timer = 0;
  let attempt = -1;
  let joinedAt = null;
  let ended = false;

  function connect() {
    clearTimeout(timer);
    joinedAt = null;
    const own = new WebSocket(streamUrl(document.baseURI, room, resume.after), SUBPROTOCOL);
    socket = own;
    timer = setTimeout(() => lost(1006, ''), JOIN_WITHIN_MS);
    if (attempt < 0) onStatus({ state: 'connecting', detail: '' });
    own.onmessage = ({ data }) => receive(parseFrame(data));
    own.onclose = ({ code, reason }) => lost(code, reason);
  }

  function receive(frame) {
    if (frame?.type === 'joined') {
      clearTimeout(timer);
      joinedAt = Date.now();
      resume.joined(frame.position, joinedAt);
      onStatus({ state: 'online', detail: '' });
      onJoined(frame);
    } else if (frame?.type === 'messages') {
      resume.received(frame.messages);
      onMessages(frame.messages);
    }
  }

  // Lets the socket go without another word from it.
  function drop() {
    clearTimeout(timer);
    if (!socket) return;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
    socket = null;
    resume.closed(Date.now());
  }

  function lost(code, reason) {
    drop();
    if (!mayReconnect(code)) {
      ended = true;
      onStatus({ state: 'offline', detail: reason || 'The server ended the connection' });
      return;
    }
    attempt = nextAttempt(attempt, joinedAt === null ? 0 : Date.now() - joinedAt);
    const state = navigator.onLine === false ? 'offline' : 'reconnecting';
    onStatus({ state, detail: state === 'offline' ? 'You are offline' : '' });
    timer = setTimeout(connect, reconnectDelay(attempt));
  }

  /** Does not wait any longer: the person asks, or the page is looked at again. */
  function now() {
    if (socket) return;
    if (ended) onStatus({ state: 'reconnecting', detail: '' });
    ended = false;
    connect();
  }

  // After the network was away, an open socket is likely dead and nobody would say so; resuming costs little.
  function networkIsBack() {
    if (ended) return;
    const wasOpen = socket !== null && joinedAt !== null;
    drop();
    if (wasOpen) onStatus({ state: 'reconnecting', detail: '' });
    timer = setTimeout(connect, reconnectDelay(0));
  }

  function seenAgain(event) {
    if (ended || document.visibilityState !== 'visible') return;
    if (event.persisted) drop();
    now();
  }

  addEventListener('online', networkIsBack);
  addEventListener('pageshow', seenAgain);
  document.addEventListener('visibilitychange', seenAgain);
  connect();

  return {
    now,
    close() {
      drop();
      removeEventListener('online', networkIsBack);
      removeEventListener('pageshow', seenAgain);
      document.removeEventListener('visibilitychange', seenAgain);
    },
  };
}
