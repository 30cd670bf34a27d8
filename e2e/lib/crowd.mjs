// Thousands of devices in one process: raw MQTT 3.1.1 over a few sockets, each a gateway for many devices.
import net from 'node:net';

const text = (string) => {
  const bytes = Buffer.from(string);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
};

function packet(first, body) {
  const length = [];
  let rest = body.length;
  do {
    length.push((rest & 127) | (rest > 127 ? 128 : 0));
    rest >>= 7;
  } while (rest > 0);
  return Buffer.concat([Buffer.from([first, ...length]), body]);
}

/// `id` is the packet identifier of a QoS 1 message; 0: QoS 0. Nobody waits for the acknowledgements.
function publish(topic, payload, { retain = false, id = 0 } = {}) {
  const number = id > 0 ? Buffer.from([id >> 8, id & 255]) : Buffer.alloc(0);
  const first = 0x30 | (id > 0 ? 2 : 0) | (retain ? 1 : 0);
  return packet(first, Buffer.concat([text(topic), number, Buffer.from(payload)]));
}

/// Signs `count` devices in, and lets each send a reading every `every` milliseconds, with QoS 0 or 1.
export async function startCrowd(server, { count, every = 1_000, prefix = 'crowd', gateways = 8, qos = 0 } = {}) {
  const sockets = await Promise.all(Array.from({ length: gateways }, (_, n) => connect(server, `${prefix}-gateway-${n}`)));
  const id = (n) => `device-${String(n).padStart(5, '0')}`;
  const of = (n) => sockets[n % gateways];
  for (let n = 0; n < count; n += 1) of(n).write(publish(`${prefix}/register/${id(n)}`, 'SIGN_IN', { retain: true }));
  const signedOut = new Set();
  let sent = 0;
  let next = 0;
  const begun = performance.now();
  // Evenly spread over time, whatever the timer does.
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - begun) / every) * count);
    const frames = sockets.map(() => []);
    for (; sent < due; sent += 1) {
      const n = next;
      next = (next + 1) % count;
      if (signedOut.has(n)) continue;
      const reading = JSON.stringify({ temperature: 20 + ((sent * 7) % 100) / 10, humidity: 40 + (n % 20), seq: Math.floor(sent / count) });
      frames[n % gateways].push(publish(`${prefix}/data/${id(n)}`, reading, { id: qos > 0 ? 1 + (sent % 65_535) : 0 }));
    }
    frames.forEach((all, index) => { if (all.length > 0) sockets[index].write(Buffer.concat(all)); });
  }, 20);
  return {
    id,
    sent: () => sent,
    /// Signs one device out. It sends no more readings.
    signOut(n) {
      signedOut.add(n);
      of(n).write(publish(`${prefix}/register/${id(n)}`, 'SIGN_OUT', { retain: true }));
    },
    async stop() {
      clearInterval(timer);
      await Promise.all(sockets.map((socket) => new Promise((resolve) => {
        if (socket.destroyed) resolve();
        else socket.once('close', resolve).end(Buffer.from([0xe0, 0]));
      })));
    },
  };
}

function connect(server, clientId) {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: server.mqttHost, port: server.mqttPort, noDelay: true });
    socket.once('error', reject);
    // No keep-alive: the readings are sign of life enough.
    const body = Buffer.concat([text('MQTT'), Buffer.from([4, 2, 0, 0]), text(clientId)]);
    socket.write(packet(0x10, body));
    socket.once('data', (connack) => {
      // The server may stop before its devices do.
      socket.on('data', () => {}).on('error', () => {});
      if (connack[3] === 0) resolve(socket);
      else reject(new Error(`refused: ${connack[3]}`));
    });
  });
}
