// What people write: the server's rules for it, and how it is best shown. Pure.

// Unicode scalar values, as the server counts them.
export const MAX_TEXT = 2_000;
export const MAX_NAME = 64;
// A text longer than this is folded, so that one message cannot fill the screen.
const FOLD_LINES = 14;
const FOLD_LENGTH = 1_000;

const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;
const CONTROL_BUT_LF_AND_TAB = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
// With the u flag, surrogates are found only where they stand alone.
const LONE_SURROGATE = /\p{Surrogate}/gu;
const INVISIBLE = /[\p{C}\p{Z}\u115f\u1160\u2800\u3164\uffa0]/gu;

/** How many characters the server will count. */
export function scalars(text) {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** A text fit for sending: no control characters, no halves of characters, no empty lines around it. */
export function cleanText(typed) {
  return typed
    .replace(/\r\n?/g, '\n')
    .replace(CONTROL_BUT_LF_AND_TAB, '')
    .replace(LONE_SURROGATE, '\ufffd')
    .replace(/^(?:[^\S\n]*\n)+/, '')
    .trimEnd();
}

/** A name fit for sending, cut at the server's limit; empty if there is nothing to be seen in it. */
export function cleanName(typed) {
  const name = typed.replace(CONTROL, '').replace(LONE_SURROGATE, '').trim();
  return isBlank(name) ? '' : [...name].slice(0, MAX_NAME).join('').trimEnd();
}

/** Nothing of it would be visible. */
export function isBlank(text) {
  return text.replace(INVISIBLE, '') === '';
}

/** Too long to be shown in full without asking. */
export function isLong(text) {
  return text.length > FOLD_LENGTH || text.split('\n', FOLD_LINES + 1).length > FOLD_LINES;
}

const segmenter = globalThis.Intl?.Segmenter ? new Intl.Segmenter() : null;

function graphemes(text, most) {
  if (!segmenter) return [...text].slice(0, most);
  const found = [];
  for (const { segment } of segmenter.segment(text)) {
    if (found.push(segment) === most) break;
  }
  return found;
}

/** One to three emoji and nothing else: shown larger. */
export function isJumbo(text) {
  // The longest emoji have some 11 UTF-16 units (a family, a flag with tags 14).
  if (text.length > 45) return false;
  const found = graphemes(text, 4);
  return found.length >= 1 && found.length <= 3
    && found.every((one) => /^(?:\p{Extended_Pictographic}|\p{Regional_Indicator}{2})/u.test(one));
}

/** What stands on an author's disc. */
export function monogram(name) {
  return (graphemes(name.replace(/^[\p{P}\p{Z}\p{C}]+/u, ''), 1)[0] ?? '·').toLocaleUpperCase();
}

export const AUTHOR_COLOURS = 12;

/** The number of an author's colour: the same for a name on every page (FNV-1a, with murmur3's last mixing). */
export function colourOf(name) {
  let hash = 0x811c9dc5;
  for (const character of name.normalize('NFC')) hash = Math.imul(hash ^ character.codePointAt(0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % AUTHOR_COLOURS;
}
