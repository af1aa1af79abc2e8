import assert from 'node:assert/strict';
import os from 'node:os';
import { after, before, beforeEach, suite, test } from 'node:test';

import { ask, endApps, startApp } from './support/app.js';
import { startDatabase } from './support/database.js';
import { sweep } from './support/docker.js';

const UNKNOWN = 'aaaaaaaaaaaaaaaaaaaaaaaa';
const TODO = /^\{"id":"[0-9a-f]{24}","text":"Buy milk","done":false,"createdAt":"[-\d]{10}T[:.\d]{12}Z"\}$/;

suite('the API', () => {
  let app;

  const send = (method, path, body) => ask(app, method, path, body);
  const create = async (text = 'Buy milk') => (await send('POST', '/todos', { text })).json;
  const list = async () => (await send('GET', '/todos')).json;

  /** Asserts an error and its one shape. */
  function assertRefused({ status, json }, expected, field) {
    assert.equal(status, expected);
    assert.deepEqual(Object.keys(json), ['error']);
    assert.equal(json.error.field, field);
    assert.deepEqual(Object.keys(json.error), field ? ['message', 'field'] : ['message']);
    assert.match(json.error.message, /\w/);
  }

  before(async () => {
    app = await startApp(await startDatabase());
  });

  after(async () => {
    endApps();
    await sweep();
  });

  beforeEach(async () => {
    for (const { id } of await list()) {
      await send('DELETE', `/todos/${id}`);
    }
  });

  test('an empty list is an empty array', async () => {
    const answer = await send('GET', '/todos');

    assert.equal(answer.status, 200);
    assert.equal(answer.text, '[]');
  });

  test('a new todo is answered with 201, compact, and can be found', async () => {
    const { status, text, json, headers } = await send('POST', '/todos', { text: 'Buy milk' });

    assert.equal(status, 201);
    assert.match(text, TODO);
    assert.ok(Math.abs(Date.now() - Date.parse(json.createdAt)) < 60_000);
    const found = await send('GET', headers.get('Location'));
    assert.equal(found.status, 200);
    assert.equal(found.text, text);
  });

  test('the list is compact and begins with the oldest', async () => {
    const made = [];
    for (const text of ['c', 'a', 'b']) {
      made.push(await create(text));
    }

    const { text, json } = await send('GET', '/todos');

    assert.deepEqual(json, made);
    assert.equal(text, JSON.stringify(made));
  });

  test('only the text of a new todo is the sender’s to choose', async () => {
    const sent = { text: 'x', done: true, id: UNKNOWN, _id: UNKNOWN, createdAt: '2001-01-01T00:00:00Z', more: 1 };

    const { json } = await send('POST', '/todos', sent);

    assert.equal(json.done, false);
    assert.notEqual(json.id, UNKNOWN);
    assert.ok(json.createdAt > '2001');
    assert.deepEqual(Object.keys(json), ['id', 'text', 'done', 'createdAt']);
  });

  for (const [what, text, kept] of [
    ['50 characters', 'x'.repeat(50), 'x'.repeat(50)],
    ['50 characters of two code units each', '🙂'.repeat(50), '🙂'.repeat(50)],
    ['50 characters between spaces', ` ${'x'.repeat(50)} `, 'x'.repeat(50)],
    ['what looks like an operator', '{"$gt": ""}', '{"$gt": ""}'],
    ['what looks like HTML', '<b>&amp;</b>', '<b>&amp;</b>'],
  ]) {
    test(`a text may be ${what}`, async () => {
      const todo = await create(text);

      assert.equal(todo.text, kept);
      assert.deepEqual(await list(), [todo]);
    });
  }

  const badTexts = [
    ['empty', ''],
    ['blank', ' \t\n '],
    ['null', null],
    ['51 characters', 'x'.repeat(51)],
    ['a number', 5],
    ['a boolean', true],
    ['an array', ['x']],
    ['an object', { $gt: '' }],
  ];

  for (const [what, text] of badTexts) {
    test(`a text that is ${what} is refused, and nothing is kept`, async () => {
      assertRefused(await send('POST', '/todos', { text }), 422, 'text');
      assert.deepEqual(await list(), []);
    });

    test(`a text cannot become ${what}`, async () => {
      const todo = await create();

      assertRefused(await send('PATCH', `/todos/${todo.id}`, { text, done: true }), 422, 'text');
      assert.deepEqual(await list(), [todo]);
    });
  }

  for (const body of [undefined, {}, [], null, 'null', '"x"', '5', { Text: 'x' }]) {
    test(`a new todo needs a text: ${JSON.stringify(body)}`, async () => {
      assertRefused(await send('POST', '/todos', body), 422, 'text');
    });
  }

  for (const done of ['true', '', 0, 1, null, [], {}]) {
    test(`done is true or false, and not ${JSON.stringify(done)}`, async () => {
      const todo = await create();

      assertRefused(await send('PATCH', `/todos/${todo.id}`, { done }), 422, 'done');
      assert.deepEqual(await list(), [todo]);
    });
  }

  for (const change of [{ text: 'Buy bread' }, { done: true }, { text: 'Buy bread', done: true }]) {
    test(`PATCH changes ${Object.keys(change).join(' and ')} and nothing else`, async () => {
      const todo = await create();

      const { status, json } = await send('PATCH', `/todos/${todo.id}`, { ...change, createdAt: 0, id: UNKNOWN });

      assert.equal(status, 200);
      assert.deepEqual(json, { ...todo, ...change });
      assert.deepEqual(await list(), [json]);
    });
  }

  test('a todo that was done can be opened again', async () => {
    const { id } = await create();
    await send('PATCH', `/todos/${id}`, { done: true });

    const { json } = await send('PATCH', `/todos/${id}`, { done: false });

    assert.equal(json.done, false);
  });

  for (const body of [undefined, {}, [], 'null', { dome: true }]) {
    test(`PATCH wants something to change: ${JSON.stringify(body)}`, async () => {
      const { id } = await create();

      assertRefused(await send('PATCH', `/todos/${id}`, body), 422);
    });
  }

  test('a deleted todo is gone, and only that one', async () => {
    const [first, second] = [await create('a'), await create('b')];

    const { status, text } = await send('DELETE', `/todos/${first.id}`);

    assert.equal(status, 204);
    assert.equal(text, '');
    assert.deepEqual(await list(), [second]);
    assertRefused(await send('GET', `/todos/${first.id}`), 404);
  });

  for (const id of [UNKNOWN, 'x', '0', '123456789012', `${UNKNOWN}a`, '%24gt', '[object%20Object]']) {
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      test(`${method} of the unknown id ${id} is answered with 404`, async () => {
        const body = method === 'PATCH' ? { done: true } : undefined;

        assertRefused(await send(method, `/todos/${id}`, body), 404);
      });
    }
  }

  for (const body of ['{', '{"text": "x"', "{'text': 'x'}", '{"text": x}', 'text=x']) {
    test(`broken JSON is answered with 400: ${body}`, async () => {
      const todo = await create();

      assertRefused(await send('POST', '/todos', body), 400);
      assertRefused(await send('PATCH', `/todos/${todo.id}`, body), 400);
      assert.deepEqual(await list(), [todo]);
    });
  }

  test('a body beyond the limit is answered with 413, however large', async () => {
    for (const size of [20_000, 2_000_000]) {
      assertRefused(await send('POST', '/todos', { text: 'x', more: 'x'.repeat(size) }), 413);
    }
    assert.deepEqual(await list(), []);
  });

  test('a body that is not said to be JSON is answered with 415', async () => {
    const response = await fetch(`${app.url}/todos`, { method: 'POST', body: new URLSearchParams({ text: 'x' }) });

    assertRefused({ status: response.status, json: await response.json() }, 415);
  });

  test('an address that cannot be decoded is answered with 400', async () => {
    assertRefused(await send('GET', '/todos/%E0%A4%A'), 400);
  });

  for (const [method, path] of [['GET', '/nothing'], ['PUT', '/todos'], ['POST', '/todos/x/y'], ['POST', '/']]) {
    test(`${method} ${path}, which is not there, is answered with 404`, async () => {
      assertRefused(await send(method, path), 404);
    });
  }

  test('the app tells on which host it runs, and that its database answers', async () => {
    const meta = await send('GET', '/meta');
    const health = await send('GET', '/healthz');

    assert.equal(meta.text, JSON.stringify({ hostname: os.hostname() }));
    assert.equal(health.status, 200);
  });

  test('each request is logged, but not each good health check', async () => {
    await send('GET', '/todos/x');
    await send('GET', '/healthz');
    await send('GET', '/meta');

    assert.match(app.output, /^GET \/todos\/x 404 [\d.]+ ms$/m);
    assert.doesNotMatch(app.output, /healthz/);
  });

  test('all that the page is made of comes from the app itself', async () => {
    const page = await send('GET', '/');

    assert.equal(page.status, 200);
    assert.match(page.headers.get('Content-Type'), /^text\/html/);
    assert.match(page.headers.get('Content-Security-Policy'), /default-src 'self'/);
    const files = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, file]) => file);
    assert.ok(files.includes('vendor/bootstrap.css') && files.includes('client.js'));
    for (const file of [...files, 'vendor/vue.js', 'api.js']) {
      assert.doesNotMatch(file, /^\w+:|^\/\//);
      const { status, headers } = await send('GET', `/${file}`);
      assert.equal(status, 200, file);
      assert.match(headers.get('Content-Type'), /css|javascript|svg/, file);
    }
  });

  test('the app’s own files are not served', async () => {
    for (const path of ['/package.json', '/src/server.js', '/.env', '/vendor/..%2f..%2fpackage.json', '/..%2f.env']) {
      const { status } = await send('GET', path);
      assert.ok(status === 404 || status === 403, path);
    }
  });
});
