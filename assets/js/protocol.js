// The wire: addresses, frames, answers. Pure.

export const SUBPROTOCOL = 'chat-room.v1';

/** The address of a room's stream, beside the page, whatever path it is served under. */
export function streamUrl(base, room, after) {
  const url = new URL('websockets/chat-messages', base);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.searchParams.set('room', room);
  if (after) url.searchParams.set('after', after);
  return url.href;
}

/** The address that takes messages. */
export function publishUrl(base) {
  return new URL('chat-messages', base).href;
}

/** The body of a POST. A name is optional. */
export function publishBody({ id, room, name, text }) {
  return JSON.stringify(name === '' ? { id, room, text } : { id, room, name, text });
}

function message(raw) {
  if (typeof raw?.id !== 'string' || typeof raw.text !== 'string' || typeof raw.position !== 'string') return null;
  const time = Date.parse(raw.time);
  return {
    id: raw.id,
    name: typeof raw.name === 'string' ? raw.name : '',
    text: raw.text,
    time: Number.isNaN(time) ? null : time,
    position: raw.position,
  };
}

/**
 * A frame as `{ type: 'joined', position, recovered }` or `{ type: 'messages', messages }`; `null` for one of an unknown
 * type or shape, which is skipped, so that a newer server does not break an open page.
 */
export function parseFrame(data) {
  let frame;
  try {
    frame = JSON.parse(data);
  } catch {
    return null;
  }
  if (frame?.type === 'joined' && typeof frame.position === 'string') {
    return { type: 'joined', position: frame.position, recovered: frame.recovered === true };
  }
  if (frame?.type === 'messages' && Array.isArray(frame.messages)) {
    return { type: 'messages', messages: frame.messages.map(message).filter((one) => one !== null) };
  }
  return null;
}

/** `Retry-After` in ms, from seconds or an HTTP date; `null` if there is none to be read. */
export function retryAfterMs(header, now) {
  if (header === null || header.trim() === '') return null;
  const at = /^\s*\d+\s*$/.test(header) ? now + Number(header) * 1_000 : Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}

/** What a problem document (RFC 9457) says to a person, or nothing. */
export function problemDetail(body) {
  try {
    const problem = JSON.parse(body);
    const said = [problem?.detail, problem?.title].find((one) => typeof one === 'string' && one !== '');
    return said ?? '';
  } catch {
    return '';
  }
}
