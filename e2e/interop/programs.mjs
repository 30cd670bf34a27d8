// What our programs must do with any broker. Each throws where something is otherwise.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPage } from '../lib/browser.mjs';
import { startServer } from '../lib/server.mjs';
import * as tools from './clients/tools.mjs';
import { run, scenarios, until } from './scenarios.mjs';

let number = 0;
const newId = () => { number += 1; return `interop-${process.pid}-${number}`; };

/// Runs one of our programs, with a folder of its own.
function start(beaconry, args, folder) {
  const running = spawn(beaconry, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const program = { stdout: '', stderr: '', code: null };
  running.stdout.setEncoding('utf8').on('data', (text) => { program.stdout += text; });
  running.stderr.setEncoding('utf8').on('data', (text) => { program.stderr += text; });
  program.ended = new Promise((resolve) => { running.once('exit', (code) => { program.code = code; resolve(code); }); });
  program.end = async (signal = 'SIGINT') => {
    if (program.code === null) running.kill(signal);
    return program.ended;
  };
  return program;
}

async function within(folder, act) {
  const all = [];
  try {
    return await act((beaconry, args) => {
      const program = start(beaconry, args, folder);
      all.push(program);
      return program;
    });
  } finally {
    for (const program of all) await program.end('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

const folder = () => mkdtempSync(join(tmpdir(), 'beaconry-interop-'));

export const programs = {
  async 'pub, sub'({ broker, beaconry }) {
    const client = tools.client([beaconry, 'pub'], [beaconry, 'sub']);
    for (const url of [broker.tcp, broker.ws]) {
      for (const name of ['QoS 0', 'QoS 1', 'QoS 2', 'retained']) {
        const fault = await run(scenarios[name], client, client, { url, version: 4, observer: broker.tcp });
        if (fault) throw new Error(`${name}, ${url.split(':')[0]}: ${fault}`);
      }
    }
  },

  async 'device, command'({ broker, beaconry }) {
    const id = newId();
    const at = ['-h', broker.host, '-p', String(broker.port)];
    await within(folder(), async (program) => {
      const device = program(beaconry, ['device', '--device', id, '--every', '5s', '--awake', '1s', ...at]);
      await until('the device to sleep', () => device.stdout.includes('CLOSING CONNECTION'), () => `: ${device.stderr.trim().split('\n').at(-1)}`);
      const command = program(beaconry, ['command', id, 'PING', '--wait', '15s', ...at]);
      assert.equal(await command.ended, 0, command.stderr.trim().split('\n').at(-1));
      assert.equal(JSON.parse(command.stdout).commandResult, 'PONG');
      assert.equal(await device.end(), 0, device.stderr.trim().split('\n').at(-1));
      const said = program(beaconry, ['sub', '-t', `beaconry/register/${id}`, '-C', '1', '-W', '5', ...at]);
      await said.ended;
      assert.equal(said.stdout.trim(), 'SIGN_OUT');
    });
  },

  async collect({ broker, beaconry }) {
    const id = newId();
    const at = ['-h', broker.host, '-p', String(broker.port)];
    const place = folder();
    await within(place, async (program) => {
      const collect = program(beaconry, ['collect', '--server-id', `${id}-server`, '--out', 'out.ndjson', '--command-every', '1s', ...at]);
      await until('its subscription', () => collect.stdout.includes('SUCCESSFULLY SUBSCRIBED'), () => `: ${collect.stderr.trim().split('\n').at(-1)}`);
      const device = program(beaconry, ['device', '--device', id, '--always-on', '--every', '1s', ...at]);
      const stored = () => {
        const lines = readFileSync(join(place, 'out.ndjson'), 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
        return lines.filter((line) => line.device === id);
      };
      await until('an answer', () => stored().some((it) => it.kind === 'answer' && it.payload.commandResult === 'PONG'));
      assert.equal(await device.end(), 0);
      await until('the sign-out', () => stored().some((it) => it.payload === 'SIGN_OUT'));
      assert.ok(stored().some((it) => it.kind === 'data' && it.payload.messageType === 'DATA'));
      assert.equal(await collect.end(), 0, collect.stderr.trim().split('\n').at(-1));
    });
  },

  async dashboard({ broker, beaconry, browser }) {
    const id = newId();
    const server = await startServer();
    try {
      await within(folder(), async (program) => {
        program(beaconry, ['device', '--device', id, '--always-on', '--every', '1s', '-h', broker.host, '-p', String(broker.port)]);
        const { page, close } = await openPage(browser, `${server.page}device/beaconry/${id}?broker=${encodeURIComponent(broker.ws)}`);
        try {
          await page.getByTestId('device-title').filter({ hasText: id }).waitFor({ timeout: 15_000 });
          await page.getByText('Online', { exact: true }).first().waitFor({ timeout: 15_000 });
          await page.getByRole('button', { name: 'PING' }).click({ timeout: 15_000 });
          await page.getByText('PONG').first().waitFor({ timeout: 15_000 });
        } finally {
          await close();
        }
      });
    } finally {
      await server.stop();
    }
  },
};
