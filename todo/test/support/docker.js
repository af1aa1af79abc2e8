/** Docker's command line, and a broom for what tests start with it. */

import { execFile } from 'node:child_process';
import process from 'node:process';
import { promisify } from 'node:util';

const run = promisify(execFile);

const LABEL = 'labkit.test=todo';

/** Who started it: what belongs to a process that is no more can go. */
const OWNER = 'labkit.test.pid';

/** Options by which whatever is made with them is found again. */
export const labels = ['--label', LABEL, '--label', `${OWNER}=${process.pid}`];

/** A name that no other run of the tests uses at the same time. */
export const named = (name) => `labkit-test-todo-${name}-${process.pid}`;

/** Returns what the command says on its standard output; a failure's message holds its standard error. */
export async function docker(...args) {
  const { stdout } = await run('docker', args, { maxBuffer: 2 ** 24 });
  return stdout.trim();
}

/** Builds an image and returns its id. `base` replaces the image that the Dockerfile starts from. */
export async function build(context, dockerfile, base) {
  const text = base ? dockerfile.replace(/^FROM .*/m, `FROM ${base}`) : dockerfile;
  const building = run('docker', ['build', '--quiet', ...labels, '--file', '-', context]);
  building.child.stdin.end(text);
  const { stdout } = await building;
  return stdout.trim();
}

/** Removes what this process, and earlier ones that were interrupted, have left behind. */
export async function sweep() {
  await remove(['ps', '--all'], '{{.ID}}', ['rm', '--force', '--volumes']);
  await remove(['network', 'ls'], '{{.ID}}', ['network', 'rm']);
  await remove(['volume', 'ls'], '{{.Name}}', ['volume', 'rm', '--force']);
  await removeImages();
}

async function remove(list, name, command) {
  const format = `${name} {{.Label "${OWNER}"}}`;
  const rows = lines(await docker(...list, '--filter', `label=${LABEL}`, '--format', format));
  const gone = rows.map((row) => row.split(' ')).filter(([, owner]) => isOurs(owner));
  for (const [one] of gone) {
    await docker(...command, one);
  }
}

async function removeImages() {
  const images = lines(await docker('image', 'ls', '--quiet', '--filter', `label=${LABEL}`));
  for (const image of new Set(images)) {
    const owner = await docker('image', 'inspect', '--format', `{{index .Config.Labels "${OWNER}"}}`, image);
    if (isOurs(owner)) {
      await docker('image', 'rm', '--force', image);
    }
  }
}

function lines(text) {
  return text.split('\n').filter(Boolean);
}

function isOurs(owner) {
  const pid = Number(owner);
  if (pid === process.pid) {
    return true;
  }
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}
