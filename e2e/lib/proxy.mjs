// A TCP relay in front of the server. A test cuts it to simulate a bad network.
import net from 'node:net';

export async function startProxy(targetAddress) {
  const colon = targetAddress.lastIndexOf(':');
  const target = { host: targetAddress.slice(0, colon), port: Number(targetAddress.slice(colon + 1)) };
  const open = new Set();
  let refusing = false;
  const listener = net.createServer((near) => {
    if (refusing) return near.destroy();
    const far = net.connect(target);
    const pair = { near, far };
    open.add(pair);
    const close = () => {
      open.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) socket.on('error', close).on('close', close);
    near.pipe(far);
    far.pipe(near);
    return undefined;
  });
  await new Promise((resolve) => { listener.listen(0, '127.0.0.1', resolve); });
  return {
    address: `127.0.0.1:${listener.address().port}`,
    /// Resets every connection and refuses new ones until `restore`.
    cut() {
      refusing = true;
      for (const { near, far } of [...open]) {
        near.resetAndDestroy();
        far.resetAndDestroy();
      }
    },
    restore() { refusing = false; },
    async stop() {
      this.cut();
      await new Promise((resolve) => { listener.close(resolve); });
    },
  };
}
