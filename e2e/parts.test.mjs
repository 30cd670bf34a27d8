// Parts of the program that come when they are first used: the device page is one.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, openPage } from './lib/browser.mjs';
import { startDevice } from './lib/device.mjs';
import { startServer } from './lib/server.mjs';

const PART = /\/device-[0-9a-f]+\.wasm$/;
const LATER = [PART, /\/uPlot[^/]*\.js$/, /\/(chart|raw|commands|position)-[0-9a-f]+\.css$/];

let browser;
let server;
let device;
before(async () => {
  server = await startServer();
  browser = await launch();
  device = await startDevice(server, 'oven-1');
  await device.send({ temperature: 180 });
});
after(async () => {
  await device?.quit();
  await browser?.close();
  await server?.stop();
});

test('the fleet comes without the device page, which comes before it is needed', async () => {
  const { page, complaints, close } = await openPage(browser, 'about:blank');
  const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  const coming = LATER.map((later) => page.waitForResponse((response) => later.test(response.url())));
  await page.goto(server.page);
  await page.getByText('oven-1').first().waitFor();
  const early = asked.filter((path) => LATER.some((later) => later.test(path)));
  assert.deepEqual(early, [], 'asked for before the fleet was there');
  for (const response of await Promise.all(coming)) {
    // A browser that has it does not ask whether it has changed.
    assert.match(response.headers()['cache-control'], /immutable/, response.url());
  }
  // From here on nothing more of it can come.
  for (const later of LATER) await page.route(later, (route) => route.abort('connectionreset'));
  await page.getByText('oven-1').first().click();
  await page.getByTestId('device-page').waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test('a link to a device brings the part at once', async () => {
  const { page, complaints, close } = await openPage(browser, `${server.page}device/oven-1`);
  await page.getByTestId('device-page').waitFor();
  await page.locator('.uplot').first().waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test('a part that does not arrive is told, and comes when it is asked for again', async () => {
  const { page, complaints, close } = await openPage(browser, 'about:blank', { expected: [/Failed to load resource/, /TypeError/] });
  await page.route(PART, (route) => route.fulfill({ status: 404, body: 'gone' }));
  await page.goto(`${server.page}device/oven-1`);
  await page.getByTestId('part-failed').waitFor();
  await page.unroute(PART);
  await page.getByTestId('part-again').click();
  await page.getByTestId('device-page').waitFor();
  assert.equal(await page.getByTestId('part-failed').count(), 0);
  assert.deepEqual(complaints, []);
  await close();
});
