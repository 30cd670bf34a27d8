// A walkthrough uses the ports that everybody knows. A test must not: they may be taken, and tests run
// side by side. So each of these numbers is replaced by a free port wherever the walkthrough writes it,
// in commands, files and output; where it leaves a port out, the environment gives the default.
import { mkdir, writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';

/// MQTT; the same for a second broker or a relay; MQTT over TLS; HTTP; the documents' TCP server.
const KNOWN = ['1883', '1884', '8883', '8080', '30000'];
const WRITTEN = new RegExp(`(?<![\\d.-])(${KNOWN.join('|')})(?![\\d-])`, 'g');

/// Returns `text => text`, which replaces the ports, and the variables for the programs.
export async function freePorts(scratch) {
  const listeners = await Promise.all(KNOWN.map(listen));
  const free = new Map(KNOWN.map((known, index) => [known, String(listeners[index].address().port)]));
  // All are held until all are known, so they differ.
  await Promise.all(listeners.map((it) => new Promise((resolve) => { it.close(resolve); })));
  const config = path.join(scratch, 'config');
  await mkdir(config, { recursive: true });
  for (const tool of ['mosquitto_pub', 'mosquitto_sub']) {
    await writeFile(path.join(config, tool), `-p ${free.get('1883')}\n`);
  }
  return {
    replace: (text) => text.replace(WRITTEN, (known) => free.get(known)),
    restore: (text) => [...free].reduce((all, [known, port]) => all.replaceAll(port, known), text),
    env: {
      XDG_CONFIG_HOME: config,
      BROKER: `mqtt://localhost:${free.get('1883')}`,
      BEACONRY_MQTT: `127.0.0.1:${free.get('1883')}`,
      BEACONRY_HTTP: `127.0.0.1:${free.get('8080')}`,
    },
  };
}

function listen() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}
