// The bar: room, connection status, name.

import { roomFrom } from './room.js';
import { cleanName } from './text.js';

/** `change(room)` is called with a valid room that is another than the one shown. */
export function mountRoom({ change }) {
  const form = document.getElementById('room-form');
  const field = document.getElementById('room');
  const problem = document.getElementById('room-problem');
  let current = '';

  function show(room) {
    current = room;
    field.value = room;
    say('');
  }

  function say(text) {
    problem.hidden = text === '';
    problem.textContent = text;
    field.setAttribute('aria-invalid', String(text !== ''));
  }

  function apply() {
    const room = roomFrom(field.value);
    if (room === null) {
      say('A room’s name may have up to 64 letters (A–Z), digits, dots, dashes, underscores and tildes.');
      return false;
    }
    const changed = room !== current;
    show(room);
    if (changed) change(room);
    return true;
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (apply()) document.getElementById('text').focus();
  });
  field.addEventListener('change', apply);
  field.addEventListener('input', () => say(''));
  field.addEventListener('keydown', ({ key }) => {
    if (key === 'Escape') show(current);
  });
  field.addEventListener('focus', () => field.select());
  return { show };
}

const STATUS = {
  connecting: 'Connecting…',
  online: 'Live',
  reconnecting: 'Reconnecting…',
  offline: 'Disconnected',
};
// A wait shorter than this needs no button.
const OFFER_AFTER_MS = 2_000;

/** `retry()` is called when the person does not want to wait. */
export function mountStatus({ retry }) {
  const status = document.getElementById('status');
  const button = document.getElementById('reconnect');
  let timer = 0;

  button.addEventListener('mousedown', (event) => event.preventDefault());
  button.addEventListener('click', retry);
  return function show({ state, detail }) {
    const text = detail || STATUS[state];
    // Said once, not at every attempt.
    if (status.textContent !== text) status.textContent = text;
    if (status.dataset.state === state) return;
    status.dataset.state = state;
    status.title = text;
    clearTimeout(timer);
    button.hidden = state !== 'offline';
    if (state === 'reconnecting') timer = setTimeout(() => { button.hidden = false; }, OFFER_AFTER_MS);
  };
}

/** The name is kept in this browser. Returns what reads it. */
export function mountName({ storage }) {
  const field = document.getElementById('name');
  const kept = storage.load('name', '');
  field.value = cleanName(typeof kept === 'string' ? kept : '');
  field.addEventListener('input', () => storage.save('name', cleanName(field.value)));
  field.addEventListener('change', () => { field.value = cleanName(field.value); });
  field.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.isComposing) return;
    field.value = cleanName(field.value);
    document.getElementById('text').focus();
  });
  return () => cleanName(field.value);
}
