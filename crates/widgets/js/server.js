// Follows devices at the server beside this script: a snapshot from `api/v1/devices`, and then what
// changes from `api/v1/changes`. It knows no element.

/// The longest that it waits before it tries again, and how long it waits where nothing speaks for
/// such a server, in milliseconds.
const LONGEST_WAIT = 30_000;
const RARE = 300_000;
/// The silence after which a question or a stream counts as dead. The server says something every 15 s.
const SILENCE = 40_000;
/// How many devices one question names: proxies take addresses of 8 kB.
const TOGETHER = 60;
/// After so many failures without a success, this script stands beside no such server.
const TRIES = 3;

const api = (path, ids) => new URL(`../api/v1/${path}${ids.map((id) => `&id=${encodeURIComponent(id)}`).join('')}`, import.meta.url);

/// Tells of devices by `tell(id, presence)`, without a presence for one that the server does not know,
/// and of the connection by `turn(answer)`: `there`, `lost` for now, or `none`, because this script
/// stands beside no such server. `watch(ids, names)` says whom to follow, by their full ids and by
/// what the elements call them; `close()` ends it.
export function follow(tell, turn) {
  let ids = [];
  let names = [];
  let stream;
  let timer;
  let round;
  let wait = 0;
  let failures = 0;
  let worked = false;

  const shut = () => {
    clearTimeout(timer);
    stream?.close();
    round?.abort();
  };
  const later = (after, act = open) => {
    clearTimeout(timer);
    timer = setTimeout(act, after);
  };
  const again = () => {
    wait = Math.min(Math.max(wait * 2, 1_000), LONGEST_WAIT);
    later(wait);
  };
  const fail = (status) => {
    shut();
    failures += 1;
    const none = !worked && (status === 404 || failures >= TRIES);
    turn(none ? 'none' : 'lost');
    if (!none) again();
    // A host that answers without this API is not asked for ever.
    else if (status !== 404) later(RARE);
  };
  // The server also tells of devices with these ids behind another prefix.
  const know = (id, presence, seen) => ids.includes(id) && tell(id, {
    ...presence,
    since: Date.parse(presence.since),
    exact: presence.exact ?? true,
    wakes: Date.parse(presence.wakes_about),
    seen: Date.parse(seen),
  });
  const change = ({ kind, id, device, presence, last_seen: seen }) => {
    if (device) know(device.id, device.presence, device.last_seen);
    else if (presence) know(id, presence, seen);
    else if (kind === 'gone' && ids.includes(id)) tell(id);
    else if (kind === 'resync') later(0);
  };
  /// Asks for all devices. Returns where the changes after the first answer begin.
  async function ask(signal) {
    const known = new Map();
    let from;
    for (let at = 0; at < ids.length; at += TOGETHER) {
      const answer = await fetch(api('devices?hidden=any', ids.slice(at, at + TOGETHER)), { signal });
      if (!answer.ok) throw answer.status;
      const { cursor, devices } = await answer.json();
      from ??= cursor;
      for (const device of devices) known.set(device.id, device);
    }
    for (const id of ids) {
      if (known.has(id)) change({ device: known.get(id) });
      else tell(id);
    }
    return from;
  }
  async function open() {
    shut();
    if (!ids.length || document.hidden) return;
    const mine = round = new AbortController();
    // A laptop's sleep ends neither a question nor a stream: silence does.
    const listen = () => later(SILENCE, () => fail(0));
    listen();
    try {
      const cursor = await ask(mine.signal);
      if (mine.signal.aborted) return;
      worked = true;
      failures = 0;
      turn('there');
      const hear = () => {
        wait = 0;
        listen();
      };
      listen();
      stream = new EventSource(api(`changes?after=${cursor}`, names));
      stream.addEventListener('beat', hear);
      stream.addEventListener('changes', ({ data }) => {
        hear();
        JSON.parse(data).changes.forEach(change);
      });
      stream.onerror = () => {
        stream.close();
        // The next question tells whether the server is there. If that takes long, nobody knows.
        again();
        if (wait > 2_000) turn('lost');
      };
    } catch (status) {
      if (!mine.signal.aborted) fail(status);
    }
  }
  // A hidden page gives its stream back: over HTTP/1.1 a browser has six for each server, in all tabs.
  const end = new AbortController();
  document.addEventListener('visibilitychange', open, end);
  addEventListener('online', open, end);
  return {
    watch(now, called) {
      if (now.length === ids.length && now.every((id) => ids.includes(id))) return;
      [ids, names] = [now, called];
      // Elements that come together make one question.
      later(0);
    },
    close() {
      shut();
      end.abort();
    },
  };
}
