// The wire.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFrame, problemDetail, publishBody, publishUrl, retryAfterMs, streamUrl } from '../../assets/js/protocol.js';

test('addresses stand beside the page, under any prefix', () => {
  assert.equal(streamUrl('http://host:8080/?room=x#y', 'lobby', null), 'ws://host:8080/websockets/chat-messages?room=lobby');
  assert.equal(
    streamUrl('https://host/event/7/index.html?room=x', 'a~b', '49.0'),
    'wss://host/event/7/websockets/chat-messages?room=a%7Eb&after=49.0',
  );
  assert.equal(publishUrl('https://host/event/7/?room=x'), 'https://host/event/7/chat-messages');
});

test('a joined frame says from where and whether it carries on', () => {
  const frame = parseFrame('{"type":"joined","room":"lobby","position":"7.0","recovered":false,"more":1}');
  assert.deepEqual(frame, { type: 'joined', position: '7.0', recovered: false });
});

test('messages come with their time in ms, and with an empty name where they have none', () => {
  const one = { id: 'a', room: 'lobby', name: 'Mira', text: 'hi', time: '2024-11-23T19:12:00.250Z', position: '7.0' };
  const { messages } = parseFrame(JSON.stringify({ type: 'messages', messages: [one, { ...one, id: 'b', name: null, time: undefined }] }));
  assert.deepEqual(messages[0], { id: 'a', name: 'Mira', text: 'hi', time: Date.UTC(2024, 10, 23, 19, 12, 0, 250), position: '7.0' });
  assert.deepEqual([messages[1].name, messages[1].time], ['', null]);
});

test('unknown types and broken shapes are skipped', () => {
  const skipped = ['', '{', 'null', '[]', '5', '{"type":"viewers","count":5}', '{"type":"joined"}', '{"type":"messages","messages":5}'];
  for (const data of skipped) assert.equal(parseFrame(data), null, data);
  assert.deepEqual(parseFrame('{"type":"messages","messages":[null,5,{"id":1},{"id":"a","text":"b"}]}').messages, []);
});

test('a nameless sender sends no name', () => {
  const draft = { id: 'a', room: 'lobby', name: '', text: 'hi', state: 'pending' };
  assert.deepEqual(JSON.parse(publishBody(draft)), { id: 'a', room: 'lobby', text: 'hi' });
  assert.equal(JSON.parse(publishBody({ ...draft, name: 'Kim' })).name, 'Kim');
});

test('Retry-After is read as seconds or as a date', () => {
  const now = Date.UTC(2024, 10, 23, 19, 12);
  assert.equal(retryAfterMs('3', now), 3_000);
  assert.equal(retryAfterMs('Sat, 23 Nov 2024 19:12:05 GMT', now), 5_000);
  assert.equal(retryAfterMs('Sat, 23 Nov 2024 19:11:00 GMT', now), 0);
  for (const header of [null, '', ' ', 'soon']) assert.equal(retryAfterMs(header, now), null);
});

test('a problem says its detail, or its title, or nothing', () => {
  assert.equal(problemDetail('{"title":"Bad Request","detail":"no"}'), 'no');
  assert.equal(problemDetail('{"title":"Bad Request"}'), 'Bad Request');
  for (const body of ['', '<html>', 'null', '{"detail":5}']) assert.equal(problemDetail(body), '');
});
