// Eclipse Paho's JavaScript client in a real browser. It knows version 3.1.1 and WebSocket alone.
import { readFileSync } from 'node:fs';

export function client(browser) {
  const script = readFileSync(new URL('../../../node_modules/paho-mqtt/paho-mqtt.js', import.meta.url), 'utf8');
  return {
    async connect({ url, id, clean, will }) {
      const messages = [];
      const { hostname, port, pathname } = new URL(url);
      // The page has no rules of ours, but an origin: without one there is no storage, which the client wants.
      const context = await browser.newContext({ bypassCSP: true });
      const page = await context.newPage();
      await page.goto(`http://${hostname}:${port}/livez`);
      await page.exposeFunction('arrived', (message) => { messages.push(message); });
      await page.addScriptTag({ content: script });
      await page.evaluate(([host, port, path, id, clean, will]) => new Promise((resolve, reject) => {
        const { Client, Message } = window.Paho;
        const made = (it) => {
          const message = new Message(it.payload);
          return Object.assign(message, { destinationName: it.topic, qos: it.qos, retained: it.retain });
        };
        window.made = made;
        window.client = new Client(host, Number(port), path, id);
        window.delivered = [];
        window.client.onMessageArrived = (it) => window.arrived({ topic: it.destinationName, payload: it.payloadString, qos: it.qos, retain: it.retained });
        window.client.onMessageDelivered = () => window.delivered.shift()?.();
        window.client.connect({
          mqttVersion: 4,
          mqttVersionExplicit: true,
          cleanSession: clean,
          ...(will ? { willMessage: made(will) } : {}),
          onSuccess: () => resolve(),
          onFailure: (why) => reject(new Error(why.errorMessage)),
        });
      }), [hostname, port, pathname, id, clean, will]);
      return {
        session: null,
        messages,
        subscribe: (filter, qos) => page.evaluate(([filter, qos]) => new Promise((resolve, reject) => {
          window.client.subscribe(filter, { qos, onSuccess: () => resolve(), onFailure: (why) => reject(new Error(why.errorMessage)) });
        }), [filter, qos]),
        publish: (topic, payload, { qos, retain }) => page.evaluate((it) => new Promise((resolve) => {
          window.delivered.push(resolve);
          window.client.send(window.made(it));
        }), { topic, payload, qos, retain }),
        async disconnect() {
          await page.evaluate(() => window.client.disconnect());
          await context.close();
        },
        // The browser closes the connection of a page that it destroys, without DISCONNECT.
        vanish: () => context.close(),
      };
    },
  };
}
