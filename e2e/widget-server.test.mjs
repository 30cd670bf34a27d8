// How <beaconry-status> follows the server, with a server and a clock that the test plays.
import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';

const asked = [];
let answer;
let streams;
class FakeStream extends EventTarget {
  constructor(url) {
    super();
    streams.push(this);
    this.url = url;
  }

  close() { this.closed = true; }
}
globalThis.EventSource = FakeStream;
globalThis.document = new EventTarget();
globalThis.addEventListener = () => {};
globalThis.fetch = (url, { signal }) => new Promise((resolve, reject) => {
  asked.push(url);
  signal.addEventListener('abort', () => reject(new Error('aborted')));
  answer?.(resolve, reject, url);
});
mock.timers.enable({ apis: ['setTimeout'] });
const { follow } = await import('../crates/widgets/js/server.js');

const settle = () => new Promise((done) => { setImmediate(done); });
const pass = async (ms) => {
  mock.timers.tick(ms);
  await settle();
};
const devices = (list) => (resolve) => resolve({ ok: true, status: 200, json: async () => ({ cursor: 'run-1', devices: list }) });
const refused = (status) => (resolve) => resolve({ ok: false, status });
const online = (id) => ({ id, presence: { state: 'online', since: '2026-12-01T08:30:00.000Z' } });

let told;
let turned;
let follower;
beforeEach(() => {
  follower?.close();
  [asked.length, streams, told, turned] = [0, [], new Map(), []];
  follower = follow((id, presence) => told.set(id, presence?.state), (now) => turned.push(now));
});

async function watch(ids, names = ids) {
  follower.watch(ids, names);
  await pass(0);
}

test('a question that nobody answers is given up, and asked again', async () => {
  answer = devices([online('p/a')]);
  await watch(['p/a', 'a'], ['a']);
  assert.deepEqual([turned, told.get('p/a'), told.get('a')], [['there'], 'online', undefined]);
  assert.match(streams[0].url.href, /changes\?after=run-1&id=a$/);
  // The stream says nothing any more, and the next question hangs.
  answer = undefined;
  await pass(40_000);
  assert.ok(streams[0].closed);
  assert.deepEqual(turned, ['there', 'lost']);
  await pass(1_000);
  await pass(40_000);
  answer = devices([online('p/a')]);
  await pass(2_000);
  assert.equal(turned.at(-1), 'there');
});

test('a beat keeps the stream, and hidden devices are asked for too', async () => {
  answer = devices([online('a')]);
  await watch(['a']);
  for (let beat = 0; beat < 10; beat += 1) {
    await pass(15_000);
    streams[0].dispatchEvent(new Event('beat'));
  }
  assert.equal(asked.length, 1);
  assert.match(asked[0].href, /hidden=any/);
});

test('a stream that is refused is asked for less and less often', async () => {
  answer = devices([online('a')]);
  await watch(['a']);
  for (let second = 0; second < 120; second += 1) {
    if (!streams.at(-1).closed) streams.at(-1).onerror();
    await pass(1_000);
  }
  assert.ok(asked.length < 10, `${asked.length} questions in two minutes`);
  assert.ok(turned.includes('lost'));
});

test('a host without the API is none at once, a network that fails only after some tries', async () => {
  answer = refused(404);
  await watch(['a']);
  assert.deepEqual(turned, ['none']);
  await pass(3_600_000);
  assert.equal(asked.length, 1);

  [follower, turned] = [follow(() => {}, (now) => turned.push(now)), []];
  answer = (_, reject) => reject(new TypeError('no network'));
  await watch(['a']);
  await pass(1_000);
  await pass(2_000);
  assert.deepEqual(turned, ['lost', 'lost', 'none']);
  answer = devices([online('a')]);
  await pass(300_000);
  assert.equal(turned.at(-1), 'there', 'it comes back to a server that it could not reach');
});

test('many devices are asked for in parts that every proxy takes', async () => {
  const ids = Array.from({ length: 150 }, (_, n) => `p/device-${n}`);
  answer = devices([]);
  await watch(ids);
  await settle();
  assert.equal(asked.length, 3);
  assert.ok(asked.every((url) => url.href.length < 6_000));
});
