// What the element says: a shape, a word, and more for those who want to know.
//
// A state is what `server.js` or the module that speaks MQTT tells of a device: `state` is a presence's
// word (`online`, `sleeping`, `stale`, `offline`, `unknown`), or one of the words below. `reason` says
// why; `since`, `wakes` and `seen` are milliseconds since 1970, or NaN; `exact` says whether it began
// at `since` and not earlier.

/// Why a device is offline. `crates/fleet/src/presence.rs` has the same words and texts, and a test
/// compares them.
export const REASONS = {
  'said-so': 'signed out, or its will did',
  'lost': 'lost',
  'did-not-wake': 'did not wake up',
  'disconnected': 'disconnected',
  'connection-lost': 'connection lost',
  'keep-alive': 'stopped answering',
  'taken-over': 'another client took its id',
  'put-out': 'put out by the broker',
  'unreachable': 'its gateway is unreachable',
};

/// Why nobody knows about a device that was heard before.
const UNKNOWN = {
  'away': 'not heard since the connection was lost',
  'server-restarted': 'not heard since the server was restarted',
};

/// Nothing was heard of the device.
const NO_WORD = 'no word from it yet';

/// States of the connection instead of the device, as shape, word and detail.
const CONNECTION = {
  connecting: ['connecting', 'connecting', ''],
  silent: ['unknown', 'unknown', NO_WORD],
  refused: ['problem', 'no access', 'the broker refused this page'],
  forbidden: ['problem', 'no access', 'the broker does not let this page follow it'],
};

/// `[shape, word, detail]` for a state. The shape is a name of the part too: a presence's word,
/// `connecting`, `lost` or `problem`. `clockTime` writes a moment.
export function words({ state, reason, since, exact, wakes, seen }, clockTime) {
  if (CONNECTION[state]) return CONNECTION[state];
  // Here `reason` is what is wrong with the attributes.
  if (state === 'problem') return ['problem', 'not set up', reason];
  // Here `reason` is the presence before.
  if (state === 'lost') {
    return ['lost', 'no connection', reason && reason !== 'unknown' ? `was ${reason}` : ''];
  }
  let detail = `since ${clockTime(since)}${exact ? '' : ' or earlier'}`;
  if (state === 'unknown') detail = UNKNOWN[reason] ?? NO_WORD;
  else if (state === 'stale') detail = `last heard of at ${clockTime(seen)}`;
  else if (state === 'offline' && REASONS[reason]) detail += `, ${REASONS[reason]}`;
  else if (state === 'sleeping' && wakes) detail += `, wakes about ${clockTime(wakes)}`;
  return [state, state, detail];
}
