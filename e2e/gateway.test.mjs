// The founding documents' TCP pair: their device with our gateway, our device with their server, ours with
// ours; through a relay that carries one byte at a time. Then what a stranger may send to the gateway.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import * as mqttjs from './lib/mqttjs.mjs';
import { presence } from './lib/presence.mjs';
import { Program } from './lib/process.mjs';
import { binary, startServer } from './lib/server.mjs';

const EVERY_MS = 300;
const COMMAND_EVERY_MS = 400;
const GATEWAY = ['--tcp-gateway', '127.0.0.1:0'];
const script = (name) => fileURLToPath(new URL(`./seeds/${name}.mjs`, import.meta.url));

const startDevice = {
  theirs: (address, id, env = {}) => {
    const [SERVER_HOST, SERVER_PORT] = address.split(':');
    return new Program(process.execPath, [script('tcp-device')], {
      env: { SERVER_HOST, SERVER_PORT, DEVICE_ID: id, EVERY_MS, ...env },
    });
  },
  ours: (address, id) => new Program(binary, ['device', '--tcp', address, '--device', id, '--every', `${EVERY_MS}ms`]),
};

/// What a device says that it has sent: its readings, and its answers to commands.
const said = (device) => device.lines
  .map((line) => line.match(/SENDING (?:DATA:|COMMAND RESPONSE) (\{.*)$/))
  .filter(Boolean)
  .map((it) => it[1]);

/// A relay that carries one byte at a time from the device to the server, and back too if `both`.
async function startRelay(target, { both }) {
  const open = new Set();
  const carry = async (from, to, bytewise) => {
    from.on('error', () => to.destroy());
    for await (const chunk of from) {
      if (!bytewise) to.write(chunk);
      for (const byte of bytewise ? chunk : []) {
        to.write(Buffer.of(byte));
        await turn();
      }
    }
    to.end();
  };
  const listener = net.createServer((near) => {
    const [host, port] = target.split(':');
    const far = net.connect(Number(port), host);
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      open.add(socket);
    }
    // A reset ends the loop, and `error` has ended the other side.
    carry(near, far, true).catch(() => {});
    carry(far, near, both).catch(() => {});
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    address: `127.0.0.1:${listener.address().port}`,
    stop() {
      listener.close();
      for (const socket of open) socket.destroy();
    },
  };
}

describe('with our gateway', { concurrency: true }, () => {
  let server;
  let watcher;
  before(async () => {
    server = await startServer({ args: GATEWAY });
    watcher = await mqttjs.connect(server.tcp);
    await watcher.subscribe('beaconry/#');
  });
  after(async () => {
    await watcher.end();
    const { code, signal } = await server.stop();
    assert.deepEqual({ code, signal }, { code: 0, signal: null }, 'the server ends cleanly');
  });

  const onTopic = (topic) => watcher.messages.filter((it) => it.topic === topic).map((it) => it.payload);

  for (const [whose, answerType] of [['theirs', 'commandResp'], ['theirs', 'COMMAND_RESP'], ['ours', undefined]]) {
    for (const bytewise of [false, true]) {
      const name = `${whose}${answerType ? `, which answers with ${answerType}` : ''}${bytewise ? ', byte by byte' : ''}`;
      test(`a device: ${name}`, async (t) => {
        const id = `tcp-${whose}-${answerType ?? ''}-${bytewise}`;
        // Their device takes each read for one whole command, so those reach it whole.
        const relay = bytewise ? await startRelay(server.gateway, { both: whose === 'ours' }) : null;
        t.after(() => relay?.stop());
        const device = startDevice[whose](relay?.address ?? server.gateway, id, answerType && { ANSWER_TYPE: answerType });
        t.after(() => device.stop('SIGKILL'));
        await watcher.message((it) => it.topic === `beaconry/register/${id}` && it.payload === 'SIGN_IN');
        await presence(server, `beaconry/${id}`, 'online');

        // A command by our program, and one by anybody's.
        const host = ['-h', server.mqttHost, '-p', String(server.mqttPort)];
        const command = new Program(binary, ['command', ...host, `beaconry/${id}`, '{"command":"PING"}']);
        t.after(() => command.stop('SIGKILL'));
        assert.equal((await command.exited).code, 0, command.errors.join('\n'));
        assert.equal(JSON.parse(command.lines.at(-1)).commandResult, 'PONG');
        await watcher.publish(`beaconry/cmd/req/${id}`, `{"uuid":"grün 🎉 ${id}","command":"PING"}`, { qos: 2 });
        await watcher.message((it) => it.topic === `beaconry/cmd/resp/${id}` && it.payload.includes(`grün 🎉 ${id}`));
        await device.until('six readings and answers', () => said(device).length >= 6);

        await device.stop('SIGTERM');
        await watcher.message((it) => it.topic === `beaconry/register/${id}` && it.payload === 'SIGN_OUT');
        await presence(server, `beaconry/${id}`, 'offline');

        // Each reading and each answer came once, in its order, as it was sent.
        const sent = said(device);
        const isAnswer = (text) => JSON.parse(text).commandResult !== undefined;
        assert.deepEqual(onTopic(`beaconry/data/${id}`), sent.filter((it) => !isAnswer(it)));
        assert.deepEqual(onTopic(`beaconry/cmd/resp/${id}`), sent.filter(isAnswer));
        const late = await mqttjs.connect(server.tcp);
        t.after(() => late.end(true));
        await late.subscribe(`beaconry/register/${id}`);
        const retained = await late.message(() => true);
        assert.deepEqual([retained.payload, retained.retain, retained.qos], ['SIGN_OUT', true, 2]);
      });
    }
  }

  test('a stranger gets one line that says why, and nobody else is harmed', async (t) => {
    const good = startDevice.ours(server.gateway, 'bystander');
    t.after(() => good.stop('SIGKILL'));
    await presence(server, 'beaconry/bystander', 'online');
    const signUp = (deviceId) => JSON.stringify({ deviceId, messageType: 'SIGNUP' });
    const strangers = {
      'must begin here': Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      'byte 0x10': Buffer.from('101000044d5154540502003c000003616263', 'hex'),
      'larger than 65536 bytes': Buffer.from(`{"a":"${'x'.repeat(10_000_000)}`),
      'nested too deep': Buffer.from('{"a":'.repeat(5000)),
      'a second SIGNUP': Buffer.from(signUp('twice') + signUp('twice')),
      'SIGNUP must come first': Buffer.from('{"messageType":"DATA","temp":1}'),
      '"a/b" cannot end': Buffer.from(signUp('a/b')),
      '"+" cannot end': Buffer.from(signUp('+')),
      '"#" cannot end': Buffer.from(signUp('#')),
      '"a\\0b" cannot end': Buffer.from(signUp('a\0b')),
      'at most 200 bytes': Buffer.from(signUp('ü'.repeat(101))),
      'has no deviceId': Buffer.from(signUp('')),
      'not UTF-8': Buffer.from('7b2261223a22ff227d', 'hex'),
      'no JSON': Buffer.from('{"messageType":}'),
    };
    for (const [why, bytes] of Object.entries(strangers)) {
      const told = await refusal(server.gateway, bytes);
      assert.ok(told.includes(why), `${why}: ${told}`);
      await server.program.until(`a log line: ${why}`, ({ errors }) => errors.some(
        (line) => line.includes('tcp-gateway: closed: ') && line.includes(why)));
      const count = said(good).length;
      await good.until('another reading', () => said(good).length > count);
    }
    await presence(server, 'beaconry/bystander', 'online');
    const readings = said(good);
    await watcher.message((it) => it.payload === readings.at(-1));
  });
});

/// Sends this. Resolves with the reason that the gateway gives before it closes the connection.
async function refusal(address, bytes) {
  const [host, port] = address.split(':');
  const socket = net.connect(Number(port), host);
  socket.on('error', () => {});
  let text = '';
  socket.on('data', (data) => { text += data; });
  socket.write(bytes);
  // Not by `once`, which rejects when the gateway closes before it has read everything.
  await new Promise((resolve) => { socket.on('close', resolve); });
  return JSON.parse(text).error;
}

test('our device serves their server, and comes back when it does', async (t) => {
  const start = (port) => new Program(process.execPath, [script('tcp-server')], {
    env: { SERVER_HOST: '127.0.0.1', SERVER_PORT: String(port), COMMAND_EVERY_MS },
  });
  const got = (program) => program.lines.map((line) => line.match(/^RECEIVED DATA FROM \d+: (.*)$/)?.[1]).filter(Boolean).join('');
  const first = start(0);
  t.after(() => first.stop('SIGKILL'));
  const [, port] = (await first.line(/^STARTING TCP IOT SERVER ON PORT/)).match(/PORT (\d+)$/);
  const relay = await startRelay(`127.0.0.1:${port}`, { both: true });
  t.after(() => relay.stop());

  // Straight, and byte by byte.
  const devices = [`127.0.0.1:${port}`, relay.address].map((address, index) => startDevice.ours(address, `ours-${index}`));
  t.after(() => Promise.all(devices.map((device) => device.stop('SIGKILL'))));
  for (const device of devices) {
    await device.until('two answers', () => said(device).filter((it) => it.includes('PONG')).length >= 2);
  }
  await first.until('what both sent', () => ['ours-0', 'ours-1'].every((id) => got(first).includes(`"deviceId":"${id}"`)));
  const [device, bytewise] = devices;
  assert.equal((await bytewise.stop('SIGINT')).code, 0);

  await first.stop();
  await device.until('trouble', () => device.errors.some((line) => line.includes('tries again')));
  const second = start(port);
  t.after(() => second.stop('SIGKILL'));
  await second.until('it to sign up again', () => got(second).includes('"SIGNUP"'));
  await second.until('its answer', () => got(second).includes('PONG'));
  assert.deepEqual(await device.stop('SIGTERM'), { code: 0, signal: null });
  await second.line(/^CLOSING CONNECTION TO/);
});

test('a device comes back after the server was killed, and is signed out until then', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'gateway-'));
  t.after(() => rm(folder, { recursive: true }));
  const args = ['--data', folder];
  const first = await startServer({ args: [...args, ...GATEWAY] });
  t.after(() => first.stop('SIGKILL'));
  const device = startDevice.ours(first.gateway, 'survivor');
  t.after(() => device.stop('SIGKILL'));
  await presence(first, 'beaconry/survivor', 'online');
  await first.stop('SIGKILL');
  await device.until('trouble', () => device.errors.some((line) => line.includes('tries again')));

  // Without the gateway the device cannot come back: the will tells of it.
  const second = await startServer({ args });
  t.after(() => second.stop('SIGKILL'));
  await presence(second, 'beaconry/survivor', 'offline');
  assert.equal((await second.stop()).code, 0);

  const third = await startServer({ args: [...args, '--tcp-gateway', first.gateway] });
  t.after(() => third.stop('SIGKILL'));
  await presence(third, 'beaconry/survivor', 'online');
  assert.equal((await third.stop()).code, 0);
});
