// What a page costs, and whether it stays live: the dashboard, and MQTT.js beside it, which only decodes.
//
//     cargo xtask build
//     node bench/browser/run.mjs --devices 1000,5000,10000 --rtt 0,40,200 --seconds 60
//
// Each device sends one message a second, with QoS 1 (`--qos`). Between browser and server stands a relay with a round trip and
// 10 Mbit/s each way (`--rate`, in Mbit/s; 0: no limit). The table is Markdown. CPU is in shares of one core,
// by the browser's own count of its processes, after the first 10 s; memory is that of the renderer.
//
// `--page dashboard`, `--page mqttjs` or both; `--only-hash` gives the dashboard `?topics=%23,%23`, so that it
// behaves as against another broker. `--json FILE` keeps the figures. It needs Linux, for the memory.
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { parseArgs } from 'node:util';
import { launch } from '../../e2e/lib/browser.mjs';
import { startCrowd } from '../../e2e/lib/crowd.mjs';
import { startLink } from '../../e2e/lib/link.mjs';
import { startServer } from '../../e2e/lib/server.mjs';

const { values: options } = parseArgs({
  options: {
    devices: { type: 'string', default: '1000,5000,10000' },
    rtt: { type: 'string', default: '0,40,200' },
    rate: { type: 'string', default: '10' },
    seconds: { type: 'string', default: '60' },
    page: { type: 'string', default: 'dashboard,mqttjs' },
    qos: { type: 'string', default: '1' },
    'only-hash': { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const numbers = (text) => text.split(',').map(Number);
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

const pages = {
  async dashboard(page, link, devices) {
    const query = options['only-hash'] ? '?topics=%23,%23' : '';
    await page.goto(`http://${link.address}/${query}`, { waitUntil: 'commit' });
    await page.waitForFunction(() => document.querySelector('[data-testid=connection-state]'));
    const begun = performance.now();
    const all = await page.waitForFunction((count) => {
      const chip = document.querySelector('[data-testid=count-all] .count');
      return Number(chip?.textContent) >= count;
    }, devices, { timeout: 60_000, polling: 50 }).then(() => performance.now() - begun, () => null);
    await page.evaluate(() => {
      window.watched = { looks: 0, live: 0 };
      setInterval(() => {
        const state = document.querySelector('[data-testid=connection-state]')?.dataset.state;
        window.watched.looks += 1;
        if (state === 'live') window.watched.live += 1;
      }, 100);
    });
    return {
      all,
      /// How many seconds the values on screen are behind what is sent, at most.
      behind: (seq) => page.evaluate((now) => {
        const shown = [...document.querySelectorAll('[data-testid=device-card]')].map((card) => {
          const metric = [...card.querySelectorAll('.metric')].find((it) => /seq/i.test(it.innerText));
          return Number(metric?.querySelector('.value')?.textContent.replace(/\D/g, ''));
        });
        return Math.max(...shown.filter((value) => value > 0).map((value) => now - value));
      }, seq).then(finite),
    };
  },
  async mqttjs(page, link, devices) {
    const origin = await serve();
    await page.goto(`http://${origin.address}/`);
    const begun = performance.now();
    await page.evaluate((url) => {
      window.watched = { looks: 0, live: 0 };
      window.devices = new Map();
      const client = window.mqtt.connect(url, { protocolVersion: 5 });
      client.on('connect', () => client.subscribe('#', { qos: 1 }));
      client.on('message', (topic, payload) => {
        const text = payload.toString();
        window.devices.set(topic, text.startsWith('{') ? JSON.parse(text) : text);
      });
      setInterval(() => {
        window.watched.looks += 1;
        if (client.connected) window.watched.live += 1;
      }, 100);
    }, `ws://${link.address}/mqtt`);
    origin.stop();
    // A device counts when its readings have come: a topic that it only registers at says nothing of them.
    const all = await page.waitForFunction((count) => {
      const readings = [...window.devices.values()].filter((value) => value.seq > 0);
      return readings.length >= count;
    }, devices, { timeout: 60_000, polling: 50 }).then(() => performance.now() - begun, () => null);
    return {
      all,
      behind: (seq) => page.evaluate((now) => {
        const shown = [...window.devices.values()].map((value) => value.seq).filter((value) => value > 0);
        return Math.max(...shown.map((value) => now - value));
      }, seq).then(finite),
    };
  },
};

function finite(seconds) {
  if (!Number.isFinite(seconds)) throw new Error('no value is on screen');
  return seconds;
}

/// A page that holds MQTT.js and nothing else.
async function serve() {
  const script = readFileSync(new URL('../../node_modules/mqtt/dist/mqtt.min.js', import.meta.url));
  const listener = http.createServer((request, response) => {
    const isScript = request.url === '/mqtt.js';
    response.writeHead(200, { 'content-type': isScript ? 'text/javascript' : 'text/html' });
    response.end(isScript ? script : '<!doctype html><script src="mqtt.js"></script>');
  });
  await new Promise((resolve) => { listener.listen(0, '127.0.0.1', resolve); });
  return { address: `127.0.0.1:${listener.address().port}`, stop: () => listener.close() };
}

async function measure(name, devices, rtt) {
  const server = await startServer();
  const crowd = await startCrowd(server, { count: devices, qos: Number(options.qos) });
  const link = await startLink(server.httpAddress, { rtt, rate: Number(options.rate) * 1e6 || Infinity });
  const browser = await launch();
  try {
    // The server has heard of all, and what is new about them has settled.
    await pause(8_000);
    const page = await (await browser.newContext({ viewport: { width: 1440, height: 900 } })).newPage();
    const shown = await pages[name](page, link, devices);
    await pause(10_000);
    const system = await browser.newBrowserCDPSession();
    const processes = async () => (await system.send('SystemInfo.getProcessInfo')).processInfo;
    const before = await processes();
    const bytes = link.received();
    const begun = performance.now();
    const seconds = Number(options.seconds);
    let behind = 0;
    for (let second = 0; second < seconds; second += 5) {
      await pause(5_000);
      behind = Math.max(behind, await shown.behind(Math.floor(crowd.sent() / devices)));
    }
    const took = (performance.now() - begun) / 1_000;
    const after = await processes();
    const share = (type) => {
      const spent = after.filter((it) => type === null || it.type === type)
        .map((it) => it.cpuTime - (before.find((other) => other.id === it.id)?.cpuTime ?? 0));
      return spent.reduce((sum, it) => sum + it, 0) / took;
    };
    const renderers = after.filter((it) => it.type === 'renderer').map((it) => resident(it.id));
    const watched = await page.evaluate(() => window.watched);
    return {
      page: name,
      devices,
      rtt,
      allMs: shown.all === null ? null : Math.round(shown.all),
      live: watched.live / watched.looks,
      behindSeconds: behind,
      renderer: share('renderer'),
      browser: share(null),
      kBPerSecond: (link.received() - bytes) / took / 1_000,
      memoryMB: Math.max(...renderers),
    };
  } finally {
    await browser.close();
    await link.stop();
    await crowd.stop();
    await server.stop();
  }
}

/// The memory of a process, in MB.
function resident(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(status.match(/VmRSS:\s+(\d+)/)[1]) / 1_000);
}

const results = [];
console.log('| page | devices | round trip | all devices after | live | values behind | renderer | whole browser | from the server | renderer\'s memory |');
console.log('|---|---|---|---|---|---|---|---|---|---|');
for (const devices of numbers(options.devices)) {
  for (const rtt of numbers(options.rtt)) {
    for (const name of options.page.split(',')) {
      const result = await measure(name, devices, rtt);
      results.push(result);
      const cells = [
        name, devices, `${rtt} ms`, result.allMs === null ? 'never' : `${result.allMs} ms`,
        `${(100 * result.live).toFixed(1)} %`, `${result.behindSeconds} s`, result.renderer.toFixed(3),
        result.browser.toFixed(3), `${result.kBPerSecond.toFixed(0)} kB/s`, `${result.memoryMB} MB`,
      ];
      console.log(`| ${cells.join(' | ')} |`);
      if (options.json) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
    }
  }
}
