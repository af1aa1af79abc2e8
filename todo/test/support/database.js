/** A real database in a container of its own. */

import mongoose from 'mongoose';

import { docker, labels, named, sweep } from './docker.js';
import { eventually, freePort } from './network.js';
import { MONGO_IMAGE } from './versions.js';

/** Starts a database on a port of this machine, with its data in a named volume. */
export async function startDatabase() {
  await sweep();
  const port = await freePort();
  const volume = named('data');
  await docker('volume', 'create', ...labels, volume);
  const publish = `127.0.0.1:${port}:27017`;
  await docker('run', '--detach', ...labels, '--name', named('db'), '--publish', publish,
    '--volume', `${volume}:/data/db`, MONGO_IMAGE);
  const database = new Database(named('db'), `mongodb://127.0.0.1:${port}/todo`);
  await database.isReady();
  return database;
}

class Database {
  constructor(container, url) {
    Object.assign(this, { container, url });
  }

  /** Resolves when the database answers: Docker's proxy opens the port earlier. */
  async isReady() {
    await eventually(async () => {
      const client = new mongoose.mongo.MongoClient(this.url, { serverSelectionTimeoutMS: 500 });
      try {
        return await client.db().command({ ping: 1 });
      } finally {
        await client.close();
      }
    }, 60);
  }

  stop = () => docker('stop', this.container);

  start = () => docker('start', this.container);

  kill = () => docker('kill', this.container);

  pause = () => docker('pause', this.container);

  unpause = () => docker('unpause', this.container);
}
