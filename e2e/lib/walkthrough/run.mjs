// Runs a walkthrough from its first command to its last, in as many terminals as it names.
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from './parse.mjs';
import { freePorts } from './ports.mjs';
import { Terminal } from './terminal.mjs';

export const FOLDER = fileURLToPath(new URL('../../../docs/walkthroughs', import.meta.url));
const BINARY = process.env.BEACONRY_BIN
  ?? fileURLToPath(new URL('../../../target/release/beaconry', import.meta.url));

const SUBSCRIBES = /\b(beaconry sub|mosquitto_sub)\b/;
const SUBSCRIBES_WITHIN_MS = 10_000;

/// Runs the walkthrough that `text` holds. Rejects at the first thing that is not as written.
export async function run(text) {
  const scratch = await mkdtemp(path.join(tmpdir(), 'beaconry-walkthrough-'));
  const terminals = new Map();
  let block = { line: 0 };
  let item = block;
  const ports = await freePorts(scratch);
  try {
    const { cwd, env } = await desk(scratch, ports);
    const blocks = parse(ports.replace(text));
    if (blocks.length === 0) throw new Error('there is no command in it');
    for (block of blocks) {
      const name = block.terminal;
      if (!terminals.has(name)) terminals.set(name, new Terminal(name, { cwd, env, scratch }));
      const terminal = terminals.get(name);
      for (const [index, each] of block.items.entries()) {
        item = each;
        const next = block.items[index + 1];
        const isSilent = SUBSCRIBES.test(item.command) && (next ? next.signal !== undefined : block.goesOn);
        const subscribed = isSilent && await oneMoreSubscription(env.BEACONRY_HTTP);
        await act(terminal, item);
        if (isSilent) await subscribed();
      }
      if (!block.goesOn) await terminal.ends();
    }
    for (const terminal of terminals.values()) terminal.check();
  } catch (error) {
    throw new Error(`line ${item.line}: ${ports.restore(error.message)}`);
  } finally {
    for (const terminal of terminals.values()) await terminal.stop();
    await rm(scratch, { recursive: true, force: true });
  }
}

/// A reader needs a moment to go to another terminal, and the test does not. So it waits until our server
/// has the subscription of a program that shows nothing. The result is to be called after the start.
async function oneMoreSubscription(http) {
  let last = await subscriptions(http);
  return async () => {
    const end = Date.now() + SUBSCRIBES_WITHIN_MS;
    // That of a program which has just ended may still go meanwhile.
    for (let now = await subscriptions(http); now <= last; now = await subscriptions(http)) {
      last = now;
      if (Date.now() > end) throw new Error('it has not subscribed; with -d it would show what it does');
      await new Promise((resolve) => { setTimeout(resolve, 5); });
    }
  };
}

async function subscriptions(http) {
  const page = await (await fetch(`http://${http}/metrics`)).text();
  return Number(page.match(/^beaconry_mqtt_subscriptions (\d+)$/m)[1]);
}

async function act(terminal, item) {
  if (item.output !== undefined) {
    await terminal.shows(item.output);
  } else if (item.signal) {
    terminal.press(item.signal);
  } else {
    await terminal.ends();
    // Who asks for the exit code expects one.
    if (!/\$\?/.test(item.command)) terminal.check();
    terminal.start(item.command);
  }
}

/// A reader's desk: the walkthroughs' folder, to work in, and a `beaconry` that can be called by name.
async function desk(scratch, ports) {
  const bin = path.join(scratch, 'bin');
  const home = path.join(scratch, 'home');
  const cwd = path.join(scratch, 'walkthroughs');
  await mkdir(bin);
  await mkdir(home);
  await symlink(path.resolve(BINARY), path.join(bin, 'beaconry'));
  if (process.env.PYTHON) {
    // The one that has paho-mqtt. It finds its modules by its own path.
    await writeFile(path.join(bin, 'python3'), `#!/bin/sh\nexec '${process.env.PYTHON}' "$@"\n`, { mode: 0o755 });
  }
  await cp(FOLDER, cwd, { recursive: true });
  for (const entry of await readdir(cwd, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath ?? entry.path, entry.name);
    await writeFile(file, ports.replace(await readFile(file, 'utf8')));
  }
  // Nothing of whoever runs the test may change what the commands do.
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('BEACONRY_'));
  const env = {
    ...Object.fromEntries(kept), ...ports.env, HOME: home, PATH: `${bin}${path.delimiter}${process.env.PATH}`,
  };
  return { cwd, env };
}
