// The dashboard in real Chromium, with devices that no one here wrote: mosquitto's clients and
// an MQTT.js program, over TCP.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, openPage } from './lib/browser.mjs';
import { startDevice } from './lib/device.mjs';
import * as mosquitto from './lib/mosquitto.mjs';
import * as mqttjs from './lib/mqttjs.mjs';
import { startProxy } from './lib/proxy.mjs';
import { startServer } from './lib/server.mjs';

let server;
let browser;
before(async () => {
  server = await startServer();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  const { code } = await server.stop();
  assert.equal(code, 0);
});

/// Only a client that is already subscribed sees a message that is not retained.
const live = (page) => page.getByTestId('connection-state').filter({ hasText: /live/i }).waitFor();
const card = (page, id) => page.getByTestId('device-card').filter({ hasText: id });

test('a device signs in and appears, its readings are drawn, a click is answered', async () => {
  const { page, complaints, close } = await openPage(browser, server.page);
  await live(page);
  const device = await startDevice(server, 'greenhouse-1');
  await card(page, 'greenhouse-1').waitFor();
  await card(page, 'greenhouse-1').getByTestId('presence').filter({ hasText: /online/i }).waitFor();
  for (let n = 0; n < 5; n += 1) await device.send({ temp: 20 + n / 2, humidity: 60 - n, lat: 48.01, lng: -88.6 });
  await card(page, 'greenhouse-1').getByText('22', { exact: false }).first().waitFor();

  await card(page, 'greenhouse-1').click();
  await page.getByRole('heading', { name: /greenhouse-1/ }).waitFor();
  await page.getByTestId('chart').first().locator('canvas').waitFor();
  await device.send({ temp: 23.5, humidity: 55 });
  await page.getByText('23.5').first().waitFor();
  const inked = await page.getByTestId('chart').first().locator('canvas').evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return new Set(Array.from({ length: data.length / 4 }, (_, i) => data.slice(4 * i, 4 * i + 4).join())).size;
  });
  assert.ok(inked > 2, `the chart's canvas shows more than a background: ${inked} colours`);

  await page.getByTestId('command-PING').click();
  const answer = page.getByTestId('command-answer').first();
  await answer.filter({ hasText: 'PONG' }).waitFor();
  assert.match(await answer.innerText(), /\d+(\.\d+)?\s*m?s/, 'with its round-trip time');
  await device.program.line('command PING');

  await device.kill();
  await page.getByTestId('presence').first().filter({ hasText: /offline/i }).waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test('a load never says that nothing fits, nor shows a grid before it is measured', async (t) => {
  const fleet = await startServer();
  t.after(() => fleet.stop());
  const sender = await mqttjs.connect(fleet.tcp);
  const count = 24;
  for (let n = 0; n < count; n += 1) await sender.publish(`beaconry/register/still-${n}`, 'SIGN_IN', { qos: 1, retain: true });
  await sender.end();

  const { page, complaints, close } = await openPage(browser, 'about:blank', { viewport: { width: 1280, height: 900 } });
  await page.addInitScript(() => {
    window.seen = { words: [], columns: [] };
    const shown = (id) => document.querySelector(`[data-testid=${id}]`)?.textContent ?? '';
    new MutationObserver(() => {
      window.seen.words.push(...[shown('no-results'), shown('count-shown')].filter((text) => /No device fits| of /.test(text)));
    }).observe(document, { subtree: true, childList: true, characterData: true });
    // What exists when a frame begins was painted, or is about to be.
    const look = () => {
      const card = document.querySelector('[data-testid=device-card]');
      if (card) window.seen.columns.push(getComputedStyle(card.closest('ul')).gridTemplateColumns.split(' ').length);
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  for (let load = 0; load < 3; load += 1) {
    await page.goto(fleet.page);
    await page.getByTestId('device-card').nth(count - 1).waitFor();
    await page.waitForFunction(() => window.seen.columns.length > 0);
    const seen = await page.evaluate(() => window.seen);
    assert.deepEqual(seen.words, []);
    assert.deepEqual([...new Set(seen.columns)], [4]);
  }
  // The search shows a device as soon as it exists.
  await page.getByTestId('search').fill('no such device');
  await page.getByTestId('no-results').waitFor();
  const words = await page.evaluate(() => window.seen.words.join());
  assert.match(words, /No device fits/);
  assert.match(words, /0 of 24 devices/);
  assert.deepEqual(complaints, []);
  await close();
});

test('what a limit dropped is told and counted', async () => {
  // As against another broker: our own server reads the messages itself.
  const { page, complaints, close } = await openPage(browser, `${server.page}?topics=beaconry/%23`);
  await live(page);
  const device = await mqttjs.connect(server.tcp);
  const say = (letter) => device.publish('beaconry/data/verbose-1', JSON.stringify({ note: letter.repeat(5_000) }), { qos: 1 });
  await say('x');
  await page.getByTestId('limits').getByText('Not everything was kept').click();
  const limit = page.getByTestId('limit').filter({ hasText: 'A text was too long and was cut.' });
  await limit.filter({ hasText: 'Once.' }).waitFor();
  await say('y');
  await limit.filter({ hasText: '2 times.' }).waitFor();
  await device.end();
  assert.deepEqual(complaints, []);
  await close();
});

test('an address that is no page says so, and its status too', async () => {
  const { page, complaints, close } = await openPage(browser, 'about:blank', { expected: [/404/] });
  const response = await page.goto(`${server.page}healthzz`);
  assert.equal(response.status(), 404);
  await page.getByTestId('not-found').waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test('mosquitto_pub and mosquitto_sub are a device too, of version 3.1.1', async () => {
  const { page, complaints, close } = await openPage(browser, server.page);
  await live(page);
  const id = 'pump-m';
  const device = await mosquitto.connectWithWill(
    server, id,
    { topic: `beaconry/register/${id}`, payload: 'SIGN_OUT', retain: true, qos: 2 },
    { version: '311', topic: `beaconry/cmd/req/${id}` },
  );
  await mosquitto.publish(server, `beaconry/register/${id}`, 'SIGN_IN', { version: '311', qos: 2, retain: true });
  await mosquitto.publish(server, `beaconry/data/${id}`, JSON.stringify({ deviceId: id, messageType: 'DATA', pressure: 3.25 }), { version: '311', qos: 1 });
  await card(page, id).getByText('3.25').waitFor();
  await card(page, id).click();
  await page.getByTestId('command-PING').click();
  const request = JSON.parse((await device.message((m) => m.topic === `beaconry/cmd/req/${id}`)).payload);
  assert.match(request.uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  await mosquitto.publish(server, `beaconry/cmd/resp/${id}`, JSON.stringify({
    deviceId: id, messageType: 'commandResp', commandResult: 'PONG', uuid: request.uuid, command: request.command,
  }), { qos: 2 });
  await page.getByTestId('command-answer').first().filter({ hasText: 'PONG' }).waitFor();
  await device.kill();
  await page.getByTestId('presence').first().filter({ hasText: /offline/i }).waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test('a cut connection comes back by itself, without a gap or a duplicate at QoS 2', async (t) => {
  const proxy = await startProxy(server.httpAddress);
  t.after(() => proxy.stop());
  const { page, complaints, close } = await openPage(browser, `http://${proxy.address}/`, { expected: [/WebSocket connection/, /ERR_CONNECTION/] });
  await live(page);
  const device = await startDevice(server, 'steady-1');
  t.after(() => device.quit());
  await card(page, 'steady-1').click();
  const state = page.getByTestId('connection-state');
  // The page subscribes to the device once it is open.
  const first = page.getByTestId('raw-message').first();
  while (!(await first.isVisible())) await device.send({ warm: 1 });
  const total = 40;
  for (let n = 1; n <= total; n += 1) {
    // The device page must have loaded its own files: a cut would be another error.
    if (n === 10) await page.getByTestId('chart').first().locator('canvas').waitFor();
    if (n === 10 || n === 25) {
      proxy.cut();
      await state.filter({ hasText: /reconnect|connecting|try/i }).waitFor();
    }
    if (n === 18 || n === 33) proxy.restore();
    await device.send({ n });
  }
  await state.filter({ hasText: /live/i }).waitFor();
  await page.getByTestId('raw-message').filter({ hasText: `"n":${total}` }).or(page.getByTestId('raw-message').filter({ hasText: `"n": ${total}` })).first().waitFor();
  const numbers = (await page.getByTestId('raw-message').allInnerTexts())
    .map((text) => text.match(/"n":\s*(\d+)/)?.[1]).filter(Boolean).map(Number).sort((a, b) => a - b);
  assert.deepEqual(numbers, Array.from({ length: total }, (_, i) => i + 1));
  assert.deepEqual(complaints, []);
  await close();
});
