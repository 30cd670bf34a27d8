// A client in another language: a program that reads one JSON object a line and answers each with one. Between the
// answers it writes what has come.
//
//   {"do":"connect","url":…,"version":5,"id":…,"clean":true,"expiry":0,"will":{…}}   → {"ok":true,"session":false}
//   {"do":"subscribe","filter":…,"qos":1}  {"do":"publish","topic":…,"payload":…,"qos":1,"retain":false}
//   {"do":"disconnect"}                                                              → {"ok":true}
//   → {"message":{"topic":…,"payload":…,"qos":1,"retain":false}}                     → {"error":"why"}
import { spawn } from 'node:child_process';

export function client(program, args = []) {
  return {
    async connect(options) {
      const messages = [];
      const waiting = [];
      const child = spawn(program, args);
      let fault = '';
      child.stderr.setEncoding('utf8').on('data', (text) => { fault = (fault + text).slice(-2_000); });
      let rest = '';
      child.stdout.setEncoding('utf8').on('data', (bytes) => {
        const lines = (rest + bytes).split('\n');
        rest = lines.pop();
        for (const line of lines) {
          const told = JSON.parse(line);
          if (told.message) messages.push(told.message);
          else waiting.shift()?.(told);
        }
      });
      const ended = new Promise((resolve) => {
        child.once('error', (error) => resolve({ error: error.message }));
        child.once('exit', () => resolve({ error: fault.trim().split('\n').at(-1) || 'the program has ended' }));
      });
      const ask = async (object) => {
        const answer = new Promise((resolve) => { waiting.push(resolve); });
        child.stdin.write(`${JSON.stringify(object)}\n`);
        const late = new Promise((resolve) => { setTimeout(resolve, 15_000, { error: `no answer to ${object.do}` }).unref(); });
        const told = await Promise.race([answer, ended, late]);
        if (told.error) throw new Error(told.error);
        return told;
      };
      child.stdin.on('error', () => {});
      const end = async () => {
        if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
        await ended;
      };
      try {
        const { session } = await ask({ do: 'connect', ...options });
        return {
          session,
          messages,
          subscribe: (filter, qos) => ask({ do: 'subscribe', filter, qos }),
          publish: (topic, payload, { qos, retain }) => ask({ do: 'publish', topic, payload, qos, retain }),
          async disconnect() {
            await ask({ do: 'disconnect' });
            await end();
          },
          vanish: end,
        };
      } catch (error) {
        await end();
        throw error;
      }
    },
  };
}
