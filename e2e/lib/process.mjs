// Programs that a test starts. Their output comes as lines to await, and they always end.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const PATIENCE_MS = 20_000;

export class Program {
  #waiting = new Set();

  constructor(command, args, { env = {}, input } = {}) {
    this.name = `${command} ${args.join(' ')}`.slice(0, 200);
    this.lines = [];
    this.errors = [];
    this.child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    if (input !== undefined) this.child.stdin.end(input);
    this.exited = new Promise((resolve) => {
      this.child.once('error', (error) => resolve({ code: null, signal: null, error }));
      this.child.once('close', (code, signal) => resolve({ code, signal }));
    });
    this.exited.then((result) => {
      this.result = result;
      this.#wake();
    });
    createInterface({ input: this.child.stdout }).on('line', (line) => this.#push(this.lines, line));
    createInterface({ input: this.child.stderr }).on('line', (line) => this.#push(this.errors, line));
  }

  #push(list, line) {
    list.push(line);
    this.#wake();
  }

  #wake() {
    for (const check of [...this.#waiting]) check();
  }

  /// Resolves with the first truthy `find()`. Calls it again whenever the program prints something.
  until(what, find, patience = PATIENCE_MS) {
    return new Promise((resolve, reject) => {
      const done = (act) => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        act();
      };
      const fail = (why) => done(() => reject(new Error(
        `${this.name}: ${why} while waiting for ${what}\nstdout:\n${this.lines.slice(-20).join('\n')}\nstderr:\n${this.errors.slice(-20).join('\n')}`)));
      const check = () => {
        const found = find(this);
        if (found) done(() => resolve(found));
        else if (this.result) fail(`ended (${JSON.stringify(this.result)})`);
      };
      const timer = setTimeout(() => fail(`${patience} ms passed`), patience);
      this.#waiting.add(check);
      check();
    });
  }

  line(pattern, patience) {
    const matches = (line) => (typeof pattern === 'string' ? line === pattern : pattern.test(line));
    return this.until(String(pattern), () => [...this.lines, ...this.errors].find(matches), patience);
  }

  /// Ends it with `signal`. Resolves with how it ended.
  async stop(signal = 'SIGTERM') {
    if (!this.result) this.child.kill(signal);
    return this.exited;
  }
}

/// Runs a program to its end. Rejects when it fails.
export async function run(command, args, options) {
  const program = new Program(command, args, options);
  const timer = setTimeout(() => program.child.kill('SIGKILL'), PATIENCE_MS);
  const { code, signal, error } = await program.exited;
  clearTimeout(timer);
  if (code !== 0) {
    throw new Error(`${program.name}: ${error ?? `code ${code} signal ${signal}`}\n${program.lines.join('\n')}\n${program.errors.join('\n')}`);
  }
  return program;
}
