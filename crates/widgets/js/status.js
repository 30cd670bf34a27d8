// What <beaconry-status> draws: a shape and three texts.

const SVG = 'http://www.w3.org/2000/svg';

// A ring: nothing is known.
const RING = 'M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1ZM8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3Z';

/// A form for each presence, so that none is told by its colour alone.
const SHAPES = {
  // A disc with a tick.
  online: 'M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1ZM7 11.2 12.3 6 11 4.7 7 8.6 5 6.7 3.8 8Z',
  // A crescent.
  sleeping: 'M6.2 1.4A7 7 0 1 0 14.6 9.8 6 6 0 0 1 6.2 1.4Z',
  // A triangle with a mark.
  stale: 'M8 1 15.5 14.5H.5ZM7.2 6h1.6v4H7.2ZM7.2 11.2h1.6v1.6H7.2Z',
  // A disc with a cross.
  offline: 'M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1ZM5.6 4.5 4.5 5.6 6.9 8 4.5 10.4 5.6 11.5 8 9.1 10.4 11.5 11.5 10.4 9.1 8 11.5 5.6 10.4 4.5Z',
  // A square on its corner with a mark.
  problem: 'M8 0 16 8 8 16 0 8ZM7.2 4h1.6v5H7.2ZM7.2 10.4h1.6v1.6H7.2Z',
  // The ring, struck through.
  lost: 'M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1ZM8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3ZM4.5 5.3 5.3 4.5 11.5 10.7 10.7 11.5Z',
};

/// The parts of each root that was drawn into.
const drawn = new WeakMap();

function build(root) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('part', 'indicator');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('aria-hidden', 'true');
  const path = svg.appendChild(document.createElementNS(SVG, 'path'));
  const make = (tag, part) => Object.assign(document.createElement(tag), { part });
  // A name may be written from right to left, and must not turn around what follows it. It is
  // of any language; our own words are English.
  const [status, name, presence, detail] = [
    make('span', 'status'), make('bdi', 'name'), make('span', 'presence'), make('span', 'detail'),
  ];
  status.lang = 'en';
  name.lang = '';
  // The spaces are for those who copy it or have it read aloud.
  status.append(svg, name, ' ', presence, ' ', detail);
  root.replaceChildren(status);
  const parts = { status, path, name, presence, detail };
  drawn.set(root, parts);
  return parts;
}

/// Draws into an element's root.
export function show(root, shape, name, word, detail) {
  const parts = drawn.get(root) ?? build(root);
  parts.status.part = `status ${shape}`;
  parts.path.setAttribute('d', SHAPES[shape] ?? RING);
  for (const [part, text] of [[parts.name, name], [parts.presence, word], [parts.detail, detail]]) {
    // A text that stays the same stays selected, and is not read aloud again.
    if (part.textContent !== text) part.textContent = text;
  }
}

/// The moment as the reader's own clock shows it; with the date if it is not today's.
export function clockTime(at) {
  const day = (time) => new Date(time).toDateString();
  const dateStyle = day(at) === day(Date.now()) ? undefined : 'short';
  return new Date(at).toLocaleString(undefined, { dateStyle, timeStyle: 'short' });
}
