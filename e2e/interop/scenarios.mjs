// What each client must be able to do. A scenario throws where something is otherwise.
//
// A client is { connect(options) }, which resolves to a connection:
//   session                         whether the broker still knew the session; null: the client cannot tell
//   subscribe(filter, qos)          resolves when it is granted
//   publish(topic, payload, { qos, retain })
//   messages                        what has come: { topic, payload, qos, retain }
//   disconnect()                    with DISCONNECT
//   vanish()                        without
// The options are { url, version (4 or 5), id, clean, expiry (seconds), will }.
import assert from 'node:assert/strict';

const MANY = 20;
const PATIENCE = 15_000;
const LONGEST = 60_000;
let number = 0;

/// Waits until `holds` gives something, and says what was there instead.
export async function until(what, holds, shown = () => '') {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const found = holds();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}${shown()}`);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

/// Opens connections, and ends all of them.
class Stage {
  constructor(client, observer, options) {
    Object.assign(this, { client, observer, options, all: [] });
    number += 1;
    this.topic = `interop/${process.pid}/${number}`;
    this.id = `interop-${process.pid}-${number}`;
  }

  async subject(options = {}) {
    const connection = await this.client.connect({ ...this.options, id: this.id, clean: true, expiry: 0, ...options });
    this.all.push(connection);
    return connection;
  }

  async other(options = {}) {
    const connection = await this.observer.connect({ url: this.options.observer, version: this.options.version, id: `${this.id}-o${this.all.length}`, clean: true, expiry: 0, ...options });
    this.all.push(connection);
    return connection;
  }

  async end() {
    for (const connection of this.all) await connection.vanish();
  }
}

const payloads = Array.from({ length: MANY }, (_, n) => `message ${n} – grün 🎉`);

async function arrives(connection, topic, expected, qos) {
  const of = () => connection.messages.filter((it) => it.topic === topic);
  await until(`${expected.length} messages`, () => of().length >= expected.length, () => `; there were ${of().length}`);
  // One more would come at once.
  await new Promise((resolve) => { setTimeout(resolve, 100); });
  assert.deepEqual(of().map((it) => it.payload), expected, 'each once and in order');
  if (qos !== null) assert.ok(of().every((it) => it.qos === null || it.qos === qos), `QoS ${of()[0].qos} instead of ${qos}`);
}

/// Each with the title of its column.
export const scenarios = {
  'QoS 0': (stage) => exchange(stage, 0),
  'QoS 1': (stage) => exchange(stage, 1),
  'QoS 2': (stage) => exchange(stage, 2),
  async retained(stage) {
    const subject = await stage.subject();
    await subject.publish(`${stage.topic}/mine`, 'kept', { qos: 1, retain: true });
    const other = await stage.other();
    await other.subscribe(`${stage.topic}/mine`, 1);
    await arrives(other, `${stage.topic}/mine`, ['kept'], null);
    assert.equal(other.messages[0].retain, true);
    await other.publish(`${stage.topic}/theirs`, 'kept', { qos: 1, retain: true });
    await subject.subscribe(`${stage.topic}/theirs`, 1);
    await arrives(subject, `${stage.topic}/theirs`, ['kept'], null);
    assert.ok(subject.messages.at(-1).retain !== false, 'the message is marked as retained');
    for (const topic of ['mine', 'theirs']) await subject.publish(`${stage.topic}/${topic}`, '', { qos: 1, retain: true });
    const later = await stage.other();
    await later.subscribe(`${stage.topic}/+`, 1);
    await later.publish(`${stage.topic}/end`, 'end', { qos: 1, retain: false });
    await arrives(later, `${stage.topic}/end`, ['end'], null);
    assert.equal(later.messages.length, 1, 'what was cleared is gone');
  },
  async will(stage) {
    const other = await stage.other();
    await other.subscribe(`${stage.topic}/will`, 1);
    const subject = await stage.subject({ will: { topic: `${stage.topic}/will`, payload: 'gone', qos: 1, retain: false } });
    await subject.subscribe(`${stage.topic}/x`, 0);
    await subject.vanish();
    await arrives(other, `${stage.topic}/will`, ['gone'], null);
  },
  async session(stage) {
    const keeps = { clean: false, expiry: 300 };
    const first = await stage.subject(keeps);
    await first.subscribe(`${stage.topic}/waits`, 1);
    await first.disconnect();
    const other = await stage.other();
    const five = payloads.slice(0, 5);
    for (const payload of five) await other.publish(`${stage.topic}/waits`, payload, { qos: 1, retain: false });
    const again = await stage.subject(keeps);
    if (again.resubscribes) await again.subscribe(`${stage.topic}/waits`, 1);
    await arrives(again, `${stage.topic}/waits`, five, null);
    assert.ok(again.session !== false, 'the broker still knows the session');
    await again.disconnect();
  },
};

async function exchange(stage, qos) {
  const [subject, other] = [await stage.subject(), await stage.other()];
  await other.subscribe(`${stage.topic}/to`, qos);
  for (const payload of payloads) await subject.publish(`${stage.topic}/to`, payload, { qos, retain: false });
  await arrives(other, `${stage.topic}/to`, payloads, qos);
  await subject.subscribe(`${stage.topic}/from`, qos);
  for (const payload of payloads) await other.publish(`${stage.topic}/from`, payload, { qos, retain: false });
  await arrives(subject, `${stage.topic}/from`, payloads, qos);
}

/// Runs a scenario. Resolves to null, or to why it failed.
export async function run(scenario, client, observer, options) {
  const stage = new Stage(client, observer, options);
  try {
    const late = new Promise((resolve) => { setTimeout(resolve, LONGEST, 'late').unref(); });
    if (await Promise.race([scenario(stage), late]) === 'late') throw new Error(`not done within ${LONGEST / 1_000} s`);
    return null;
  } catch (error) {
    return error.message.split('\n')[0];
  } finally {
    await stage.end();
  }
}
