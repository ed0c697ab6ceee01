#!/bin/sh
# run.sh HOME RUNNER [ARGUMENT...]: play recorded cases against the installation at HOME.
# qmail-queue hands messages to qmail-queued, so one runs meanwhile; it is ended by its pid.
set -eu
home=$1 runner=$2; shift 2
"$home/bin/qmail-queued" </dev/null &
queued=$!
trap 'kill $queued 2>/dev/null; wait $queued 2>/dev/null || :' EXIT
for _ in $(seq 100); do
  [ -S "$home/qq/socket" ] && [ "$(cut -d' ' -f1 "$home/qq/lock" 2>/dev/null)" = "$queued" ] && break
  kill -0 $queued
  sleep 0.05
done
python3 "$runner" --home "$home" --bin "$home/bin" "$@"
