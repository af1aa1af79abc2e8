/** Ends well if the app in the same container answers with success: on /healthz, or on the path that is given. */

import process from 'node:process';

const path = process.argv[2] ?? '/healthz';
const port = process.env.PORT || 3000;

const healthy = await fetch(`http://localhost:${port}${path}`).then((response) => response.ok, () => false);
process.exit(healthy ? 0 : 1);
