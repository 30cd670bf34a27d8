// What <beaconry-status> says in each state, without a browser.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { words } from '../crates/widgets/js/words.js';

const say = (state) => words({ since: 5, exact: true, wakes: NaN, seen: NaN, ...state }, (at) => `t${at}`);

test('each presence says since when and why', () => {
  for (const [state, expected] of [
    [{ state: 'online' }, ['online', 'online', 'since t5']],
    [{ state: 'unknown' }, ['unknown', 'unknown', 'no word from it yet']],
    [{ state: 'unknown', reason: 'server-restarted' }, ['unknown', 'unknown', 'not heard since the server was restarted']],
    [{ state: 'offline', reason: 'keep-alive' }, ['offline', 'offline', 'since t5, stopped answering']],
    [{ state: 'offline', reason: 'a word of a newer server' }, ['offline', 'offline', 'since t5']],
    [{ state: 'stale', seen: 2 }, ['stale', 'stale', 'last heard of at t2']],
    [{ state: 'sleeping' }, ['sleeping', 'sleeping', 'since t5']],
    [{ state: 'sleeping', wakes: 15 }, ['sleeping', 'sleeping', 'since t5, wakes about t15']],
    [{ state: 'offline', reason: 'did-not-wake', exact: false }, ['offline', 'offline', 'since t5 or earlier, did not wake up']],
  ]) assert.deepEqual(say(state), expected);
});

test('a lost connection says what was known', () => {
  assert.deepEqual(say({ state: 'lost', reason: 'online' }), ['lost', 'no connection', 'was online']);
  assert.deepEqual(say({ state: 'lost', reason: 'unknown' }), ['lost', 'no connection', '']);
});

test('no access is told from no word', () => {
  assert.equal(say({ state: 'refused' })[0], 'problem');
  assert.equal(say({ state: 'forbidden' })[1], 'no access');
  assert.equal(say({ state: 'silent' })[1], 'unknown');
  assert.deepEqual(say({ state: 'problem', reason: 'why' }), ['problem', 'not set up', 'why']);
});
