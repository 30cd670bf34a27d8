// The founding documents' device and server, ours and theirs in every pairing: presence, data, commands that
// are answered after sleep.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import * as mosquitto from './lib/mosquitto.mjs';
import * as mqttjs from './lib/mqttjs.mjs';
import { presence } from './lib/presence.mjs';
import {
  COMMAND_EVERY_MS, PLAYERS, answered, given, naps, readings, registrations, sent, sleeps, startCollector,
  startDevice, variables,
} from './lib/seeds.mjs';
import { startServer } from './lib/server.mjs';

let server;
let other;
before(async () => {
  server = await startServer();
  other = await mosquitto.startBroker([]);
});
after(async () => {
  await other.stop();
  const { code, signal } = await server.stop();
  assert.deepEqual({ code, signal }, { code: 0, signal: null }, 'the server ends cleanly');
});

const COMMANDS = 4;
const PATIENCE_MS = 60_000;
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

describe('a device and a server', { concurrency: true }, () => {
  for (const ofDevice of PLAYERS) {
    for (const ofServer of PLAYERS) {
      test(`the device is ${ofDevice}, the server ${ofServer}`, (t) => {
        const prefix = `seeds/${ofDevice}-${ofServer}`;
        const env = variables(server.tcp, prefix);
        return play(t, { env, ofDevice, ofServer, isSeen: (state) => presence(server, `${prefix}/${env.DEVICE_ID}`, state) });
      });
    }
  }

  // Nothing in ours needs our broker. mosquitto has no API to ask.
  for (const [ofDevice, ofServer] of [['beaconry', 'beaconry'], ['beaconry 311', 'mqtt4'], ['mqtt4', 'beaconry 311']]) {
    test(`the device is ${ofDevice}, the server ${ofServer}, the broker mosquitto`, (t) => {
      const env = variables(`mqtt://${other.mqttHost}:${other.mqttPort}`, `seeds/${ofDevice}-${ofServer}`.replaceAll(' ', '-'));
      return play(t, { env, ofDevice, ofServer, isSeen: () => {} });
    });
  }
});

/// `isSeen(state)` waits until everybody sees the device so.
async function play(t, { env, ofDevice, ofServer, isSeen }) {
  const collector = startCollector(ofServer, env, ['--out', '/dev/null']);
  t.after(() => collector.stop('SIGKILL'));
  await collector.line(/SUCCESSFULLY SUBSCRIBED/);
  const device = startDevice(ofDevice, env);
  t.after(() => device.stop('SIGKILL'));

  // Some commands come while it sleeps. They are answered too.
  const whileAsleep = [];
  for (let count = 1; count <= COMMANDS; count += 1) {
    await collector.until(`command ${count}`, () => given(collector).length >= count, PATIENCE_MS);
    if (sleeps(device)) whileAsleep.push(given(collector)[count - 1]);
  }
  assert.ok(whileAsleep.length > 0 && whileAsleep.length < COMMANDS, `${whileAsleep.length} commands while it slept`);
  const commands = given(collector).slice(0, COMMANDS);
  await collector.until('all answers', () => commands.every((uuid) => answered(collector, env).includes(uuid)), PATIENCE_MS);
  await isSeen('sleeping');
  await isSeen('online');

  // It signs out though it is not connected, and gets no more commands.
  const before = naps(device);
  await device.until('a nap', () => naps(device) > before);
  assert.deepEqual(await device.stop('SIGINT'), { code: 0, signal: null });
  await collector.until('SIGN_OUT', () => registrations(collector, env).at(-1) === 'SIGN_OUT');
  assert.equal(registrations(collector, env)[0], 'SIGN_IN');
  await isSeen('offline');
  const count = given(collector).length;
  await pause(COMMAND_EVERY_MS + 500);
  assert.equal(given(collector).length, count, 'no command after it has signed out');

  // Each reading and each answer came exactly once, in the order in which it was sent.
  assert.deepEqual(readings(collector, env), sent(device));
  const answers = answered(collector, env);
  assert.equal(new Set(answers).size, answers.length, 'no answer came twice');
  const late = await mqttjs.connect(env.BROKER);
  t.after(() => late.end(true));
  await late.subscribe(`${env.REGISTER_TOPIC}/+`);
  const retained = await late.message((it) => it.topic.endsWith(env.DEVICE_ID));
  assert.deepEqual([retained.payload, retained.retain, retained.qos], ['SIGN_OUT', true, 2]);
  assert.deepEqual(await collector.stop('SIGTERM'), { code: 0, signal: null });
}
