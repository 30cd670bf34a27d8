// Photographs both pages with the demo fleet: desktop and phone, dark and light. The test checks what
// each picture must have; people look at the rest.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, openPage, photograph, viewports } from './lib/browser.mjs';
import { startServer } from './lib/server.mjs';

let server;
let browser;
before(async () => {
  server = await startServer({ args: ['--demo', '24', '--demo-interval', '250ms'] });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  assert.equal((await server.stop()).code, 0);
});

for (const [device, viewport] of Object.entries(viewports)) {
  for (const colorScheme of ['light', 'dark']) {
    test(`${device}, ${colorScheme}`, async () => {
      const { page, complaints, close } = await openPage(browser, server.page, {
        viewport, colorScheme, deviceScaleFactor: device === 'phone' ? 2 : 1, hasTouch: device === 'phone',
      });
      await page.getByTestId('device-card').nth(3).waitFor();
      // This is enough for trend lines: the demo sends four readings a second.
      await page.waitForFunction(() => [...document.querySelectorAll('[data-testid=device-card] canvas')].slice(0, 2)
        .every((canvas) => canvas.width > 0 && canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte > 0)));
      await page.getByTestId('count-online').filter({ hasText: /[1-9]/ }).waitFor();
      await photograph(page, `fleet-${device}-${colorScheme}`);
      const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);
      assert.ok(await fits(), 'no sideways scrolling');

      // The list renders only what is on the screen. The search finds what is further down.
      await page.getByTestId('search').fill('weather');
      await page.getByTestId('device-card').filter({ hasText: 'weather' }).first().click();
      // A chart is drawn when it is on the screen.
      await page.getByTestId('chart').first().scrollIntoViewIfNeeded();
      await page.getByTestId('chart').first().locator('canvas').waitFor();
      await page.getByTestId('command-PING').click();
      await page.getByTestId('command-answer').filter({ hasText: 'PONG' }).first().waitFor();
      await page.getByTestId('raw-message').nth(3).waitFor();
      await photograph(page, `device-${device}-${colorScheme}`);
      assert.ok(await fits(), 'no sideways scrolling');
      assert.deepEqual(complaints, []);
      await close();
    });
  }
}

test('usable at 360 pixels', async () => {
  const { page, close } = await openPage(browser, server.page, { viewport: { width: 360, height: 740 } });
  await page.getByTestId('device-card').first().waitFor();
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 360));
  const cut = await page.evaluate(() => [...document.querySelectorAll('.chip, .card .metric .name')]
    .filter((element) => element.getBoundingClientRect().right > 360 || element.scrollHeight > element.clientHeight + 1 || element.scrollWidth > element.clientWidth + 1)
    .map((element) => element.textContent));
  assert.deepEqual(cut, [], 'no filter and no name is cut');
  await page.getByTestId('device-card').first().click();
  await page.getByTestId('command-PING').waitFor();
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 360));
  await close();
});
