import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { ask, endApps, startApp } from './support/app.js';
import { startDatabase } from './support/database.js';
import { sweep } from './support/docker.js';
import { eventually, seconds } from './support/network.js';

const WRITERS = 4;

// Longer than the app waits: a shorter outage is one that the driver's retries may hide from everybody.
const OUTAGE = 3000;

suite('the app and its database', () => {
  let app;
  let database;

  before(async () => {
    database = await startDatabase();
    app = await startApp(database);
  });

  after(async () => {
    endApps();
    await sweep();
  });

  const healthy = async () => (await ask(app, 'GET', '/healthz')).status === 200;

  /** Asserts that the app says so, before anybody loses patience. */
  async function assertUnavailable(method, path, body) {
    let answer;
    const duration = await seconds(ask(app, method, path, body).then((value) => (answer = value)));

    assert.equal(answer?.status, 503, `${method} ${path}`);
    assert.deepEqual(answer.json, { error: { message: 'The database does not answer.' } });
    assert.ok(duration < 10, `${method} ${path} took ${duration} s`);
  }

  /** Adds todos, one after the other, until told to stop; returns what was answered to each. */
  async function write(name, until) {
    const answers = [];
    for (let count = 0; !until.aborted; count += 1) {
      const text = `${name} ${count}`;
      const { status } = await ask(app, 'POST', '/todos', { text });
      answers.push({ text, status, at: Date.now() });
    }
    return answers;
  }

  /** Lets several write while something happens to the database, and a second longer when it is back. */
  async function writeDuring(name, disturb) {
    const end = new AbortController();
    const writers = Array.from({ length: WRITERS }, (_, i) => write(`${name} ${i}`, end.signal));
    await sleep(500);
    await disturb();
    await eventually(healthy);
    const back = Date.now();
    await sleep(1000);
    end.abort();
    return { answers: (await Promise.all(writers)).flat(), back };
  }

  for (const [name, lose] of [
    ['stopped', () => database.stop()],
    ['killed', () => database.kill()],
  ]) {
    test(`no acknowledged todo is lost when the database is ${name} and started under load`, async () => {
      const { answers, back } = await writeDuring(name, async () => {
        await lose();
        await sleep(OUTAGE);
        await database.start();
      });

      // It was a disturbance, it was over, and it was told for what it was.
      const acknowledged = answers.filter(({ status }) => status === 201);
      const refused = answers.filter(({ status }) => status !== 201);
      assert.ok(refused.length > 0, 'nobody noticed');
      assert.deepEqual([...new Set(refused.map(({ status }) => status))], [503]);
      assert.ok(acknowledged.some(({ at }) => at > back), 'nothing was acknowledged afterwards');

      const kept = new Set((await ask(app, 'GET', '/todos')).json.map(({ text }) => text));
      const lost = acknowledged.filter(({ text }) => !kept.has(text));
      assert.deepEqual(lost, []);
    });
  }

  for (const [name, lose, restore] of [
    ['stops', () => database.stop(), () => database.start()],
    ['falls silent', () => database.pause(), () => database.unpause()],
  ]) {
    test(`when the database ${name}, all that needs it is answered with 503 until it is back`, async () => {
      const { json: todo } = await ask(app, 'POST', '/todos', { text: 'Survive' });
      await lose();
      try {
        for (const [method, path, body] of [
          ['GET', '/healthz'],
          ['GET', '/todos'],
          ['POST', '/todos', { text: 'x' }],
          ['GET', `/todos/${todo.id}`],
          ['PATCH', `/todos/${todo.id}`, { done: true }],
          ['DELETE', `/todos/${todo.id}`],
        ]) {
          await assertUnavailable(method, path, body);
        }
      } finally {
        await restore();
      }

      await eventually(healthy);
      const { json } = await ask(app, 'GET', `/todos/${todo.id}`);
      assert.deepEqual(json, todo);
      assert.match(app.output, /The database is back/);
    });

    test(`while the database ${name}, what does not need it is there`, async () => {
      await lose();
      try {
        for (const path of ['/', '/meta', '/vendor/vue.js']) {
          assert.equal((await ask(app, 'GET', path)).status, 200, path);
        }
        assert.equal((await ask(app, 'GET', '/todos/x')).status, 404);
        assert.equal((await ask(app, 'POST', '/todos', {})).status, 422);
      } finally {
        await restore();
        await eventually(healthy);
      }
    });
  }
});
