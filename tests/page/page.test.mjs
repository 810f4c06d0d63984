// The page's source, held to its rules.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const assets = new URL('../../assets/', import.meta.url);
const read = (path) => readFileSync(new URL(path, assets), 'utf8');
const html = read('index.html');
const modules = readdirSync(new URL('js/', assets));
const styles = readdirSync(new URL('css/', assets));

test('the page has no inline code, no inline style and only relative addresses', () => {
  assert.doesNotMatch(html, /<style|\sstyle=|\son\w+=|javascript:/i);
  assert.doesNotMatch(html, /<script(?![^>]*\ssrc=)/);
  for (const [, address] of html.matchAll(/(?:href|src|action)="([^"]*)"/g)) assert.doesNotMatch(address, /^(?:\/|[a-z]+:)/i, address);
});

test('every module is loaded up front, and every file named exists', () => {
  const named = [...html.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, address]) => address);
  for (const address of named) assert.ok(read(address).length > 0, address);
  assert.deepEqual(named.filter((address) => address.startsWith('js/')).map((address) => address.slice(3)).sort(), modules.sort());
  assert.deepEqual(named.filter((address) => address.startsWith('css/')).length, styles.length);
});

test('no module writes markup or evaluates code', () => {
  for (const name of modules) {
    assert.doesNotMatch(read(`js/${name}`), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\('style/, name);
  }
});

test('modules import only their neighbours', () => {
  for (const name of modules) {
    for (const [, from] of read(`js/${name}`).matchAll(/from '([^']+)'/g)) {
      assert.match(from, /^\.\//, name);
      assert.ok(modules.includes(from.slice(2)), `${name}: ${from}`);
    }
  }
});

test('style sheets load nothing', () => {
  for (const name of styles) assert.doesNotMatch(read(`css/${name}`), /@import|url\(/, name);
});

test('every element that a module looks for is there', () => {
  for (const name of modules) {
    for (const [, id] of read(`js/${name}`).matchAll(/getElementById\('([^']+)'\)/g)) assert.ok(html.includes(`id="${id}"`), `${name}: ${id}`);
  }
});
