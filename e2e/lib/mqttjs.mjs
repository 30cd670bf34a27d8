// MQTT.js, over TCP and over WebSocket.
import { once } from 'node:events';
import mqtt from 'mqtt';

export async function connect(url, options = {}) {
  const client = mqtt.connect(url, { reconnectPeriod: 0, connectTimeout: 10_000, protocolVersion: 5, ...options });
  const messages = [];
  const waiting = new Set();
  client.on('message', (topic, payload, packet) => {
    messages.push({ topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain, properties: packet.properties ?? {} });
    for (const check of [...waiting]) check();
  });
  const [connack] = await Promise.race([
    once(client, 'connect'),
    once(client, 'close').then(() => { throw new Error(`${url}: closed before CONNACK`); }),
  ]);
  return {
    client,
    connack,
    messages,
    subscribe: (topic, qos = 2) => client.subscribeAsync(topic, { qos }),
    publish: (topic, payload, options) => client.publishAsync(topic, payload, options),
    message: (accept, patience = 20_000) => new Promise((resolve, reject) => {
      const check = () => {
        const found = messages.find(accept);
        if (!found) return;
        clearTimeout(timer);
        waiting.delete(check);
        resolve(found);
      };
      const timer = setTimeout(() => {
        waiting.delete(check);
        reject(new Error(`${url}: no such message in ${patience} ms; had ${JSON.stringify(messages.slice(-10))}`));
      }, patience);
      waiting.add(check);
      check();
    }),
    end: (force = false) => client.endAsync(force),
    /// Cuts the connection without DISCONNECT.
    cut: () => client.stream.destroy(),
  };
}
