// mosquitto_pub and mosquitto_sub, or programs with their options: one process for each subscription and each message.
// C programs write whole blocks into a pipe; stdbuf (coreutils) makes them write lines.
import { spawn } from 'node:child_process';

export function client(pub, sub) {
  return {
    async connect({ url, version, id, clean, expiry, will }) {
      const { hostname, port, protocol } = new URL(url);
      const messages = [];
      const running = [];
      const common = ['-h', hostname, '-p', port, '-V', version === 5 ? '5' : '311', ...(protocol === 'ws:' ? ['--ws'] : [])];
      const subscriber = (filter, qos) => {
        const args = [...sub.slice(1), ...common, '-i', id, '-t', filter, '-q', String(qos), '-F', '%t\t%q\t%r\t%p', '-d'];
        if (!clean) args.push('-c', ...(version === 5 ? ['-x', String(expiry)] : []));
        if (will) args.push('--will-topic', will.topic, '--will-payload', will.payload, '--will-qos', String(will.qos));
        const child = spawn(sub[0], args);
        running.push(child);
        return new Promise((resolve, reject) => {
          let rest = '';
          const look = (bytes) => {
            const lines = (rest + bytes).split('\n');
            rest = lines.pop();
            for (const line of lines) {
              const [topic, q, retain, payload] = line.split('\t');
              if (payload !== undefined) messages.push({ topic, payload, qos: Number(q), retain: retain === '1' });
              if (/SUBACK|subscribed to|Subscribed \(/.test(line)) resolve();
            }
          };
          child.stdout.setEncoding('utf8').on('data', look);
          child.stderr.setEncoding('utf8').on('data', look);
          child.once('error', reject);
          child.once('exit', (code) => reject(new Error(`${sub[0]} ended with ${code}`)));
        });
      };
      const gone = (child) => new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) resolve();
        else child.once('exit', resolve);
      });
      const end = async (signal) => {
        for (const child of running.splice(0)) {
          child.kill(signal);
          // mosquitto_sub sometimes hangs when a signal comes while it prints.
          const kill = setTimeout(() => child.kill('SIGKILL'), 3_000);
          await gone(child);
          clearTimeout(kill);
        }
      };
      return {
        session: null,
        // It subscribes each time that it connects.
        resubscribes: true,
        messages,
        subscribe: subscriber,
        publish: (topic, payload, { qos, retain }) => new Promise((resolve, reject) => {
          const content = payload === '' ? ['-n'] : ['-m', payload];
          const child = spawn(pub[0], [...pub.slice(1), ...common, '-t', topic, '-q', String(qos), ...content, ...(retain ? ['-r'] : [])]);
          child.once('error', reject);
          child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${pub[0]} ended with ${code}`))));
        }),
        disconnect: () => end('SIGTERM'),
        vanish: () => end('SIGKILL'),
      };
    },
  };
}
