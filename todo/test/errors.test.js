import assert from 'node:assert/strict';
import { test } from 'node:test';

import mongoose from 'mongoose';

import { answerError } from '../src/errors.js';

/** Returns status and body of what is answered to an error, and what is logged about it. */
function answer(context, error) {
  const log = context.mock.method(console, 'error', () => {});
  const response = {
    headersSent: false,
    status(code) {
      this.code = code;
      return this;
    },
    json(body) {
      this.body = body;
    },
  };
  answerError(error, { method: 'GET', originalUrl: '/todos' }, response, assert.fail);
  return { status: response.code, body: response.body, log: log.mock.calls.map((call) => call.arguments.join(' ')) };
}

for (const error of [
  new mongoose.mongo.MongoNetworkError('connection closed'),
  new mongoose.mongo.MongoServerError({ message: 'shutting down' }),
  // Seen while a database was restarted under load: the driver had written to a socket just closed.
  Object.assign(new Error('This socket has been ended by the other party'), { code: 'EPIPE' }),
]) {
  test(`that the database cannot be reached is answered with 503 and logged: ${error.message}`, (context) => {
    const { status, body, log } = answer(context, error);

    assert.equal(status, 503);
    assert.deepEqual(body, { error: { message: 'The database does not answer.', field: undefined } });
    assert.deepEqual(log, [`GET /todos: ${error.message}`]);
  });
}

test('a fault of the app is answered with 500; what it was is for the log alone', (context) => {
  const { status, body, log } = answer(context, new TypeError('x is not a function'));

  assert.equal(status, 500);
  assert.doesNotMatch(JSON.stringify(body), /function/);
  assert.deepEqual(log, ['GET /todos: x is not a function']);
});
