// MQTT.js, of the version that is given.
export function client(library) {
  return {
    async connect({ url, version, id, clean, expiry, will }) {
      const messages = [];
      const connection = library.connect(url, {
        protocolVersion: version,
        clientId: id,
        clean,
        will,
        reconnectPeriod: 0,
        resubscribe: false,
        properties: version === 5 ? { sessionExpiryInterval: expiry } : undefined,
      });
      connection.on('message', (topic, payload, { qos, retain }) => {
        messages.push({ topic, payload: payload.toString(), qos, retain });
      });
      const session = await new Promise((resolve, reject) => {
        connection.once('connect', (connack) => resolve(connack.sessionPresent));
        connection.once('error', reject);
        connection.once('close', () => reject(new Error('the connection was closed')));
      });
      connection.on('error', () => {});
      const done = (begin) => new Promise((resolve, reject) => {
        begin((error, result) => (error ? reject(error) : resolve(result)));
      });
      return {
        session,
        messages,
        subscribe: (filter, qos) => done((call) => connection.subscribe(filter, { qos }, call)),
        publish: (topic, payload, options) => done((call) => connection.publish(topic, payload, options, call)),
        disconnect: () => new Promise((resolve) => { connection.end(false, {}, resolve); }),
        async vanish() {
          if (connection.connected) connection.stream.destroy();
          connection.end(true);
        },
      };
    },
  };
}
