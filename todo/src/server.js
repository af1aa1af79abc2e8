/** The process: starts when the database answers, ends when it is asked to. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import process from 'node:process';

import { createApp } from './app.js';
import { connect, disconnect } from './database.js';
import { readSettings } from './settings.js';

// What has not ended by itself this long after SIGTERM is cut off.
const GRACE_MS = 1000;

const server = createServer(createApp());
server.on('request', (request, response) => response.on('close', closeIfStopping));

// The first process of a container gets only the signals that it handles itself.
process.once('SIGTERM', stop);
process.once('SIGINT', stop);

try {
  const { port, databaseUrl, databaseTimeout } = readSettings(process.env);
  await connect(databaseUrl, databaseTimeout);
  server.listen(port);
  await once(server, 'listening');
  console.log(`Listening on port ${server.address().port}`);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}

/** Closes a connection whose request has been finished: its client may want to keep it for the next one. */
function closeIfStopping() {
  if (!server.listening) {
    server.closeIdleConnections();
  }
}

async function stop(signal) {
  console.log(`Stopping because of ${signal}`);
  setTimeout(() => process.exit(), GRACE_MS).unref();
  if (server.listening) {
    server.close();
    await once(server, 'close');
  }
  await disconnect();
  process.exit();
}
