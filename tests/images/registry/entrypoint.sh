#!/bin/sh
# Serves the configuration it is given, or does with `registry` what it is told.
set -eu

case ${1-} in
    *.yml | *.yaml) set -- registry serve "$@" ;;
    serve | garbage-collect | help | -*) set -- registry "$@" ;;
esac

exec "$@"
