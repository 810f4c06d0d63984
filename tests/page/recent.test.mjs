// The set that forgets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Recent } from '../../assets/js/recent.js';

test('only the newest members are remembered', () => {
  const recent = new Recent(3, ['a', 'b']);
  for (const member of ['c', 'd', 'd']) recent.add(member);
  assert.deepEqual(recent.toArray(), ['b', 'c', 'd']);
  assert.ok(!recent.has('a') && recent.has('d'));
  assert.equal(recent.size, 3);
});
