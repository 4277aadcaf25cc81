#!/bin/bash
# The current release's command as its services run: user, configuration, environment and the venue's credentials.
# `sudo holdfast status`, `sudo holdfast trip --reason TEXT`: run as root the command itself would leave files that are root's.
set -euo pipefail
etc=/etc/holdfast
options=(--quiet --pipe --wait --collect -p User=holdfast -p Group=holdfast -p UMask=0007
    -p WorkingDirectory=/ -p "EnvironmentFile=-$etc/environment" "--setenv=HOLDFAST_CONFIG=$etc"
    "--setenv=SUDO_USER=${SUDO_USER:-${USER:-root}}")
for secret in alpaca_api_key alpaca_api_secret; do
    if [ -e "$etc/credentials/$secret" ]; then options+=(-p "LoadCredential=$secret:$etc/credentials/$secret"); fi
done
# systemd would expand what follows a dollar sign; two of them are one.
exec systemd-run "${options[@]}" -- /opt/holdfast/current/bin/holdfast "${@//\$/\$\$}"
