// Follows devices at the server beside this script: a snapshot from `api/v1/devices`, and then what
// changes from `api/v1/changes`. It knows no element.

const api = (path, ids) => new URL(`../api/v1/${path}${ids.map((id) => `&id=${encodeURIComponent(id)}`).join('')}`, import.meta.url);

/// The longest that it waits before it tries again, and the silence after which a stream counts as
/// dead, in milliseconds. The server says something every 15 s.
const LONGEST_WAIT = 30_000;
const SILENCE = 40_000;

/// Tells of devices by `tell(id, presence)`, without a presence for one that the server does not know,
/// and of the connection by `turn(answer)`: `there`, `lost` for now, or `none`, because this script
/// stands beside no such server. `watch(ids)` says whom to follow, `close()` ends it.
export function follow(tell, turn) {
  let ids = [];
  let stream;
  let timer;
  let wait = 0;
  let round = 0;
  let worked = false;

  const shut = () => {
    round += 1;
    clearTimeout(timer);
    stream?.close();
  };
  const later = (after) => {
    clearTimeout(timer);
    timer = setTimeout(open, after);
  };
  const fail = (status) => {
    shut();
    turn(worked || status > 499 ? 'lost' : 'none');
    // A host without this API is not asked for ever.
    if (!worked && (status < 500 && status || wait === LONGEST_WAIT)) return;
    wait = Math.min(Math.max(wait * 2, 1_000), LONGEST_WAIT);
    later(wait);
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
    else if (kind === 'gone') tell(id);
    else if (kind === 'resync') later(0);
  };
  async function open() {
    shut();
    if (!ids.length || document.hidden) return;
    const mine = round;
    let status = 0;
    try {
      const answer = await fetch(api('devices?', ids));
      status = answer.status;
      if (!answer.ok) throw status;
      const { cursor, devices } = await answer.json();
      if (mine !== round) return;
      const known = new Map(devices.map((device) => [device.id, device]));
      for (const id of ids) {
        if (known.has(id)) change({ device: known.get(id) });
        else tell(id);
      }
      worked = true;
      wait = 0;
      turn('there');
      stream = new EventSource(api(`changes?after=${cursor}`, ids));
      // Timers of a background tab are late, and a laptop's sleep ends no stream: silence does.
      const hear = () => later(SILENCE);
      hear();
      stream.onopen = hear;
      stream.addEventListener('beat', hear);
      stream.addEventListener('changes', ({ data }) => {
        hear();
        JSON.parse(data).changes.forEach(change);
      });
      stream.onerror = () => fail(500);
    } catch {
      if (mine === round) fail(status);
    }
  }
  // A hidden page gives its stream back: over HTTP/1.1 a browser has six for each server, in all tabs.
  const end = new AbortController();
  document.addEventListener('visibilitychange', open, end);
  addEventListener('online', open, end);
  return {
    watch(now) {
      if (now.length === ids.length && now.every((id) => ids.includes(id))) return;
      ids = now;
      // Elements that come together make one question.
      later(0);
    },
    close() {
      shut();
      end.abort();
    },
  };
}
