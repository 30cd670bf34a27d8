// The founding documents' MQTT server, written anew after their description. It stores data and answers, and
// gives each device a command every 10 seconds from when it signs in until it signs out.
import { randomUUID } from 'node:crypto';
import { config, connect } from './common.mjs';

const log = (text) => console.log(`[SERVER] ${text}`);
const filters = [config.dataTopic, config.commandResponseTopic, config.registerTopic].map((base) => `${base}/+`);

log('STARTING MQTT IOT SERVER');
const client = connect({ clientId: config.serverId });

client.on('connect', () => {
  log('CONNECTED TO MQTT BROKER');
  log(`SUBSCRIBING TO TOPICS ${filters}`);
  client.subscribe(filters, { qos: 2 }, (error) => error || log('SUCCESSFULLY SUBSCRIBED'));
});
client.on('error', (error) => log(`ERROR ${error.message}`));

client.on('message', (topic, payload) => {
  const text = payload.toString();
  log(`RECEIVED MESSAGE "${text}" ON TOPIC ${topic}`);
  const slash = topic.lastIndexOf('/');
  const [base, deviceId] = [topic.slice(0, slash), topic.slice(slash + 1)];
  if (base === config.registerTopic) {
    if (text === 'SIGN_IN') start(deviceId);
    else if (text === 'SIGN_OUT') stop(deviceId);
  } else {
    log('Storing data...');
  }
});

const senders = new Map();
function start(deviceId) {
  if (senders.has(deviceId)) return;
  senders.set(deviceId, setInterval(() => {
    const command = JSON.stringify({ uuid: randomUUID(), command: 'PING' });
    log(`SENDING COMMAND TO ${deviceId}: ${command}`);
    client.publish(`${config.commandRequestTopic}/${deviceId}`, command, { qos: 2 });
  }, config.commandEveryMs));
}

function stop(deviceId) {
  clearInterval(senders.get(deviceId));
  senders.delete(deviceId);
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => client.end(() => process.exit(0)));
}
