// Programs that no one here wrote, all talking to each other through the broker: mosquitto's
// clients, MQTT.js and paho-mqtt, both versions, over TCP and over WebSocket.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import * as mosquitto from './lib/mosquitto.mjs';
import * as mqttjs from './lib/mqttjs.mjs';
import * as paho from './lib/paho.mjs';
import { startServer } from './lib/server.mjs';

let server;
before(async () => { server = await startServer(); });
after(async () => {
  const { code, signal } = await server.stop();
  assert.deepEqual({ code, signal }, { code: 0, signal: null }, 'the server ends cleanly');
});

// Every peer is { publish(topic, payload, {qos, retain}), messages(), message(accept), stop() }.
async function mosquittoPeer(version, topic) {
  const subscriber = await mosquitto.subscribe(server, [topic], { version });
  return {
    publish: (to, payload, options) => mosquitto.publish(server, to, payload, { version, ...options }),
    messages: subscriber.messages,
    message: (accept) => subscriber.message(accept),
    stop: () => subscriber.stop(),
  };
}

async function mqttjsPeer(url, protocolVersion, topic) {
  const peer = await mqttjs.connect(url, { protocolVersion });
  const [granted] = await peer.subscribe(topic, 2);
  assert.equal(granted.qos, 2);
  return { publish: peer.publish, messages: () => peer.messages, message: peer.message, stop: () => peer.end() };
}

async function pahoPeer(version, transport, id, topic) {
  const peer = await paho.connect(server, { version, transport, id });
  await peer.subscribe(topic, 2);
  return peer;
}

const everyone = (topic) => ({
  'mosquitto 5': () => mosquittoPeer('5', topic),
  'mosquitto 3.1.1': () => mosquittoPeer('311', topic),
  'MQTT.js 5 TCP': () => mqttjsPeer(server.tcp, 5, topic),
  'MQTT.js 3.1.1 TCP': () => mqttjsPeer(server.tcp, 4, topic),
  'MQTT.js 5 WebSocket': () => mqttjsPeer(server.ws, 5, topic),
  'MQTT.js 3.1.1 WebSocket': () => mqttjsPeer(server.ws, 4, topic),
  'paho 5 TCP': () => pahoPeer(5, 'tcp', 'paho-5-tcp', topic),
  'paho 3.1.1 WebSocket': () => pahoPeer(4, 'websockets', 'paho-311-ws', topic),
});

test('everyone hears everyone, once, at QoS 0, 1 and 2', async () => {
  const makers = everyone('exchange/#');
  const peers = {};
  try {
    for (const [name, make] of Object.entries(makers)) peers[name] = await make();
    const sent = [];
    for (const [name, peer] of Object.entries(peers)) {
      for (const qos of [0, 1, 2]) {
        const payload = `${name} at ${qos}`;
        sent.push({ topic: `exchange/${qos}`, payload, qos });
        await peer.publish(`exchange/${qos}`, payload, { qos });
      }
    }
    for (const [name, peer] of Object.entries(peers)) {
      for (const expected of sent) {
        const got = await peer.message((m) => m.payload === expected.payload);
        assert.equal(got.topic, expected.topic, name);
        assert.equal(got.qos, expected.qos, `${name} hears "${expected.payload}" at its QoS`);
        assert.equal(got.retain, false, name);
      }
    }
    // Every client has every message. Now none may come twice.
    for (const [name, peer] of Object.entries(peers)) {
      const payloads = peer.messages().map((m) => m.payload);
      assert.equal(payloads.length, sent.length, `${name}: ${payloads.join(', ')}`);
      assert.equal(new Set(payloads).size, sent.length, name);
    }
  } finally {
    for (const peer of Object.values(peers)) await peer.stop();
  }
});

test('retained messages reach those who come later, and an empty one deletes', async () => {
  const writer = await mqttjs.connect(server.ws);
  for (const qos of [0, 1, 2]) {
    await writer.publish(`kept/${qos}`, `value ${qos}`, { qos, retain: true });
  }
  await mosquitto.publish(server, 'kept/mosquitto', 'from 3.1.1', { version: '311', qos: 1, retain: true });
  for (const [name, make] of Object.entries(everyone('kept/#'))) {
    const peer = await make();
    for (const expected of ['value 0', 'value 1', 'value 2', 'from 3.1.1']) {
      const got = await peer.message((m) => m.payload === expected);
      assert.equal(got.retain, true, `${name}: "${expected}" is marked as kept`);
    }
    await peer.stop();
  }
  await writer.publish('kept/0', '', { qos: 1, retain: true });
  const late = await mqttjs.connect(server.tcp);
  await late.subscribe('kept/#', 1);
  await late.message((m) => m.payload === 'from 3.1.1');
  await late.message((m) => m.payload === 'value 2');
  assert.ok(!late.messages.some((m) => m.topic === 'kept/0'), 'a deleted message is gone');
  await writer.end();
  await late.end();
});

describe('a will speaks for a client that is killed, and not for one that disconnects', () => {
  for (const version of ['5', '311']) {
    test(`mosquitto ${version}`, async () => {
      const observer = await mqttjs.connect(server.ws);
      await observer.subscribe('will/#', 2);
      const will = { topic: `will/m${version}`, payload: 'gone', qos: 2, retain: true };
      const polite = await mqttjs.connect(server.tcp, {
        protocolVersion: version === '5' ? 5 : 4,
        will: { ...will, topic: `will/polite${version}`, payload: Buffer.from('never') },
      });
      await polite.end();
      const device = await mosquitto.connectWithWill(server, `killed-${version}`, will, { version });
      await device.kill();
      const got = await observer.message((m) => m.topic === will.topic);
      assert.deepEqual([got.payload, got.qos], ['gone', 2]);
      assert.ok(!observer.messages.some((m) => m.topic === `will/polite${version}`));
      await observer.end();
    });
  }

  test('mosquitto 5 that says "disconnect with will message"', async () => {
    const observer = await mqttjs.connect(server.tcp, { protocolVersion: 4 });
    await observer.subscribe('will/said', 1);
    // On SIGTERM, a mosquitto_sub with a will sends DISCONNECT 0x04.
    const device = await mosquitto.connectWithWill(server, 'said', { topic: 'will/said', payload: 'on purpose', qos: 1 });
    await device.stop();
    await observer.message((m) => m.payload === 'on purpose');
    await observer.end();
  });

  test('paho over WebSocket', async () => {
    const observer = await mosquitto.subscribe(server, ['will/paho']);
    const device = await paho.connect(server, { transport: 'websockets', id: 'paho-will', will: { topic: 'will/paho', payload: 'lost' } });
    await device.die();
    const got = await observer.message((m) => m.topic === 'will/paho');
    assert.equal(got.payload, 'lost');
    await observer.stop();
  });

  test('MQTT.js over WebSocket', async () => {
    const observer = await mosquitto.subscribe(server, ['will/js'], { version: '311' });
    const device = await mqttjs.connect(server.ws, { will: { topic: 'will/js', payload: Buffer.from('lost'), qos: 1, retain: false } });
    device.cut();
    const got = await observer.message((m) => m.topic === 'will/js');
    assert.equal(got.payload, 'lost');
    await observer.stop();
  });
});

test('a session keeps what its client missed, at QoS 1 and 2, in order', async () => {
  const options = { clientId: 'sleeper', clean: false, properties: { sessionExpiryInterval: 300 } };
  const first = await mqttjs.connect(server.tcp, options);
  await first.subscribe('missed/#', 2);
  await first.end();
  for (let n = 0; n < 20; n += 1) {
    await mosquitto.publish(server, 'missed/a', String(n), { qos: 1 + (n % 2), version: n % 3 ? '5' : '311' });
  }
  // It listens from the start, because the broker sends queued messages right after CONNACK.
  const second = await mqttjs.connect(server.tcp, options);
  assert.equal(second.connack.sessionPresent, true);
  await second.message((m) => m.payload === '19');
  await second.message((m) => m.payload === '18');
  // A receiver hands on a QoS 2 message when it is released, so the order holds only within a QoS.
  const order = (qos) => second.messages.filter((m) => m.qos === qos).map((m) => Number(m.payload));
  assert.deepEqual(order(1), [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
  assert.deepEqual(order(2), [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
  await second.end();
});

test('version 5: properties arrive as they were sent', async () => {
  const receiver = await mqttjs.connect(server.ws);
  await receiver.client.subscribeAsync('properties', { qos: 1, properties: { subscriptionIdentifier: 77 } });
  await mosquitto.publish(server, 'properties', 'x', {
    qos: 1,
    extra: ['-D', 'publish', 'response-topic', 'answers/1', '-D', 'publish', 'correlation-data', 'c-1',
      '-D', 'publish', 'content-type', 'text/plain', '-D', 'publish', 'user-property', 'a', 'é',
      '-D', 'publish', 'message-expiry-interval', '60'],
  });
  const { properties } = await receiver.message((m) => m.topic === 'properties');
  assert.equal(properties.responseTopic, 'answers/1');
  assert.equal(properties.correlationData.toString(), 'c-1');
  assert.equal(properties.contentType, 'text/plain');
  assert.equal(properties.userProperties.a, 'é');
  assert.equal(properties.subscriptionIdentifier, 77);
  assert.ok(properties.messageExpiryInterval > 0 && properties.messageExpiryInterval <= 60);
  await receiver.end();
});

test('a second connection with the same client id takes over', async () => {
  const first = await mqttjs.connect(server.tcp, { clientId: 'twin' });
  const told = new Promise((resolve) => first.client.once('disconnect', resolve));
  const second = await mqttjs.connect(server.ws, { clientId: 'twin' });
  assert.equal((await told).reasonCode, 0x8e, 'session taken over');
  await second.end();
  await first.end(true);
});

test('large messages cross both transports', async () => {
  const receiver = await mqttjs.connect(server.ws);
  await receiver.subscribe('large', 1);
  const sender = await mqttjs.connect(server.tcp);
  const payload = 'é0123456789'.repeat(80_000);
  await sender.publish('large', payload, { qos: 1 });
  const got = await receiver.message((m) => m.topic === 'large');
  assert.equal(got.payload, payload);
  await sender.end();
  await receiver.end();
});
