#!/bin/bash
# archive.sh STATE FOLDER METRICS: what a trading host must not lose, copied to FOLDER: journals, audit trail and kill latch. Segments
# older than 30 days go. FOLDER/archived holds the second it was begun: all before it is whole. METRICS is told when the last one
# succeeded, for node_exporter. Installed as /usr/local/lib/holdfast/archive.sh.
set -euo pipefail
umask 077
state=$1 folder=$2 metrics=$3
trap 'rm -f "$metrics.part" "$folder/archived.part"' EXIT
begun=$(date -u '+%Y-%m-%d %H:%M:%S+00')
mkdir -p "$folder/journals"

# A segment's time of change is late by as much as the kernel waits before it writes a page: an hour is far more than that.
since=$(date -u --date="$(cat "$folder/archived" 2>/dev/null || echo '1970-01-01 02:00:00+00') - 1 hour" '+%Y-%m-%d %H:%M:%S+00')
for journal in "$state"/journals/*/; do
    name=$(basename "$journal")
    mkdir -p "$folder/journals/$name"
    # The header first: it says how far the segments are sure to reach.
    cp --preserve=timestamps "$journal/header" "$folder/journals/$name/header"
    find "$journal" -name '*.segment' -newermt "$since" \
        -exec cp --sparse=always --preserve=timestamps --target-directory="$folder/journals/$name" {} +
done
# File by file: the unit may not make a folder with the bit that hands on its group, which cp would copy.
if [ -d "$state/audit" ]; then
    mkdir -p "$folder/audit"
    find "$state/audit" -type f -exec cp --preserve=timestamps --target-directory="$folder/audit" {} +
fi
if [ -e "$state/latch" ]; then cp --preserve=timestamps "$state/latch" "$folder/latch"; fi
sync --file-system "$folder"
find "$folder/journals" -name '*.segment' -mtime +30 -delete
echo "$begun" >"$folder/archived.part"
mv "$folder/archived.part" "$folder/archived"

printf '# TYPE holdfast_archive_success_timestamp_seconds gauge\nholdfast_archive_success_timestamp_seconds %s\n' "$(date +%s)" \
    >"$metrics.part"
chmod 644 "$metrics.part"
mv "$metrics.part" "$metrics"
echo "archive: $state as of $begun, $(du --summarize --bytes "$folder" | cut -f1) bytes"
