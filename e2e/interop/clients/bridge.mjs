// mosquitto's bridge: the client is connected to a mosquitto, which hands everything on, both ways.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../scenarios.mjs';

const freePort = () => new Promise((resolve) => {
  const listener = createServer().listen(0, '127.0.0.1', () => {
    const { port } = listener.address();
    listener.close(() => resolve(port));
  });
});

/// `behind`: the client that is connected to the mosquitto.
export function client(behind) {
  const started = new Map();
  async function start(url, version) {
    const folder = mkdtempSync(join(tmpdir(), 'beaconry-bridge-'));
    const [port, to] = [await freePort(), new URL(url)];
    writeFileSync(join(folder, 'mosquitto.conf'), [
      `listener ${port} 127.0.0.1`, 'allow_anonymous true', 'connection interop', `address ${to.hostname}:${to.port}`,
      'topic interop/# both 2', `bridge_protocol_version ${version === 5 ? 'mqttv50' : 'mqttv311'}`, `remote_clientid bridge-${port}`, '',
    ].join('\n'));
    const running = spawn('mosquitto', ['-v', '-c', join(folder, 'mosquitto.conf')], { stdio: ['ignore', 'pipe', 'pipe'] });
    const mine = { url: `mqtt://127.0.0.1:${port}`, running, folder, log: '' };
    for (const stream of [running.stdout, running.stderr]) stream.setEncoding('utf8').on('data', (text) => { mine.log = (mine.log + text).slice(-4_000); });
    running.once('error', (error) => { mine.log += error.message; });
    await until('the bridge', () => /SUBACK/.test(mine.log), () => `: ${mine.log.trim().split('\n').at(-1)}`);
    return mine;
  }
  return {
    async connect(options) {
      const key = `${options.url} ${options.version}`;
      if (!started.has(key)) started.set(key, await start(options.url, options.version));
      return behind.connect({ ...options, url: started.get(key).url });
    },
    stop() {
      for (const { running, folder } of started.values()) {
        running.kill('SIGKILL');
        rmSync(folder, { recursive: true, force: true });
      }
      started.clear();
    },
  };
}
