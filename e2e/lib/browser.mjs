// Real Chromium. A page fails its test when it reports an error.
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const screenshots = fileURLToPath(new URL('../screenshots/', import.meta.url));

export const viewports = { desktop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };

/// `backForwardCache`: the way back may lead to a page that was kept, as it does for people. Playwright
/// turns that off.
export function launch({ backForwardCache = false } = {}) {
  return chromium.launch({
    ignoreDefaultArgs: backForwardCache ? ['--disable-back-forward-cache'] : [],
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--enable-precise-memory-info'],
  });
}

/// A page with `complaints`: errors, CSP violations and panics that it reported. `expected`
/// holds those that a test provokes, such as the failed connections of a cut network.
export async function openPage(browser, url, { expected = [], ...context } = {}) {
  const page = await (await browser.newContext({ viewport: viewports.desktop, ...context })).newPage();
  page.setDefaultTimeout(20_000);
  const complaints = [];
  const complain = (text) => {
    if (!expected.some((pattern) => pattern.test(text))) complaints.push(text);
  };
  // Chromium only warns of an `autofocus` that it does not follow.
  page.on('console', (message) => { if (message.type() === 'error' || /autofocus/i.test(message.text())) complain(message.text()); });
  page.on('pageerror', (error) => complain(String(error)));
  page.on('dialog', (dialog) => { complain(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  await page.goto(url);
  return { page, complaints, close: () => page.context().close() };
}

export async function photograph(page, name) {
  mkdirSync(screenshots, { recursive: true });
  await page.screenshot({ path: `${screenshots}${name}.png` });
}
