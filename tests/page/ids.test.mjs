// Ids for messages.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newId } from '../../assets/js/ids.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test('ids are random UUIDs, also where randomUUID does not exist', () => {
  const insecure = { getRandomValues: (array) => globalThis.crypto.getRandomValues(array) };
  const made = Array.from({ length: 1_000 }, () => newId(insecure));
  for (const id of made) assert.match(id, UUID);
  assert.equal(new Set(made).size, 1_000);
  assert.match(newId(), UUID);
});
