// Page and widget behind a proxy that serves Beaconry under a path, and a page whose program does
// not arrive.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { launch, openPage, photograph } from './lib/browser.mjs';
import { startDevice } from './lib/device.mjs';
import { startPrefixProxy } from './lib/prefix_proxy.mjs';
import { startServer } from './lib/server.mjs';

const PREFIX = '/some/prefix';

let server;
let browser;
before(async () => {
  server = await startServer();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  assert.equal((await server.stop()).code, 0);
});

const live = (page) => page.getByTestId('connection-state').filter({ hasText: /live/i }).waitFor();
const pathOf = (page) => new URL(page.url()).pathname;

/// Opens a page whose WebSockets and requests to an API are noted.
async function visit(url, options) {
  const opened = await openPage(browser, 'about:blank', options);
  const sockets = [];
  const asked = [];
  opened.page.on('request', (request) => { if (request.url().includes('/api/')) asked.push(request.url()); });
  opened.page.on('websocket', (socket) => sockets.push(socket.url()));
  const response = await opened.page.goto(url);
  return { ...opened, sockets, asked, response };
}

async function proxied(t, options) {
  const proxy = await startPrefixProxy(server.httpAddress, PREFIX, options);
  t.after(() => proxy.stop());
  return proxy;
}

for (const [proxyKind, options] of [['a proxy', {}], ['a proxy that decodes paths', { decode: true }]]) {
  test(`the fleet and a device under a path of ${proxyKind}`, async (t) => {
    const proxy = await proxied(t, options);
    const id = `pump-${proxyKind.length}`;
    const device = await startDevice(server, id);
    t.after(() => device.quit());
    const { page, sockets, complaints, close } = await visit(proxy.page);
    await live(page);
    assert.deepEqual(sockets, [`ws://${proxy.address}${PREFIX}/mqtt`]);

    await page.getByTestId('device-card').filter({ hasText: id }).click();
    await page.getByRole('heading', { name: new RegExp(id) }).waitFor();
    const place = `${PREFIX}/device/beaconry/${id}`;
    assert.equal(pathOf(page), place);
    await page.goBack();
    await page.getByTestId('device-card').filter({ hasText: id }).waitFor();
    assert.equal(pathOf(page), `${PREFIX}/`);
    await page.goForward();

    // From here the page begins at the device's own address.
    await page.reload();
    await page.getByRole('heading', { name: new RegExp(id) }).waitFor();
    await live(page);
    await page.getByTestId('command-PING').click();
    await page.getByTestId('command-answer').filter({ hasText: 'PONG' }).first().waitFor();
    assert.equal(pathOf(page), place);
    await page.locator('a.brand').click();
    await page.getByTestId('device-card').filter({ hasText: id }).waitFor();
    assert.equal(pathOf(page), `${PREFIX}/`);
    assert.deepEqual(new Set(sockets), new Set([`ws://${proxy.address}${PREFIX}/mqtt`]));
    assert.deepEqual(proxy.strays, []);
    assert.deepEqual(complaints, []);
    await close();
  });
}

test('a deep link with a query, a slash at its end and an id that needs encoding', async (t) => {
  const proxy = await proxied(t);
  for (const path of ['device/beaconry/none-1/?broker=&x=/a/', 'device/beaconry%2Fnone-1', 'device/50%25%3F%23']) {
    const { page, complaints, close } = await visit(`${proxy.page}${path}`);
    await live(page);
    await page.locator('a.brand').click();
    await page.waitForURL((url) => url.pathname === `${PREFIX}/`);
    assert.deepEqual(complaints, [], path);
    await close();
  }
  assert.deepEqual(proxy.strays, []);
});

test('an address that is no page says so, however deep it is', async (t) => {
  const proxy = await proxied(t);
  for (const path of ['healthzz', 'no/such/page', 'no/such/page/']) {
    const { page, response, complaints, close } = await visit(`${proxy.page}${path}`, { expected: [/404/] });
    assert.equal(response.status(), 404);
    await page.getByTestId('not-found').waitFor();
    await page.locator('a.brand').click();
    await page.waitForURL((url) => url.pathname === `${PREFIX}/`);
    await live(page);
    assert.deepEqual(complaints, [], path);
    await close();
  }
  assert.deepEqual(proxy.strays, []);
});

test('the skip link stays on the page that it is on', async (t) => {
  const proxy = await proxied(t);
  const { page, complaints, close } = await visit(`${proxy.page}device/beaconry/none-2`);
  await live(page);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip-link');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement.id === 'main');
  assert.equal(pathOf(page), `${PREFIX}/device/beaconry/none-2`);
  assert.deepEqual(complaints, []);
  await close();
});

test('the manifest and the icons are those of the path', async (t) => {
  const proxy = await proxied(t);
  for (const path of ['', 'device/beaconry/none-3']) {
    const { page, close } = await visit(`${proxy.page}${path}`);
    const [manifest, icon] = await page.evaluate(() => ['manifest', 'icon'].map((rel) => document.querySelector(`link[rel="${rel}"]`).href));
    assert.equal(icon, `${proxy.page}icon.svg`);
    const { start_url, scope, icons } = await (await fetch(manifest)).json();
    for (const place of [start_url, scope]) assert.equal(new URL(place, manifest).href, proxy.page);
    for (const { src } of icons) assert.equal((await fetch(new URL(src, manifest))).status, 200);
    await close();
  }
  assert.deepEqual(proxy.strays, []);
});

test('a widget finds its server beside its script', async (t) => {
  const proxy = await proxied(t);
  const elsewhere = http.createServer((_, response) => {
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end(`<!doctype html><title>Somebody's page</title>
      <script type="module" src="${proxy.page}embed/beaconry.js"></script>
      <beaconry-status device="door-9"></beaconry-status>`);
  }).listen(0, '127.0.0.1');
  await once(elsewhere, 'listening');
  t.after(() => elsewhere.close());
  const device = await startDevice(server, 'door-9');
  t.after(() => device.quit());
  const { page, sockets, asked, close } = await visit(`http://127.0.0.1:${elsewhere.address().port}/`, { expected: [/favicon/] });
  await page.locator('beaconry-status').getByText(/online/i).first().waitFor();
  assert.deepEqual(sockets, [], 'it needs no broker');
  assert.ok(asked.length > 0);
  for (const url of asked) assert.ok(url.startsWith(`http://${proxy.address}${PREFIX}/api/v1/`), url);
  assert.deepEqual(proxy.strays, []);
  await close();
});

for (const [what, missing] of [['the script that starts it', /boot\.js$/], ['the program', /beaconry-app.*\.js$/], ['the WebAssembly', /\.wasm$/]]) {
  test(`a page says so when ${what} is answered with 404`, async (t) => {
    const proxy = await proxied(t, { missing: [missing] });
    const { page, close } = await visit(proxy.page);
    await page.getByRole('alert').filter({ hasText: /could not be loaded/ }).waitFor();
    if (what.includes('script')) await photograph(page, 'not-loaded');
    assert.match(await page.getByRole('alert').innerText(), /reload/i);
    await close();
  });
}

test('a page says so when the network fails under its script', async () => {
  const { page, close } = await openPage(browser, 'about:blank');
  await page.route(/boot\.js$/, (route) => route.abort('connectionreset'));
  await page.goto(server.page);
  await page.getByRole('alert').filter({ hasText: /could not be loaded/ }).waitFor();
  await close();
});
