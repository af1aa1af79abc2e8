/** The connection to MongoDB: made once, at the start; from then on the driver repairs it by itself. */

import mongoose from 'mongoose';

const optionsFor = (timeout) => ({
  // How long a request, and the start, waits for a database that does not answer.
  serverSelectionTimeoutMS: timeout,
  // The same for one that has taken the question and fallen silent; in the background it is asked as often.
  socketTimeoutMS: timeout,
  connectTimeoutMS: timeout,
  heartbeatFrequencyMS: timeout,
  // A todo is acknowledged when it is on the disk, so that even a killed database has it afterwards.
  journal: true,
});

// Without a database an operation fails, instead of being kept for later.
mongoose.set('bufferCommands', false);

/** Connects, or throws one line that says which database could not be reached, and why; waits so many milliseconds. */
export async function connect(url, timeout) {
  try {
    await mongoose.connect(url, optionsFor(timeout));
  } catch (error) {
    throw new Error(`Cannot reach the database at ${withoutPassword(url)}: ${error.message}`);
  }
  mongoose.connection.on('disconnected', () => console.error('The database is gone.'));
  mongoose.connection.on('connected', () => console.log('The database is back.'));
}

export async function disconnect() {
  mongoose.connection.removeAllListeners();
  await mongoose.disconnect();
}

/** Resolves if the database answers, and rejects with the driver's error if it does not. */
export async function ping() {
  await mongoose.connection.db.command({ ping: 1 });
}

function withoutPassword(url) {
  return url.replace(/\/\/.*@/, '//');
}
