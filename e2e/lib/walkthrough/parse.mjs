// Reads a walkthrough: a Markdown file whose ```console blocks are what a reader types and sees.
//
// A line that begins with `$ ` is a command; lines that begin with `> ` directly after it continue it
// (a here-document, or a line that ends with a backslash). `^C` and `^\` are keys. Every other line is
// what the terminal shows. The paragraph above a block names its terminal: "In a second terminal:".
// Without a name the block goes on in the terminal of the block before. A block of nothing but a key is for
// every terminal that is named: "Press Ctrl-C in the second and the first terminal:".

const ORDINALS = ['first', 'second', 'third', 'fourth', 'fifth'];
const ORDINAL = new RegExp(`\\b(${ORDINALS.join('|')})\\b`, 'gi');
const TERMINAL = new RegExp(`${ORDINAL.source} terminal\\b`, 'gi');
const FENCE = /^```(\S*)\s*$/;
const KEYS = { '^C': 'SIGINT', '^\\': 'SIGQUIT' };

/// The blocks of a walkthrough: `[{ line, terminal, items, goesOn }]`. An item is `{ command, line }`,
/// `{ signal, line }` or `{ output, line }`. Throws if a block cannot be run.
export function parse(text) {
  const blocks = [];
  let terminal = 'first';
  let paragraph = '';
  const lines = text.split('\n');
  for (let at = 0; at < lines.length; at += 1) {
    const fence = lines[at].match(FENCE);
    if (fence) {
      const end = lines.indexOf('```', at + 1);
      if (end < 0) throw new Error(`line ${at + 1}: the block has no end`);
      if (['sh', 'bash', 'shell', 'text', ''].includes(fence[1])) {
        throw new Error(`line ${at + 1}: a block without a test; make it \`\`\`console`);
      }
      if (fence[1] === 'console') {
        terminal = named(paragraph, TERMINAL).at(-1) ?? terminal;
        const block = { line: at + 1, terminal, items: itemsOf(lines.slice(at + 1, end), at + 2) };
        const all = isKeyAlone(block) ? named(paragraph, ORDINAL) : [];
        blocks.push(...(all.length > 1 ? all.map((each) => ({ ...block, terminal: each })) : [block]));
        paragraph = '';
      }
      at = end;
    } else if (lines[at].trim() !== '') {
      paragraph = lines[at - 1]?.trim() ? `${paragraph} ${lines[at]}` : lines[at];
    }
  }
  findWhatGoesOn(blocks);
  return blocks;
}

const named = (paragraph, pattern) => [...paragraph.matchAll(pattern)].map((found) => found[1].toLowerCase());

const isKeyAlone = ({ items }) => items[0].signal && items.slice(1).every((it) => it.output === '…');

function itemsOf(lines, first) {
  if (lines.length === 0) throw new Error(`line ${first}: the block is empty`);
  const items = [];
  for (const [index, text] of lines.entries()) {
    const line = first + index;
    const before = items.at(-1);
    const key = Object.keys(KEYS).find((name) => text.startsWith(name));
    if (text.startsWith('$ ')) {
      items.push({ command: text.slice(2), line });
    } else if (text.startsWith('> ') || text === '>') {
      if (before?.command === undefined) throw new Error(`line ${line}: this continues no command`);
      before.command += `\n${text.slice(2)}`;
    } else if (key) {
      items.push({ signal: KEYS[key], line });
    } else {
      items.push({ output: text, line });
    }
  }
  return items;
}

/// Says for each block whether its last command goes on after it: it does if the next thing in its
/// terminal is output or a key. Throws if there is no command that these could belong to.
function findWhatGoesOn(blocks) {
  const used = new Set();
  for (const [index, block] of blocks.entries()) {
    const { terminal, items: [first] } = block;
    if (first.command === undefined && !used.has(terminal)) {
      throw new Error(`line ${first.line}: no command was run in the ${terminal} terminal`);
    }
    used.add(terminal);
    const next = blocks.slice(index + 1).find((other) => other.terminal === terminal);
    block.goesOn = next !== undefined && next.items[0].command === undefined;
  }
}
