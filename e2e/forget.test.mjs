// A person forgets a device: by keyboard, on every screen, and against what the broker has retained.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, openPage, photograph } from './lib/browser.mjs';
import * as mqttjs from './lib/mqttjs.mjs';
import { startProxy } from './lib/proxy.mjs';
import { startServer } from './lib/server.mjs';

let browser;
before(async () => { browser = await launch(); });
after(() => browser?.close());

const card = (page, id) => page.getByTestId('device-card').filter({ hasText: id });

/// Leaves `SIGN_OUT` of these devices with the broker.
async function leave(server, ...ids) {
  const sender = await mqttjs.connect(server.tcp);
  for (const id of ids) await sender.publish(`beaconry/register/${id}`, 'SIGN_OUT', { qos: 1, retain: true });
  await sender.end();
}

// As against another broker; with our own server, the server forgets.
test('a forgotten device comes back by a live message, not by a retained one', async (t) => {
  let server = await startServer();
  t.after(() => server.stop());
  await leave(server, 'old-pump', 'other-pump');
  const proxy = await startProxy(server.httpAddress);
  t.after(() => proxy.stop());
  const { page, complaints, close } = await openPage(browser, `http://${proxy.address}/?topics=beaconry/%23`, { expected: [/WebSocket connection/] });
  await card(page, 'old-pump').click();

  // Escape and Cancel change nothing, and the button has the focus again.
  const button = page.getByTestId('forget');
  const dialog = page.getByRole('dialog', { name: 'Forget old-pump?' });
  const focused = (locator) => locator.evaluate((element) => element === document.activeElement);
  await button.focus();
  await page.keyboard.press('Enter');
  await dialog.waitFor();
  assert.ok(await focused(dialog.getByRole('button', { name: 'Cancel' })), 'the harmless button has the focus');
  const described = await dialog.evaluate((element) => element.getAttribute('aria-describedby').split(' ').map((id) => document.getElementById(id).textContent).join(' '));
  assert.match(described, /comes back when it sends a message.*Only this page.*reload/);
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  assert.ok(await focused(button));
  await page.keyboard.press('Enter');
  await page.keyboard.press('Enter');
  await dialog.waitFor({ state: 'hidden' });
  assert.ok(await focused(button));

  // Tab goes to the button that forgets.
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  assert.ok(await focused(page.getByTestId('forget-confirm')));
  await page.keyboard.press('Enter');
  await card(page, 'other-pump').waitFor();
  assert.equal(await card(page, 'old-pump').count(), 0);
  await page.getByTestId('count-shown').filter({ hasText: /^1 device$/ }).waitFor();
  assert.ok(await focused(page.getByRole('main')));

  // A broker that knows no session of the page sends it everything that is retained. The last of
  // it shows that the page has got the rest.
  proxy.cut();
  await server.stop();
  server = await startServer({ http: server.httpAddress });
  await leave(server, 'old-pump', 'other-pump', 'z-pump');
  proxy.restore();
  await card(page, 'z-pump').waitFor();
  assert.equal(await card(page, 'old-pump').count(), 0);

  const device = await mqttjs.connect(server.tcp);
  await device.publish('beaconry/data/old-pump', '{"flow":2.5}', { qos: 1 });
  await card(page, 'old-pump').getByText('2.5').waitFor();
  await device.end();

  // Its address works again, and says so where it is open.
  await card(page, 'old-pump').click();
  await page.getByTestId('device-title').filter({ hasText: 'old-pump' }).waitFor();
  await page.getByTestId('forget').click();
  await page.getByTestId('forget-confirm').click();
  await page.goBack();
  await page.getByTestId('device-waiting').waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test('the question fits on every screen, dark and light', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const sender = await mqttjs.connect(server.tcp);
  t.after(() => sender.end());
  await sender.publish('beaconry/register/pump-02', 'SIGN_IN', { qos: 1, retain: true });
  for (const [device, viewport] of Object.entries({ desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } })) {
    for (const colorScheme of ['light', 'dark']) {
      const { page, complaints, close } = await openPage(browser, `${server.page}device/beaconry/pump-02`, {
        viewport, colorScheme, deviceScaleFactor: device === 'phone' ? 2 : 1, hasTouch: device === 'phone',
      });
      const button = page.getByTestId('forget');
      await button.waitFor();
      await photograph(page, `forget-button-${device}-${colorScheme}`);
      await button.click();
      const box = await page.getByTestId('forget-dialog').boundingBox();
      assert.ok(box.x >= 0 && box.x + box.width <= viewport.width && box.y + box.height <= viewport.height, JSON.stringify(box));
      assert.match(await page.getByTestId('forget-dialog').textContent(), /The server forgets it for everybody/);
      await photograph(page, `forget-${device}-${colorScheme}`);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), 'no sideways scrolling');
      await page.getByRole('button', { name: 'Cancel' }).click();
      await page.getByTestId('forget-dialog').waitFor({ state: 'hidden' });
      assert.deepEqual(complaints, []);
      await close();
    }
  }
});
