// The page was away, or somebody was away from it: a stream that goes silent, a session that is lost, a
// hidden tab, the way back from another page.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, openPage } from './lib/browser.mjs';
import { startFake } from './lib/fake_broker.mjs';
import * as mqttjs from './lib/mqttjs.mjs';
import { startPrefixProxy } from './lib/prefix_proxy.mjs';
import { startServer } from './lib/server.mjs';

const STREAM = /^\/api\/v1\/changes/;
const LIST = /^\/api\/v1\/devices\?hidden=any$/;

let server;
let browser;
let sender;
before(async () => {
  server = await startServer();
  browser = await launch({ backForwardCache: true });
  sender = await mqttjs.connect(server.tcp);
});
after(async () => {
  await sender?.end();
  await browser?.close();
  assert.equal((await server.stop()).code, 0);
});

const live = (page) => page.getByTestId('connection-state').filter({ hasText: /live/i }).waitFor();
const card = (page, id) => page.locator(`[data-device="beaconry/${id}"]`);
const signIn = (id) => sender.publish(`beaconry/register/${id}`, 'SIGN_IN', { qos: 1, retain: true });
const data = (id, values) => sender.publish(`beaconry/data/${id}`, JSON.stringify(values), { qos: 1 });

async function until(what, holds, patience = 20_000) {
  const end = performance.now() + patience;
  while (!await holds()) {
    if (performance.now() > end) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

/// A page behind a proxy. It follows the server, and its stream of changes is open.
async function openBehindProxy(t, address = '', options = {}) {
  const proxy = await startPrefixProxy(server.httpAddress, '');
  t.after(() => proxy.stop());
  const { page, complaints, close } = await openPage(browser, 'about:blank', options);
  await page.addInitScript(() => {
    // Playwright keeps every page visible.
    Object.defineProperty(Document.prototype, 'hidden', { get: () => window.isAway === true });
    window.setAway = (away) => {
      window.isAway = away;
      document.dispatchEvent(new Event('visibilitychange'));
    };
    // The page's clocks jump, its timers do not.
    window.ahead = 0;
    for (const clock of [performance, Date]) {
      const now = clock.now.bind(clock);
      clock.now = () => now() + window.ahead;
    }
  });
  /// The first packets of each connection to the broker.
  const connects = [];
  const connacks = [];
  page.on('websocket', (socket) => {
    socket.once('framesent', ({ payload }) => connects.push(Buffer.from(payload)));
    socket.once('framereceived', ({ payload }) => connacks.push(Buffer.from(payload)));
  });
  await page.goto(`${proxy.page}${address}`);
  await live(page);
  await until('the stream is open', () => proxy.underWay(STREAM) === 1);
  const asked = (pattern) => proxy.asked.filter((path) => pattern.test(path));
  return { proxy, page, complaints, close, asked, connects, connacks };
}

test('a stream of changes that goes silent is opened again behind the last change', async (t) => {
  await signIn('silent-1');
  const { proxy, page, complaints, close, asked } = await openBehindProxy(t, '?q=silent');
  await signIn('silent-2');
  await card(page, 'silent-2').waitFor();
  proxy.silence(STREAM);
  await signIn('silent-3');
  // Longer than the server ever says nothing. The page sees no end of the stream.
  assert.equal(proxy.underWay(STREAM), 1);
  await page.evaluate(() => { window.ahead += 41_000; });
  await card(page, 'silent-3').waitFor();
  const [first, second, ...more] = asked(STREAM);
  assert.notEqual(first, second, 'not from the beginning');
  assert.deepEqual(more, []);
  await until('the silent one is closed', () => proxy.underWay(STREAM) === 1);
  assert.equal(asked(LIST).length, 1, 'the list is not asked for again');
  await page.getByTestId('connection-banner').waitFor({ state: 'detached' });
  assert.deepEqual(complaints, []);
  await close();
});

test('a hidden page closes its stream, and has all changes soon after it is seen again', async (t) => {
  await signIn('hidden-1');
  const { proxy, page, complaints, close, asked } = await openBehindProxy(t, '?q=hidden');
  await card(page, 'hidden-1').waitFor();
  await page.evaluate(() => window.setAway(true));
  await page.evaluate(() => { window.ahead += 11_000; });
  await until('the stream is closed', () => proxy.underWay(STREAM) === 0);
  await signIn('hidden-2');
  await sender.publish('beaconry/register/hidden-1', 'SIGN_OUT', { qos: 1, retain: true });
  assert.equal(asked(STREAM).length, 1, 'it stays closed');
  await page.evaluate(() => window.setAway(false));
  await card(page, 'hidden-2').waitFor();
  await card(page, 'hidden-1').and(page.locator('[data-presence=offline]')).waitFor();
  assert.equal(asked(STREAM).length, 2);
  assert.equal(asked(LIST).length, 1, 'the list is not asked for again');
  assert.equal(asked(/^\/mqtt/).length, 1, 'the connection to the broker has lasted');
  assert.deepEqual(complaints, []);
  await close();
});

test('a session that the broker has lost is renewed, and nothing comes twice', async (t) => {
  await data('renewed', { n: 0 });
  const expected = [/WebSocket connection/, /ERR_/];
  const { proxy, page, complaints, close, connects, connacks } = await openBehindProxy(t, 'device/beaconry/renewed', { expected });
  const messages = async () => (await page.getByTestId('raw-message').allInnerTexts())
    .map((text) => Number(text.match(/"n":\s*(\d+)/)?.[1]));
  // The page subscribes to the device once it is open.
  let n = 0;
  const hears = async (from) => { await data('renewed', { n: n += 1 }); return (await messages()).some((it) => it > from); };
  await until('it hears the device', () => hears(0));

  const [id] = connects.map((packet) => packet.toString('latin1').match(/beaconry-web-[\w-]+/)?.[0]);
  proxy.cut();
  await page.getByTestId('connection-state').filter({ hasText: /reconnect|connecting|try/i }).waitFor();
  // A clean start in its name, and a session that ends with the connection.
  const thief = await mqttjs.connect(server.tcp, { clientId: id, clean: true });
  await thief.end();
  await data('renewed', { n: 1_000 });
  proxy.restore();
  await live(page);
  await page.getByTestId('reading').filter({ hasText: '1000' }).or(page.getByText(/^1.?000$/)).first().waitFor();
  // The flags follow the length, of one byte or two.
  const present = connacks.map((packet) => packet[packet[1] > 127 ? 3 : 2] & 1);
  assert.equal(present.at(-1), 0, 'the broker knows nothing of it any more');
  n = 2_000;
  await until('it hears the device again', () => hears(2_000));
  const heard = (await messages()).filter((it) => it > 0);
  assert.equal(new Set(heard).size, heard.length, `${heard}`);
  assert.deepEqual(complaints, []);
  await close();
});

test('a session that was too much for the broker is renewed, and this is told', async (t) => {
  const TOO_MUCH = 0x97;
  let connections = 0;
  const subscribed = [];
  const broker = await startFake(t, ({ cmd, messageId, subscriptions }) => {
    if (cmd === 'connect') {
      connections += 1;
      subscribed.push([]);
      return [{ cmd: 'connack', reasonCode: 0, sessionPresent: false }];
    }
    if (cmd === 'pingreq') return [{ cmd: 'pingresp' }];
    if (cmd !== 'subscribe') return [];
    subscribed.at(-1).push(...subscriptions.map(({ topic }) => topic));
    const granted = { cmd: 'suback', messageId, granted: subscriptions.map(({ qos }) => qos) };
    const payload = JSON.stringify({ temp: 10 * connections });
    const message = { cmd: 'publish', topic: 'beaconry/data/flood', payload, qos: 0, retain: false, dup: false };
    return connections === 1 ? [granted, message, { cmd: 'disconnect', reasonCode: TOO_MUCH }] : [granted, message];
  });
  const { page, complaints, close } = await openPage(browser, `${server.page}?broker=${encodeURIComponent(broker)}`);
  await page.getByTestId('connection-banner').filter({ hasText: 'could not keep up' }).waitFor();
  await card(page, 'flood').getByText('20', { exact: true }).waitFor();
  await live(page);
  assert.ok(subscribed[0].includes('#') && subscribed[1].includes('#'), JSON.stringify(subscribed));
  assert.equal(connections, 2);
  assert.deepEqual(complaints, []);
  await close();
});

test('on the way back from another page it comes from the cache, and is live again', async (t) => {
  const alone = await startServer();
  t.after(() => alone.stop());
  const device = await mqttjs.connect(alone.tcp);
  await device.publish('beaconry/register/cached-1', 'SIGN_IN', { qos: 1, retain: true });
  const { page, complaints, close } = await openPage(browser, alone.page, { expected: [/404/] });
  const sessions = async () => {
    const text = await (await fetch(`${alone.page}metrics`)).text();
    return Number(text.match(/^beaconry_mqtt_sessions (\d+)$/m)?.[1]);
  };
  await live(page);
  await card(page, 'cached-1').waitFor();
  await page.evaluate(() => addEventListener('pageshow', ({ persisted }) => { window.returned = persisted; }));
  // It has no icon.
  await page.goto(`${alone.page}healthz`);
  await until('its session has ended', async () => await sessions() === 1);
  await device.publish('beaconry/register/cached-2', 'SIGN_IN', { qos: 1, retain: true });
  await page.goBack({ waitUntil: 'commit' });
  await live(page);
  await card(page, 'cached-2').waitFor();
  assert.equal(await page.evaluate(() => window.returned), true, 'the same page, not a new one');
  assert.equal(await sessions(), 2);
  assert.deepEqual(complaints, []);
  await close();
  await device.end();
});
