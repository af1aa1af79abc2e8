/** Ports, and waiting for what takes its time. */

import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Returns a port of this machine that nobody uses. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Returns what `question` resolves to once that is true; fails with its last error after `seconds`. */
export async function eventually(question, seconds = 20) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await question().catch((error) => ({ error }));
    if (answer && !answer.error) {
      return answer;
    }
    if (Date.now() > deadline) {
      throw new Error(`Not within ${seconds} s`, { cause: answer?.error });
    }
    await sleep(100);
  }
}

/** Returns how many seconds something takes, whatever comes of it. */
export async function seconds(promise) {
  const start = performance.now();
  await Promise.resolve(promise).catch(() => {});
  return (performance.now() - start) / 1000;
}
