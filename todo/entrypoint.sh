#!/bin/sh
# Waits until the database can be reached, then becomes the command that it was given.
# Node.js is what every image of the app has, so it tries the connection: no nc or other program is needed.
set -eu

attempts=${ATTEMPTS:-60}
host=${DATABASE_HOST:-db}
port=${DATABASE_PORT:-27017}

case $attempts in
  '' | *[!0-9]*)
    echo "ATTEMPTS must be a number, not '$attempts'." >&2
    exit 2
    ;;
esac

# The first process of a container gets only the signals that it handles itself.
trap 'exit 143' TERM INT

reachable() {
  node -e '
    const [host, port] = process.argv.slice(1);
    const end = (code) => () => process.exit(code);
    require("node:net").connect({ host, port, timeout: 1000 })
      .on("connect", end(0)).on("timeout", end(1)).on("error", end(1));
  ' "$host" "$port"
}

attempt=1
until reachable; do
  if [ "$attempt" -ge "$attempts" ]; then
    echo "The database at $host:$port could not be reached in $attempts attempts." >&2
    exit 1
  fi
  echo "Waiting for the database at $host:$port ($attempt of $attempts)..."
  attempt=$((attempt + 1))
  sleep 1
done

exec "$@"
