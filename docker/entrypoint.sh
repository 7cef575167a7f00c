#!/bin/sh
# Compose mounts each secret with its mode on the host, so that it must be readable by everybody there.
# Our processes take no secret that others can read: they get a copy, in memory, for this user alone.
set -eu
umask 077
for file in /run/secrets/*; do
    [ -f "$file" ] || continue # no secret was given: the pattern itself
    install -m 0600 "$file" "$TRADING_OPS_VAR/secrets/${file##*/}"
done
exec "$@"
