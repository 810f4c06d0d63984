// Where people write. Enter sends, Shift+Enter begins a line, the focus stays.

import { cleanText, isBlank, MAX_TEXT, scalars } from './text.js';

// The count shows when fewer characters than this are left.
const NEAR_LIMIT = 200;

/** `send(text)` gets a text that the server's rules allow. `storage` keeps what was not sent over a reload. */
export function mountComposer({ send, storage }) {
  const form = document.getElementById('composer');
  const field = document.getElementById('text');
  const button = document.getElementById('send');
  const count = document.getElementById('count');
  const problem = document.getElementById('problem');

  function say(text) {
    problem.hidden = text === '';
    problem.textContent = text;
  }

  function refresh() {
    // As high as its text; the style sheet sets the bounds.
    field.style.height = 'auto';
    field.style.height = `${field.scrollHeight}px`;
    const text = cleanText(field.value);
    const left = MAX_TEXT - (text.length > MAX_TEXT - NEAR_LIMIT ? scalars(text) : text.length);
    count.hidden = left >= NEAR_LIMIT;
    count.textContent = left >= 0 ? `${left} left` : `${-left} too many`;
    count.classList.toggle('over', left < 0);
    field.setAttribute('aria-invalid', String(left < 0));
    form.classList.toggle('ready', text !== '' && left >= 0);
    if (left >= 0) say('');
  }

  function submit() {
    const text = cleanText(field.value);
    if (isBlank(text)) return;
    const excess = scalars(text) - MAX_TEXT;
    if (excess > 0) {
      say(`A message has at most ${MAX_TEXT.toLocaleString()} characters. Please shorten it by ${excess}.`);
      return;
    }
    field.value = '';
    storage.save('draft', '');
    refresh();
    send(text);
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  field.addEventListener('keydown', (event) => {
    // While an input method composes, Enter accepts its proposal (229 is how older browsers say so).
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    submit();
  });
  field.addEventListener('input', refresh);
  // A press on the button takes neither the focus nor the phone's keyboard away.
  button.addEventListener('mousedown', (event) => event.preventDefault());
  addEventListener('pagehide', () => storage.save('draft', field.value));
  addEventListener('resize', refresh);

  if (field.value === '') field.value = String(storage.load('draft', ''));
  refresh();
  // On touch screens this would bring up the keyboard over the messages.
  if (matchMedia('(pointer: fine)').matches) field.focus();

  return {
    /** Brings a text back to be changed, below what is being written. */
    takeBack(text) {
      field.value = field.value.trim() === '' ? text : `${field.value.trimEnd()}\n${text}`;
      refresh();
      field.focus();
      field.setSelectionRange(field.value.length, field.value.length);
    },
  };
}
