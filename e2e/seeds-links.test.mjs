// `beaconry device` and `beaconry collect` while links are cut again and again, the server and the collector are
// restarted, and the collector is killed: nothing is lost.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { startProxy } from './lib/proxy.mjs';
import { given, startCollector, startDevice, variables } from './lib/seeds.mjs';
import { startServer } from './lib/server.mjs';

/// How often a link is cut. Ten minutes: SEEDS_CUTS=100 SEEDS_CUT_EVERY_MS=6000.
const CUTS = Number(process.env.SEEDS_CUTS ?? 12);
const CUT_EVERY_MS = Number(process.env.SEEDS_CUT_EVERY_MS ?? 1500);
const CUT_MS = 300;
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const DEVICES = 20;

const stored = (file) => readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));

/// `key(item)` to the items, in their order.
function grouped(items, key) {
  const groups = new Map();
  for (const item of items) {
    if (!groups.has(key(item))) groups.set(key(item), []);
    groups.get(key(item)).push(item);
  }
  return groups;
}

test('nothing is lost while links are cut, the server is restarted, and the collector too', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'beaconry-seeds-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const args = ['--data', path.join(folder, 'store')];
  const file = path.join(folder, 'collected.ndjson');
  let broker = await startServer({ args });
  t.after(() => broker.stop('SIGKILL'));
  const links = [await startProxy(broker.mqttAddress), await startProxy(broker.mqttAddress)];
  t.after(() => Promise.all(links.map((link) => link.stop())));
  const [ofDevices, ofCollector] = links.map((link) => variables(`mqtt://${link.address}`, 'seeds/links'));

  const collectors = [];
  const collect = (more = []) => {
    const collector = startCollector('beaconry', ofCollector, ['--out', file, ...more]);
    t.after(() => collector.stop('SIGKILL'));
    collectors.push(collector);
    return collector;
  };
  const commands = () => collectors.flatMap(given);
  /// Ends the collector while it is connected: it keeps commands that wait for a connection in memory only.
  const endCollector = async () => {
    const before = stored(file).length;
    await collector.until('a message', () => stored(file).length > before, 60_000);
    assert.deepEqual(await collector.stop('SIGTERM'), { code: 0, signal: null });
  };
  let collector = collect();
  await collector.line(/SUCCESSFULLY SUBSCRIBED/);
  const devices = startDevice('beaconry', ofDevices, ['--count', String(DEVICES), '--json']);
  t.after(() => devices.stop('SIGKILL'));
  const did = (event) => devices.lines.map((line) => JSON.parse(line)).filter((line) => line.event === event);
  await devices.until('the first readings', () => did('data').length > DEVICES);

  for (let cut = 0; cut < CUTS; cut += 1) {
    await pause(CUT_EVERY_MS);
    links[cut % 2].cut();
    await pause(CUT_MS);
    links[cut % 2].restore();
    if (cut === Math.floor(CUTS / 3)) {
      assert.deepEqual(await broker.stop(), { code: 0, signal: null });
      broker = await startServer({ args, mqtt: broker.mqttAddress });
    }
    if (cut === Math.floor(CUTS / 2)) {
      await endCollector();
      collector = collect();
    }
  }

  // No more commands. All that were given are answered, also those that waited for a device.
  await endCollector();
  collector = collect(['--no-commands']);
  const answers = () => stored(file).filter((it) => it.kind === 'answer').map((it) => it.payload.uuid);
  const unanswered = () => {
    const there = new Set(answers());
    return commands().filter((uuid) => !there.has(uuid));
  };
  await collector.until('all answers', () => unanswered().length === 0, 90_000).catch((error) => {
    const heard = (uuid) => did('command').some((it) => it.payload.uuid === uuid);
    throw new Error(unanswered().map((uuid) => `${uuid}, heard: ${heard(uuid)}`).join('\n'), { cause: error });
  });
  assert.deepEqual(await devices.stop('SIGTERM'), { code: 0, signal: null });
  const out = () => new Set(stored(file).filter((it) => it.payload === 'SIGN_OUT').map((it) => it.device));
  await collector.until('everybody to have signed out', () => out().size === DEVICES, 60_000);

  assert.ok(commands().length >= DEVICES, `${commands().length} commands`);
  assert.deepEqual(answers().toSorted(), commands().toSorted(), 'each command is answered once');
  const texts = (group) => group.map((it) => JSON.stringify(it.payload));
  const data = stored(file).filter((it) => it.kind === 'data' && it.payload.messageType === 'DATA');
  const [got, gave] = [grouped(data, (it) => it.device), grouped(did('data'), (it) => it.device)];
  assert.equal(gave.size, DEVICES);
  for (const [device, readings] of gave) assert.deepEqual(texts(got.get(device) ?? []), texts(readings), device);
  assert.deepEqual(await collector.stop('SIGTERM'), { code: 0, signal: null });
  t.diagnostic(`${data.length} readings and ${commands().length} commands, ${CUTS} cuts, one restart each`);
});

test('a collector that is killed again and again loses nothing', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'beaconry-seeds-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'collected.ndjson');
  const broker = await startServer();
  t.after(() => broker.stop('SIGKILL'));
  const env = variables(broker.tcp, 'seeds/killed');
  const collect = async () => {
    const collector = startCollector('beaconry', env, ['--out', file, '--no-commands']);
    t.after(() => collector.stop('SIGKILL'));
    await collector.line(/SUCCESSFULLY SUBSCRIBED/);
    return collector;
  };
  let collector = await collect();
  const rhythm = ['--count', '20', '--json', '--always-on', '--every', '100ms'];
  const devices = startDevice('beaconry', env, rhythm);
  t.after(() => devices.stop('SIGKILL'));
  for (let kill = 0; kill < 10; kill += 1) {
    // At another moment each time.
    await collector.until('messages', () => collector.lines.length > 200 + 61 * kill);
    await collector.stop('SIGKILL');
    collector = await collect();
  }
  assert.deepEqual(await devices.stop('SIGTERM'), { code: 0, signal: null });
  const sent = devices.lines.map((line) => JSON.parse(line)).filter((it) => it.event === 'data').map((it) => JSON.stringify(it.payload));
  const ended = (it) => it.payload === 'SIGN_OUT';
  await collector.until('everybody to have signed out', () => new Set(stored(file).filter(ended).map((it) => it.device)).size === 20);
  const data = stored(file).map((it) => JSON.stringify(it.payload));
  const there = new Set(data);
  assert.deepEqual(sent.filter((text) => !there.has(text)), []);
  t.diagnostic(`${sent.length} readings, ${data.length} lines stored`);
});
