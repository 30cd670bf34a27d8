// `<beaconry-status device="…">`: is the device there?
//
// | attribute | what it says |
// |---|---|
// | `device` | the device's id |
// | `prefix` | the prefix of its topics; `beaconry` if absent |
// | `label` | a name to show instead of the id |
// | `broker` | another broker, as `wss://…`; the server beside the script if absent |
//
// Pages style it through `::part(status)`, `indicator`, `name`, `presence` and `detail`, and through the
// custom properties of `status.css`. The part `status` has the state as one more name. All of it is
// text, so screen readers can read it too. Where scripts do not run, what stands between the tags is
// shown.
//
// The server beside the script tells of devices at its API. For another broker, and beside a server
// without an API, this loads the module that speaks MQTT.

import { define } from './element.js';
import { follow } from './server.js';
import { clockTime, show } from './status.js';
import { words } from './words.js';

const CSS = '@status.css';
const QUARTER_HOUR = 900_000;
const CONNECTING = { state: 'connecting' };

/// The elements in the page.
const all = new Set();
let asked = false;
let midnight;

/// Draws everything once, in the next frame. A hidden page has no frames.
function changed() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    for (const status of all) status.draw();
    // At midnight a time of day becomes one of yesterday's. In every time zone that is at a whole
    // quarter of an hour.
    clearTimeout(midnight);
    if (all.size) midnight = setTimeout(changed, QUARTER_HOUR - (Date.now() % QUARTER_HOUR));
  });
}

/// The server beside the script, while an element follows it, and what it has said, by id: nothing
/// for a device that it does not know.
let server;
let answer;
const told = new Map();

function watch() {
  const own = [...all].filter((status) => status.ids);
  const ids = new Set(own.flatMap((status) => status.ids));
  if (!ids.size) {
    server?.close();
    server = answer = undefined;
    told.clear();
    return;
  }
  for (const id of told.keys()) if (!ids.has(id)) told.delete(id);
  server ??= follow((id, presence) => {
    told.set(id, presence);
    changed();
  }, (now) => {
    answer = now;
    for (const status of all) if (status.ids) status.choose();
    changed();
  });
  server.watch([...ids], [...new Set(own.map((status) => status.device))]);
}

/// The module that speaks MQTT, once something needs it, and its one object.
let loading;
let mqtt;
async function loadMqtt() {
  const { default: start, Page } = await import('./mqtt.js');
  await start();
  mqtt = new Page(new URL('../mqtt', import.meta.url).href, changed);
}

class Status {
  constructor(element, root) {
    const attribute = (name) => element.getAttribute(name)?.trim() || undefined;
    this.root = root;
    this.device = attribute('device');
    this.name = attribute('label') ?? this.device ?? '';
    this.broker = attribute('broker');
    // An empty prefix is a prefix too: the topics then begin with `register/`.
    this.prefix = (element.getAttribute('prefix') ?? 'beaconry').trim().replace(/\/+$/, '');
    all.add(this);
    if (!this.device) {
      this.problem = 'give the attribute device="…"';
    } else if (/[+#]/.test(this.prefix + this.device) || /^\$|\n\$/.test(`${this.prefix}\n${this.device}`)) {
      // An id with a wildcard in it would ask for other devices too. `$` begins the broker's own topics.
      this.problem = 'this device id cannot be a topic';
    } else if (this.broker) {
      this.useMessages();
    } else {
      // A device may also publish under the bare id.
      this.ids = this.prefix ? [`${this.prefix}/${this.device}`, this.device] : [this.device];
      this.choose();
    }
    watch();
    this.draw();
  }

  /// Asks the broker where there is no server that tells more.
  choose() {
    if (answer === 'none') this.useMessages();
    else if (answer === 'there') this.stopMessages();
  }

  useMessages() {
    if (this.wanted) return;
    this.wanted = true;
    if (mqtt) return this.followMessages();
    (loading ??= loadMqtt()).then(() => this.followMessages(), (error) => {
      loading = undefined;
      console.error('beaconry: the widgets did not start:', error);
      this.failed = true;
      changed();
    });
  }

  followMessages() {
    if (!this.wanted) return;
    try {
      this.followed = mqtt.follow(this.device, this.prefix, this.broker);
    } catch (problem) {
      this.problem = problem;
    }
    changed();
  }

  stopMessages() {
    this.wanted = this.failed = false;
    this.followed?.free();
    this.followed = undefined;
  }

  state() {
    if (this.problem) return { state: 'problem', reason: this.problem };
    if (this.failed) return { state: 'problem', reason: 'the widget did not load; reload the page' };
    if (this.followed) {
      const [state, reason, since, exact, wakes, seen] = this.followed.state();
      return { state, reason, since, exact, wakes, seen };
    }
    if (!this.ids || this.wanted) return CONNECTING;
    const known = this.ids.map((id) => told.get(id)).find(Boolean);
    if (known) return answer === 'there' ? known : { state: 'lost', reason: known.state };
    const answered = answer === 'there' && this.ids.every((id) => told.has(id));
    return answered ? { state: 'silent' } : CONNECTING;
  }

  draw() {
    const [shape, word, detail] = words(this.state(), clockTime);
    show(this.root, shape, this.name, word, detail);
  }

  end() {
    all.delete(this);
    this.stopMessages();
    watch();
  }
}

define('beaconry-status', ['device', 'prefix', 'label', 'broker'], CSS, (element, root) => new Status(element, root));
