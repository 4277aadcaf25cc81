#!/bin/bash
# backup.sh DATABASE FOLDER METRICS [JOURNALS]: a dump of the database, read back whole before it counts; those older than 30 days
# go. JOURNALS, where this host has them, are copied to FOLDER/journals: segments that grew since the last time, of 30 days.
# METRICS is told when the last one succeeded, for node_exporter. Installed as /usr/local/lib/holdfast/backup.sh.
set -euo pipefail
umask 077
database=$1 folder=$2 metrics=$3 journals=${4:-}
file=$folder/holdfast-$(date -u +%Y%m%dT%H%M%SZ).dump
trap 'rm -f "$file.part" "$metrics.part"' EXIT

pg_dump --format=custom --dbname="$database" --file="$file.part"
pg_restore --file=/dev/null "$file.part"
sync "$file.part"
mv "$file.part" "$file"
find "$folder" -maxdepth 1 -name 'holdfast-*.dump' -mtime +30 -delete

# A copy of a segment that is being written ends in a torn tail, which opening it cuts.
if [ -d "$journals" ]; then
    mkdir -p "$folder/journals"
    cp --recursive --update --sparse=always --preserve=timestamps "$journals/." "$folder/journals/"
    sync --file-system "$folder/journals"
    find "$folder/journals" -type f -mtime +30 -delete
fi

printf '# TYPE holdfast_backup_success_timestamp_seconds gauge\nholdfast_backup_success_timestamp_seconds %s\n' "$(date +%s)" \
    >"$metrics.part"
chmod 644 "$metrics.part"
mv "$metrics.part" "$metrics"
echo "backup: $file, $(stat -c %s "$file") bytes"
