// A mosquitto that bridges to Beaconry, as its default configuration has it and otherwise: messages go
// both ways, arrive once, and do not go in circles.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { hostname } from 'node:os';
import * as mosquitto from './lib/mosquitto.mjs';
import { startServer } from './lib/server.mjs';

const QOS = [0, 1, 2];

let server;
before(async () => { server = await startServer(); });
after(async () => {
  const { code, signal } = await server.stop();
  assert.deepEqual({ code, signal }, { code: 0, signal: null }, 'the server ends cleanly');
});

/// The state that the bridge publishes, which says when it is connected. By default its client
/// identifier is made of the names of host and connection.
const state = (name) => `$SYS/broker/connection/${hostname()}.${name}/state`;

/// A mosquitto whose bridge is connected and subscribed, until the test ends.
async function startBridge(t, name, lines) {
  const states = await mosquitto.subscribe(server, [state(name)]);
  t.after(() => states.stop());
  // Retained: it comes to the other side when the bridge subscribes, however long that takes.
  await mosquitto.publish(server, `${name}/probe`, 'subscribed', { qos: 1, retain: true });
  const broker = await mosquitto.startBroker([
    `connection ${name}`, `address ${server.mqttAddress}`, `topic ${name}/# both 2`, 'restart_timeout 1',
    ...lines,
  ]);
  t.after(() => broker.stop());
  await states.message((m) => m.payload === '1');
  const probe = await mosquitto.subscribe(broker, [`${name}/probe`]);
  await probe.message((m) => m.payload === 'subscribed');
  await probe.stop();
  return { broker, states };
}

/// Publishes on both sides at each QoS, and counts what each side's subscriber gets.
async function exchange(t, name, broker) {
  const near = await mosquitto.subscribe(server, [`${name}/live/#`]);
  t.after(() => near.stop());
  const far = await mosquitto.subscribe(broker, [`${name}/live/#`]);
  t.after(() => far.stop());
  const sides = [['beaconry', server], ['mosquitto', broker]];
  const both = async (payload) => {
    for (const side of [near, far]) await side.message((m) => m.payload === payload);
  };
  for (const [from, at] of sides) {
    for (const qos of QOS) {
      await mosquitto.publish(at, `${name}/live/${from}`, `${from} ${qos}`, { qos });
      await both(`${from} ${qos}`);
    }
  }
  // A message that goes in circles comes past again before these do: twice round, either way.
  for (const round of [1, 2]) {
    for (const [from, at] of sides) {
      await mosquitto.publish(at, `${name}/live/${from}`, `${from} end ${round}`, { qos: 2 });
      await both(`${from} end ${round}`);
    }
  }
  const count = (side, from) => QOS.map((qos) => side.messages()
    .filter((m) => m.payload === `${from} ${qos}`).map((m) => m.qos));
  const counts = {};
  for (const [from] of sides) {
    counts[from] = { near: count(near, from), far: count(far, from) };
  }
  return counts;
}

const once = [[0], [1], [2]];
const twice = [[0, 0], [1, 1], [2, 2]];

describe('a bridge of mosquitto', () => {
  const variants = [
    ['with its default configuration', 'default', []],
    ['that speaks MQTT 3.1', 'old', ['bridge_protocol_version mqttv31']],
    ['that speaks MQTT 5', 'new', ['bridge_protocol_version mqttv50']],
    ['with a clean session', 'clean', ['cleansession true']],
  ];
  for (const [what, name, lines] of variants) {
    test(`${what} brings each message once`, async (t) => {
      const { broker } = await startBridge(t, name, lines);
      const counts = await exchange(t, name, broker);
      assert.deepEqual(counts.mosquitto, { near: once, far: once });
      assert.deepEqual(counts.beaconry, { near: once, far: once });
    });
  }

  test('with "try_private false" gets its own messages back once, and no circle', async (t) => {
    const { broker } = await startBridge(t, 'plain', ['try_private false']);
    const counts = await exchange(t, 'plain', broker);
    assert.deepEqual(counts.mosquitto, { near: once, far: twice });
    assert.deepEqual(counts.beaconry, { near: once, far: once });
  });

  test('keeps what is retained retained on both sides', async (t) => {
    const { broker } = await startBridge(t, 'kept', []);
    const sides = [['beaconry', server, broker], ['mosquitto', broker, server]];
    for (const [from, at, other] of sides) {
      const watcher = await mosquitto.subscribe(other, [`kept/${from}`]);
      await mosquitto.publish(at, `kept/${from}`, 'value', { qos: 1, retain: true });
      await watcher.message((m) => m.payload === 'value');
      await watcher.stop();
      const late = await mosquitto.subscribe(other, [`kept/${from}`]);
      const got = await late.message((m) => m.payload === 'value');
      assert.equal(got.retain, true, `${from}'s message is retained at the other broker`);
      await late.stop();
    }
  });

  test('leaves its state when it dies', async (t) => {
    const { broker, states } = await startBridge(t, 'mortal', []);
    await broker.stop('SIGKILL');
    await states.message((m) => m.payload === '0');
    const late = await mosquitto.subscribe(server, [state('mortal')]);
    const got = await late.message(() => true);
    assert.deepEqual([got.payload, got.retain], ['0', true]);
    await late.stop();
  });
});
