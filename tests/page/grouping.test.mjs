// Groups and days.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placement } from '../../assets/js/grouping.js';

const noon = new Date(2024, 10, 23, 12).getTime();
const minute = 60_000;
const said = (changes) => ({ name: 'Mira', time: noon, mine: false, ...changes });

test('the first message leads its group, and today goes without saying', () => {
  assert.deepEqual(placement(null, said({}), noon), { day: false, lead: true });
});

test('a first message from another day says its day', () => {
  assert.deepEqual(placement(null, said({}), noon + 24 * 60 * minute), { day: true, lead: true });
});

test('what one author says within five minutes is a group', () => {
  assert.equal(placement(said({}), said({ time: noon + 4 * minute }), noon).lead, false);
  assert.equal(placement(said({}), said({ time: noon + 5 * minute }), noon).lead, true);
});

test('another author, or a namesake of mine, begins a group', () => {
  assert.equal(placement(said({}), said({ name: 'Sam' }), noon).lead, true);
  assert.equal(placement(said({ mine: true }), said({}), noon).lead, true);
});

test('two nameless messages may be two people, unless both are mine', () => {
  assert.equal(placement(said({ name: '' }), said({ name: '' }), noon).lead, true);
  assert.equal(placement(said({ name: '', mine: true }), said({ name: '', mine: true }), noon).lead, false);
});

test('midnight divides a group', () => {
  const midnight = new Date(2024, 10, 24).getTime();
  const before = said({ time: midnight - minute });
  assert.deepEqual(placement(before, said({ time: midnight + minute }), noon), { day: true, lead: true });
});

test('a message without a time does not divide', () => {
  assert.deepEqual(placement(said({}), said({ time: null }), noon), { day: false, lead: false });
  assert.deepEqual(placement(said({ time: null }), said({}), noon), { day: false, lead: false });
});
