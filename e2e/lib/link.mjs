// A TCP relay that is as slow as a link: everything takes half of a round trip each way, and each way
// carries a number of bits a second, for all connections together.
import net from 'node:net';

/// How much waits in one direction, in bytes. Then the relay reads no more, and the sender feels it.
const BUFFER = 256 << 10;

/// `rtt` in milliseconds; `rate` in bits a second, each way.
export async function startLink(targetAddress, { rtt = 0, rate = Infinity } = {}) {
  const colon = targetAddress.lastIndexOf(':');
  const target = { host: targetAddress.slice(0, colon), port: Number(targetAddress.slice(colon + 1)) };
  const lanes = { down: new Lane(rtt / 2, rate), up: new Lane(rtt / 2, rate) };
  const open = new Set();
  const listener = net.createServer({ allowHalfOpen: true }, (near) => {
    const far = net.connect({ ...target, allowHalfOpen: true });
    const pair = { near, far };
    open.add(pair);
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      socket.on('error', () => {
        near.destroy();
        far.destroy();
      });
      socket.on('close', () => open.delete(pair));
    }
    // The handshake of a real connection takes a round trip, which the first bytes make up for here.
    lanes.up.carry(near, far, rtt);
    lanes.down.carry(far, near, 0);
  });
  await new Promise((resolve) => { listener.listen(0, '127.0.0.1', resolve); });
  return {
    address: `127.0.0.1:${listener.address().port}`,
    /// Bytes that came from the server so far.
    received: () => lanes.down.carried,
    async stop() {
      for (const { near, far } of [...open]) {
        near.destroy();
        far.destroy();
      }
      await new Promise((resolve) => { listener.close(resolve); });
    },
  };
}

class Lane {
  constructor(delay, rate) {
    this.delay = delay;
    this.rate = rate;
    this.free = 0;
    this.carried = 0;
  }

  carry(from, to, late) {
    let waiting = 0;
    // Nothing overtakes what was sent before it, nor the end.
    let last = performance.now() + late;
    // A busy process fires its timers in another order than they are due. What goes next is what came
    // next, whichever timer fires.
    const queue = [];
    const after = (bytes, act) => {
      const now = performance.now();
      this.free = Math.max(this.free, now) + (bytes * 8_000) / this.rate;
      last = Math.max(last, this.free + this.delay);
      queue.push(act);
      setTimeout(() => queue.shift()(), Math.max(0, last - now));
    };
    from.on('data', (chunk) => {
      waiting += chunk.length;
      this.carried += chunk.length;
      if (waiting > BUFFER) from.pause();
      after(chunk.length, () => {
        const more = to.destroyed || to.write(chunk);
        const taken = () => {
          waiting -= chunk.length;
          if (waiting <= BUFFER) from.resume();
        };
        if (more) taken();
        else to.once('drain', taken).once('close', taken);
      });
    });
    from.on('end', () => after(0, () => to.end()));
    from.on('close', () => after(0, () => to.destroy()));
  }
}
