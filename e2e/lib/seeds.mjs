// The founding documents' device and server: ours (`beaconry device` and `beaconry collect`) and theirs
// (e2e/seeds, with MQTT.js 4 and 5). All print the same lines, so one reader reads them all.
import { fileURLToPath } from 'node:url';
import { Program } from './process.mjs';
import { binary } from './server.mjs';

const script = (name) => fileURLToPath(new URL(`../seeds/${name}.mjs`, import.meta.url));

/// Who plays a part: our program (`beaconry 311`: with MQTT 3.1.1), or theirs with this version of MQTT.js.
export const PLAYERS = ['beaconry', 'mqtt4', 'mqtt'];
const ours = (player) => player.startsWith('beaconry');
const version = (player) => ['-V', player.split(' ')[1] ?? '5'];

/// The documents' 15, 5 and 10 seconds, shortened. No command is given within 200 ms of waking or falling
/// asleep, so that each time it is certain which it is.
export const EVERY_MS = 3000;
export const AWAKE_MS = 1200;
export const COMMAND_EVERY_MS = 2300;

/// The documents' variables for a prefix.
export const variables = (broker, prefix, id = prefix.replaceAll('/', '-')) => ({
  BROKER: broker,
  DEVICE_ID: `device-${id}`,
  SERVER_ID: `server-${id}`,
  DATA_TOPIC: `${prefix}/data`,
  CMD_REQ_TOPIC: `${prefix}/cmd/req`,
  CMD_RESP_TOPIC: `${prefix}/cmd/resp`,
  REGISTER_TOPIC: `${prefix}/register`,
});

export function startDevice(player, env, args = []) {
  if (ours(player)) {
    const rhythm = args.includes('--always-on') ? [] : ['--every', `${EVERY_MS}ms`, '--awake', `${AWAKE_MS}ms`];
    return new Program(binary, ['device', ...version(player), ...rhythm, ...args], { env });
  }
  return theirs('device', player, { ...env, EVERY_MS, AWAKE_MS });
}

export function startCollector(player, env, args = []) {
  if (ours(player)) {
    const rhythm = ['--command-every', `${COMMAND_EVERY_MS}ms`];
    return new Program(binary, ['collect', ...version(player), ...rhythm, ...args], { env });
  }
  return theirs('server', player, { ...env, COMMAND_EVERY_MS });
}

const theirs = (name, library, env) => new Program(process.execPath, [script(name)], { env: { ...env, MQTT_JS: library } });

const matches = (program, pattern) => program.lines.map((line) => line.match(pattern)).filter(Boolean);

/// Each reading that the device has sent, as its text.
export const sent = (device) => matches(device, /^\[DEVICE\] SENDING DATA: (.*)$/).map((it) => it[1]);

/// What the server has got on this topic, as texts.
export const received = (server, topic) => matches(server, /^\[SERVER\] RECEIVED MESSAGE "(.*)" ON TOPIC (\S+)$/)
  .filter((it) => it[2] === topic).map((it) => it[1]);

/// The readings that the server has got from the device, as texts.
export const readings = (server, env) => received(server, `${env.DATA_TOPIC}/${env.DEVICE_ID}`)
  .filter((text) => JSON.parse(text).messageType === 'DATA');

export const registrations = (server, env) => received(server, `${env.REGISTER_TOPIC}/${env.DEVICE_ID}`);

/// The uuids of the commands that the server has given, and of those that it has got an answer to.
export const given = (server) => matches(server, /^\[SERVER\] SENDING COMMAND TO \S+: (.*)$/)
  .map((it) => JSON.parse(it[1]).uuid);

export const answered = (server, env) => received(server, `${env.CMD_RESP_TOPIC}/${env.DEVICE_ID}`)
  .map((text) => JSON.parse(text)).filter((answer) => answer.commandResult === 'PONG').map((answer) => answer.uuid);

/// How often the device has fallen asleep, and whether it sleeps now.
export const naps = (device) => matches(device, /^\[DEVICE\] CLOSING CONNECTION/).length;

export const sleeps = (device) => {
  const last = matches(device, /^\[DEVICE\] (CLOSING CONNECTION|CONNECTED TO)/).at(-1);
  return last === undefined || last[1] === 'CLOSING CONNECTION';
};
