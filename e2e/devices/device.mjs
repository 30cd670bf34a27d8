// A device as its maker would write it, with MQTT.js: the four-topic convention over TCP.
// node device.mjs URL ID [PREFIX] — prints "ready" when it has signed in. It publishes each JSON line from
// stdin as data with QoS 2, and prints "sent N" when the exchange is complete.
import { createInterface } from 'node:readline';
import mqtt from 'mqtt';

const [url, deviceId, prefix = 'beaconry'] = process.argv.slice(2);
const topic = (kind) => `${prefix}/${kind}/${deviceId}`;
const client = mqtt.connect(url, {
  clientId: deviceId,
  protocolVersion: 5,
  keepalive: 4,
  clean: false,
  properties: { sessionExpiryInterval: 300 },
  will: { topic: topic('register'), payload: Buffer.from('SIGN_OUT'), qos: 2, retain: true },
});

client.once('connect', async () => {
  await client.subscribeAsync(topic('cmd/req'), { qos: 2 });
  await client.publishAsync(topic('register'), 'SIGN_IN', {
    qos: 2, retain: true, properties: { messageExpiryInterval: 300 },
  });
  console.log('ready');
});

client.on('message', (_, payload) => {
  const request = JSON.parse(payload.toString());
  console.log(`command ${request.command}`);
  const commandResult = request.command === 'PING' ? 'PONG' : `ERROR: unknown command ${request.command}`;
  client.publish(topic('cmd/resp'), JSON.stringify({ deviceId, messageType: 'commandResp', commandResult, ...request }), { qos: 2 });
});

let sent = 0;
createInterface({ input: process.stdin }).on('line', async (line) => {
  if (line === 'quit') {
    await client.publishAsync(topic('register'), 'SIGN_OUT', { qos: 2, retain: true });
    await client.endAsync();
    process.exit(0);
  }
  await client.publishAsync(topic('data'), JSON.stringify({ deviceId, messageType: 'DATA', ...JSON.parse(line) }), { qos: 2 });
  sent += 1;
  console.log(`sent ${sent}`);
});
