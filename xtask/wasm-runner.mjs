// Runs one wasm test binary in Chromium: cargo's runner for wasm32 (see xtask/src/test.rs).
//
//     node wasm-runner.mjs TEST.wasm [ARGS for the harness]
//
// wasm-bindgen-test-runner, told not to look for a browser itself, serves the tests as a page. We
// open that page and pass on what it says. So the tests need a browser, but no driver that must
// match the browser's version.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const LIMIT_MS = 300_000;

const server = spawn('wasm-bindgen-test-runner', process.argv.slice(2), {
  env: { ...process.env, NO_HEADLESS: '1', WASM_BINDGEN_TEST_ADDRESS: '127.0.0.1:0' },
  stdio: ['ignore', 'pipe', 'inherit'],
});
const ended = new Promise((resolve, reject) => {
  server.once('error', reject);
  server.once('exit', (code) => resolve(code ?? 1));
});

const address = await Promise.race([servedAddress(server.stdout), ended]);
if (typeof address === 'number') {
  // It had nothing to serve: no tests in this binary, or it failed and said why.
  process.exit(address);
}
try {
  process.exitCode = (await runPage(address)) ? 0 : 1;
} finally {
  server.kill();
}

/** The address that the runner prints; what else it prints is passed on. */
function servedAddress(stdout) {
  return new Promise((resolve) => {
    createInterface({ input: stdout }).on('line', (line) => {
      const found = line.match(/available at (http:\/\/\S+)/);
      if (found) resolve(found[1]);
      else if (!/interactive mode|is specified in the environment|done with testing|^Ctrl-C|^$/.test(line)) {
        console.log(line);
      }
    });
  });
}

/** Opens the page, waits for its verdict, prints what it wrote; whether all passed. */
async function runPage(url) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    // Chromium refuses its sandbox to root; these pages are our own.
    args: [...(process.getuid?.() === 0 ? ['--no-sandbox'] : []), '--disable-gpu', '--disable-quic'],
  });
  try {
    const page = await browser.newPage();
    const complaints = [];
    page.on('pageerror', (error) => complaints.push(String(error.stack ?? error)));
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    await page.goto(url);
    const verdict = await page
      .waitForFunction(() => /test result: (ok|FAILED)/.exec(output.textContent)?.[1], null, { timeout: LIMIT_MS })
      .then((handle) => handle.jsonValue())
      .catch((error) => complaints.push(String(error)) && 'none');
    console.log(await page.textContent('#output'));
    if (verdict !== 'ok') console.error(complaints.join('\n'));
    return verdict === 'ok';
  } finally {
    await browser.close();
  }
}
