// axe-core on every page, with and without a connection, in both schemes. One server and one browser.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { launch, openPage } from './lib/browser.mjs';
import { startProxy } from './lib/proxy.mjs';
import { startServer } from './lib/server.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

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

/// What axe finds wrong on the page as it is now.
async function violations(page) {
  // The page's policy allows no other script, but the test's own may run.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.target} (${node.any[0]?.message ?? node.failureSummary})`).join('; ')} (${nodes.length})`);
}

for (const colorScheme of ['light', 'dark']) {
  test(`every page, ${colorScheme}`, async (t) => {
    const proxy = await startProxy(server.httpAddress);
    t.after(() => proxy.stop());
    const { page, close } = await openPage(browser, `http://${proxy.address}/`, {
      colorScheme, reducedMotion: 'reduce', expected: [/./], viewport: { width: 1280, height: 900 },
    });
    t.after(close);
    const found = {};
    const look = async (what) => {
      const wrong = await violations(page);
      if (wrong.length > 0) found[what] = wrong;
    };
    const state = (word) => page.getByTestId('connection-state').filter({ hasText: word }).waitFor();

    await page.getByTestId('device-card').nth(8).waitFor();
    await page.getByTestId('trend-name').first().waitFor();
    await look('fleet');
    await page.getByTestId('layout-list').click();
    await page.locator('.row').first().waitFor();
    await look('rows');
    await page.getByTestId('layout-grid').click();
    await page.getByTestId('connection-state').click();
    await page.locator('#connection-details').waitFor();
    await look('connection');
    await page.keyboard.press('Escape');
    await page.getByTestId('search').fill('no such device');
    await page.getByTestId('no-results').waitFor();
    await look('no results');

    await page.getByTestId('search').fill('freezer');
    await page.getByTestId('device-card').first().click();
    await page.getByTestId('chart').first().locator('canvas').waitFor();
    await page.getByTestId('command-PING').click();
    await page.getByTestId('command-answer').filter({ hasText: 'PONG' }).first().waitFor();
    await page.getByTestId('all-values').locator('summary').click();
    await look('device');
    await page.getByTestId('command-REBOOT').click();
    await page.getByTestId('confirm-dialog').waitFor();
    await look('command dialog');
    await page.keyboard.press('Escape');
    await page.getByTestId('forget').click();
    await page.getByTestId('forget-dialog').waitFor();
    await look('forget dialog');
    await page.keyboard.press('Escape');

    proxy.cut();
    await state(/reconnecting/i);
    await look('device, not connected');
    await page.getByRole('link', { name: 'Fleet', exact: true }).click();
    await page.getByTestId('device-card').first().waitFor();
    await page.getByTestId('search').fill('');
    await page.getByTestId('device-card').nth(8).waitFor();
    await look('fleet, not connected');
    await page.getByTestId('connection-state').click();
    await page.locator('#connection-details').waitFor();
    await look('connection, not connected');
    proxy.restore();
    await page.keyboard.press('Escape');
    await state(/live/i);

    await page.goto(`http://${proxy.address}/nowhere`);
    await page.getByTestId('not-found').waitFor();
    await look('not found');
    await page.goto(`http://${proxy.address}/device/nobody`);
    await page.getByTestId('device-waiting').waitFor();
    await look('unknown device');
    assert.deepEqual(found, {});
  });
}
