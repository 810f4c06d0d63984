// The sender's own messages, until the stream brings them back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox } from '../../assets/js/outbox.js';

function memory(kept = {}) {
  return { kept, load: (key, fallback) => structuredClone(kept[key]) ?? fallback, save: (key, value) => { kept[key] = structuredClone(value); } };
}
const draft = (id, room = 'lobby') => ({ id, room, name: 'Kim', text: `text ${id}`, time: 1_000 });

test('a message is pending, then acknowledged, then gone when the stream brings it', () => {
  const outbox = new Outbox(memory());
  assert.equal(outbox.add(draft('a')).state, 'pending');
  assert.equal(outbox.sent('a', 5).state, 'sent');
  outbox.remove('a');
  assert.equal(outbox.get('a'), null);
  assert.ok(outbox.isOwn('a'));
  assert.equal(outbox.sent('a', 6), null);
});

test('rooms are kept apart and in order', () => {
  const outbox = new Outbox(memory());
  for (const [id, room] of [['a', 'lobby'], ['b', 'other'], ['c', 'lobby']]) outbox.add(draft(id, room));
  assert.deepEqual(outbox.of('lobby').map(({ id }) => id), ['a', 'c']);
});

test('what was not acknowledged survives a reload as failed, with its id', () => {
  const storage = memory();
  const before = new Outbox(storage);
  for (const id of ['pending', 'failed', 'sent']) before.add(draft(id));
  before.failed('failed', { reason: 'Queue full.', lost: false });
  before.sent('sent', 1);
  const after = new Outbox(storage);
  assert.deepEqual(after.of('lobby').map(({ id, state, text }) => [id, state, text]), [
    ['pending', 'failed', 'text pending'],
    ['failed', 'failed', 'text failed'],
  ]);
  assert.equal(after.get('failed').reason, 'Queue full.');
  assert.ok(after.isOwn('sent'));
});

test('what was lost with the connection can be found, while it is recent', () => {
  const outbox = new Outbox(memory());
  outbox.add(draft('a'));
  outbox.add(draft('b'));
  outbox.failed('a', { reason: 'No answer.', lost: true });
  outbox.failed('b', { reason: 'Refused.', lost: false });
  assert.deepEqual(outbox.lostSince(1_000).map(({ id }) => id), ['a']);
  assert.deepEqual(outbox.lostSince(1_001), []);
  outbox.pending('a');
  assert.deepEqual(outbox.lostSince(0), []);
});

test('nonsense in the storage is passed over', () => {
  const outbox = new Outbox(memory({ unsent: [null, 5, { id: 1 }, { id: 'x' }], own: 'y' }));
  assert.deepEqual(outbox.of('lobby'), []);
});
