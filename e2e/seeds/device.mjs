// The founding documents' MQTT device, written anew after their description. It signs in once, then wakes
// every 15 seconds, sends data, answers the commands that waited, and is gone again after 5 seconds.
import { config, connect, execute, reading } from './common.mjs';

const { deviceId, everyMs, awakeMs } = config;
const log = (text) => console.log(`[DEVICE] ${text}`);
const topic = (base) => `${base}/${deviceId}`;
const registration = topic(config.registerTopic);
const requests = [topic(config.commandRequestTopic)];
const options = {
  clientId: deviceId,
  will: { topic: registration, payload: 'SIGN_OUT', qos: 2, retain: true },
};
const exactlyOnce = { qos: 2 };
const kept = { qos: 2, retain: true, properties: { messageExpiryInterval: 300 } };

log(`STARTING MQTT IOT DEVICE <${deviceId}>`);
log('SUBSCRIBING AND SENDING SIGN IN MESSAGE');
const first = connect(options);
// Subscribes first, so that the broker knows what to keep for it.
first.subscribe(requests, exactlyOnce, (error) => {
  if (error) return;
  log('SUCCESSFULLY SUBSCRIBED');
  first.publish(registration, 'SIGN_IN', kept, () => first.end());
});

log(`CONNECTING TO BROKER AND SENDING DATA EVERY ${everyMs / 1000} SECONDS`);
const sender = setInterval(wake, everyMs);

function wake() {
  const client = connect(options);
  client.on('connect', () => {
    log('CONNECTED TO MQTT BROKER');
    client.subscribe(requests, exactlyOnce, (error) => error || log('SUCCESSFULLY SUBSCRIBED'));
    const data = reading(deviceId);
    log(`SENDING DATA: ${data}`);
    client.publish(topic(config.dataTopic), data, exactlyOnce, (error) => {
      if (error) return;
      // Not in the documents: which reading the broker has for certain.
      log(`SENT ${JSON.parse(data).number}`);
      setTimeout(() => {
        log('CLOSING CONNECTION TO MQTT BROKER');
        client.end();
      }, awakeMs);
    });
  });
  client.on('message', (_, payload) => {
    log(`RECEIVED COMMAND "${payload}"`);
    const command = JSON.parse(payload);
    const answer = JSON.stringify({
      deviceId, messageType: 'commandResp', commandResult: execute(command.command), ...command,
    });
    log(`SENDING COMMAND RESPONSE ${answer}`);
    client.publish(topic(config.commandResponseTopic), answer, exactlyOnce);
  });
  // MQTT.js connects again by itself.
  client.on('error', (error) => log(`ERROR ${error.message}`));
}

// The documents catch SIGINT; whatever runs programs in containers sends SIGTERM.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    clearInterval(sender);
    log('SENDING SIGN OUT MESSAGE');
    const last = connect(options);
    last.publish(registration, 'SIGN_OUT', kept, () => last.end(() => process.exit(0)));
  });
}
