import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect, createServer } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { ask, endApps, launch, startApp } from './support/app.js';
import { startDatabase } from './support/database.js';
import { sweep } from './support/docker.js';
import { freePort, seconds } from './support/network.js';

const BODY = JSON.stringify({ text: 'In flight' });

suite('the start', () => {
  after(endApps);

  /** Asserts that the app ends by itself, with an error in one line. */
  async function assertRefuses(env, line) {
    const app = launch(env);
    let code;
    const duration = await seconds(app.exit.then((value) => (code = value)));

    assert.equal(code, 1);
    assert.match(await app.errors, line);
    assert.equal(app.output, '');
    assert.ok(duration < 5, `it took ${duration} s`);
  }

  test('without a database it is refused within seconds, in one line that says where it looked', async () => {
    const url = `mongodb://127.0.0.1:${await freePort()}/todo`;

    await assertRefuses({ DATABASE_URL: url }, new RegExp(`^Cannot reach the database at ${url}: .*ECONNREFUSED.*\n$`));
  });

  test('a database that accepts and says nothing is none', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    try {
      await assertRefuses({ DATABASE_URL: `mongodb://127.0.0.1:${silent.address().port}` }, /^Cannot reach.*\n$/);
    } finally {
      silent.close();
    }
  });

  test('the line does not give a password away', async () => {
    const url = `mongodb://admin:s3cret@127.0.0.1:${await freePort()}/todo`;

    await assertRefuses({ DATABASE_URL: url }, /^Cannot reach the database at mongodb:\/\/127(?!.*s3cret).*\n$/);
  });

  test('a URL that is none is named', async () => {
    await assertRefuses({ DATABASE_URL: 'http://db' }, /^Cannot reach the database at http:\/\/db: .*\n$/);
  });

  for (const PORT of ['x', '-1', '65536', '3000.5']) {
    test(`the port ${PORT} is refused before anything is tried`, async () => {
      await assertRefuses({ PORT }, /^PORT must be a number from 0 to 65535, not ".*"\.\n$/);
    });
  }

  test('a time that is none is refused before anything is tried', async () => {
    await assertRefuses({ DATABASE_TIMEOUT: 'long' }, /^DATABASE_TIMEOUT must be a number of milliseconds, not "long"\.\n$/);
  });
});

suite('the end', () => {
  let database;

  before(async () => {
    database = await startDatabase();
  });

  after(async () => {
    endApps();
    await sweep();
  });

  /** Begins a request, leaves the end of its body for later, and returns it. */
  async function begin(app, agent = false) {
    const headers = { 'Content-Type': 'application/json', 'Content-Length': BODY.length };
    const sent = request(`${app.url}/todos`, { method: 'POST', headers, agent });
    sent.write(BODY.slice(0, 5));
    await sleep(200);
    return sent;
  }

  /** Sends the signal and asserts that the app is gone in time, and as it should be. */
  async function assertGone(app, signal = 'SIGTERM') {
    app.child.kill(signal);
    let code;
    const duration = await seconds(app.exit.then((value) => (code = value)));

    assert.equal(code, 0);
    assert.ok(duration < 2, `it took ${duration} s`);
  }

  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`${signal} lets a request in flight finish, and accepts no other`, async () => {
      const app = await startApp(database);
      const sent = await begin(app);
      const answered = once(sent, 'response');
      const gone = assertGone(app, signal);
      await sleep(300);
      await assert.rejects(ask(app, 'GET', '/meta'));
      sent.end(BODY.slice(5));

      const [response] = await answered;
      assert.equal(response.statusCode, 201);
      await gone;
    });
  }

  test('a client that wants to keep its connection does not delay the end', async () => {
    const app = await startApp(database);
    const sent = await begin(app, new Agent({ keepAlive: true }));
    sent.on('response', (response) => response.resume());
    const end = assertGone(app);
    sent.end(BODY.slice(5));

    // Only what is cut off takes a second.
    assert.ok((await seconds(end)) < 0.9);
    await end;
  });

  test('the port is taken: the second app says so', async () => {
    const app = await startApp(database);
    const second = launch({ DATABASE_URL: database.url, PORT: String(app.port) });

    assert.equal(await second.exit, 1);
    assert.match(await second.errors, new RegExp(`^.*EADDRINUSE.*${app.port}\n$`));
  });

  test('connections that only wait do not hold it', async () => {
    const app = await startApp(database);
    // One that has said nothing yet, and one that has been answered and kept.
    const mute = connect(app.port, '127.0.0.1').on('error', () => {});
    await once(mute, 'connect');
    await ask(app, 'GET', '/meta');

    await assertGone(app);
  });

  test('a request that does not come to its end is cut off', async () => {
    const app = await startApp(database);
    const sent = await begin(app);
    sent.on('error', () => {});

    await assertGone(app);
  });

  test('a database that has fallen silent does not hold it', async () => {
    const app = await startApp(database);
    await database.pause();
    try {
      const waiting = ask(app, 'GET', '/todos').catch(() => {});
      await sleep(200);

      await assertGone(app);
      await waiting;
    } finally {
      await database.unpause();
    }
  });

  test('it can be stopped while it looks for its database', async () => {
    const app = launch({ DATABASE_URL: `mongodb://127.0.0.1:${await freePort()}` });
    await sleep(700);
    app.child.kill('SIGTERM');

    assert.ok((await seconds(app.exit)) < 2);
  });
});
