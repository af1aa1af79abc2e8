/** The web application: the page, what it is made of, and the API. */

import os from 'node:os';
import { fileURLToPath } from 'node:url';

import express from 'express';

import { ping } from './database.js';
import { answerError, notFound } from './errors.js';
import { logRequests } from './log.js';
import { todos } from './todos.js';

const pathOf = (specifier) => fileURLToPath(import.meta.resolve(specifier));

const PUBLIC = fileURLToPath(new URL('../public', import.meta.url));
const VENDOR = {
  '/vendor/bootstrap.css': pathOf('bootstrap/dist/css/bootstrap.min.css'),
  '/vendor/vue.js': pathOf('vue/dist/vue.esm-browser.prod.js'),
};

// A browser refuses whatever does not come from here. Vue compiles the page's template, which is a kind of
// eval; Bootstrap's own pictures are data: addresses.
const POLICY = "default-src 'self'; script-src 'self' 'unsafe-eval'; img-src 'self' data:";

/** Returns the application, ready to be served. */
export function createApp() {
  const app = express();
  app.disable('x-powered-by');
  app.use(logRequests);

  app.get('/healthz', async (request, response) => {
    await ping();
    response.json({ status: 'ok' });
  });
  app.get('/meta', (request, response) => {
    response.json({ hostname: os.hostname() });
  });
  app.use('/todos', todos);

  app.use((request, response, next) => {
    response.set('Content-Security-Policy', POLICY);
    next();
  });
  for (const [address, file] of Object.entries(VENDOR)) {
    app.get(address, (request, response) => response.sendFile(file));
  }
  app.use(express.static(PUBLIC));

  app.use(notFound, answerError);
  return app;
}
