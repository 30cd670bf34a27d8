// A broker over WebSocket that answers each packet as a test says: for answers that our broker never gives.
import { once } from 'node:events';
import packets from 'mqtt-packet';
import { WebSocketServer } from 'ws';

/// Starts one, until the test ends, and returns its address. `answer` makes packets from a packet.
export async function startFake(t, answer) {
  const fake = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => 'mqtt' });
  t.after(() => new Promise((done) => {
    for (const client of fake.clients) client.terminate();
    fake.close(done);
  }));
  fake.on('connection', (socket) => {
    const parser = packets.parser({ protocolVersion: 5 });
    const options = { protocolVersion: 5 };
    parser.on('packet', (packet) => {
      for (const reply of answer(packet) ?? []) socket.send(packets.generate(reply, options));
    });
    socket.on('message', (data) => parser.parse(data));
  });
  await once(fake, 'listening');
  return `ws://127.0.0.1:${fake.address().port}/mqtt`;
}

export const NOT_AUTHORIZED = 0x87;

/// Lets everybody in, and refuses every subscription.
export const refuses = ({ cmd, messageId, subscriptions }) => ({
  connect: [{ cmd: 'connack', reasonCode: 0, sessionPresent: false }],
  subscribe: [{ cmd: 'suback', messageId, granted: subscriptions?.map(() => NOT_AUTHORIZED) }],
  pingreq: [{ cmd: 'pingresp' }],
})[cmd];
