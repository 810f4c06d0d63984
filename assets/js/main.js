// Wires the page together.

import { mountComposer } from './composer.js';
import { follow } from './connection.js';
import { mountName, mountRoom, mountStatus } from './header.js';
import { newId } from './ids.js';
import { mountLog } from './log.js';
import { Outbox } from './outbox.js';
import { addressFor, roomOf } from './room.js';
import { startSender } from './sender.js';
import { lasting, tab } from './storage.js';
import { mountTitle } from './title.js';
import { mountViewport } from './viewport.js';

// What failed for want of a connection is sent again by itself when the connection is back, but not after this long.
const STILL_MEANT_MS = 2 * 60_000;

const outbox = new Outbox(tab);
const title = mountTitle();
const name = mountName({ storage: lasting });
const showStatus = mountStatus({ retry: () => connection.now() });
let room = '';
let connection = null;

const send = startSender(outbox, (entry) => {
  if (entry.room === room) log.show(entry);
});

const log = mountLog({
  outbox,
  retry: send,
  edit(id) {
    const { text } = outbox.get(id);
    outbox.remove(id);
    log.withdraw(id);
    composer.takeBack(text);
  },
  arrived: (id) => outbox.remove(id),
  news: showNews,
});

const composer = mountComposer({
  storage: tab,
  send(text) {
    const entry = outbox.add({ id: newId(), room, name: name(), text, time: Date.now() });
    send(entry.id);
    log.follow();
  },
});

const roomField = mountRoom({
  change(next) {
    history.pushState(null, '', addressFor(location.href, next));
    enter(next);
  },
});

function showNews(count) {
  const button = document.getElementById('new-messages');
  button.hidden = count === 0;
  button.textContent = count === 1 ? '1 new message' : `${count} new messages`;
}

function enter(next) {
  connection?.close();
  room = next;
  roomField.show(room);
  title.enter(room);
  log.enter(room);
  connection = follow(room, {
    onStatus(status) {
      showStatus(status);
      if (status.state !== 'online') log.disconnected();
    },
    onJoined(frame) {
      log.joined(frame);
      for (const { id } of outbox.lostSince(Date.now() - STILL_MEANT_MS)) send(id);
    },
    onMessages(messages) {
      title.received(messages.length);
      log.receive(messages);
    },
  });
}

document.getElementById('new-messages').addEventListener('mousedown', (event) => event.preventDefault());
document.getElementById('new-messages').addEventListener('click', () => log.follow());
addEventListener('popstate', () => enter(roomOf(location.href)));
mountViewport();
enter(roomOf(location.href));
