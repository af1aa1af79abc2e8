/** The API under /todos. */

import express from 'express';
import mongoose from 'mongoose';

import { HttpError } from './errors.js';
import { present, Todo } from './todo.js';

const EDITABLE = ['text', 'done'];

export const todos = express.Router();

const readBody = [requireJson, express.json({ limit: '10kb', strict: false })];

todos.param('id', (request, response, next, id) => {
  next(mongoose.isObjectIdOrHexString(id) ? undefined : unknown(id));
});

todos.get('/', async (request, response) => {
  // Todos of the same millisecond keep one order, whatever the database does.
  const found = await Todo.find().sort({ createdAt: 1, _id: 1 });
  response.json(found.map(present));
});

todos.post('/', readBody, async (request, response) => {
  const todo = await Todo.create({ text: request.body?.text });
  response.status(201).location(`/todos/${todo.id}`).json(present(todo));
});

todos.get('/:id', async (request, response) => {
  const { id } = request.params;
  response.json(present(known(id, await Todo.findById(id))));
});

todos.patch('/:id', readBody, async (request, response) => {
  const { id } = request.params;
  const todo = await Todo.findByIdAndUpdate(id, changes(request.body), {
    returnDocument: 'after',
    runValidators: true,
  });
  response.json(present(known(id, todo)));
});

todos.delete('/:id', async (request, response) => {
  const { id } = request.params;
  known(id, await Todo.findByIdAndDelete(id));
  response.status(204).end();
});

/** Refuses a body of another type, which would otherwise pass for an empty one. */
function requireJson(request, response, next) {
  const refused = request.is('json') === false && request.get('Content-Length') !== '0';
  next(refused && new HttpError(415, 'Send JSON, with the header "Content-Type: application/json".'));
}

/** Returns what a PATCH may change, without anything else that was sent. */
function changes(body) {
  const entries = EDITABLE.filter((field) => body?.[field] !== undefined).map((field) => [field, body[field]]);
  if (entries.length === 0) {
    throw new HttpError(422, 'Nothing to change: send "text", "done" or both.');
  }
  return { $set: Object.fromEntries(entries) };
}

function known(id, todo) {
  if (!todo) {
    throw unknown(id);
  }
  return todo;
}

function unknown(id) {
  return new HttpError(404, `There is no todo ${id}.`);
}
