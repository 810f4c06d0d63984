// Room names and addresses.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressFor, roomFrom, roomOf } from '../../assets/js/room.js';

test('a room is taken as typed, harmless slips aside', () => {
  assert.equal(roomFrom('main-stage'), 'main-stage');
  assert.equal(roomFrom(' #Main  Stage '), 'Main-Stage');
  assert.equal(roomFrom('a.b_c~d-9'), 'a.b_c~d-9');
  assert.equal(roomFrom('  '), 'lobby');
});

test('what the server would refuse is no room', () => {
  for (const typed of ['a/b', 'ä', 'x'.repeat(65), '<b>', '🎉']) assert.equal(roomFrom(typed), null, typed);
  assert.equal(roomFrom('x'.repeat(64)).length, 64);
});

test('the address names the room, and keeps the rest', () => {
  assert.equal(roomOf('https://host/p/?room=stage&x=1'), 'stage');
  assert.equal(roomOf('https://host/p/'), 'lobby');
  assert.equal(roomOf('https://host/p/?room=%2F'), 'lobby');
  assert.equal(addressFor('https://host/p/?x=1&room=a', 'b'), 'https://host/p/?x=1&room=b');
});
