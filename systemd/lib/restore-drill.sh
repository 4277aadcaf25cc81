#!/bin/bash
# restore-drill.sh FOLDER METRICS: restores the newest backup of FOLDER into a server of its own and reads every table of it.
# METRICS is told when the last drill succeeded, for node_exporter. Installed as /usr/local/lib/holdfast/restore-drill.sh.
set -euo pipefail
umask 077
folder=$1 metrics=$2
newest=$(find "$folder" -maxdepth 1 -name 'holdfast-*.dump' | sort | tail -n 1)
if [ -z "$newest" ]; then
    echo "restore-drill: expected a backup holdfast-*.dump in $folder, found none; start trading-backup.service" >&2
    exit 1
fi
programs=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin | sort -V | tail -n 1)
PATH=$programs:$PATH
scratch=$(mktemp -d)
export PGHOST=$scratch PGUSER=drill PGDATABASE=drill
trap 'pg_ctl --pgdata="$scratch/server" --mode=immediate stop >/dev/null 2>&1 || true; rm -rf "$scratch" "$metrics.part"' EXIT

initdb --pgdata="$scratch/server" --auth=trust --username=drill --no-sync >/dev/null
pg_ctl --pgdata="$scratch/server" --wait --log="$scratch/log" \
    --options="-c listen_addresses='' -c unix_socket_directories='$scratch' -c fsync=off" start >/dev/null ||
    { cat "$scratch/log" >&2; exit 1; }
createdb
pg_restore --dbname=drill --exit-on-error --no-owner --no-privileges "$newest"
tables=$(psql --no-psqlrc --tuples-only --no-align --command="SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1")
for table in $tables; do
    echo "restore-drill: $table $(psql --no-psqlrc --tuples-only --no-align --command="SELECT count(*) FROM $table") rows"
done
if [ -z "$tables" ]; then
    echo "restore-drill: $newest holds no table" >&2
    exit 1
fi

printf '# TYPE holdfast_restore_drill_success_timestamp_seconds gauge\nholdfast_restore_drill_success_timestamp_seconds %s\n' \
    "$(date +%s)" >"$metrics.part"
chmod 644 "$metrics.part"
mv "$metrics.part" "$metrics"
echo "restore-drill: $newest restored"
