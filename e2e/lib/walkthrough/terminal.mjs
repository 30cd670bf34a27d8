// A terminal of a walkthrough: one command at a time, by bash, with what it left behind: the folder,
// exported variables and `$?`.
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { Expectations } from './expect.mjs';

/// How long an expected line, or the end of a command, may take.
const PATIENCE_MS = 30_000;

// C programs write whole blocks into a pipe. stdbuf (coreutils) makes them write lines.
const LINE_BUFFERED = spawnSync('stdbuf', ['--version']).error ? [] : ['stdbuf', '-oL'];

export class Terminal {
  #expect = new Expectations();
  #state;
  #command;
  #wake = () => {};

  /// `scratch` is a folder for the terminal's own use.
  constructor(name, { cwd, env, scratch }) {
    this.name = name;
    this.cwd = cwd;
    this.env = env;
    this.code = 0;
    this.#state = path.join(scratch, `${name}.state`);
  }

  get isRunning() { return this.#command !== undefined && this.#command.end === undefined; }

  /// Starts a command as bash reads it.
  start(text) {
    this.#expect.reset();
    const script = [
      'exec 2>&1', 'ulimit -c 0',
      `[ -f '${this.#state}' ] && . '${this.#state}'`,
      `trap '{ export -p; printf "cd %q\\n" "$PWD"; } > "${this.#state}"' EXIT`,
      `(exit ${this.code})`, text,
    ].join('\n');
    const [program, ...args] = [...LINE_BUFFERED, 'bash', '-c', script];
    // In a process group of its own, as a shell does it: a key reaches all of the command's programs.
    const child = spawn(program, args, {
      cwd: this.cwd, env: this.env, detached: true, stdio: ['ignore', 'pipe', 'inherit'],
    });
    const command = { text, child, end: undefined, signal: undefined };
    this.#command = command;
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      this.#expect.push(line);
      this.#wake();
    });
    child.once('error', (error) => {
      command.end = { error };
      this.#wake();
    });
    child.once('close', (code, signal) => {
      command.end = { code, signal };
      this.#wake();
    });
  }

  /// Waits until the terminal shows the line. It may have come already.
  async shows(line) {
    await this.#until(`the line\n  ${line}`, () => {
      if (this.#expect.take(line)) return true;
      if (!this.isRunning) this.#fail('ended', `the line\n  ${line}`);
      return false;
    });
  }

  /// Presses a key.
  press(signal) {
    if (!this.isRunning) throw new Error(`${this.#name()}: has ended already, before the key`);
    this.#command.signal = signal;
    this.#kill(signal);
  }

  /// Waits until the command has ended, and has shown nothing that the walkthrough does not speak of.
  async ends() {
    if (this.#command === undefined) return;
    await this.#until('its end', () => !this.isRunning);
    const { end, signal } = this.#command;
    const surplus = this.#expect.surplus().filter((line) => !isShellsOwn(line, signal));
    if (surplus.length > 0) {
      throw new Error(`${this.#name()}: shows what the walkthrough does not:\n${surplus.map((it) => `  ${it}`).join('\n')}`);
    }
    if (end.error) throw end.error;
    this.code = end.code ?? 128;
  }

  /// Whether the last command ended as it should, if nobody asks `$?`.
  check() {
    if (this.#command && this.#command.signal === undefined && this.code !== 0) {
      throw new Error(`${this.#name()}: exit code ${this.code}\n${this.#expect.shown()}`);
    }
  }

  /// Ends whatever still runs.
  async stop() {
    if (!this.isRunning) return;
    this.#kill('SIGKILL');
    await new Promise((resolve) => { this.#command.child.once('close', resolve); });
  }

  #kill(signal) {
    try {
      process.kill(-this.#command.child.pid, signal);
    } catch (error) {
      // It has just ended.
      if (error.code !== 'ESRCH') throw error;
    }
  }

  #until(what, isDone) {
    return new Promise((resolve, reject) => {
      const finish = (act) => {
        clearTimeout(timer);
        this.#wake = () => {};
        act();
      };
      const check = () => {
        try {
          if (isDone()) finish(resolve);
        } catch (error) {
          finish(() => reject(error));
        }
      };
      const timer = setTimeout(() => finish(() => {
        try {
          this.#fail(`waited ${PATIENCE_MS / 1000} s for`, what);
        } catch (error) {
          reject(error);
        }
      }), PATIENCE_MS);
      this.#wake = check;
      check();
    });
  }

  #fail(why, what) {
    throw new Error(`${this.#name()}: ${why}: ${what}\nIt shows:\n${this.#expect.shown()}`);
  }

  #name() { return `${this.name} terminal: ${this.#command?.text ?? 'no command'}`; }
}

/// bash says how a program ended that a key has killed.
function isShellsOwn(line, signal) {
  return signal !== undefined && (line === '' || /\b(Quit|Interrupt|Killed)\b/.test(line));
}
