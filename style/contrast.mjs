// Holds the colour pairs of tokens.css to WCAG AA, in both schemes: `node style/contrast.mjs`.
import { readFileSync } from 'node:fs';

const css = readFileSync(new URL('tokens.css', import.meta.url), 'utf8');
const [lightPart, darkPart] = css.split('@media (prefers-color-scheme: dark)');
const tokens = (part) => Object.fromEntries([...part.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6})\b/g)].map((m) => [m[1], m[2]]));
const light = tokens(lightPart);
const schemes = { light, dark: { ...light, ...tokens(darkPart) } };

const TEXT = 4.5;
const SHAPE = 3;
const surfaces = ['canvas', 'surface', 'surface-2', 'surface-hover', 'sunken'];
const presences = ['online', 'sleeping', 'stale', 'offline', 'unknown'];
const pairs = [
  ...['ink', 'ink-2', 'ink-3', 'accent', ...presences].flatMap((ink) => surfaces.map((on) => [ink, on, TEXT])),
  ...presences.map((presence) => [presence, `${presence}-soft`, TEXT]),
  ...presences.map((presence) => ['ink', `${presence}-soft`, TEXT]),
  ['accent', 'accent-soft', TEXT],
  ['accent-ink', 'accent', TEXT],
  ['accent-ink', 'offline', TEXT],
  ['primary-ink', 'primary', TEXT],
  ['primary-ink', 'primary-hover', TEXT],
  ...[1, 2, 3, 4, 5, 6].map((n) => [`chart-${n}`, 'surface', SHAPE]),
  ['chart-axis', 'surface', TEXT],
  ...['surface', 'canvas', 'sunken'].map((on) => ['border-strong', on, SHAPE]),
  ['brand', 'surface', SHAPE],
];

const channel = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
const luminance = (hex) => [1, 3, 5]
  .map((at) => channel(parseInt(hex.slice(at, at + 2), 16) / 255))
  .reduce((sum, value, n) => sum + value * [0.2126, 0.7152, 0.0722][n], 0);
const contrast = (a, b) => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};

let failures = 0;
for (const [scheme, colours] of Object.entries(schemes)) {
  for (const [ink, on, least] of pairs) {
    const ratio = contrast(colours[ink], colours[on]);
    if (ratio < least) {
      failures += 1;
      console.error(`${scheme}: --${ink} on --${on} is ${ratio.toFixed(2)}:1, needs ${least}:1`);
    }
  }
}
console.log(`${pairs.length * 2} pairs, ${failures} too weak`);
process.exitCode = failures ? 1 : 0;
