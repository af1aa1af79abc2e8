/** The app as a process of its own, started as in an image, and asked over HTTP. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { eventually } from './network.js';
import { ROOT } from './versions.js';

const running = new Set();

/** Starts the app without waiting for anything. Port 0 is a free one of the system's choice. */
export function launch(env = {}) {
  const child = spawn(process.execPath, ['src/server.js'], {
    cwd: fileURLToPath(ROOT),
    env: { PATH: process.env.PATH, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const app = { child, output: '', exit: once(child, 'close').then(([code]) => code), errors: text(child.stderr) };
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    app.output += chunk;
  });
  running.add(child);
  return app;
}

/** Starts the app and returns it when it listens: `url` is its address. */
export async function startApp(database) {
  const app = launch({ DATABASE_URL: database.url });
  const [, port] = await eventually(async () => app.output.match(/Listening on port (\d+)/));
  return Object.assign(app, { port: Number(port), url: `http://127.0.0.1:${port}` });
}

/** Ends whatever a test has left running. */
export function endApps() {
  for (const child of running) {
    child.kill('SIGKILL');
  }
}

/** Sends a request with `body` as JSON, and returns status, headers, text and what the text means. */
export async function ask(app, method, path, body) {
  const content = typeof body === 'string' ? body : JSON.stringify(body);
  const headers = content === undefined ? {} : { 'Content-Type': 'application/json' };
  const response = await fetch(app.url + path, { method, headers, body: content });
  const answer = await response.text();
  const isJson = response.headers.get('Content-Type')?.startsWith('application/json');
  return { status: response.status, headers: response.headers, text: answer, json: isJson ? JSON.parse(answer) : null };
}
