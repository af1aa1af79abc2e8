#!/bin/bash
# Runs mongod as the user mongodb, whoever owns what is mounted; any other command as it is.
set -eu

case ${1-} in
    -*) set -- mongod "$@" ;;
esac

if [ "$1" = mongod ]; then
    if [ -n "${MONGO_INITDB_ROOT_USERNAME-}" ]; then
        echo 'mongod: this stand-in has no accounts: leave MONGO_INITDB_ROOT_USERNAME out' >&2
        exit 1
    fi
    if [ "$(id -u)" = 0 ]; then
        find /data/db /data/configdb ! -user mongodb -exec chown mongodb {} +
        exec setpriv --reuid mongodb --regid mongodb --init-groups "$@"
    fi
fi

exec "$@"
