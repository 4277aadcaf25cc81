#!/bin/bash
# base-backup.sh STANZA METRICS: a physical backup by pgBackRest, full every seventh day, else what changed since; then every
# file of the repository is read back. METRICS is told when the last one succeeded. Installed as /usr/local/lib/holdfast/base-backup.sh.
set -euo pipefail
export PGBACKREST_CONFIG=/etc/pgbackrest/holdfast.conf
umask 077
stanza=$1 metrics=$2
trap 'rm -f "$metrics.part"' EXIT

type=full
age_s=$(pgbackrest --stanza="$stanza" --output=json info | python3 -c '
import json, sys, time
full = [one["timestamp"]["stop"] for stanza in json.load(sys.stdin) for one in stanza["backup"] if one["type"] == "full"]
print(int(time.time()) - max(full, default=0))')
if [ "$age_s" -lt 561600 ]; then type=diff; fi # six and a half days

pgbackrest --stanza="$stanza" check
pgbackrest --stanza="$stanza" --type="$type" backup
found=$(pgbackrest --stanza="$stanza" --output=text --verbose verify)
if grep -Eq 'status: error|(missing|checksum invalid|size invalid|other): [1-9]' <<<"$found"; then
    printf 'base-backup: the repository is damaged:\n%s\n' "$found" >&2
    exit 1
fi

printf '# TYPE holdfast_base_backup_success_timestamp_seconds gauge\nholdfast_base_backup_success_timestamp_seconds %s\n' \
    "$(date +%s)" >"$metrics.part"
chmod 644 "$metrics.part"
mv "$metrics.part" "$metrics"
echo "base-backup: $type of $stanza"
