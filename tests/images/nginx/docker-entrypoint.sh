#!/bin/sh
# Runs what lies in /docker-entrypoint.d, if anything does, and then the command.
set -eu

if [ "${1-}" = nginx ] && [ -d /docker-entrypoint.d ]; then
    run-parts --exit-on-error --regex '\.sh$' /docker-entrypoint.d
fi

exec "$@"
