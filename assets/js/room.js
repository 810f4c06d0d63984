// Room names and where they stand in the page's address.

export const DEFAULT_ROOM = 'lobby';
// The server's rule.
const ROOM = /^[A-Za-z0-9._~-]{1,64}$/;

/** A room's name as typed, made fit where that is harmless; `null` if it cannot be one. Nothing typed: the lobby. */
export function roomFrom(typed) {
  const name = typed.trim().replace(/^#+\s*/, '').replace(/\s+/g, '-');
  if (name === '') return DEFAULT_ROOM;
  return ROOM.test(name) ? name : null;
}

/** The room that an address names; the lobby if it names none, or none that can be. */
export function roomOf(href) {
  return roomFrom(new URL(href).searchParams.get('room') ?? '') ?? DEFAULT_ROOM;
}

/** The page's address for a room. */
export function addressFor(href, room) {
  const url = new URL(href);
  url.searchParams.set('room', room);
  return url.href;
}
