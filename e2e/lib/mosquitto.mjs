// mosquitto and its clients, as devices, observers and a second broker that no one here wrote.
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Program, run } from './process.mjs';

// C programs write whole blocks into a pipe. stdbuf (coreutils) makes them write lines.
const lineBuffered = spawnSync('stdbuf', ['--version']).error ? [] : ['stdbuf', '-oL'];

function mosquittoSub(args) {
  const [command, ...rest] = [...lineBuffered, 'mosquitto_sub', ...args];
  return new Program(command, rest);
}

/// A running mosquitto_sub that is already subscribed. Each message is one JSON line.
export async function subscribe(server, topics, { version = '5', qos = 2, id, extra = [] } = {}) {
  const program = mosquittoSub([
    '-h', server.mqttHost, '-p', String(server.mqttPort), '-V', version, '-q', String(qos), '-d',
    ...(id ? ['-i', id] : []), ...topics.flatMap((topic) => ['-t', topic]),
    '-F', 'message %t %q %r %p', ...extra,
  ]);
  await program.line(/^Subscribed \(mid/);
  return {
    program,
    messages: () => program.lines.filter((line) => line.startsWith('message ')).map(parse),
    /// Resolves with the first message that `accept` accepts.
    message(accept, patience) {
      return program.until('a message', () => this.messages().find(accept), patience);
    },
    stop: (signal) => program.stop(signal),
  };
}

function parse(line) {
  const [, topic, qos, retain, payload] = line.match(/^message (\S*) (\d) (\d) (.*)$/s);
  return { topic, qos: Number(qos), retain: retain === '1', payload };
}

export function publish(server, topic, payload, { version = '5', qos = 0, retain = false, extra = [] } = {}) {
  return run('mosquitto_pub', [
    '-h', server.mqttHost, '-p', String(server.mqttPort), '-V', version, '-q', String(qos),
    ...(retain ? ['-r'] : []), '-t', topic, '-m', payload, ...extra,
  ]);
}

/// A device that holds a connection open with a will. After `kill()` the broker publishes the will.
export async function connectWithWill(server, id, will, { version = '5', keepAlive = 5, topic = `${id}/none` } = {}) {
  const program = mosquittoSub([
    '-h', server.mqttHost, '-p', String(server.mqttPort), '-V', version, '-i', id, '-k', String(keepAlive), '-d',
    '-t', topic, '--will-topic', will.topic, '--will-payload', will.payload, '--will-qos', String(will.qos ?? 2),
    ...(will.retain ? ['--will-retain'] : []), '-F', 'message %t %q %r %p', '-q', '2',
  ]);
  await program.line(/^Subscribed \(mid/);
  return {
    program,
    message: (accept, patience) => program.until('a message', () => program.lines
      .filter((line) => line.startsWith('message ')).map(parse).find(accept), patience),
    kill: () => program.stop('SIGKILL'),
    stop: () => program.stop('SIGTERM'),
  };
}

/// A mosquitto on a free port that stores nothing, with these lines of configuration more. Like a
/// server it has `mqttHost` and `mqttPort`.
export async function startBroker(lines) {
  const mqttPort = await freePort();
  const folder = await mkdtemp(path.join(tmpdir(), 'beaconry-mosquitto-'));
  const file = path.join(folder, 'mosquitto.conf');
  await writeFile(file, [
    `listener ${mqttPort} 127.0.0.1`, 'allow_anonymous true', 'persistence false', 'log_dest stderr',
    ...lines, '',
  ].join('\n'));
  const program = new Program('mosquitto', ['-v', '-c', file]);
  await program.line(/mosquitto version \S+ running/);
  return {
    program,
    mqttHost: '127.0.0.1',
    mqttPort,
    async stop(signal) {
      await program.stop(signal);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/// mosquitto takes no port 0.
function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
