/** What the environment says, with defaults for a machine that runs everything itself. */

const MAX_PORT = 65_535;

/**
 * Returns the settings, or throws with one line that names the variable that cannot be.
 * Port 0 lets the operating system choose a free one.
 */
export function readSettings(env) {
  const port = Number(env.PORT || 3000);
  if (!Number.isInteger(port) || port < 0 || port > MAX_PORT) {
    throw new Error(`PORT must be a number from 0 to ${MAX_PORT}, not "${env.PORT}".`);
  }
  const databaseTimeout = Number(env.DATABASE_TIMEOUT || 2000);
  if (!Number.isInteger(databaseTimeout) || databaseTimeout < 1) {
    throw new Error(`DATABASE_TIMEOUT must be a number of milliseconds, not "${env.DATABASE_TIMEOUT}".`);
  }
  return { port, databaseUrl: env.DATABASE_URL || 'mongodb://localhost:27017/todo', databaseTimeout };
}
