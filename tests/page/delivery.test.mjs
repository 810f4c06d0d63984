// What an answer to a POST means.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sentence, verdict } from '../../assets/js/delivery.js';

const half = () => 0.5;
const answer = (status, { retryAfter = null, detail = '' } = {}) => ({ status, retryAfter, detail });

test('only 202 is an acknowledgement', () => {
  assert.deepEqual(verdict(answer(202), 0), { kind: 'sent' });
  for (const status of [200, 204, 304]) assert.equal(verdict(answer(status), 0).kind, 'failed');
});

test('a busy server is asked again, when it says so and a little later', () => {
  assert.deepEqual(verdict(answer(503, { retryAfter: 2_000 }), 0, half), { kind: 'again', after: 2_250 });
  assert.deepEqual(verdict(answer(429, { retryAfter: 0 }), 3, half), { kind: 'again', after: 250 });
  assert.deepEqual(verdict(answer(503), 2, half), { kind: 'again', after: 3_000 });
});

test('a busy server is asked a few times only, and not where the wait would be too long', () => {
  assert.deepEqual(verdict(answer(503, { detail: 'queue full' }), 4), { kind: 'failed', reason: 'Queue full.', lost: false });
  assert.equal(verdict(answer(429, { retryAfter: 60_000 }), 0).kind, 'failed');
});

test('no answer is tried again soon, then failed for want of a connection', () => {
  assert.deepEqual(verdict(null, 0, half), { kind: 'again', after: 375 });
  assert.deepEqual(verdict(null, 1, half), { kind: 'again', after: 750 });
  assert.deepEqual(verdict(null, 2), { kind: 'failed', reason: 'No answer from the server.', lost: true });
});

test('a refusal is final and says what the problem document says', () => {
  const refused = verdict(answer(400, { detail: 'the field "text": must not be empty' }), 0);
  assert.deepEqual(refused, { kind: 'failed', reason: 'The field "text": must not be empty.', lost: false });
  assert.equal(verdict(answer(413), 0).reason, 'The server answered 413.');
});

test('a sentence is not ended twice', () => {
  assert.equal(sentence(' too long! '), 'Too long!');
});
