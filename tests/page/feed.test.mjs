// Each message once, in order, bounded; gaps are told only where there may be one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Feed } from '../../assets/js/feed.js';

const messages = (from, to) => Array.from({ length: to - from }, (_, index) => ({ id: `m${from + index}` }));
const ids = (list) => list.map(({ id }) => id);

test('a message that was received before is not shown again', () => {
  const feed = new Feed();
  feed.push(messages(0, 3));
  const fresh = feed.push(messages(1, 5));
  assert.deepEqual(ids(fresh), ['m3', 'm4']);
  assert.deepEqual(ids(feed.newest(10)), ['m0', 'm1', 'm2', 'm3', 'm4']);
  assert.deepEqual(feed.newest(10), []);
});

test('a repeat within one frame is shown once', () => {
  const feed = new Feed();
  assert.equal(feed.push([{ id: 'a' }, { id: 'a' }]).length, 1);
});

test('a first join is never a gap', () => {
  const feed = new Feed();
  feed.joined(false);
  assert.equal(feed.push(messages(0, 1))[0].gap, undefined);
});

test('after a join that does not carry on, the first new message is marked, and only that', () => {
  const feed = new Feed();
  feed.push(messages(0, 2));
  feed.joined(false);
  assert.deepEqual(feed.push(messages(10, 12)), [{ id: 'm10', gap: true }, { id: 'm11' }]);
  assert.deepEqual(feed.push(messages(12, 13)), [{ id: 'm12' }]);
});

test('a replay that begins with a known message leaves no gap', () => {
  const feed = new Feed();
  feed.push(messages(0, 5));
  feed.joined(false);
  assert.deepEqual(feed.push(messages(3, 7)), [{ id: 'm5' }, { id: 'm6' }]);
});

test('a join that carries on takes the doubt away', () => {
  const feed = new Feed();
  feed.push(messages(0, 1));
  feed.joined(false);
  feed.joined(true);
  assert.deepEqual(feed.push(messages(5, 6)), [{ id: 'm5' }]);
});

test('what waits is bounded, and who reads on is told what was skipped', () => {
  const feed = new Feed();
  for (let from = 0; from < 2_500; from += 100) feed.push(messages(from, from + 100));
  assert.equal(feed.waiting, 2_000);
  const [first, second] = feed.next(2);
  assert.deepEqual(first, { id: 'm500', skipped: 500 });
  assert.deepEqual(second, { id: 'm501' });
  assert.equal(feed.next(1)[0].skipped, undefined);
});

test('who follows the end gets the newest', () => {
  const feed = new Feed();
  feed.push(messages(0, 900));
  const taken = feed.newest(500);
  assert.equal(taken.length, 500);
  assert.equal(taken.at(-1).id, 'm899');
  assert.equal(feed.waiting, 0);
});

test('what was shown without coming from the stream is a repeat when it comes', () => {
  const feed = new Feed();
  feed.remember('a');
  assert.deepEqual(feed.push([{ id: 'a' }]), []);
});

test('taking nothing takes nothing', () => {
  const feed = new Feed();
  feed.push(messages(0, 2_100));
  assert.deepEqual(feed.next(0), []);
  assert.equal(feed.next(1)[0].skipped, 100);
});
