// The log: one write to the page per animation frame, a bounded number of nodes, the end followed only by who is there.

import { Feed } from './feed.js';
import { placement } from './grouping.js';
import { dividerElement, messageElement, showTime, unfold } from './message.js';
import { mountScroll } from './scroll.js';
import { mountWaiting } from './waiting.js';

const MAX_NODES = 500;
// Who reads on from an older place gets what waited in portions of this.
const PORTION = 100;
// The history follows a join at once, if there is any.
const HISTORY_WITHIN_MS = 250;

/** `retry(id)`, `edit(id)` and `arrived(id)` act on the sender's own messages; `news(count)` says how many are unseen. */
export function mountLog({ outbox, retry, edit, arrived, news }) {
  const log = document.getElementById('log');
  const stream = document.getElementById('stream');
  const empty = document.getElementById('empty');
  const waiting = mountWaiting(outbox);
  let feed = new Feed();
  let last = null; // the last message in the stream
  let frame = 0;
  let unseen = 0;
  let fresh = 0; // what came from others since the last write
  let joinedAt = Infinity;
  let historyTimer = 0;

  const scroll = mountScroll(log, {
    mayFollow: () => feed.waiting === 0,
    changed(following) {
      if (following) setUnseen(0);
      schedule();
    },
    reading() {
      if (feed.waiting > 0 && scroll.nearEnd()) schedule();
    },
  });

  function setUnseen(count) {
    unseen = count;
    news(unseen);
  }

  function setBusy(busy) {
    clearTimeout(historyTimer);
    log.setAttribute('aria-busy', String(busy));
    schedule();
  }

  // Animation frames pause in a hidden tab, so there the feed alone grows, and it is bounded.
  function schedule() {
    frame ||= requestAnimationFrame(write);
  }

  function write() {
    frame = 0;
    count();
    const added = document.createDocumentFragment();
    for (const message of take()) place(added, message);
    if (feed.waiting === 0) waiting.sweep();
    for (const entry of waiting.overdue(Date.now(), joinedAt)) {
      feed.remember(entry.id);
      place(added, entry);
      arrived(entry.id);
    }
    stream.append(added);
    prune();
    waiting.regroup(last);
    empty.hidden = !feed.isEmpty || !waiting.isEmpty || log.getAttribute('aria-busy') === 'true';
    if (scroll.following) scroll.toEnd();
    else if (feed.waiting > 0 && scroll.nearEnd()) schedule();
  }

  // Here and not on arrival: only by the frame is it known whether the reader has left the end just before.
  function count() {
    if (!scroll.following && fresh > 0) setUnseen(unseen + fresh);
    fresh = 0;
  }

  function take() {
    if (scroll.following) return feed.newest(MAX_NODES);
    const free = MAX_NODES - stream.childElementCount;
    return feed.next(free > 0 ? free : scroll.nearEnd() ? PORTION : 0);
  }

  function place(target, { id, name, text, time, skipped, gap }) {
    const message = { id, name, text, time, mine: outbox.isOwn(id) };
    const { day, lead } = placement(last, message, Date.now());
    if (skipped) target.append(dividerElement('skipped', skipped));
    if (gap) target.append(dividerElement('gap'));
    if (day) target.append(dividerElement('day', time));
    let element = waiting.take(id);
    if (element) {
      showTime(element, time);
      // The same id with another content: the first one that the stream had counts.
      element.querySelector('.text').textContent = text;
    } else {
      element = messageElement(message);
    }
    element.classList.toggle('lead', lead || Boolean(skipped || gap));
    target.append(element);
    last = message;
  }

  function prune() {
    const excess = stream.childElementCount - MAX_NODES;
    if (excess <= 0) return;
    const first = stream.children[excess];
    const shift = scroll.following ? 0 : stream.firstElementChild.offsetTop - first.offsetTop;
    for (let count = 0; count < excess; count += 1) stream.firstElementChild.remove();
    first.classList.add('lead');
    if (shift !== 0) scroll.shift(shift);
  }

  // A press on a message's button does not take the focus from what is being written.
  log.addEventListener('mousedown', (event) => {
    if (event.target.closest('button')) event.preventDefault();
  });
  log.addEventListener('click', ({ target, detail }) => {
    const button = target.closest('button');
    const element = button?.closest('[data-id]');
    if (!element) return;
    if (button.matches('.retry')) retry(element.dataset.id);
    if (button.matches('.edit')) edit(element.dataset.id);
    if (button.matches('.more')) scroll.standStill(() => unfold(element));
    // A key pressed it, and now it is gone: the focus goes where typing goes on.
    if (detail === 0 && !button.isConnected) document.getElementById('text').focus();
  });

  const show = (entry) => {
    waiting.show(entry);
    schedule();
  };

  return {
    /** Shows an own message, or its new state. */
    show,
    withdraw(id) {
      waiting.withdraw(id);
      schedule();
    },
    /** Begins anew with a room. */
    enter(room) {
      feed = new Feed();
      last = null;
      joinedAt = Infinity;
      stream.replaceChildren();
      waiting.clear();
      log.setAttribute('aria-label', `Messages in ${room}`);
      document.getElementById('empty-room').textContent = `#${room}`;
      setBusy(true);
      fresh = 0;
      outbox.of(room).forEach(show);
      setUnseen(0);
      scroll.follow();
    },
    joined({ recovered }) {
      joinedAt = Date.now();
      feed.joined(recovered);
      historyTimer = setTimeout(setBusy, HISTORY_WITHIN_MS, false);
    },
    disconnected() {
      joinedAt = Infinity;
    },
    receive(messages) {
      for (const { id } of feed.push(messages)) fresh += outbox.isOwn(id) ? 0 : 1;
      for (const { id } of messages) arrived(id);
      schedule();
    },
    follow() {
      scroll.follow();
      schedule();
    },
  };
}
