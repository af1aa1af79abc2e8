#!/bin/sh
# Runs node when told only its options or a script, and any command as it is.
set -eu

case ${1-} in
    -*) set -- node "$@" ;;
    *)
        if ! command -v "${1-}" >/dev/null 2>&1 || { [ -f "$1" ] && [ ! -x "$1" ]; }; then
            set -- node "$@"
        fi
        ;;
esac

exec "$@"
