// How a message stands to the one before it. Pure.

const GROUP_MS = 5 * 60_000;

function sameDay(a, b) {
  const [first, second] = [new Date(a), new Date(b)];
  return first.getDate() === second.getDate() && first.getMonth() === second.getMonth()
    && first.getFullYear() === second.getFullYear();
}

/**
 * `day`: a day begins with this message, and that is worth saying. `lead`: it begins a group, so its author is named.
 * Messages look like `{ name, time, mine }`, the time in ms or `null`. Two nameless messages of others may be two people's.
 */
export function placement(previous, message, now) {
  const dated = message.time !== null;
  const before = previous ? previous.time : now;
  const day = dated && before !== null && !sameDay(before, message.time);
  const sameAuthor = Boolean(previous) && previous.mine === message.mine
    && (message.mine || (previous.name === message.name && message.name !== ''));
  const near = !dated || !previous || previous.time === null || Math.abs(message.time - previous.time) < GROUP_MS;
  return { day, lead: day || !sameAuthor || !near };
}
