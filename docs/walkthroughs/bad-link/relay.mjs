// A bad link: a TCP relay that cuts every second connection, each time one packet later.
//
//   node relay.mjs PORT BROKER-PORT
//
// It prints a line for each connection: which packet it lost, or that it let the connection live.
import net from 'node:net';

const [port, brokerPort] = process.argv.slice(2).map(Number);
const PACKETS = [
  '', 'CONNECT', 'CONNACK', 'PUBLISH', 'PUBACK', 'PUBREC', 'PUBREL', 'PUBCOMP', 'SUBSCRIBE', 'SUBACK',
  'UNSUBSCRIBE', 'UNSUBACK', 'PINGREQ', 'PINGRESP', 'DISCONNECT', 'AUTH',
];

let connections = 0;
/// How many packets the next bad connection carries: CONNECT and CONNACK at least. A QoS 2 message takes four
/// more: PUBLISH, PUBREC, PUBREL, PUBCOMP. So each of them is lost once, then the first again.
let bad = 2;

net.createServer((near) => {
  connections += 1;
  const name = `connection ${connections}`;
  const isBad = connections % 2 === 1;
  let left = isBad ? bad : Infinity;
  if (isBad) bad = bad === 5 ? 2 : bad + 1;
  else console.log(`${name}: lives`);
  const far = net.connect(brokerPort, '127.0.0.1');
  const cut = () => {
    near.destroy();
    far.destroy();
  };
  for (const [from, to] of [[near, far], [far, near]]) {
    from.on('data', (bytes) => {
      if (left === 0) {
        console.log(`${name}: lost ${PACKETS[bytes[0] >> 4]}`);
        left = -1;
        cut();
      } else if (left > 0) {
        left -= 1;
        to.write(bytes);
      }
    });
    from.on('error', cut).on('close', cut);
  }
}).listen(port, '127.0.0.1', () => console.log(`the bad link to port ${brokerPort} is at port ${port}`));
