// What the answer to a POST means for the message. Pure.

const MAX_BUSY = 4;
const MAX_LOST = 2;
const BUSY_BASE_MS = 1_000;
const LOST_BASE_MS = 500;
const MAX_WAIT_MS = 15_000;

// 502 and 504 come from a proxy whose server is away for the moment. The id makes sending again safe.
const BUSY = new Set([429, 502, 503, 504]);

/**
 * `answer` is `{ status, retryAfter, detail }`, or `null` if none came (no network, or too late). `attempt` counts from 0.
 * The result is `{ kind: 'sent' }`, `{ kind: 'again', after }` in ms, or `{ kind: 'failed', reason, lost }`, where `lost`
 * says that the connection was the trouble, so that a new one is a reason to try again.
 */
export function verdict(answer, attempt, random = Math.random) {
  if (answer === null) {
    if (attempt < MAX_LOST) return { kind: 'again', after: jittered(LOST_BASE_MS * 2 ** attempt, random) };
    return { kind: 'failed', reason: 'No answer from the server.', lost: true };
  }
  if (answer.status === 202) return { kind: 'sent' };
  if (BUSY.has(answer.status)) {
    const asked = answer.retryAfter;
    const tooLong = asked !== null && asked > MAX_WAIT_MS;
    if (attempt < MAX_BUSY && !tooLong) {
      const after = asked === null ? jittered(BUSY_BASE_MS * 2 ** attempt, random) : asked + Math.round(random() * 500);
      return { kind: 'again', after };
    }
    return { kind: 'failed', reason: sentence(answer.detail || 'The server is busy'), lost: false };
  }
  return { kind: 'failed', reason: sentence(answer.detail || `The server answered ${answer.status}`), lost: false };
}

function jittered(ms, random) {
  return Math.round(ms * (0.5 + random() / 2));
}

/** Begins with a capital letter and ends with a full stop. */
export function sentence(text) {
  const trimmed = text.trim();
  return trimmed.charAt(0).toLocaleUpperCase() + trimmed.slice(1) + (/[.!?…]$/.test(trimmed) ? '' : '.');
}
