// The founding documents' TCP server, written anew after their description. It stores whatever comes, and
// gives each connection a command every 10 seconds.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:net';
import { config } from './common.mjs';

const server = createServer((socket) => {
  const port = socket.remotePort;
  console.log(`NEW CONNECTION FROM ${port}`);
  const sender = setInterval(() => {
    const command = JSON.stringify({ uuid: randomUUID(), command: 'PING' });
    console.log(`SENDING COMMAND TO ${port}: ${command}`);
    socket.write(command);
  }, config.commandEveryMs);
  socket.on('data', (data) => {
    console.log(`RECEIVED DATA FROM ${port}: ${data}`);
    console.log('Storing data...');
  });
  socket.on('close', () => {
    console.log(`CLOSING CONNECTION TO ${port}`);
    clearInterval(sender);
  });
  socket.on('error', (error) => console.log(`ERROR WITH CONNECTION TO ${port}: ${error.code}`));
});

// Port 0 picks a free one, so the line comes when the port is known.
server.listen(config.port, config.host, () => console.log(`STARTING TCP IOT SERVER ON PORT ${server.address().port}`));
