// One message's element: made from a template, filled by textContent, changed as its state changes.

import { colourOf, isBlank, isJumbo, isLong, monogram } from './text.js';
import { dayName, fullTime, hoursAndMinutes } from './time.js';

const clone = (id) => document.importNode(document.getElementById(id).content.firstElementChild, true);

/** Makes the element of a message `{ id, name, text, time, mine }`. */
export function messageElement(message) {
  const element = clone('message-template');
  const name = isBlank(message.name) ? '' : message.name;
  element.dataset.id = message.id;
  element.dataset.state = 'sent';
  if (message.mine) element.dataset.mine = '';
  if (name === '') element.dataset.nameless = '';
  element.dataset.author = colourOf(name);
  element.querySelector('.disc').textContent = monogram(name);
  element.querySelector('.name').textContent = message.mine ? 'You' : name || 'Anonymous';
  const text = element.querySelector('.text');
  text.textContent = message.text;
  if (isJumbo(message.text)) text.classList.add('jumbo');
  if (isLong(message.text)) fold(element, text);
  showTime(element, message.time);
  return element;
}

function fold(element, text) {
  text.classList.add('folded');
  element.append(clone('more-template'));
}

/** Shows a folded text in full. */
export function unfold(element) {
  element.querySelector('.text').classList.remove('folded');
  element.querySelector('.more').remove();
}

/** Sets the time, in ms; the server's takes the place of the sender's own. */
export function showTime(element, ms) {
  const time = element.querySelector('.time');
  if (ms === null) return;
  time.dateTime = new Date(ms).toISOString();
  time.title = fullTime(ms);
  time.textContent = hoursAndMinutes(ms);
}

/** Shows whether a message of the sender's own is on its way, failed, or sent. */
export function showState(element, state, reason = '') {
  element.dataset.state = state;
  element.querySelector('.note')?.remove();
  if (state === 'sent') return;
  const note = clone(`${state}-template`);
  if (state === 'failed') note.querySelector('.reason').textContent = `Not sent. ${reason}`;
  element.append(note);
}

/** A line across: "day" with a time, "gap", or "skipped" with a number. */
export function dividerElement(kind, value) {
  const element = clone('divider-template');
  element.dataset.divider = kind;
  element.firstElementChild.textContent = {
    day: () => dayName(value),
    gap: () => 'Some messages may be missing here',
    skipped: () => `${value} messages skipped`,
  }[kind]();
  return element;
}
