// The page as a view of our own server's model: a reload, a restart, a slow link, another clock.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { launch, openPage } from './lib/browser.mjs';
import { startCrowd } from './lib/crowd.mjs';
import { startLink } from './lib/link.mjs';
import * as mqttjs from './lib/mqttjs.mjs';
import { startServer } from './lib/server.mjs';

let browser;
before(async () => { browser = await launch(); });
after(() => browser?.close());

const live = (page) => page.getByTestId('connection-state').filter({ hasText: /live/i }).waitFor();
const api = async (server, what) => (await fetch(`${server.page}api/v1/${what}`)).json();
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

async function until(what, holds, patience = 20_000) {
  const end = performance.now() + patience;
  let last;
  while (performance.now() < end) {
    last = await holds();
    if (last === true) return;
    await pause(50);
  }
  throw new Error(`waited in vain until ${what}: ${JSON.stringify(last)}`);
}

/// What the cards say: name, presence, values. Not since when, whose text grows older.
const cards = (page) => page.getByTestId('device-card').evaluateAll((all) => all.map((card) => [
  card.dataset.device,
  card.dataset.presence,
  [...card.querySelectorAll('.metric')].map((metric) => metric.innerText.replace(/\s+/g, ' ')).join(),
].join(' | ')).sort());

/// The numbers on the chips.
const counts = (page) => page.evaluate(() => Object.fromEntries(
  ['online', 'sleeping', 'stale', 'offline', 'unknown'].map((state) => {
    const chip = document.querySelector(`[data-testid=count-${state}] .count`);
    return [state, Number(chip?.textContent)];
  }),
));

/// A device that wakes every two seconds, sends a reading and sleeps again, as a will-less program does.
async function sleeper(server, id) {
  const device = await mqttjs.connect(server.tcp);
  let reading = 20;
  const wake = async () => {
    await device.publish(`beaconry/register/${id}`, 'SIGN_IN', { qos: 1, retain: true });
    reading += 0.5;
    await device.publish(`beaconry/data/${id}`, JSON.stringify({ temp: reading }), { qos: 1 });
    await device.publish(`beaconry/register/${id}`, 'SIGN_OUT', { qos: 1, retain: true });
  };
  await wake();
  const timer = setInterval(wake, 2_000);
  return { async stop() { clearInterval(timer); await device.end(); } };
}

test('a reload shows the same devices, sleepers included, and goes to the same since', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const still = await mqttjs.connect(server.tcp);
  for (let n = 0; n < 24; n += 1) {
    await still.publish(`beaconry/register/still-${n}`, 'SIGN_IN', { qos: 1, retain: true });
    await still.publish(`beaconry/data/still-${n}`, JSON.stringify({ temp: n + 0.5, door: 'open' }), { qos: 1 });
  }
  const asleep = await sleeper(server, 'sleepy-1');
  t.after(async () => { await asleep.stop(); await still.end(); });
  const state = async (id) => (await api(server, `devices/beaconry/${id}`)).presence?.state;
  await until('its rhythm is learnt', async () => (await state('sleepy-1')) === 'sleeping');

  const { page, complaints, close } = await openPage(browser, server.page);
  await page.getByTestId('device-card').nth(24).waitFor();
  const sleepy = page.getByTestId('device-card').filter({ hasText: 'sleepy-1' });
  await sleepy.and(page.locator('[data-presence=sleeping]')).waitFor();
  const before = (await cards(page)).filter((card) => !card.includes('sleepy'));
  assert.ok(before.every((card) => /online \| .*\.5/.test(card)), before.join('\n'));
  const since = (await api(server, 'devices/beaconry/still-7')).presence.since;
  for (let load = 0; load < 2; load += 1) {
    await page.reload();
    await page.getByTestId('device-card').nth(24).waitFor();
    assert.deepEqual((await cards(page)).filter((card) => !card.includes('sleepy')), before);
    // It wakes for some milliseconds only, and is never red.
    assert.match(await sleepy.getAttribute('data-presence'), /sleeping|online/);
  }
  await page.getByTestId('device-card').filter({ hasText: 'still-7' }).click();
  await page.getByRole('heading', { name: /still-7/ }).waitFor();
  assert.equal((await api(server, 'devices/beaconry/still-7')).presence.since, since);
  assert.deepEqual(complaints, []);
  await close();
});

test('a server that is started again is followed again, with what it stored', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'beaconry-follow-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  let server = await startServer({ args: ['--data', folder] });
  t.after(() => server.stop());
  const device = await mqttjs.connect(server.tcp);
  for (let n = 0; n < 10; n += 1) {
    await device.publish(`beaconry/register/pump-${n}`, 'SIGN_IN', { qos: 1, retain: true });
    await device.publish(`beaconry/data/pump-${n}`, JSON.stringify({ flow: n + 0.25 }), { qos: 1 });
  }
  await device.end();
  const { page, complaints, close } = await openPage(browser, server.page, { expected: [/WebSocket connection/, /ERR_/] });
  await page.getByTestId('device-card').nth(9).waitFor();
  const before = await cards(page);
  await server.stop();
  await page.getByTestId('connection-state').filter({ hasText: /reconnect|connecting|try/i }).waitFor();
  server = await startServer({ args: ['--data', folder], mqtt: server.mqttAddress, http: server.httpAddress });
  await until('all are as before', async () => {
    const now = await cards(page);
    return JSON.stringify(now) === JSON.stringify(before) || now;
  });
  assert.deepEqual(complaints, []);
  await close();
});

test('what the page counts is what the server counts, also of what is off screen', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const crowd = await startCrowd(server, { count: 400, every: 1_000 });
  t.after(() => crowd.stop());
  const { page, complaints, close } = await openPage(browser, server.page);
  await until('all are there', async () => (await counts(page)).online === 400 || counts(page));
  for (let round = 1; round <= 8; round += 1) {
    // One that is on screen, and several that are not.
    for (const n of [round, 100 + round, 200 + round, 398 - round]) crowd.signOut(n);
    const online = 400 - 4 * round;
    await until('both count them', async () => {
      const [there, here] = [(await api(server, 'devices?limit=1')).counts, await counts(page)];
      return (there.online === online && JSON.stringify(there) === JSON.stringify(here)) || [there, here];
    });
  }
  assert.deepEqual(complaints, []);
  await close();
});

for (const rtt of [0, 40, 200]) {
  test(`5,000 devices behind a round trip of ${rtt} ms and 10 Mbit/s`, async (t) => {
    const server = await startServer();
    t.after(() => server.stop());
    const crowd = await startCrowd(server, { count: 5_000, every: 1_000 });
    t.after(() => crowd.stop());
    await until('the server knows them', async () => (await api(server, 'devices?limit=1')).counts.online === 5_000);
    const link = await startLink(server.httpAddress, { rtt, rate: 10_000_000 });
    t.after(() => link.stop());
    const { page, complaints, close } = await openPage(browser, 'about:blank');
    await page.goto(`http://${link.address}/`, { waitUntil: 'commit' });
    await page.waitForFunction(() => document.querySelector('[data-testid=connection-state]'));
    const begun = performance.now();
    await until('all are there', async () => (await counts(page)).online === 5_000 || counts(page));
    // How long that takes is for `bench/browser` to say: other tests run at the same time.
    t.diagnostic(`all devices after ${Math.round(performance.now() - begun)} ms`);
    await live(page);
    // It stays live, its values are of now, and nobody is accused.
    await page.evaluate(() => {
      window.words = new Set();
      const look = () => window.words.add(document.querySelector('[data-testid=connection-state]')?.dataset.state);
      setInterval(look, 100);
    });
    const [bytes, sent, since] = [link.received(), crowd.sent(), performance.now()];
    await until('every device has sent eight readings', () => crowd.sent() >= sent + 8 * 5_000 || crowd.sent());
    assert.deepEqual(await page.evaluate(() => [...window.words]), ['live']);
    t.diagnostic(`${Math.round((link.received() - bytes) / (performance.now() - since))} kB a second`);
    assert.equal((await counts(page)).online, 5_000);
    assert.deepEqual(complaints, []);
    await close();
  });
}

test('a viewer whose clock is ten minutes off accuses nobody and sees the same charts', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  // A device that tells its own time, which is right.
  const device = await mqttjs.connect(server.tcp);
  let seq = 0;
  const timer = setInterval(() => {
    seq += 1;
    device.publish('beaconry/data/punctual', JSON.stringify({ seq, ts: Date.now() }), { qos: 1 });
  }, 250);
  t.after(async () => { clearInterval(timer); await device.end(); });
  for (const minutes of [10, -10]) {
    const { page, complaints, close } = await openPage(browser, 'about:blank');
    await page.addInitScript((off) => {
      const now = Date.now.bind(Date);
      Date.now = () => now() + off;
    }, minutes * 60_000);
    await page.goto(server.page);
    const card = page.getByTestId('device-card');
    const reading = async () => Number((await card.locator('.value').first().innerText()).replace(/\D/g, ''));
    await card.waitFor();
    // It judges a clock by three readings in two seconds or more.
    const enough = await reading() + 16;
    await until('it has judged', async () => (await reading()) >= enough || reading());
    assert.equal(await page.getByTestId('fault-mark').count(), 0);
    assert.equal((await counts(page)).online, 1);
    await card.click();
    const canvas = page.getByTestId('chart').first().locator('canvas');
    await canvas.waitFor();
    await until('the chart shows more than a background', async () => (await canvas.evaluate((it) => {
      const { data } = it.getContext('2d').getImageData(0, 0, it.width, it.height);
      return new Set(Array.from({ length: data.length / 4 }, (_, i) => data.slice(4 * i, 4 * i + 4).join())).size;
    })) > 2);
    assert.deepEqual(complaints, []);
    await close();
  }
});

test('a page that is left leaves no session behind', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const sessions = async () => {
    const text = await (await fetch(`${server.page}metrics`)).text();
    return Number(text.match(/^beaconry_mqtt_sessions (\d+)$/m)?.[1]);
  };
  const { page, close } = await openPage(browser, server.page);
  await live(page);
  assert.equal(await sessions(), 1);
  await page.goto('about:blank');
  await until('it has ended', async () => (await sessions()) === 0 || sessions());
  await page.goBack();
  await live(page);
  await close();
});

test('forgetting goes to the server', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const device = await mqttjs.connect(server.tcp);
  for (const id of ['keep-1', 'go-1']) await device.publish(`beaconry/data/${id}`, '{"temp":1}', { qos: 1 });
  await device.end();
  const { page, complaints, close } = await openPage(browser, server.page, { expected: [/503/] });
  // If the server does not, the device comes back, and the page says why.
  await page.getByTestId('device-card').filter({ hasText: 'go-1' }).click();
  await page.route('**/api/v1/devices/**', (route) => route.fulfill({ status: 503, body: '' }));
  await page.getByTestId('forget').click();
  await page.getByTestId('forget-confirm').click();
  await page.getByText(/could not be forgotten.*status 503/).first().waitFor({ state: 'attached' });
  await page.unroute('**/api/v1/devices/**');

  await page.getByTestId('device-card').filter({ hasText: 'go-1' }).click();
  await page.getByTestId('forget').click();
  await page.getByTestId('forget-confirm').click();
  await until('it is forgotten there', async () => {
    const { devices } = await api(server, 'devices');
    return devices.map((known) => known.name).join() === 'keep-1' || devices;
  });
  await page.goto(server.page);
  await page.getByTestId('device-card').filter({ hasText: 'keep-1' }).waitFor();
  assert.equal(await page.getByTestId('device-card').count(), 1);
  assert.deepEqual(complaints, []);
  await close();
});
