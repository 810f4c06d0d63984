// When the page connects again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mayReconnect, nextAttempt, reconnectDelay } from '../../assets/js/backoff.js';

test('the first try is fast and the ceiling doubles up to a cap', () => {
  const ceilings = [0, 1, 2, 3, 4, 5, 6, 50].map((attempt) => reconnectDelay(attempt, () => 1));
  assert.deepEqual(ceilings, [300, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000]);
});

test('the jitter is full: any delay down to none', () => {
  assert.equal(reconnectDelay(7, () => 0), 0);
  assert.equal(reconnectDelay(2, () => 0.5), 1_000);
});

test('a connection that did not last is no success', () => {
  assert.equal(nextAttempt(-1, 0), 0);
  assert.equal(nextAttempt(3, 9_999), 4);
  assert.equal(nextAttempt(3, 10_000), 0);
});

test('only the closes from 4500 to 4999 are for good', () => {
  for (const code of [1000, 1001, 1002, 1006, 1008, 1009, 1011, 4000, 4499]) assert.ok(mayReconnect(code), String(code));
  for (const code of [4500, 4999]) assert.ok(!mayReconnect(code), String(code));
});
