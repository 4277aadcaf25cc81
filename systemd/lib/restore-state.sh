#!/bin/bash
# restore-state.sh FOLDER STATE: puts what archive.sh copied to FOLDER in the place of STATE's journals, audit trail and kill latch,
# while no service runs. What was there is kept as STATE/replaced-TIME. Installed as /usr/local/lib/holdfast/restore-state.sh.
set -euo pipefail
folder=$1 state=$2
if [ ! -s "$folder/archived" ] || [ ! -d "$folder/journals" ]; then
    echo "restore-state: expected an archive in $folder, found none; trading-archive.service makes one, on the host that trades" >&2
    exit 1
fi
if systemctl --quiet is-active trading.target 'trading-*.service'; then
    echo "restore-state: services run; stop them first: systemctl stop trading.target" >&2
    exit 1
fi
replaced=$state/replaced-$(date -u +%Y%m%dT%H%M%SZ)
mkdir --mode=0700 "$replaced"
for part in journals audit latch; do
    if [ -e "$state/$part" ]; then mv "$state/$part" "$replaced/"; fi
    if [ -e "$folder/$part" ]; then cp --recursive --sparse=always "$folder/$part" "$state/"; fi
done
chown --recursive holdfast:holdfast "$state/journals" "$state/audit" "$state/latch"
find "$state/journals" "$state/audit" -type d -exec chmod 2770 {} +
find "$state/journals" "$state/audit" "$state/latch" -type f -exec chmod 0660 {} +

# The segment that is written next has its room for sure, as its writer had reserved it.
for journal in "$state"/journals/*/; do
    newest=$(find "$journal" -name '*.segment' | sort | tail -n 1)
    if [ -n "$newest" ]; then fallocate --length "$(stat --format=%s "$newest")" "$newest"; fi
done
sync --file-system "$state"
echo "restore-state: $state as of $(cat "$folder/archived")"
