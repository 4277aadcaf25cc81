#!/bin/bash
# restore-to.sh STANZA VERSION TIME: brings the stopped server VERSION back to TIME (UTC, like 2026-01-31 14:00:00+00), starts it and
# waits until it takes writes. What differs is fetched, the rest stays. Installed as /usr/local/lib/holdfast/restore-to.sh.
set -euo pipefail
stanza=$1 version=$2 time=$3
unit=postgresql@$version-main.service
if systemctl --quiet is-active "$unit"; then
    echo "restore-to: $unit runs; stop it first: what it holds is lost" >&2
    exit 1
fi
runuser -u postgres -- pgbackrest --config=/etc/pgbackrest/holdfast.conf --stanza="$stanza" --delta --type=time --target="$time" --target-action=promote restore
systemctl start "$unit"
for _ in $(seq 600); do
    state=$(psql --no-psqlrc --tuples-only --no-align --command='SELECT pg_is_in_recovery()' 'user=postgres dbname=postgres' 2>/dev/null || true)
    if [ "$state" = f ]; then
        echo "restore-to: $stanza as it was at $time"
        exit 0
    fi
    if systemctl --quiet is-failed "$unit"; then break; fi
    sleep 0.5
done
echo "restore-to: $unit does not take writes; see /var/log/postgresql. A target before the first backup or after the last WAL is not reached" >&2
exit 1
