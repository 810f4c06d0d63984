// From where the page resumes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResumePoint } from '../../assets/js/resume.js';

const at = (...positions) => positions.map((position) => ({ position }));

test('a newcomer has no position', () => {
  assert.equal(new ResumePoint().after, null);
});

test('the last message received is where to go on', () => {
  const resume = new ResumePoint();
  resume.joined('9.0', 0);
  resume.received(at('3.0', '5.1'));
  resume.closed(60_000);
  assert.equal(resume.after, '5.1');
});

test('a connection that breaks before the history came skips none of it', () => {
  const resume = new ResumePoint();
  resume.joined('9.0', 0);
  resume.closed(500);
  assert.equal(resume.after, null);
  resume.received(at('3.0'));
  resume.joined('9.0', 1_000);
  resume.closed(1_500);
  assert.equal(resume.after, '3.0');
});

test('in a room where nothing is said, the joined position counts after a while', () => {
  const resume = new ResumePoint();
  resume.joined('9.0', 0);
  resume.closed(10_000);
  assert.equal(resume.after, '9.0');
});

test('an empty frame changes nothing', () => {
  const resume = new ResumePoint();
  resume.received(at('1.0'));
  resume.received([]);
  assert.equal(resume.after, '1.0');
});
