// <beaconry-status> in a page of another origin.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { launch, openPage, photograph } from './lib/browser.mjs';
import { startDevice } from './lib/device.mjs';
import { startServer } from './lib/server.mjs';

let server;
let browser;
let elsewhere;
before(async () => {
  server = await startServer();
  browser = await launch();
  elsewhere = http.createServer((request, response) => {
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end(`<!doctype html><title>Somebody's page</title><meta name="color-scheme" content="light dark">
      <script type="module" src="http://${server.httpAddress}/embed/beaconry.js"></script>
      <h1>Our greenhouse</h1>
      <p>Door: <beaconry-status id="door" device="door-1"></beaconry-status></p>
      <p>Again: <beaconry-status id="again" device="door-1" label="The door"></beaconry-status></p>
      <p>Window: <beaconry-status id="window" device="window-1"></beaconry-status></p>
      <p>Broken: <beaconry-status id="broken"></beaconry-status></p>`);
  }).listen(0, '127.0.0.1');
  await once(elsewhere, 'listening');
});
after(async () => {
  await browser?.close();
  elsewhere.close();
  assert.equal((await server.stop()).code, 0);
});

test('it follows the device, with one stream a page', async () => {
  const streams = [];
  const { page, complaints, close } = await openPage(browser, 'about:blank', { expected: [/favicon/] });
  page.on('request', (request) => { if (request.url().includes('/changes')) streams.push(request.url()); });
  await page.goto(`http://127.0.0.1:${elsewhere.address().port}/`);
  const status = (id) => page.locator(`beaconry-status#${id}`);
  // The shadow root is open: locators look inside.
  await status('door').getByText(/no word|unknown|waiting|never/i).first().waitFor();
  const device = await startDevice(server, 'door-1');
  await status('door').getByText(/online/i).first().waitFor();
  await status('again').getByText('The door').first().waitFor();
  await photograph(page, 'widget');
  await device.kill();
  await status('door').getByText(/offline/i).first().waitFor();
  await status('broken').getByText(/device/i).first().waitFor();
  assert.equal(streams.length, 1, streams.join(', '));

  const again = await startDevice(server, 'door-1');
  await status('door').getByText(/online/i).first().waitFor();
  assert.ok(await status('door').evaluate((element) => element.shadowRoot.querySelectorAll('[part]').length > 0));
  await again.quit();
  await status('door').getByText(/offline/i).first().waitFor();

  // The last element to leave closes the stream. A new one opens it again.
  await page.evaluate(() => document.querySelectorAll('beaconry-status').forEach((element) => element.remove()));
  await page.evaluate(() => {
    const element = document.createElement('beaconry-status');
    element.id = 'late';
    element.setAttribute('device', 'door-1');
    document.body.append(element);
  });
  await status('late').getByText(/offline/i).first().waitFor();
  assert.deepEqual(complaints, []);
  await close();
});
