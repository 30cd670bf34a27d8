// The compatibility table: other people's clients with our broker, and our programs with other brokers. Each cell is
// the result of a run that was just made.
//
//     cargo xtask interop            writes docs/interop.md
//
// The program reads what it needs from the environment, as xtask sets it: BEACONRY_BIN, CHROMIUM, PYTHON_PAHO_1,
// PYTHON_PAHO_2, PYTHON_AIOMQTT, RUMQTTC. What is missing is left out with the reason. `node e2e/interop/run.mjs NAME…`
// runs only clients and brokers whose names contain one of these words, and prints the tables without writing them.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import mqtt5 from 'mqtt';
import mqtt4 from 'mqtt4';
import { launch } from '../lib/browser.mjs';
import { startServer } from '../lib/server.mjs';
import * as bridge from './clients/bridge.mjs';
import * as child from './clients/child.mjs';
import * as mqttjs from './clients/mqttjs.mjs';
import * as page from './clients/paho_page.mjs';
import * as tools from './clients/tools.mjs';
import { brokers } from './brokers.mjs';
import { programs } from './programs.mjs';
import { run, scenarios } from './scenarios.mjs';

const words = process.argv.slice(2);
const isWanted = (name) => words.length === 0 || words.some((word) => name.toLowerCase().includes(word.toLowerCase()));
const here = (path) => new URL(path, import.meta.url).pathname;
const version = (name) => JSON.parse(readFileSync(here(`../../node_modules/${name}/package.json`))).version;
const said = (program, args) => {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  } catch (error) {
    return `${error.stdout ?? ''}${error.stderr ?? ''}`.trim();
  }
};
const ofPip = (python, name) => said(python, ['-c', `from importlib.metadata import version; print(version("${name}"))`]);
const { BEACONRY_BIN: beaconry = null, PYTHON_PAHO_1: paho1 = null, PYTHON_PAHO_2: paho2 = null, PYTHON_AIOMQTT: aiomqtt = null, RUMQTTC: rumqttc = null } = process.env;

/// The clients: what the table calls them, what they need, and how to make them.
const clients = [
  {
    name: () => `mosquitto_pub, mosquitto_sub ${said('mosquitto_pub', ['--version']).match(/[\d.]+/)?.[0] ?? ''}`,
    webSocket: false,
    why: 'Debian builds them without WebSocket',
    make: () => tools.client(['mosquitto_pub'], ['stdbuf', '-oL', 'mosquitto_sub']),
  },
  {
    name: () => `mosquitto ${said('mosquitto', ['-h']).match(/[\d.]+/)?.[0] ?? ''} as a bridge`,
    webSocket: false,
    why: 'its bridges have none',
    make: () => bridge.client(mqttjs.client(mqtt5)),
  },
  { name: () => 'beaconry pub, beaconry sub', missing: 'our pub and sub', needs: beaconry, make: () => tools.client([beaconry, 'pub'], [beaconry, 'sub']) },
  { name: () => `MQTT.js ${version('mqtt')}`, make: () => mqttjs.client(mqtt5) },
  { name: () => `MQTT.js ${version('mqtt4')}`, make: () => mqttjs.client(mqtt4) },
  { name: () => `paho-mqtt ${ofPip(paho1, 'paho-mqtt')} (Python)`, missing: 'paho-mqtt 1', needs: paho1, make: () => child.client(paho1, [here('clients/paho_client.py')]) },
  { name: () => `paho-mqtt ${ofPip(paho2, 'paho-mqtt')} (Python)`, missing: 'paho-mqtt 2', needs: paho2, make: () => child.client(paho2, [here('clients/paho_client.py')]) },
  { name: () => `aiomqtt ${ofPip(aiomqtt, 'aiomqtt')} (Python)`, missing: 'aiomqtt', needs: aiomqtt, make: () => child.client(aiomqtt, [here('clients/aiomqtt_client.py')]) },
  { name: () => 'rumqttc 0.25 (Rust)', missing: 'rumqttc', needs: rumqttc, make: () => child.client(rumqttc) },
  {
    name: () => `Paho ${version('paho-mqtt')} (JavaScript, in Chromium)`,
    versions: [4],
    tcp: false,
    make: (browser) => page.client(browser),
  },
];

const ofVersion = { 4: '3.1.1', 5: '5' };

/// One row for each version of MQTT and each transport.
async function rows(server, browser, notes) {
  const observer = mqttjs.client(mqtt5);
  const found = [];
  for (const { name, missing, needs = true, versions = [4, 5], tcp = true, webSocket = true, why, make } of clients) {
    if (!needs) {
      notes.push(`${missing} is left out: this machine does not have it.`);
      continue;
    }
    const shown = name();
    if (!isWanted(shown)) continue;
    const client = make(browser);
    if (!webSocket) notes.push(`${shown}: no WebSocket; ${why}.`);
    for (const v of versions) {
      for (const [transport, url] of [[tcp && 'TCP', server.tcp], [webSocket && 'WebSocket', server.ws]]) {
        if (!transport) continue;
        const cells = [];
        for (const [title, scenario] of Object.entries(scenarios)) {
          const fault = await run(scenario, client, observer, { url, version: v, observer: server.tcp });
          cells.push(fault === null ? 'yes' : 'no');
          if (fault !== null) notes.push(`${shown}, MQTT ${ofVersion[v]}, ${transport}, ${title}: ${fault}`);
        }
        found.push([shown, ofVersion[v], transport, ...cells]);
        process.stderr.write(`${found.at(-1).join(' | ')}\n`);
      }
    }
    client.stop?.();
  }
  return found;
}

/// Our programs with each broker.
async function ofPrograms(browser, notes) {
  const found = [];
  for (const { name, start, lacks = {} } of brokers) {
    if (!isWanted(name())) continue;
    let broker;
    try {
      broker = await start();
    } catch (error) {
      notes.push(`${name()} is left out: ${error.message.split('\n')[0]}`);
      continue;
    }
    const cells = [];
    try {
      for (const [title, program] of Object.entries(programs)) {
        let fault = null;
        try {
          await program({ broker, beaconry, browser });
        } catch (error) {
          fault = error.message.split('\n')[0];
        }
        cells.push(fault === null ? 'yes' : 'no');
        if (fault !== null) notes.push(`${name()}, ${title}: ${lacks[title] ?? fault}`);
      }
    } finally {
      await broker.stop();
    }
    found.push([name(), ...cells]);
    process.stderr.write(`${found.at(-1).join(' | ')}\n`);
  }
  return found;
}

const table = (head, all) => [head, head.map(() => '---'), ...all].map((row) => `| ${row.join(' | ')} |`).join('\n');
const list = (all) => (all.length === 0 ? 'Nothing failed.' : all.map((it) => `- ${it.replace(/\|/g, '\\|')}`).join('\n'));

const browser = await launch();
const notes = { clients: [], programs: [] };
let tables;
try {
  const server = await startServer();
  const ofClients = await rows(server, browser, notes.clients);
  await server.stop();
  tables = { clients: ofClients, programs: await ofPrograms(browser, notes.programs) };
} finally {
  await browser.close();
}

const text = `# Which programs work together

\`cargo xtask interop\` made this page: each cell is the result of a run. Of each scenario it knows what must arrive, how
often, and in which order.

## Other people's clients with our broker

| column | what happens |
|---|---|
| QoS 0, 1, 2 | 20 messages each way, each once and in order, with the QoS that was asked for |
| retained | a retained message is kept, is marked as such, and can be cleared |
| will | the client vanishes, and its will is published |
| session | the client leaves, five messages wait for it, and it comes back for them |

${table(['client', 'MQTT', 'over', ...Object.keys(scenarios)], tables.clients)}

${list(notes.clients)}

## Our programs with other people's brokers

| column | what happens |
|---|---|
| pub, sub | messages at each QoS, retained ones, over TCP and WebSocket |
| device, command | a device that sleeps gets its command when it wakes, and answers it; at the end it signs out |
| collect | readings, answers and registrations are stored, and commands are given |
| dashboard | the page shows the device, its presence and its values, and a click on PING is answered |

${table(['broker', ...Object.keys(programs)], tables.programs)}

${list(notes.programs)}
`;
if (words.length === 0) {
  writeFileSync(new URL('../../docs/interop.md', import.meta.url), text);
  process.stderr.write('docs/interop.md is written\n');
} else {
  process.stdout.write(text);
}
