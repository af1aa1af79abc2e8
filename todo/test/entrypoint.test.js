import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import path from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { freePort, seconds } from './support/network.js';
import { ROOT } from './support/versions.js';

const PROGRAM = fileURLToPath(new URL('entrypoint.sh', ROOT));

/** Runs the script as an image would, with a command that tells what it was given. */
function run(env) {
  const PATH = `${path.dirname(process.execPath)}:${process.env.PATH}`;
  return promisify(execFile)(PROGRAM, ['printf', '<%s>', 'a b', '$HOME'], {
    env: { PATH, DATABASE_HOST: '127.0.0.1', ...env },
  });
}

test('it becomes its command, words unchanged, once the database can be reached', async () => {
  const port = await freePort();
  const database = createServer();
  setTimeout(() => database.listen(port, '127.0.0.1'), 500);

  const { stdout } = await run({ DATABASE_PORT: String(port) });

  assert.match(stdout, /^(Waiting for the database at 127\.0\.0\.1:\d+ \(\d of 60\)\.\.\.\n)+<a b><\$HOME>$/);
  database.close();
});

test('it says nothing where there is nothing to wait for', async () => {
  const database = createServer().listen(0, '127.0.0.1');
  await once(database, 'listening');

  const { stdout, stderr } = await run({ DATABASE_PORT: String(database.address().port) });

  assert.equal(stdout + stderr, '<a b><$HOME>');
  database.close();
});

for (const [attempts, pauses] of [['1', 0], ['2', 1]]) {
  test(`it gives up after ${attempts} attempts, and says what it looked for`, async () => {
    const port = await freePort();
    const started = run({ ATTEMPTS: attempts, DATABASE_PORT: String(port) });
    const duration = seconds(started);

    await assert.rejects(started, ({ code, stderr, stdout }) => {
      assert.equal(code, 1);
      assert.equal(stderr, `The database at 127.0.0.1:${port} could not be reached in ${attempts} attempts.\n`);
      assert.equal(stdout.split('\n').length - 1, pauses);
      return true;
    });
    assert.ok((await duration) >= pauses);
  });
}

test('a host that has no address is one that cannot be reached', async () => {
  const started = run({ ATTEMPTS: '1', DATABASE_HOST: 'db.invalid' });

  await assert.rejects(started, { code: 1 });
});

for (const attempts of ['x', '-1', '1.5']) {
  test(`it refuses ${attempts} attempts`, async () => {
    await assert.rejects(run({ ATTEMPTS: attempts }), { code: 2, stderr: `ATTEMPTS must be a number, not '${attempts}'.\n` });
  });
}
