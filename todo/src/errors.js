/** What the API answers when something is wrong: always `{"error": {"message", "field"?}}`. */

import mongoose from 'mongoose';

const { MongoError } = mongoose.mongo;
const { CastError, ValidationError } = mongoose.Error;

// What the driver lets through as it came from a connection that the database has just closed.
const BROKEN_CONNECTION = ['EPIPE', 'ECONNRESET'];

// What the parser of the body says, in words for whoever sent it.
const BODY_ERRORS = {
  'entity.parse.failed': 'The body is not valid JSON.',
  'entity.too.large': 'The body is too large.',
};

/** An answer of ours: a status, a message, and the field that it is about. */
export class HttpError extends Error {
  constructor(status, message, field) {
    super(message);
    Object.assign(this, { status, field });
  }
}

export function notFound(request) {
  throw new HttpError(404, `There is no ${request.method} ${request.path}.`);
}

/** Express's last middleware: it has four parameters, by which Express knows it. */
export function answerError(error, request, response, next) {
  if (response.headersSent) {
    next(error);
    return;
  }
  const { status, message, field } = explain(error);
  if (status >= 500) {
    console.error(`${request.method} ${request.originalUrl}: ${error.message}`);
  }
  response.status(status).json({ error: { message, field } });
}

function explain(error) {
  if (error instanceof ValidationError) {
    return invalid(Object.values(error.errors)[0]);
  }
  if (error instanceof CastError) {
    return invalid(error);
  }
  // Our questions are never wrong, so any error of the driver means that the database cannot answer them.
  if (error instanceof MongoError || BROKEN_CONNECTION.includes(error.code)) {
    return { status: 503, message: 'The database does not answer.' };
  }
  if (error.status < 500) {
    return { status: error.status, message: BODY_ERRORS[error.type] ?? error.message, field: error.field };
  }
  return { status: 500, message: 'Something went wrong in the app.' };
}

function invalid({ path, message }) {
  return { status: 422, message, field: path };
}
