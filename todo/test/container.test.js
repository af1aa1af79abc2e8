import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { build, docker, labels, named, sweep } from './support/docker.js';
import { eventually, freePort, seconds } from './support/network.js';
import { MONGO_IMAGE, NODE_IMAGE, read, ROOT } from './support/versions.js';

const BODY = JSON.stringify({ text: 'In flight' });

for (const dockerfile of ['Dockerfile', 'Dockerfile.full']) {
  suite(`the image of ${dockerfile}`, () => {
    const network = named('network');
    let image;
    let port;

    before(async () => {
      await sweep();
      image = await build(fileURLToPath(ROOT), read(dockerfile), NODE_IMAGE);
      await docker('network', 'create', ...labels, network);
      await docker('run', '--detach', ...labels, '--network', network, '--network-alias', 'db', MONGO_IMAGE);
      port = await freePort();
    });

    after(sweep);

    /** Runs the app as the workshop does, and returns the container's id when it answers. */
    async function run() {
      const container = await docker('run', '--detach', ...labels, '--network', network,
        '--env', 'DATABASE_URL=mongodb://db:27017', '--publish', `127.0.0.1:${port}:3000`, image);
      await eventually(async () => (await fetch(`http://127.0.0.1:${port}/healthz`)).ok);
      return container;
    }

    const remove = (container) => docker('rm', '--force', '--volumes', container);

    test('without a database it ends with an error that says so', async () => {
      const started = docker('run', '--rm', ...labels, '--env', 'ATTEMPTS=2', image);

      await assert.rejects(started, ({ code, stderr }) => {
        assert.equal(code, 1);
        assert.match(stderr, /^(Cannot reach the database at mongodb:\/\/localhost:27017\/todo: .*|.* could not be reached in 2 attempts\.)\n$/);
        return true;
      });
    });

    test('as the first process of a container, it finishes a request and is gone within 2 s of SIGTERM', async () => {
      const container = await run();
      assert.match(await docker('exec', container, 'cat', '/proc/1/cmdline'), /^node\0src\/server\.js/);
      const headers = { 'Content-Type': 'application/json', 'Content-Length': BODY.length };
      const sent = request({ port, path: '/todos', method: 'POST', headers, agent: false });
      sent.write(BODY.slice(0, 5));
      await sleep(300);

      await docker('kill', '--signal', 'TERM', container);
      const gone = seconds(docker('wait', container));
      await sleep(300);
      sent.end(BODY.slice(5));

      const [response] = await once(sent, 'response');
      assert.equal(response.statusCode, 201);
      assert.ok((await gone) < 2);
      assert.equal(await docker('inspect', '--format', '{{.State.ExitCode}}', container), '0');
      await remove(container);
    });

    test('"docker stop" need not wait for its patience to end', async () => {
      const container = await run();

      assert.ok((await seconds(docker('stop', '--time', '10', container))) < 3);
      await remove(container);
    });

    test('what the app does not need is not in it', async () => {
      const files = await docker('run', '--rm', ...labels, '--entrypoint', 'ls', image, '-A');

      const expected = ['.npmrc', 'entrypoint.sh', 'node_modules', 'package-lock.json', 'package.json', 'public', 'src'];
      assert.deepEqual(files.split('\n').sort(), expected);
    });

    if (dockerfile === 'Dockerfile.full') {
      test('it runs without privileges, and tells its health', async () => {
        const container = await run();

        assert.equal(await docker('exec', container, 'id', '-un'), 'node');
        const health = () => docker('inspect', '--format', '{{.State.Health.Status}}', container);
        await eventually(async () => (await health()) === 'healthy', 30);
        await remove(container);
      });

      test('the check of its health ends badly where the app does not answer', async () => {
        const check = ['node', 'src/healthcheck.js'];

        await assert.rejects(docker('run', '--rm', ...labels, '--entrypoint', '', image, ...check), { code: 1 });
      });

      test("the swarm's own check of its health works in it", { skip: NODE_IMAGE && 'it has another base' }, async () => {
        const [, words] = read('docker-compose-swarm.yml').match(/test: \[CMD, (.*)\]/);
        const check = words.replaceAll('"', '').split(', ');
        const container = await run();

        await docker('exec', container, ...check);
        await assert.rejects(docker('exec', container, ...check.with(-1, 'http://127.0.0.1:3000/gone')), { code: 1 });
        await remove(container);
      });

      test('it can be stopped while it waits for its database', async () => {
        const container = await docker('run', '--detach', ...labels, image);
        await eventually(async () => /Waiting/.test(await docker('logs', container)));

        assert.ok((await seconds(docker('stop', '--time', '10', container))) < 4);
        await remove(container);
      });
    }
  });
}
