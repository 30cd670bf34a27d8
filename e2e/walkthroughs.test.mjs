// Every command of docs/walkthroughs, and of docs/programs.md, is run as it is written, and must show what is written.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import YAML from 'yaml';
import { pattern } from './lib/walkthrough/expect.mjs';
import { parse } from './lib/walkthrough/parse.mjs';
import { FOLDER, run } from './lib/walkthrough/run.mjs';

const names = readdirSync(FOLDER).filter((name) => name.endsWith('.md') && name !== 'README.md');
const block = (...lines) => ['```console', ...lines, '```', ''].join('\n');

// The commands are for a POSIX shell.
describe('docs/walkthroughs', { concurrency: true, skip: process.platform === 'win32' }, () => {
  for (const name of names) {
    test(name, () => run(readFileSync(path.join(FOLDER, name), 'utf8')));
  }

  test('programs.md', () => run(readFileSync(path.join(FOLDER, '../programs.md'), 'utf8')));

  test('README.md names each of them', () => {
    const overview = readFileSync(path.join(FOLDER, 'README.md'), 'utf8');
    assert.ok(names.length > 0);
    for (const name of names) assert.ok(overview.includes(`](${name})`), name);
  });
});

// Docker is not on every machine that tests. So this checks what the file says: nothing but commands that
// the walkthroughs run, with their configuration, and files that are there.
test('the compose file runs the commands of the walkthroughs', () => {
  const folder = path.join(FOLDER, 'two-way');
  const commands = ['two-way.md', 'tcp.md']
    .flatMap((name) => parse(readFileSync(path.join(FOLDER, name), 'utf8')))
    .flatMap(({ items }) => items.map((item) => item.command));
  const { services } = YAML.parse(readFileSync(path.join(folder, 'compose.yaml'), 'utf8'), { merge: true });
  const { broker, ...clients } = services;
  for (const { image, volumes: [volume], command } of Object.values(services)) {
    assert.match(image, /^debian:/);
    const [from, to] = volume.split(':');
    assert.equal(path.resolve(folder, from), path.resolve(FOLDER, '../../target/release/beaconry'));
    assert.equal(to, '/usr/local/bin/beaconry');
    assert.ok(commands.includes(command), command);
  }
  for (const { env_file: file, environment, depends_on: needs } of Object.values(clients)) {
    assert.ok(existsSync(path.join(folder, file)));
    const listens = Object.values(broker.environment);
    const [host, port] = environment.BROKER?.match(/^mqtt:\/\/(\w+):(\d+)$/).slice(1)
      ?? [environment.SERVER_HOST, '30000'];
    assert.equal(host, 'broker');
    assert.ok(listens.includes(`0.0.0.0:${port}`), port);
    assert.deepEqual(needs, ['broker']);
  }
  // Only this machine reaches it from outside: nobody has to log in.
  for (const published of broker.ports) assert.match(published, /^127\.0\.0\.1:(\d+):\1$/);
});

describe('the runner', { concurrency: true, skip: process.platform === 'win32' }, () => {
  test('keeps the folder, the variables and the exit code of a terminal', () => run(block(
    '$ mkdir a && cd a', '$ export B=c', '$ (exit 3)', '$ echo $? $B; basename "$PWD"', '3 c', 'a',
    "$ cat > file <<'END'", '> one', '> two', '> END', '$ tail -1 file', 'two',
  )));

  test('goes on with a command in another terminal, and ends it by a key', () => run([
    block('$ echo before; sleep 60', 'before'), 'In a second terminal:', '',
    block('$ echo hello', 'hello'), 'Now press Ctrl-C in the first terminal.', '', block('^C'),
  ].join('\n')));

  const faulty = [
    ['another line', block('$ echo a', 'b'), /says\s+b\s.*shows\s+a/s],
    ['a line more', block('$ printf "a\\nb\\n"', 'a'), /does not:\s+b/],
    ['a line less', block('$ echo a', 'a', 'b'), /ended: the line\s+b/],
    ['a failure', block('$ false', '$ echo a', 'a'), /exit code 1/],
    ['a failure at the end', block('$ false'), /exit code 1/],
    ['output of nothing', block('a'), /no command was run/],
    ['no command', 'Text alone.', /no command in it/],
    ['an untested block', '```sh\ntrue\n```\n', /a block without a test/],
  ];
  for (const [what, text, message] of faulty) {
    test(`fails for ${what}`, () => assert.rejects(run(text), message));
  }

  test('a walkthrough may leave open what differs from run to run', () => {
    const written = 'at 2026-01-31T10:11:12.123Z "uuid":"37e0c761-0320-435a-8011-013859544c00" t=… (a.b)';
    const shown = 'at 2027-02-01T00:00:00.9Z "uuid":"00000000-0000-4000-8000-0123456789ab" t=21.5 (a.b)';
    assert.match(shown, pattern(written));
    assert.doesNotMatch(shown.replace('a.b', 'a-b'), pattern(written));
    assert.doesNotMatch(shown.replace('uuid":"0', 'uuid":"x'), pattern(written));
  });

  test('a block goes on in the terminal of the one before, unless the text names another', () => {
    const blocks = parse([
      block('$ a'), 'In a second terminal:\n\n', block('$ b'), 'More.\n\n', block('$ c'),
      'The first terminal shows what the second terminal sent. In the first\nterminal:\n\n', block('$ d'),
    ].join('\n'));
    assert.deepEqual(blocks.map((it) => it.terminal), ['first', 'second', 'second', 'first']);
  });

  test('a key alone is for all terminals that are named', () => {
    const blocks = parse([
      block('$ a'), 'In a second terminal:\n\n', block('$ b'),
      'Press Ctrl-C in the second and the first terminal:\n\n', block('^C', '…'),
    ].join('\n'));
    assert.deepEqual(blocks.map((it) => [it.terminal, it.goesOn]), [
      ['first', true], ['second', true], ['second', false], ['first', false],
    ]);
  });
});
