// Strangers send bad input to the ports and onto the page. It causes a log line or a visible fault of that
// device, and does not affect anyone else.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { launch, openPage } from './lib/browser.mjs';
import { startDevice } from './lib/device.mjs';
import * as mqttjs from './lib/mqttjs.mjs';
import { startServer } from './lib/server.mjs';

let server;
let browser;
let witness;
before(async () => {
  server = await startServer();
  browser = await launch();
  witness = await mqttjs.connect(server.tcp);
  await witness.subscribe('witness', 2);
});
after(async () => {
  await witness.end();
  await browser?.close();
  assert.equal((await server.stop()).code, 0);
});

let round = 0;
/// Everything else goes on: a message from another client still arrives.
async function othersGoOn() {
  round += 1;
  await witness.publish('witness', String(round), { qos: 2 });
  await witness.message((m) => m.topic === 'witness' && m.payload === String(round));
}

async function closesAfter(bytes) {
  const socket = net.connect(server.mqttPort, server.mqttHost);
  socket.on('error', () => {});
  socket.resume();
  await once(socket, 'connect');
  socket.write(bytes);
  await once(socket, 'close');
}

test('bytes that are no MQTT end that connection only', async () => {
  const connect = Buffer.from('101000044d5154540502003c000003616263', 'hex');
  const hostile = {
    'random bytes': Buffer.concat([Buffer.from([0x00]), randomBytes(4096)]),
    'a remaining length of 256 MB': Buffer.from('10ffffff7f', 'hex'),
    'a remaining length of five bytes': Buffer.from('10ffffffff7f', 'hex'),
    'PUBLISH before CONNECT': Buffer.from('300300016178', 'hex'),
    'a second CONNECT': Buffer.concat([connect, connect]),
    'PUBLISH of 256 MB after CONNECT': Buffer.concat([connect, Buffer.from('30ffffff7f', 'hex')]),
    'QoS 3': Buffer.concat([connect, Buffer.from('3605000161000178', 'hex')]),
  };
  for (const [name, bytes] of Object.entries(hostile)) {
    const before = server.program.errors.length;
    await closesAfter(bytes);
    await server.program.until(`a log line about ${name}`, () => server.program.errors.length > before);
    await othersGoOn();
  }
});

test('what is no MQTT over WebSocket is refused', async () => {
  const { page, close } = await openPage(browser, server.page, { expected: [/./] });
  const closed = (protocols, data) => page.evaluate(([url, wanted, text]) => new Promise((resolve) => {
    const socket = new WebSocket(url, wanted);
    socket.onopen = () => { if (text === null) socket.send(new Uint8Array(5000).fill(7)); else socket.send(text); };
    socket.onclose = (event) => resolve({ code: event.code, reason: event.reason });
  }), [server.ws, protocols, data]);
  assert.equal((await closed(['mqtt'], 'a text frame')).code, 1003);
  await othersGoOn();
  await closed(['mqtt'], null);
  await othersGoOn();
  assert.equal((await closed(['chat'], 'x')).code, 1006, 'another subprotocol never opens');
  await othersGoOn();
  await close();
});

const hostileIds = {
  script: '<script>window.broken=1</script>',
  image: '<img src=x onerror=window.broken=1>',
  quotes: `"'\`\${window.broken=1}`,
  emoji: '🌡️🧊 frost-7',
  arabic: 'جهاز-٧',
  override: 'abc\u202Egnp.exe',
  long: `long-${'x'.repeat(4000)}`,
};

test('hostile ids, names and payloads stay text, and the page stays whole', async () => {
  const { page, complaints, close } = await openPage(browser, server.page);
  await page.getByTestId('connection-state').filter({ hasText: /live/i }).waitFor();
  const sender = await mqttjs.connect(server.tcp);
  for (const id of Object.values(hostileIds)) {
    await sender.publish(`beaconry/data/${id}`, JSON.stringify({ deviceId: id, temp: 7.5, '<b>bold</b>': 1, '"><script>window.broken=1</script>': 2 }), { qos: 1 });
  }
  await sender.publish('beaconry/data/no-json', '{"temp": 21', { qos: 1, retain: true });
  await sender.publish('beaconry/data/bytes', randomBytes(300), { qos: 1 });
  await sender.publish('beaconry/data/deep', '['.repeat(100_000), { qos: 1 });
  await sender.publish('beaconry/data/huge', JSON.stringify({ temp: 1, blob: 'y'.repeat(1_000_000) }), { qos: 1 });
  await sender.publish('beaconry/data/wide', JSON.stringify(Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`m${n}`, n]))), { qos: 1, retain: true });
  await sender.publish('beaconry/data/past', JSON.stringify({ temp: 3, timestamp: 12 }), { qos: 1, retain: true });
  const device = await startDevice(server, 'well-behaved');
  await device.send({ temp: 19.25 });

  await page.getByTestId('device-card').filter({ hasText: 'well-behaved' }).getByText('19.25').waitFor();
  await page.getByTestId('search').fill('frost-7');
  await page.getByTestId('device-card').filter({ hasText: hostileIds.emoji }).first().waitFor();
  await page.getByTestId('search').fill('<script>');
  await page.getByTestId('device-card').filter({ hasText: hostileIds.script }).first().waitFor();
  assert.equal(await page.evaluate(() => window.broken), undefined);
  assert.equal(await page.locator('main script, main b, main img[src=x]').count(), 0);

  for (const [id, fault] of [['no-json', /json/i], ['past', /clock|time/i], ['wide', /metric|limit|many/i]]) {
    await page.goto(`${server.page}device/${id}`);
    await page.getByTestId('fault').filter({ hasText: fault }).first().waitFor();
  }
  for (const id of Object.values(hostileIds)) {
    await page.goto(`${server.page}device/${encodeURIComponent(id)}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    assert.equal(await page.evaluate(() => window.broken), undefined);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), `${id.slice(0, 30)} does not widen the page`);
  }
  assert.deepEqual(complaints, []);
  await device.quit();
  await sender.end();
  await close();
});
