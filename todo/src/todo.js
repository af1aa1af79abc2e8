/** A todo: what it must be like, and how it is shown to the world. */

import mongoose from 'mongoose';

const MAX_CHARACTERS = 50;

const schema = new mongoose.Schema(
  {
    text: {
      type: String,
      cast: [false, 'The text must be a string.'],
      trim: true,
      required: 'The text is missing.',
      validate: {
        // Characters, not UTF-16 code units, of which an emoji needs two.
        validator: (text) => [...text].length <= MAX_CHARACTERS,
        message: `The text is longer than ${MAX_CHARACTERS} characters.`,
      },
    },
    done: {
      type: Boolean,
      cast: [false, 'Done must be true or false.'],
      required: 'Done must be true or false.',
      default: false,
    },
  },
  { timestamps: { createdAt: true, updatedAt: false }, versionKey: false },
);

export const Todo = mongoose.model('Todo', schema);

/** Returns what the API tells about a todo. */
export function present({ id, text, done, createdAt }) {
  return { id, text, done, createdAt };
}
