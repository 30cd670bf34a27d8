// A device's presence, as the server tells it to the dashboard and to everybody who asks.
import { setTimeout as pause } from 'node:timers/promises';

const PATIENCE_MS = 20_000;

/// Resolves once the device, `prefix/id`, is in this state. Rejects if that takes too long.
export async function presence(server, device, state) {
  const end = performance.now() + PATIENCE_MS;
  let last;
  while (performance.now() < end) {
    const found = await (await fetch(`${server.page}api/v1/devices?id=${encodeURIComponent(device)}`)).json();
    last = found.devices?.[0]?.presence?.state;
    if (last === state) return;
    await pause(20);
  }
  throw new Error(`${device} is ${last}, not ${state}`);
}
