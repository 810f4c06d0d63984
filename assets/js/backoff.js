// When to connect again, and whether at all. Pure: chance and durations come in as arguments.

// The first try is fast: most closes are one server going away while others stand ready.
const FIRST_MS = 300;
const BASE_MS = 1_000;
const CAP_MS = 20_000;
// A connection that lived this long was a good one; what follows counts from zero again.
const GOOD_AFTER_MS = 10_000;

/** Full jitter: anything between nothing and a ceiling that doubles, so that a room does not come back as one wave. */
export function reconnectDelay(attempt, random = Math.random) {
  const ceiling = attempt === 0 ? FIRST_MS : Math.min(CAP_MS, BASE_MS * 2 ** (attempt - 1));
  return Math.round(random() * ceiling);
}

/** The number of the next attempt, from the last one's and from how long the connection had been joined. */
export function nextAttempt(attempt, joinedForMs) {
  return joinedForMs >= GOOD_AFTER_MS ? 0 : attempt + 1;
}

/** The server's 4500–4999 mean "do not come back"; everything else, a lost network included, is worth another try. */
export function mayReconnect(closeCode) {
  return !(closeCode >= 4500 && closeCode <= 4999);
}
