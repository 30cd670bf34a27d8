// The widget shows what the page shows: through sleep, a reset connection and a restart of the server.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { launch, openPage } from './lib/browser.mjs';
import { connect } from './lib/mqttjs.mjs';
import { startServer } from './lib/server.mjs';

const DEVICES = ['sleepy', 'tied', 'wilful'];

/// Waits until widget and page say `state` of a device, and compares why.
async function both(widgets, cards, device, state, reason) {
  const element = widgets.locator(`#${device}`);
  await element.locator(`[part~="${state}"]`).waitFor();
  await cards.locator(`[data-testid="device-card"][data-device$="${device}"][data-presence="${state}"]`).waitFor();
  if (reason) {
    await element.getByText(reason).waitFor();
    const { presence } = await (await fetch(new URL(`api/v1/devices/beaconry/${device}`, cards.url()))).json();
    assert.equal(presence.state, state);
  }
}

test('the widget says what the page says', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'beaconry-widget-'));
  let server = await startServer({ args: ['--data', folder] });
  const browser = await launch();
  const elsewhere = http.createServer((request, response) => {
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end(`<!doctype html><html lang="en"><title>Somebody's page</title>
      <script type="module" src="http://${server.httpAddress}/embed/beaconry.js"></script>
      ${DEVICES.map((id) => `<p><beaconry-status id="${id}" device="${id}"></beaconry-status></p>`).join('')}`);
  }).listen(0, '127.0.0.1');
  await once(elsewhere, 'listening');
  t.after(async () => {
    await browser.close();
    elsewhere.close();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const expected = [/favicon/, /net::ERR_/, /WebSocket connection to/];
  const { page: widgets } = await openPage(browser, `http://127.0.0.1:${elsewhere.address().port}/`, { expected });
  const { page: cards } = await openPage(browser, server.page, { expected });

  // Sleep: it signs in and out in a rhythm, until that is known.
  const sleepy = await connect(server.tcp);
  const sign = (word) => sleepy.publish('beaconry/register/sleepy', word, { qos: 1, retain: true });
  const rhythm = setInterval(async () => {
    await sign('SIGN_IN');
    await sign('SIGN_OUT');
  }, 1_500);
  t.after(() => clearInterval(rhythm));

  // Reset: neither a will nor a word, only the broker saw it go.
  const tied = await connect(server.tcp, { clientId: 'tied', reconnectPeriod: 0 });
  const report = setInterval(() => tied.publish('beaconry/data/tied', '{"temp":21.5}', { qos: 1 }), 500);
  const wilful = await connect(server.tcp, {
    clientId: 'wilful',
    reconnectPeriod: 0,
    will: { topic: 'beaconry/register/wilful', payload: 'SIGN_OUT', qos: 1, retain: true },
  });
  await wilful.publish('beaconry/register/wilful', 'SIGN_IN', { qos: 1, retain: true });
  await both(widgets, cards, 'tied', 'online');
  await both(widgets, cards, 'wilful', 'online');
  await both(widgets, cards, 'sleepy', 'sleeping', 'wakes about');
  const known = async () => (await (await fetch(new URL('api/v1/devices/beaconry/tied', cards.url()))).json()).client === 'tied';
  while (!await known()) await new Promise((done) => { setTimeout(done, 100); });
  clearInterval(report);
  tied.cut();
  await both(widgets, cards, 'tied', 'offline', 'connection lost');
  wilful.cut();
  await both(widgets, cards, 'wilful', 'offline', 'its will did');

  // Restart: what was known still is, on both.
  clearInterval(rhythm);
  sleepy.end(true);
  await server.stop();
  await widgets.locator('#tied [part~="lost"]').waitFor();
  server = await startServer({ args: ['--data', folder], mqtt: server.mqttAddress, http: server.httpAddress });
  await both(widgets, cards, 'tied', 'offline', 'connection lost');
  await both(widgets, cards, 'wilful', 'offline', 'its will did');
});
