// Other people's brokers, each on free ports of this machine and with a folder of its own.
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './scenarios.mjs';

const freePort = () => new Promise((resolve) => {
  const listener = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = listener.address();
    listener.close(() => resolve(port));
  });
});

const answers = (port) => new Promise((resolve) => {
  const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
  socket.once('error', () => resolve(false));
});

/// The processes that have this folder in their command line or environment, where the system tells, as Linux does.
function ofFolder(folder) {
  const has = (pid) => ['cmdline', 'environ'].some((name) => {
    try { return readFileSync(`/proc/${pid}/${name}`, 'utf8').includes(folder); } catch { return false; }
  });
  let all = [];
  try { all = readdirSync('/proc').map(Number).filter((pid) => pid > 1 && pid !== process.pid); } catch { /* another system */ }
  return all.filter(has);
}

/// Starts a program, and waits until it listens on all ports.
async function start(program, args, ports, { folder, env = {}, patience = 15_000 }) {
  const running = spawn(program, args, { cwd: folder, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let log = '';
  for (const stream of [running.stdout, running.stderr]) stream.setEncoding('utf8').on('data', (text) => { log = (log + text).slice(-4_000); });
  let fault = null;
  running.once('error', (error) => { fault = error; });
  const gone = () => fault ?? (running.exitCode === null ? null : new Error(`${program} ended with ${running.exitCode}: ${log.trim().split('\n').at(-1)}`));
  const end = Date.now() + patience;
  for (const port of ports) {
    while (!(await answers(port))) {
      if (gone()) throw gone();
      if (Date.now() > end) throw new Error(`${program} does not listen: ${log.trim().split('\n').at(-1)}`);
      await new Promise((resolve) => { setTimeout(resolve, 100); });
    }
  }
  return {
    async stop() {
      // It may have started others, in its own group or, as another user, in one of theirs.
      for (const pid of [-running.pid, ...ofFolder(folder)]) {
        try { process.kill(pid, 'SIGKILL'); } catch { /* it has ended */ }
      }
      await until('its end', () => running.exitCode !== null || running.signalCode !== null);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const said = (program, args) => {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    return `${error.stdout ?? ''}${error.stderr ?? ''}`;
  }
};
const numberIn = (text) => text.match(/\d+\.\d+(\.\d+)?/)?.[0] ?? '';

async function place() {
  return { folder: mkdtempSync(join(tmpdir(), 'beaconry-interop-')), tcp: await freePort(), ws: await freePort() };
}

const reached = ({ tcp, ws }, path) => ({ host: '127.0.0.1', port: tcp, tcp: `mqtt://127.0.0.1:${tcp}`, ws: `ws://127.0.0.1:${ws}${path}` });

// A newer one than Debian's, which knows QoS 0 and 1 alone.
const nats = process.env.NATS ?? 'nats-server';

export const brokers = [
  {
    name: () => `Mosquitto ${numberIn(said('mosquitto', ['-h']))}`,
    async start() {
      const at = await place();
      writeFileSync(join(at.folder, 'mosquitto.conf'), `allow_anonymous true\nlistener ${at.tcp} 127.0.0.1\nlistener ${at.ws} 127.0.0.1\nprotocol websockets\n`);
      const running = await start('mosquitto', ['-c', join(at.folder, 'mosquitto.conf')], [at.tcp, at.ws], at);
      return { ...running, ...reached(at, '/mqtt') };
    },
  },
  {
    name: () => `NATS ${numberIn(said(nats, ['--version']))}`,
    async start() {
      const at = await place();
      const client = await freePort();
      writeFileSync(join(at.folder, 'nats.conf'), `server_name: interop\nlisten: 127.0.0.1:${client}\njetstream { store_dir: "${at.folder}/js" }\nmqtt { listen: "127.0.0.1:${at.tcp}" }\nwebsocket { listen: "127.0.0.1:${at.ws}", no_tls: true }\n`);
      const running = await start(nats, ['-c', join(at.folder, 'nats.conf')], [at.tcp, at.ws], at);
      return { ...running, ...reached(at, '/mqtt') };
    },
  },
  {
    // What our client makes of it: "the server broke the protocol: PUBACK for QoS 2".
    lacks: Object.fromEntries(['pub, sub', 'device, command', 'collect'].map((title) => [title, 'RabbitMQ answers a message of QoS 2 with PUBACK, where [MQTT-4.3.3-2] wants PUBREC. Our client takes that for a broken protocol.'])),
    name: () => `RabbitMQ ${numberIn(said('rabbitmqctl', ['version']))}`,
    async start() {
      const at = await place();
      // Its script takes another user if root starts it.
      chmodSync(at.folder, 0o777);
      const [amqp, dist] = [await freePort(), await freePort()];
      writeFileSync(join(at.folder, 'enabled_plugins'), '[rabbitmq_mqtt,rabbitmq_web_mqtt].\n');
      writeFileSync(join(at.folder, 'rabbitmq.conf'), [
        `listeners.tcp.1 = 127.0.0.1:${amqp}`, `mqtt.listeners.tcp.1 = 127.0.0.1:${at.tcp}`, 'mqtt.allow_anonymous = true',
        'mqtt.default_user = guest', 'mqtt.default_pass = guest', 'mqtt.vhost = /', `web_mqtt.tcp.port = ${at.ws}`, 'web_mqtt.tcp.ip = 127.0.0.1', '',
      ].join('\n'));
      const env = {
        HOME: at.folder, RABBITMQ_NODENAME: `interop${process.pid}@localhost`, RABBITMQ_CONFIG_FILE: join(at.folder, 'rabbitmq.conf'),
        RABBITMQ_ENABLED_PLUGINS_FILE: join(at.folder, 'enabled_plugins'), RABBITMQ_MNESIA_BASE: join(at.folder, 'db'),
        RABBITMQ_LOG_BASE: join(at.folder, 'log'), RABBITMQ_DIST_PORT: String(dist), RABBITMQ_PID_FILE: join(at.folder, 'pid'),
      };
      const running = await start('rabbitmq-server', [], [at.tcp, at.ws], { ...at, env, patience: 60_000 });
      return { ...running, ...reached(at, '/ws') };
    },
  },
];
