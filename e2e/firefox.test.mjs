// A smoke test in a second browser: fleet, device, PING, widget.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { launchFirefox, openInFirefox } from './lib/firefox.mjs';
import { startServer } from './lib/server.mjs';

let server;
let browser;
before(async () => {
  server = await startServer({ args: ['--demo', '24', '--demo-interval', '250ms'] });
  browser = await launchFirefox();
});
after(async () => {
  await browser?.close();
  assert.equal((await server.stop()).code, 0);
});

/// Waits until an element of this test id has this text.
const says = (page, id, text) => page.waitForFunction((id, text) => [...document.querySelectorAll(`[data-testid="${id}"]`)]
  .some((element) => element.textContent.includes(text)), {}, id, text);

test('fleet, device and a command in Firefox', async () => {
  const { page, complaints } = await openInFirefox(browser, server.page);
  await page.waitForSelector('[data-device="beaconry/freezer-01"]');
  await says(page, 'count-shown', '24 devices');
  await says(page, 'connection-state', 'Live');
  await page.click('[data-device="beaconry/freezer-01"]');
  await page.waitForSelector('[data-testid="chart"] canvas');
  await says(page, 'device-title', 'freezer-01');
  await page.click('[data-testid="command-PING"]');
  await says(page, 'command-answer', 'PONG');
  await page.click('[data-testid="command-REBOOT"]');
  await page.waitForSelector('[data-testid="confirm-dialog"][open]');
  await page.keyboard.press('Escape');
  await page.waitForSelector('[data-testid="confirm-dialog"]:not([open])');
  await page.click('.crumbs a');
  await page.waitForFunction(() => document.activeElement?.dataset?.device === 'beaconry/freezer-01');
  assert.deepEqual(complaints, []);
  await page.close();
});

test('a widget in Firefox', async (t) => {
  const elsewhere = http.createServer((request, response) => {
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end(`<!doctype html><html lang="en"><title>Somebody's page</title><link rel="icon" href="data:,">
      <script type="module" src="http://${server.httpAddress}/embed/beaconry.js"></script>
      <p>Door: <beaconry-status id="door" device="freezer-01"></beaconry-status></p>`);
  }).listen(0, '127.0.0.1');
  await once(elsewhere, 'listening');
  t.after(() => elsewhere.close());
  const { page, complaints } = await openInFirefox(browser, `http://127.0.0.1:${elsewhere.address().port}/`);
  await page.waitForFunction(() => /online/i.test(document.querySelector('#door')?.shadowRoot?.textContent));
  assert.deepEqual(complaints, []);
  await page.close();
});

// Firefox keeps no page with a WebSocket: it loads it anew. For Chromium, see away.test.mjs.
test('on the way back in Firefox the page is live again', async () => {
  const { page, complaints } = await openInFirefox(browser, server.page);
  await says(page, 'connection-state', 'Live');
  await page.goto(`${server.page}healthz`);
  await page.goBack();
  await says(page, 'connection-state', 'Live');
  await says(page, 'count-shown', '24 devices');
  assert.deepEqual(complaints, []);
  await page.close();
});
