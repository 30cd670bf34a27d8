// Every pair of text and background colours in use meets WCAG AA.
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from './lib/process.mjs';

test('the colours are told apart, in light and in dark', async () => {
  await run(process.execPath, [fileURLToPath(new URL('../style/contrast.mjs', import.meta.url))]);
});
