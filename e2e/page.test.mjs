// What people met on the page: addresses, numbers of every size, commands that ask first, a network that goes.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, openPage } from './lib/browser.mjs';
import { refuses, startFake } from './lib/fake_broker.mjs';
import { startLink } from './lib/link.mjs';
import * as mqttjs from './lib/mqttjs.mjs';
import { startServer } from './lib/server.mjs';

let server;
let browser;
let sender;
before(async () => {
  server = await startServer();
  browser = await launch();
  sender = await mqttjs.connect(server.tcp);
});
after(async () => {
  await sender?.end();
  await browser?.close();
  assert.equal((await server.stop()).code, 0);
});

const live = (page) => page.getByTestId('connection-state').filter({ hasText: /live/i }).waitFor();
const card = (page, id) => page.locator(`[data-device="beaconry/${id}"]`);
const data = (id, values) => sender.publish(`beaconry/data/${id}`, JSON.stringify(values).replace('"64 bits"', '12345678901234567890'), { qos: 1 });
const open = (address = '', options = {}) => openPage(browser, `${server.page}${address}`, options);

/// Whether nothing within these elements is cut off.
const cut = (page, selector) => page.evaluate((selector) => [...document.querySelectorAll(selector)]
  .filter((element) => {
    const inner = element.firstElementChild.getBoundingClientRect();
    const outer = element.closest('.card, .row, .reading').getBoundingClientRect();
    return element.scrollWidth > element.clientWidth + 1 || inner.left < outer.left || element.lastElementChild.getBoundingClientRect().right > outer.right;
  }).map((element) => element.textContent), selector);

test('the page without devices names the port that this server has', async () => {
  const alone = await startServer();
  const { page, complaints, close } = await openPage(browser, alone.page);
  await page.getByTestId('no-devices').getByText(`-p ${alone.mqttPort} `, { exact: false }).first().waitFor();
  assert.deepEqual(complaints, []);
  await close();
  await alone.stop();
});

test('nothing is said to be missing while the list loads', async () => {
  const alone = await startServer();
  const { page, complaints, close } = await openPage(browser, 'about:blank');
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  await page.route('**/api/v1/devices?**', async (route) => { await held; await route.continue(); });
  await page.clock.install();
  for (const address of ['', 'device/beaconry/nobody']) {
    const asked = page.waitForRequest('**/api/v1/devices?**');
    await page.goto(`${alone.page}${address}`);
    await live(page);
    await asked;
    // Longer than it waits for a broker without a list.
    await page.clock.runFor(5_000);
    await page.getByTestId('loading').waitFor();
    assert.equal(await page.getByTestId('no-devices').or(page.getByTestId('device-waiting')).count(), 0);
  }
  release();
  await page.getByTestId('device-waiting').getByText('Check the spelling').waitFor();
  await page.getByRole('link', { name: 'Fleet', exact: true }).click();
  await page.getByTestId('no-devices').waitFor();
  assert.deepEqual(complaints, []);
  await close();
  await alone.stop();
});

test('the address holds search, filter, order and range, and the way back leads to the same card', async () => {
  for (let n = 1; n <= 60; n += 1) await sender.publish(`beaconry/register/shelf-${n}`, 'SIGN_IN', { qos: 1, retain: true });
  const { page, complaints, close } = await open('', { viewport: { width: 900, height: 700 } });
  await page.getByTestId('search').fill('shelf');
  await page.getByTestId('count-online').click();
  await page.getByTestId('sort').selectOption({ label: 'Trouble first' });
  await page.waitForURL((url) => url.search === '?q=shelf&state=online&sort=trouble');
  await page.reload();
  await page.getByTestId('count-shown').filter({ hasText: '60' }).waitFor();
  assert.equal(await page.getByTestId('search').inputValue(), 'shelf');
  assert.equal(await page.getByTestId('count-online').getAttribute('aria-pressed'), 'true');

  await page.evaluate(() => window.scrollTo(0, 2_000));
  await card(page, 'shelf-40').scrollIntoViewIfNeeded();
  const top = await page.evaluate(() => window.scrollY);
  assert.ok(top > 1_000, `scrolled to ${top}`);
  await card(page, 'shelf-40').click();
  await page.getByTestId('device-title').waitFor();
  await page.waitForURL((url) => url.pathname + url.search === '/device/beaconry/shelf-40?q=shelf&state=online&sort=trouble');
  await page.getByRole('button', { name: '15 min' }).click();
  await page.waitForURL((url) => url.searchParams.get('range') === '15m');
  for (const back of [() => page.getByRole('link', { name: 'Fleet', exact: true }).click(), () => page.goBack()]) {
    await back();
    await page.waitForFunction(() => document.activeElement?.dataset?.device === 'beaconry/shelf-40');
    assert.equal(await page.evaluate(() => window.scrollY), top);
    assert.equal(await page.getByTestId('search').inputValue(), 'shelf');
    await page.waitForURL((url) => !url.searchParams.has('range'));
    await card(page, 'shelf-40').click();
    await page.getByTestId('device-title').waitFor();
  }
  // A link shows everybody the same, also those who prefer another order.
  await page.goto(`${server.page}?q=shelf`);
  await page.getByTestId('count-shown').filter({ hasText: '60' }).waitFor();
  assert.equal(await page.getByTestId('sort').inputValue(), 'name');
  for (let n = 1; n <= 60; n += 1) await sender.publish(`beaconry/register/shelf-${n}`, '', { qos: 1, retain: true });
  assert.deepEqual(complaints, []);
  await close();
});

test('numbers of every size are whole on cards, rows and tiles, and exact in the table', async () => {
  const { page, complaints, close } = await open('?q=sizes', { viewport: { width: 1280, height: 800 } });
  await live(page);
  await data('sizes-1', { pressure_hpa: 1015.1, inside_hpa: 1012.9, sea_hpa: 1030.2 });
  await data('sizes-2', { huge: 1.2e19, tiny: -1.2345e-12, boot: 1795233600, serial: '64 bits' });
  await data('sizes-3', { meter_kwh: 12345.678, rate: -123456.7 });
  await data('sizes-5', { meter: 123456789012 });
  await data('sizes-6', { since_ms: -1795233600123 });
  await data('sizes-4', { POWER: 'ON', door: 'open' });
  await card(page, 'sizes-2').getByText('1.2e19').waitFor();
  await card(page, 'sizes-4').getByText('open').waitFor();
  await card(page, 'sizes-5').getByText('123\u202f456\u202f789\u202f012').and(page.locator('.value bdi')).waitFor();
  assert.equal(await card(page, 'sizes-5').locator('.value').first().getAttribute('title'), '123456789012');
  assert.deepEqual(await cut(page, '.metric:not(.text) .value'), []);
  await page.getByTestId('layout-list').click();
  await page.locator('.row').first().waitFor();
  assert.deepEqual(await cut(page, '.metric:not(.text) .value'), []);
  await page.getByTestId('layout-grid').click();
  for (const width of [1280, 390]) {
    await page.setViewportSize({ width, height: 800 });
    await page.goto(`${server.page}device/beaconry/sizes-2`);
    await live(page);
    await data('sizes-2', { huge: 1.2e19, tiny: -1.2345e-12, boot: 1795233600, serial: '64 bits' });
    await page.getByTestId('reading').first().waitFor();
    assert.deepEqual(await cut(page, '.reading .value'), []);
  }
  await page.getByTestId('all-values').locator('summary').click();
  await page.getByTestId('value-row').filter({ hasText: '12345678901234567890' }).waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test('trend lines are named, states have lanes, and an array is not a legend of its length', async () => {
  const { page, complaints, close } = await open('?q=wave');
  await live(page);
  const samples = Array.from({ length: 120 }, (_, n) => Math.sin(n));
  for (let n = 0; n < 3; n += 1) await data('wave', { temp: 20, samples, on: n % 2 === 0, fan_on: true });
  await card(page, 'wave').getByTestId('trend-name').filter({ hasText: 'Temp' }).waitFor();
  await card(page, 'wave').click();
  const chart = (title) => page.getByTestId('chart').filter({ hasText: title });
  await chart('Samples').getByTestId('legend-more').filter({ hasText: 'and 114 more' }).waitFor();
  assert.equal(await chart('Samples').locator('.chart-name').count(), 6);
  await chart('Samples').getByTestId('legend-more').click();
  assert.equal(await chart('Samples').locator('.chart-name').count(), 120);
  await chart('On / off').locator('.u-over').waitFor();
  const lanes = await chart('On / off').locator('.u-over').evaluate((over) => over.clientHeight);
  assert.equal(lanes, 2 * 24);
  assert.deepEqual(complaints, []);
  await close();
});

test('one reading leaves a dot on its chart', async () => {
  const { page, complaints, close } = await open('?q=once');
  await live(page);
  await data('once', { level: 5 });
  await card(page, 'once').click();
  await page.getByTestId('chart').locator('canvas').waitFor();
  const inked = () => page.getByTestId('chart').locator('canvas').evaluate((canvas) => {
    const line = getComputedStyle(document.documentElement).getPropertyValue('--chart-1').trim();
    const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(line.slice(at, at + 2), 16));
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4) count += data[at] === r && data[at + 1] === g && data[at + 2] === b && data[at + 3] === 255;
    return count;
  });
  await page.waitForFunction(() => document.querySelector('.chart-value')?.textContent === '5');
  assert.ok(await inked() > 3, `${await inked()} pixels`);
  assert.deepEqual(complaints, []);
  await close();
});

test('the page of a device that sends too fast says what is left out', async (t) => {
  const busy = await startServer({ args: ['--max-queued-messages', '100'] });
  const link = await startLink(busy.httpAddress, { rate: 4_000_000 });
  const device = await mqttjs.connect(busy.tcp);
  t.after(async () => { await device.end(); await link.stop(); await busy.stop(); });
  await device.publish('beaconry/data/racer', '{"rpm":1}', { qos: 1 });
  const { page, complaints, close } = await openPage(browser, `http://${link.address}/device/beaconry/racer`, { expected: [/./] });
  await live(page);
  await page.getByTestId('device-title').waitFor();
  const note = page.getByTestId('left-out');
  assert.equal(await note.isVisible(), false, 'nothing is left out yet');
  let sending = true;
  const filler = 'x'.repeat(400);
  const sent = (async () => {
    for (let n = 0; sending; n += 1) {
      await Promise.all(Array.from({ length: 200 }, () => device.publish('beaconry/data/racer', JSON.stringify({ rpm: n, filler }), { qos: 1 })));
    }
  })();
  // The server closes the connection until its reason gets through what waits in the link.
  await note.filter({ hasText: 'the newest message of each topic' }).filter({ hasText: /so far: \d/ }).waitFor({ timeout: 60_000 });
  sending = false;
  await sent;
  assert.deepEqual(complaints, []);
  await close();
});

/// A device with these commands, its page, and what it was asked to do.
async function openBoiler(commands) {
  const device = await mqttjs.connect(server.tcp);
  await device.subscribe('beaconry/cmd/req/boiler');
  await device.publish('beaconry/register/boiler', 'SIGN_IN', { qos: 1 });
  const { page, complaints, close } = await open('device/beaconry/boiler');
  await live(page);
  await device.publish('beaconry/data/boiler', JSON.stringify({ deviceId: 'boiler', messageType: 'ANNOUNCE', commands }), { qos: 1, retain: true });
  return {
    page,
    device,
    requests: () => device.messages.map(({ payload }) => JSON.parse(payload)),
    request: (fits) => device.message(({ payload }) => fits(JSON.parse(payload))),
    async end() {
      await device.publish('beaconry/data/boiler', '', { qos: 1, retain: true });
      await device.end();
      assert.deepEqual(complaints, []);
      await close();
    },
  };
}

test('REBOOT asks first, in JSON too, and an answer is not escaped twice', async () => {
  const { page, device, requests, request, end } = await openBoiler(['PING', 'REBOOT', 'SET_TARGET']);
  const dialog = page.getByTestId('confirm-dialog');
  await page.getByTestId('command-REBOOT').click();
  await dialog.getByText('REBOOT').first().waitFor();
  assert.equal(await page.getByTestId('confirm-json').textContent(), '{"command":"REBOOT"}');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  assert.deepEqual(requests(), [], 'nothing was sent');
  await page.getByTestId('command-REBOOT').click();
  await page.getByTestId('confirm-send').click();
  await request(({ command }) => command === 'REBOOT');
  await dialog.waitFor({ state: 'hidden' });

  // Its argument was not announced, so none is made up.
  await page.getByTestId('command-SET_TARGET').click();
  assert.deepEqual(JSON.parse(await page.getByTestId('command-json').inputValue()), { command: 'SET_TARGET' });
  await page.getByTestId('command-json').fill('{"command":"REBOOT","fast":true}');
  await page.getByTestId('command-send').click();
  assert.equal(await page.getByTestId('confirm-json').textContent(), '{"command":"REBOOT","fast":true}');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Cancel', 'the harmless button has the focus');
  await page.getByTestId('confirm-send').click();
  await request(({ fast }) => fast === true);

  await device.publish('beaconry/cmd/resp/boiler', JSON.stringify({
    deviceId: 'boiler', messageType: 'commandResp', commandResult: null, error: 'no "limit" above 60', uuid: requests().at(-1).uuid,
  }), { qos: 1 });
  await page.getByTestId('command-answer').getByText('no "limit" above 60', { exact: true }).waitFor();
  await end();
});

test('what a device marks asks first, and arguments are as announced', async () => {
  const { page, requests, request, end } = await openBoiler(['PING', { name: 'DRAIN', destructive: true },
    { name: 'SET_LIMIT', arguments: [{ name: 'degrees', type: 'number', unit: '°C', min: 30, max: 80, default: 55 }] }]);
  await page.getByTestId('command-DRAIN').click();
  await page.getByTestId('confirm-dialog').getByText('DRAIN').first().waitFor();
  assert.deepEqual(requests(), [], 'nothing was sent');
  await page.getByTestId('confirm-send').click();
  await request(({ command }) => command === 'DRAIN');

  const field = page.getByTestId('command-SET_LIMIT-degrees');
  assert.equal(await field.inputValue(), '55');
  await field.fill('81');
  await page.getByTestId('command-SET_LIMIT').click();
  await page.getByText('Give degrees, from 30 to 80 °C.').waitFor();
  // A comma may mean thousands or decimals.
  await field.fill('55,000');
  await page.getByTestId('command-SET_LIMIT').click();
  await page.getByText('nothing between thousands').waitFor();
  const described = await field.evaluate((input) => [input.ariaInvalid, input === document.activeElement,
    document.getElementById(input.getAttribute('aria-describedby')).textContent]);
  assert.deepEqual(described, ['true', true,
    'Give degrees, from 30 to 80 °C. Write a point before decimals, and nothing between thousands.']);
  await field.fill('60,5');
  assert.equal(await field.getAttribute('aria-invalid'), 'false', 'what is mended is no longer wrong');
  await page.getByTestId('command-SET_LIMIT').click();
  await request(({ degrees }) => degrees === 60.5);
  await end();
});

test('a hidden device is listed apart, and can be shown again', async () => {
  const { page, complaints, close } = await open('?q=shy');
  await live(page);
  await data('shy', { temp: 20 });
  await data('shy-too', { temp: 20 });
  await card(page, 'shy').click();
  await page.getByTestId('hide').click();
  await page.getByTestId('hide').filter({ hasText: 'Show again' }).waitFor();
  await page.getByRole('link', { name: 'Fleet', exact: true }).click();
  await card(page, 'shy-too').waitFor();
  await card(page, 'shy').waitFor({ state: 'detached' });
  await page.getByTestId('count-hidden').click();
  await page.waitForURL((url) => url.searchParams.get('hidden') === 'true');
  await card(page, 'shy').click();
  await page.getByTestId('hide').click();
  await page.getByTestId('hide').filter({ hasText: /^Hide$/ }).waitFor();
  await page.getByRole('link', { name: 'Fleet', exact: true }).click();
  await card(page, 'shy').waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test('a refused filter is told on the page, with what to do', async (t) => {
  const deaf = await startFake(t, refuses);
  const { page, complaints, close } = await open(`?broker=${encodeURIComponent(deaf)}`);
  const banner = page.getByTestId('connection-banner');
  await banner.filter({ hasText: '“#”' }).filter({ hasText: '?topics=' }).waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test('what is no address is not tried', async () => {
  const { page, complaints, close } = await open('?broker=foo%20bar');
  await page.getByTestId('connection-banner').filter({ hasText: '“ws://foo bar” is not an address' }).waitFor();
  await page.getByTestId('connection-state').filter({ hasText: 'Stopped' }).waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test('a network that goes is told at once', async () => {
  const { page, close } = await open('', { expected: [/./] });
  await live(page);
  await page.context().setOffline(true);
  await page.getByTestId('connection-banner').filter({ hasText: 'offline' }).waitFor();
  await page.context().setOffline(false);
  await page.getByTestId('connection-banner').waitFor({ state: 'detached' });
  await close();
});

test('the header has the width of the page, and what is pressed has 24 pixels', async () => {
  const { page, complaints, close } = await open('?q=placed', { viewport: { width: 1024, height: 800 } });
  await live(page);
  await data('placed', { temp: 20, lat: 48.01, lng: -88.6 });
  await card(page, 'placed').waitFor();
  const [header, style] = await page.evaluate(() => [
    document.querySelector('.shell-header').getBoundingClientRect().right - document.documentElement.clientWidth,
    [getComputedStyle(document.documentElement).scrollbarGutter, getComputedStyle(document.documentElement).overflowY],
  ]);
  assert.equal(header, 0);
  assert.deepEqual(style, ['auto', 'scroll'], 'no gutter beside the header where there is no scroll bar');
  await card(page, 'placed').click();
  await page.getByTestId('position').waitFor();
  const small = await page.evaluate(() => [...document.querySelectorAll('button, summary')]
    .map((element) => ({ name: element.ariaLabel ?? element.textContent, box: element.getBoundingClientRect() }))
    .filter(({ box }) => box.width > 0 && (box.width < 24 || box.height < 24))
    .map(({ name, box }) => `${name}: ${box.width} × ${box.height}`));
  assert.deepEqual(small, []);
  const letters = await page.getByTestId('map-scale').evaluate((text) => [text.getBoundingClientRect().height, getComputedStyle(text).fontSize]);
  assert.ok(letters[0] <= 14, `letters of ${letters}`);
  assert.deepEqual(complaints, []);
  await close();
});

test('on a phone words stay whole, and nothing is printed over something else', async () => {
  const { page, close } = await open('device/beaconry/wordy?topics=beaconry/%23', { viewport: { width: 390, height: 844 }, expected: [/./] });
  await live(page);
  await data('wordy', { firmware_version: '1.2.3-rc1', compressor_state: 'defrosting', connectivity: 'excellent', note: 'a'.repeat(80), on_since: 'Monday' });
  await page.getByTestId('other-values').getByText('excellent').waitFor();
  await page.getByTestId('all-values').locator('summary').click();
  await page.getByTestId('all-values').getByText('excellent').waitFor();
  const broken = await page.evaluate(() => [...document.querySelectorAll('.table tbody :is(th, td)')].flatMap((cell) => {
    const lines = (node, start, end) => {
      const range = document.createRange();
      range.setStart(node, start);
      range.setEnd(node, end);
      return new Set([...range.getClientRects()].map(({ top }) => top)).size;
    };
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    const words = [];
    while (walker.nextNode()) {
      for (const word of walker.currentNode.data.matchAll(/[^\s_-]+/g)) {
        if (word[0].length < 30 && lines(walker.currentNode, word.index, word.index + word[0].length) > 1) words.push(word[0]);
      }
    }
    return words;
  }));
  assert.deepEqual(broken, []);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), 'no sideways scrolling');

  await page.context().setOffline(true);
  const history = page.getByTestId('presence-history');
  await history.locator('li[data-presence=unknown]').waitFor();
  const over = await history.locator('li').evaluateAll((lines) => lines.flatMap((line) => {
    const boxes = [...line.children].flatMap((part) => [...part.children, part]).map((part) => {
      const range = document.createRange();
      range.selectNodeContents(part);
      return { part, box: range.getBoundingClientRect() };
    });
    return boxes.flatMap(({ part, box }) => boxes.filter((other) => !part.contains(other.part) && !other.part.contains(part)
      && other.box.left < box.right - 1 && box.left < other.box.right - 1 && other.box.top < box.bottom - 1 && box.top < other.box.bottom - 1)
      .map((other) => `${part.textContent} over ${other.part.textContent}`));
  }));
  assert.deepEqual(over, []);
  await close();
});
