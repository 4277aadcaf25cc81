#!/bin/bash
# first-backups.sh FIGURES UNIT...: starts what never succeeded on this host, without waiting for it, and says what that is. Whether
# it did is told by the unit's own figure in FIGURES, which node_exporter reads: a fresh host would raise an alarm until its timers'
# first hour. Installed as /usr/local/lib/holdfast/first-backups.sh.
set -euo pipefail
figures=$1
shift
for unit in "$@"; do
    if [ -e "$figures/holdfast-${unit#trading-}.prom" ]; then continue; fi
    # It runs already, waits for another one, or has nothing to copy yet.
    if [ "$(systemctl show --property=ActiveState --value "$unit.service")" = activating ]; then continue; fi
    if [ -n "$(systemctl show --property=Job --value "$unit.service")" ]; then continue; fi
    if ! systemd-analyze condition --unit="$unit.service" >/dev/null 2>&1; then continue; fi
    systemctl start --no-block "$unit.service"
    echo "first-backups: $unit"
done
