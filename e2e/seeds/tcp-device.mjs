// The founding documents' TCP device, written anew after their description. It signs up, sends data every 5
// seconds, and answers commands. As theirs, it takes each read for one whole command.
import { Socket } from 'node:net';
import { config, execute, reading } from './common.mjs';

const { deviceId, host, port } = config;
console.log(`STARTING TCP IOT DEVICE <${deviceId}>`);
console.log(`WILL CONNECT TO ${host}:${port}`);

const client = new Socket();
let sender;
client.connect(port, host, () => {
  console.log('CONNECTED TO SERVER');
  client.write(JSON.stringify({ deviceId, messageType: 'SIGNUP' }));
  sender = setInterval(() => {
    const data = reading(deviceId);
    console.log(`SENDING DATA: ${data}`);
    client.write(data);
  }, config.tcpEveryMs);
});
client.on('data', (data) => {
  console.log(`RECEIVED COMMAND: ${data}`);
  const command = JSON.parse(data.toString());
  const answer = JSON.stringify({
    deviceId, messageType: config.answerType, commandResult: execute(command.command), ...command,
  });
  console.log(`SENDING COMMAND RESPONSE ${answer}`);
  client.write(answer);
});
client.on('close', () => {
  console.log('CONNECTION CLOSED');
  clearInterval(sender);
});
client.on('error', (error) => console.log(`ERROR WITH CONNECTION: ${error.code}`));
// Not in the documents: what it says that it sends has left when it ends.
process.once('SIGTERM', () => client.end());
