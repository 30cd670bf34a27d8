// The release binary, on ports that the system picks.
import { fileURLToPath } from 'node:url';
import { Program } from './process.mjs';

export const binary = process.env.BEACONRY_BIN
  ?? fileURLToPath(new URL('../../target/release/beaconry', import.meta.url));

/// Starts `beaconry serve`; resolves once it accepts connections.
export async function startServer({ args = [], mqtt = '127.0.0.1:0', http = '127.0.0.1:0' } = {}) {
  const store = args.includes('--data') ? [] : ['--in-memory'];
  const program = new Program(binary, ['serve', '--mqtt', mqtt, '--http', http, ...store, ...args]);
  const ready = await program.line(/^ready mqtt=\S+ http=\S+( tcp-gateway=\S+)?$/);
  const [, mqttAddress, httpAddress, gateway] = ready.match(/^ready mqtt=(\S+) http=(\S+)(?: tcp-gateway=(\S+))?$/);
  const [mqttHost, mqttPort] = split(mqttAddress);
  return {
    program,
    mqttHost,
    mqttPort,
    mqttAddress,
    httpAddress,
    /// With `--tcp-gateway`.
    gateway,
    tcp: `mqtt://${mqttAddress}`,
    ws: `ws://${httpAddress}/mqtt`,
    page: `http://${httpAddress}/`,
    stop: (signal) => program.stop(signal),
  };
}

function split(address) {
  const colon = address.lastIndexOf(':');
  return [address.slice(0, colon), Number(address.slice(colon + 1))];
}
