// A reverse proxy that serves Beaconry under a path of its own, as nginx and Traefik do: it strips
// the prefix and passes the rest on, WebSockets too.
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';

/// `missing` lists the paths (regular expressions, without the prefix) that are answered with 404.
/// With `decode` the proxy decodes the path before it passes it on, as nginx does: `%2F` becomes `/`.
export async function startPrefixProxy(targetAddress, prefix, { missing = [], decode = false } = {}) {
  const colon = targetAddress.lastIndexOf(':');
  const target = { host: targetAddress.slice(0, colon), port: Number(targetAddress.slice(colon + 1)) };
  /// What was asked for and does not belong to the prefix.
  const strays = [];
  /// The paths of all requests so far, upgrades to WebSocket included.
  const asked = [];
  /// The answers under way: path, where it comes from, where it goes to.
  const answers = new Set();
  const upgraded = new Set();
  let refusing = false;

  /// The target's path, or `undefined` outside of the prefix.
  const inside = (url) => {
    if (!url.startsWith(`${prefix}/`)) {
      strays.push(url);
      return undefined;
    }
    const rest = url.slice(prefix.length);
    if (!decode) return rest;
    const [path, ...query] = rest.split('?');
    return [encodeURI(decodeURIComponent(path)), ...query].join('?');
  };

  const server = http.createServer((request, response) => {
    const path = inside(request.url);
    if (refusing) {
      request.socket.destroy();
      return;
    }
    asked.push(path);
    if (path === undefined || missing.some((pattern) => pattern.test(path))) {
      response.writeHead(404, { 'content-type': 'text/plain' });
      response.end('The proxy has nothing here.\n');
      return;
    }
    const { method, headers } = request;
    const onward = http.request({ ...target, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
      const known = { path, answer, response };
      answers.add(known);
      response.on('close', () => {
        answers.delete(known);
        onward.destroy();
      });
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });

  server.on('upgrade', (request, near, head) => {
    const path = inside(request.url);
    if (refusing || path === undefined) return near.destroy();
    asked.push(path);
    const far = net.connect(target);
    const close = () => {
      upgraded.delete(close);
      near.destroy();
      far.destroy();
    };
    upgraded.add(close);
    for (const socket of [near, far]) socket.on('error', close).on('close', close);
    const lines = request.rawHeaders.flatMap((text, at, all) => (at % 2 === 0 ? [`${text}: ${all[at + 1]}`] : []));
    far.write(`${request.method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
    far.write(head);
    near.pipe(far);
    far.pipe(near);
    return undefined;
  });

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = `127.0.0.1:${server.address().port}`;
  return {
    address,
    strays,
    asked,
    /// How many answers to paths like this one are under way.
    underWay: (pattern) => [...answers].filter(({ path }) => pattern.test(path)).length,
    /// Lets the answers under way to paths like this one go silent: nothing comes, and nothing is closed.
    silence(pattern) {
      for (const { path, answer, response } of answers) if (pattern.test(path)) answer.unpipe(response).resume();
    },
    /// Closes every connection and refuses new ones until `restore`.
    cut() {
      refusing = true;
      for (const close of [...upgraded]) close();
      server.closeAllConnections();
    },
    restore() { refusing = false; },
    page: `http://${address}${prefix}/`,
    async stop() {
      for (const close of [...upgraded]) close();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
