// The memory in the page: charts after a reload, zoom, the way back in time.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, openPage, photograph, viewports } from './lib/browser.mjs';
import * as mqttjs from './lib/mqttjs.mjs';
import { startServer } from './lib/server.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let browser;
let server;
let folder;
let client;

before(async () => {
  browser = await launch();
  folder = mkdtempSync(join(tmpdir(), 'beaconry-history-'));
  server = await startServer({ args: ['--data', folder] });
  client = await mqttjs.connect(server.tcp, { clientId: 'pump-1' });
  await client.publish('beaconry/register/pump-1', 'SIGN_IN', { qos: 1, retain: true });
  for (let value = 0; value < 20; value += 1) {
    await client.publish('beaconry/data/pump-1', JSON.stringify({ deviceId: 'pump-1', flow: 10 + value, on: value % 2 === 0 }), { qos: 1 });
    await new Promise((done) => { setTimeout(done, 100); });
  }
});

after(async () => {
  await client?.end();
  await browser?.close();
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const api = async (path) => (await fetch(new URL(`api/v1/${path}`, server.page))).json();
const readings = async () => (await api('devices/beaconry%2Fpump-1/metrics/flow?from=now-1h')).points.length;

test('after a reload the charts have what came before it', async () => {
  // The recorder gets them a moment after the broker.
  while (await readings() < 20) await new Promise((done) => { setTimeout(done, 50); });
  const { page, complaints, close } = await openPage(browser, new URL('device/beaconry%2Fpump-1?range=1h', server.page).href);
  const plot = page.locator('.chart-plot').first();
  // The summary that screen readers hear tells how low and how high the values were.
  await page.waitForFunction(() => document.querySelector('.chart-plot')?.getAttribute('aria-label')?.includes('between 10'));
  assert.match(await plot.getAttribute('aria-label'), /between 10 .*and 29/);
  assert.match(await page.getByTestId('history-source').textContent(), /The server remembers since/);
  await page.reload();
  await page.waitForFunction(() => document.querySelector('.chart-plot')?.getAttribute('aria-label')?.includes('between 10'));
  assert.match(page.url(), /range=1h/);
  assert.deepEqual(complaints, []);
  await close();
});

test('a part of a chart that is drawn over is shown in all charts, and a double click leads back', async () => {
  const { page, complaints, close } = await openPage(browser, new URL('device/beaconry%2Fpump-1?range=1h', server.page).href);
  await page.waitForFunction(() => document.querySelector('.chart-plot')?.getAttribute('aria-label')?.includes('between 10'));
  const live = page.getByTestId('chart-live');
  assert.equal(await live.isVisible(), false);
  const plot = page.locator('.chart-plot .u-over').first();
  await plot.scrollIntoViewIfNeeded();
  const box = await plot.boundingBox();
  await page.mouse.move(box.x + box.width * 0.2, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.4, box.y + 20, { steps: 4 });
  await page.mouse.up();
  await live.waitFor();
  await plot.dblclick();
  await live.waitFor({ state: 'hidden' });
  // And by keyboard.
  await page.locator('.chart-plot').first().focus();
  await page.keyboard.press('+');
  await live.waitFor();
  await page.keyboard.press('0');
  await live.waitFor({ state: 'hidden' });
  assert.deepEqual(complaints, []);
  await close();
});

test('the fleet is wound back by keyboard, by address and by a drag, and comes back to live', async () => {
  const points = (await api('devices/beaconry%2Fpump-1/metrics/flow?from=now-1h')).points;
  const [time, value] = points[7];
  const at = new Date(Math.ceil((time + 1) / 1000) * 1000);
  // What the API says of that second is what the page shows.
  const expected = (await api(`fleet?at=${at.toISOString()}`)).devices[0].metrics.find(({ name }) => name === 'flow').value;
  assert.ok(expected >= value);
  const { page, complaints, close } = await openPage(browser, new URL(`?at=${at.toISOString().replace('.000', '')}`, server.page).href);
  const card = page.getByTestId('device-card').first();
  const shows = (number) => page.waitForFunction((text) => document.querySelector('[data-testid=device-card]')?.textContent.includes(text), String(number));
  await shows(expected);
  assert.match(await page.getByTestId('time-bar-time').textContent(), /\d\d:\d\d:\d\d/);
  assert.equal(await page.locator('.shell.past').count(), 1);
  await page.evaluate(axe);
  // Half way to the other scheme the colours are those of neither.
  const settled = () => page.evaluate(() => Promise.allSettled(document.getAnimations()
    .filter((one) => one.effect.getComputedTiming().endTime !== Infinity).map((one) => one.finished)).then(() => {}));
  const violations = () => settled().then(() => page.evaluate(async () => (await globalThis.axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`)));
  assert.deepEqual(await violations(), []);
  for (const [name, viewport] of Object.entries(viewports)) {
    for (const colorScheme of ['light', 'dark']) {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme });
      await photograph(page, `wind-${name}-${colorScheme}`);
    }
  }
  await page.emulateMedia({ colorScheme: 'dark' });
  assert.deepEqual(await violations(), []);
  await page.setViewportSize(viewports.desktop);

  await page.getByTestId('time-bar-live').click();
  await shows(29);
  assert.doesNotMatch(page.url(), /at=/);
  const slider = page.getByTestId('time-track');
  await slider.focus();
  await page.keyboard.press('PageDown');
  await page.waitForFunction(() => /at=/.test(location.search));
  await page.keyboard.press('End');
  await page.waitForFunction(() => !/at=/.test(location.search));
  const box = await slider.boundingBox();
  await page.mouse.move(box.x + box.width - 4, box.y + 10);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2, box.y + 10, { steps: 5 });
  await page.mouse.up();
  // Half a day ago there was nothing.
  await page.waitForFunction(() => document.querySelectorAll('[data-testid=device-card]').length === 0);
  await page.getByTestId('time-bar-live').click();
  await card.waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test('while the past is shown nothing can be sent', async () => {
  const at = new Date(Date.now() - 1000).toISOString();
  const { page, complaints, close } = await openPage(browser, new URL(`device/beaconry%2Fpump-1?at=${at}`, server.page).href);
  await page.getByTestId('past-note').waitFor();
  assert.equal(await page.getByTestId('forget').isDisabled(), true);
  assert.equal(await page.getByTestId('hide').isDisabled(), true);
  assert.equal(await page.locator('.device-commands [inert]').count(), 1);
  await page.getByTestId('time-bar-live').click();
  await page.getByTestId('past-note').waitFor({ state: 'detached' });
  assert.equal(await page.getByTestId('forget').isDisabled(), false);
  assert.deepEqual(complaints, []);
  await close();
});

test('the last 90 days are a cell each, and say by keyboard how each was', async () => {
  const { page, complaints, close } = await openPage(browser, new URL('device/beaconry%2Fpump-1', server.page).href);
  const words = page.getByTestId('uptime-words');
  await words.waitFor();
  assert.equal(await page.locator('.uptime-day').count(), 90);
  assert.equal(await page.locator('.uptime-day.whole').count(), 1, 'only today is known');
  assert.match(await words.textContent(), /There for 100 % of the time in 1 days/);
  await page.locator('.uptime').focus();
  await page.keyboard.press('ArrowLeft');
  await page.waitForFunction(() => /nothing is known/.test(document.querySelector('[data-testid=uptime-words]').textContent));
  await page.keyboard.press('End');
  await page.waitForFunction(() => /there for 100 %/.test(document.querySelector('[data-testid=uptime-words]').textContent));
  assert.deepEqual(complaints, []);
  await close();
});

// A sleeper gets a command, a page is reloaded, the server is killed, the sleeper wakes and answers.
test('two viewers see one story of a command to its end, over a reload and a SIGKILL, and it is kept', async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'beaconry-story-'));
  let own = await startServer({ args: ['--data', data] });
  t.after(async () => {
    await own.stop();
    rmSync(data, { recursive: true, force: true });
  });
  const { mqttAddress, httpAddress } = own;
  const wake = () => mqttjs.connect(own.tcp, { clientId: 'soil-1', clean: false, properties: { sessionExpiryInterval: 3600 } });
  const awake = async (act) => {
    const sleeper = await wake();
    await sleeper.subscribe('beaconry/cmd/req/soil-1');
    await sleeper.publish('beaconry/register/soil-1', 'SIGN_IN', { qos: 2, retain: true });
    await act(sleeper);
    await sleeper.publish('beaconry/register/soil-1', 'SIGN_OUT', { qos: 2, retain: true });
    await sleeper.end();
  };
  await awake((sleeper) => sleeper.publish('beaconry/data/soil-1', JSON.stringify({ deviceId: 'soil-1', moisture: 41 }), { qos: 2 }));

  const expected = [/WebSocket connection/, /Failed to load resource/, /ERR_/];
  const address = new URL('device/beaconry%2Fsoil-1', own.page).href;
  const one = await openPage(browser, address, { expected });
  const two = await openPage(browser, address, { expected });
  t.after(async () => { await one.close(); await two.close(); });
  await one.page.getByTestId('command-PING').click();
  const command = (page) => page.getByTestId('command').filter({ hasText: 'PING' }).first();
  await command(two.page).waitFor();
  await one.page.reload();
  await command(one.page).waitFor();
  // What is older than a second outlives a kill. The device itself is saved every five.
  const story = async () => (await (await fetch(new URL('api/v1/devices/beaconry%2Fsoil-1/commands', own.page))).json()).commands?.[0];
  while (!await story()) await new Promise((done) => { setTimeout(done, 50); });
  await new Promise((done) => { setTimeout(done, 7000); });
  await own.stop('SIGKILL');
  own = await startServer({ args: ['--data', data], mqtt: mqttAddress, http: httpAddress });

  await awake(async (sleeper) => {
    const asked = await sleeper.message(({ topic }) => topic === 'beaconry/cmd/req/soil-1');
    const { uuid } = JSON.parse(asked.payload);
    await sleeper.publish('beaconry/cmd/resp/soil-1', JSON.stringify({ deviceId: 'soil-1', messageType: 'commandResp', commandResult: 'PONG', uuid }), { qos: 2 });
  });
  for (const { page } of [one, two]) await command(page).filter({ hasText: 'PONG' }).waitFor({ timeout: 60_000 });
  while ((await story())?.steps.at(-1).step !== 'answered') await new Promise((done) => { setTimeout(done, 50); });
  const { steps, progress } = await story();
  assert.deepEqual(steps.map(({ step }) => step), ['accepted', 'waiting', 'answered']);
  assert.equal(progress.result, '"PONG"');
  await one.page.reload();
  await command(one.page).filter({ hasText: 'PONG' }).waitFor();
});

test('without a history the page says so, and offers no way back', async () => {
  const alone = await startServer({ args: ['--demo', '1'] });
  try {
    const { page, complaints, close } = await openPage(browser, new URL('device/beaconry%2Fweather-01', alone.page).href);
    await page.getByText('This broker keeps no history; readings are kept while this page is open.').waitFor();
    assert.equal(await page.getByTestId('back-in-time').isVisible(), false);
    assert.equal(await page.getByRole('button', { name: '7 d', exact: true }).isVisible(), false);
    assert.deepEqual(complaints, []);
    await close();
  } finally {
    await alone.stop();
  }
});
