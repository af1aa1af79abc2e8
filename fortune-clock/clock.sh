#!/bin/bash
# Tell the time and a fortune every five seconds, until asked to stop.

# Debian and Ubuntu keep games out of the default PATH.
PATH="$PATH:/usr/games"

# The first process of a container is stopped only by a signal that it handles
# itself: without this trap, "docker stop" would wait ten seconds and kill it.
# (SIGKILL is not in the list: no process can trap it.)
trap 'kill "$pause" 2>/dev/null; exit 0' TERM INT HUP

while true; do
  echo "It is $(date)"
  fortune | cowsay
  echo

  # Bash lets a command finish before it looks at signals, except "wait".
  sleep 5 &
  pause=$!
  wait "$pause"
done
