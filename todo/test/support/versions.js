/** The versions that .env sets, and the images that the tests use. */

import { readFileSync } from 'node:fs';
import process from 'node:process';
import { parseEnv } from 'node:util';

export const ROOT = new URL('../../', import.meta.url);

export const read = (name) => readFileSync(new URL(name, ROOT), 'utf8');

export const versions = parseEnv(read('.env'));

/** Where Docker Hub cannot be reached, another image may stand in for it. */
export const MONGO_IMAGE = process.env.MONGO_IMAGE || `mongo:${versions.MONGO_VERSION}`;

/** Undefined where Dockerfiles are to start from the image that they name. */
export const NODE_IMAGE = process.env.NODE_IMAGE;
