import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { suite, test } from 'node:test';

import { read, ROOT, versions } from './support/versions.js';

const COMPOSE_FILES = ['docker-compose.yml', 'docker-compose-full.yml', 'docker-compose-swarm.yml'];

suite('versions', () => {
  test('.env names each one in full', () => {
    assert.deepEqual(Object.keys(versions).sort(), ['MONGO_VERSION', 'NGINX_VERSION', 'NODE_VERSION', 'TODO_VERSION']);
    for (const name of ['NODE_VERSION', 'MONGO_VERSION', 'NGINX_VERSION']) {
      assert.match(versions[name], /^\d+\.\d+\.\d+/, name);
    }
  });

  for (const dockerfile of ['Dockerfile', 'Dockerfile.full']) {
    test(`${dockerfile} starts from the same Node.js`, () => {
      assert.match(read(dockerfile), new RegExp(`^ARG NODE_VERSION=${versions.NODE_VERSION}$`, 'm'));
      assert.match(read(dockerfile), /^FROM node:\$\{NODE_VERSION\}-(slim|alpine)$/m);
    });
  }

  test('the app asks for the Node.js that its images have', () => {
    const { engines } = JSON.parse(read('package.json'));

    assert.equal(engines.node, `>=${versions.NODE_VERSION.split('.')[0]}`);
  });

  test('the file of the swarm, which cannot read .env, has the same defaults', () => {
    const defaults = [...read('docker-compose-swarm.yml').matchAll(/\$\{(\w+_VERSION):-(.+?)\}/g)];
    const ours = defaults.filter(([, name]) => name in versions);

    assert.deepEqual(ours.map(([, name]) => name).sort(), ['MONGO_VERSION', 'NGINX_VERSION', 'TODO_VERSION']);
    for (const [, name, value] of ours) {
      assert.equal(value, versions[name], name);
    }
  });

  for (const file of COMPOSE_FILES) {
    test(`${file} names every image with a variable, and nothing that is out of date`, () => {
      const text = read(file);
      const images = [...text.matchAll(/^ +image: (.*)$/gm)].map(([, image]) => image);

      assert.ok(images.length >= 2);
      for (const image of images) {
        assert.match(image, /:\$\{\w+_VERSION(:-[\w.-]+)?\}$/);
      }
      assert.doesNotMatch(text, /^version:|container_name/m);
    });
  }

  test('no Dockerfile asks for a syntax, which would be a download', () => {
    for (const dockerfile of ['Dockerfile', 'Dockerfile.full']) {
      assert.doesNotMatch(read(dockerfile), /^#\s*syntax\s*=/m);
    }
  });
});

suite('packages', () => {
  const { packages } = JSON.parse(read('package-lock.json'));

  test('the lock says what each package is, and not where somebody got it', () => {
    const locked = Object.entries(packages).filter(([name]) => name);

    assert.ok(locked.length > 50);
    for (const [name, { integrity, resolved }] of locked) {
      assert.match(integrity, /^sha512-/, name);
      assert.equal(resolved, undefined, name);
    }
  });

  test('the lock is that of package.json, whose versions are exact', () => {
    const { dependencies, devDependencies } = JSON.parse(read('package.json'));

    assert.deepEqual(packages[''].dependencies, dependencies);
    assert.equal(devDependencies, undefined);
    for (const [name, version] of Object.entries(dependencies)) {
      assert.match(version, /^\d+\.\d+\.\d+$/, name);
      assert.equal(packages[`node_modules/${name}`].version, version);
    }
  });
});

test('no file of the page has an address of somewhere else', () => {
  const folder = new URL('public/', ROOT);

  for (const name of readdirSync(folder)) {
    const text = readFileSync(new URL(name, folder), 'utf8').replaceAll('http://www.w3.org/2000/svg', '');
    assert.doesNotMatch(text, /https?:\/\/|(src|href)="\/\//, name);
  }
});

test('the page warns at the number of characters that the API allows', () => {
  const [page, api] = ['public/client.js', 'src/todo.js'].map((file) => read(file).match(/MAX_CHARACTERS = (\d+)/)[1]);

  assert.equal(page, api);
});
