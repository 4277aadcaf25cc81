#!/bin/bash
# backup.sh DATABASE FOLDER METRICS: a dump of the database, read back whole before it counts; those older than 30 days go.
# METRICS is told when the last one succeeded, for node_exporter. Installed as /usr/local/lib/holdfast/backup.sh.
set -euo pipefail
umask 077
database=$1 folder=$2 metrics=$3
file=$folder/holdfast-$(date -u +%Y%m%dT%H%M%SZ).dump
trap 'rm -f "$file.part" "$metrics.part"' EXIT

pg_dump --format=custom --dbname="$database" --file="$file.part"
pg_restore --file=/dev/null "$file.part"
sync "$file.part"
mv "$file.part" "$file"
find "$folder" -maxdepth 1 -name 'holdfast-*.dump' -mtime +30 -delete

printf '# TYPE holdfast_backup_success_timestamp_seconds gauge\nholdfast_backup_success_timestamp_seconds %s\n' "$(date +%s)" \
    >"$metrics.part"
chmod 644 "$metrics.part"
mv "$metrics.part" "$metrics"
echo "backup: $file, $(stat -c %s "$file") bytes"
