// Compares what a terminal shows with what a walkthrough says.
//
// `…` in a line stands for any text; a line of its own stands for any number of lines. Identifiers and
// times differ from run to run: a UUID stands for any UUID, a time for any time of that form.

const VARIES = [
  { written: /[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}/g, means: '[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}' },
  { written: /\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?/g, means: '\\d{4}-\\d\\d-\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?' },
  { written: /(?<!\d)1[78]\d{11}(?!\d)/g, means: '1[789]\\d{11}' },
];

export const ANY_LINES = '…';

/// The pattern of an expected line.
export function pattern(line) {
  let source = line.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  for (const { written, means } of VARIES) {
    // The written form has been escaped, too: a dot became `\.`.
    const escaped = new RegExp(written.source.replaceAll('\\.', '\\\\\\.'), 'g');
    source = source.replace(escaped, () => means);
  }
  return new RegExp(`^${source.replaceAll('…', '.*')}$`);
}

/// What a terminal still has to show, and what it has shown that nobody has asked for yet.
export class Expectations {
  #lines = [];
  /// Whether lines that nobody expects may come before the next one.
  #any = false;

  push(line) { this.#lines.push(line); }

  /// A new command begins.
  reset() {
    this.#lines = [];
    this.#any = false;
  }

  /// Takes the line that `expected` describes. Returns `true` when it is there, `false` while it may
  /// still come. Throws when another line is in its place.
  take(expected) {
    if (expected.trim() === ANY_LINES) {
      this.#any = true;
      return true;
    }
    const wanted = pattern(expected);
    const index = this.#any ? this.#lines.findIndex((line) => wanted.test(line)) : 0;
    if (index < 0 || this.#lines.length === 0) return false;
    if (!wanted.test(this.#lines[index])) {
      throw new Error(`the walkthrough says\n  ${expected}\nand the terminal shows\n  ${this.#lines[index]}`);
    }
    this.#lines.splice(0, index + 1);
    this.#any = false;
    return true;
  }

  /// Lines that the walkthrough does not speak of.
  surplus() { return this.#any ? [] : [...this.#lines]; }

  /// What has come and was not taken, for an error.
  shown() { return this.#lines.map((line) => `  ${line}`).join('\n'); }
}
