// paho-mqtt (Python) as a peer; see paho_peer.py.
import { fileURLToPath } from 'node:url';
import { Program } from './process.mjs';

const script = fileURLToPath(new URL('paho_peer.py', import.meta.url));

export async function connect(server, { version = 5, transport = 'tcp', id, will } = {}) {
  const [host, port] = transport === 'tcp'
    ? [server.mqttHost, server.mqttPort]
    : server.httpAddress.split(':');
  const program = new Program(process.env.PYTHON ?? 'python3', [
    '-u', script, host, String(port), String(version), transport, id, ...(will ? [will.topic, will.payload] : []),
  ]);
  const events = () => program.lines.map((line) => JSON.parse(line));
  const event = (accept, patience) => program.until('an event', () => events().find(accept), patience);
  const tell = (command) => program.child.stdin.write(`${JSON.stringify(command)}\n`);
  const connected = await event((e) => e.event === 'connected');
  if (connected.reason !== 'Success') throw new Error(`paho: ${connected.reason}`);
  return {
    program,
    messages: () => events().filter((e) => e.event === 'message'),
    message: (accept, patience) => event((e) => e.event === 'message' && accept(e), patience),
    async subscribe(topic, qos = 2) {
      tell({ do: 'subscribe', topic, qos });
      return event((e) => e.event === 'subscribed');
    },
    publish: (topic, payload, { qos = 0, retain = false } = {}) => tell({ do: 'publish', topic, payload, qos, retain }),
    die: async () => { tell({ do: 'die' }); await program.exited; },
    stop: async () => { tell({ do: 'stop' }); await program.exited; },
  };
}
