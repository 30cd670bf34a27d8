// What the founding documents' programs share, written anew after the documents' description:
// configuration by environment variables, a reading, a command that is executed.
//
// MQTT_JS names the library: mqtt4 (MQTT.js 4 with MQTT 3.1.1, as in the documents) or mqtt (MQTT.js 5, with
// MQTT 5). EVERY_MS, AWAKE_MS and COMMAND_EVERY_MS shorten the documents' 15, 5 and 10 seconds.
const { env } = process;
const library = env.MQTT_JS ?? 'mqtt4';
const { default: mqtt } = await import(library);

export const config = {
  broker: env.BROKER,
  deviceId: env.DEVICE_ID,
  serverId: env.SERVER_ID,
  dataTopic: env.DATA_TOPIC,
  commandRequestTopic: env.CMD_REQ_TOPIC,
  commandResponseTopic: env.CMD_RESP_TOPIC,
  registerTopic: env.REGISTER_TOPIC,
  everyMs: Number(env.EVERY_MS ?? 15_000),
  awakeMs: Number(env.AWAKE_MS ?? 5_000),
  commandEveryMs: Number(env.COMMAND_EVERY_MS ?? 10_000),
  // Of the TCP pair. The documents' text and their code call an answer differently.
  host: env.SERVER_HOST ?? '127.0.0.1',
  port: Number(env.SERVER_PORT ?? 30_000),
  tcpEveryMs: Number(env.EVERY_MS ?? 5_000),
  answerType: env.ANSWER_TYPE ?? 'commandResp',
};

/// MQTT 3.1.1 keeps every session that is not clean. MQTT 5 is to be told for how long.
export function connect(options) {
  const persistent = { ...options, clean: false };
  if (library === 'mqtt') {
    Object.assign(persistent, { protocolVersion: 5, properties: { sessionExpiryInterval: 3600 } });
  }
  return mqtt.connect(config.broker, persistent);
}

/// The documents' reading, and a number, so that no two are the same.
let number = 0;
export function reading(deviceId) {
  number += 1;
  return JSON.stringify({ deviceId, messageType: 'DATA', temp: 23.6, lat: 48.015722, lng: -88.625528, number });
}

export const execute = (command) => (command === 'PING' ? 'PONG' : `ERROR: unknown command ${command}`);
