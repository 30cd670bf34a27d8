// Starts e2e/devices/device.mjs as a process of its own, so that it can be killed like one.
import { fileURLToPath } from 'node:url';
import { Program } from './process.mjs';

const script = fileURLToPath(new URL('../devices/device.mjs', import.meta.url));

export async function startDevice(server, id, prefix = 'beaconry') {
  const program = new Program(process.execPath, [script, server.tcp, id, prefix]);
  await program.line('ready');
  let sent = 0;
  return {
    program,
    /// Publishes one reading. Resolves when the broker has completed the exchange.
    async send(reading) {
      sent += 1;
      const number = sent;
      program.child.stdin.write(`${JSON.stringify(reading)}\n`);
      await program.line(`sent ${number}`);
    },
    kill: () => program.stop('SIGKILL'),
    async quit() {
      program.child.stdin.write('quit\n');
      return program.exited;
    },
  };
}
