// What people write.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AUTHOR_COLOURS, cleanName, cleanText, colourOf, isBlank, isJumbo, isLong, monogram, scalars } from '../../assets/js/text.js';

test('characters are counted as the server counts them', () => {
  assert.equal(scalars('añ日😀'), 4);
  assert.equal(scalars('👨‍👩‍👧'), 5);
  assert.equal(scalars('😀'.repeat(2_000)), 2_000);
});

test('a cleaned text has nothing that the server refuses', () => {
  assert.equal(cleanText('a\u0000b\u0007\u001b[31mc\u007f\u0085'), 'ab[31mc');
  assert.equal(cleanText('a\r\nb\rc\td'), 'a\nb\nc\td');
  assert.equal(cleanText('x\ud800y\udc00z😀'), 'x\ufffdy\ufffdz😀');
});

test('empty lines around a text go, indents stay', () => {
  assert.equal(cleanText('\n  \n  if x:\n    y\n\n  '), '  if x:\n    y');
  assert.equal(cleanText(' \n\t\n '), '');
});

test('a cleaned text of spaces and line breaks takes no time', () => {
  const started = performance.now();
  cleanText(`${' '.repeat(50_000)}x`);
  cleanText(`${' \n'.repeat(50_000)}x`);
  assert.ok(performance.now() - started < 500);
});

test('a name is cut at 64 characters and has no control characters', () => {
  assert.equal(cleanName('  Ana\n\u0000 '), 'Ana');
  assert.equal(scalars(cleanName('😀'.repeat(70))), 64);
  assert.equal(cleanName('\ud83d'), '');
});

test('a name of nothing visible is no name', () => {
  for (const name of ['', '  ', '\u200b\u200d', '\u3164', '\u202e']) assert.equal(cleanName(name), '', escape(name));
  assert.ok(!isBlank('👩‍🚀'));
});

test('a text of many lines or characters is long', () => {
  assert.ok(!isLong('a\n'.repeat(13)));
  assert.ok(isLong('\n'.repeat(14)));
  assert.ok(isLong('a'.repeat(1_001)));
});

test('one to three emoji are jumbo, anything else is not', () => {
  for (const text of ['👏', '❤️', '👩‍🚀👨‍👩‍👧‍👦🎉', '🇵🇹', '👋🏽']) assert.ok(isJumbo(text), text);
  for (const text of ['', 'a', '7', '👏 a', '👏👏👏👏', '🎉!']) assert.ok(!isJumbo(text), text);
});

test('a monogram is the first visible character, whole', () => {
  assert.equal(monogram('mira'), 'M');
  assert.equal(monogram('👩‍🚀 Ana'), '👩‍🚀');
  assert.equal(monogram('(נועה)'), 'נ');
  assert.equal(monogram(''), '·');
});

test('colours are the same for the same name, and spread evenly', () => {
  const counts = new Array(AUTHOR_COLOURS).fill(0);
  for (let index = 0; index < 12_000; index += 1) counts[colourOf(`guest ${index}`)] += 1;
  for (const count of counts) assert.ok(count > 800 && count < 1_200, counts.join(' '));
  assert.equal(colourOf('Zoe\u0308'), colourOf('Zo\u00eb'));
});
