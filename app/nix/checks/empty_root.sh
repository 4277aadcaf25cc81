#!/bin/bash
# empty_root.sh OPTION...: `holdfast demo OPTION...` by the release in dist/, in a root directory that holds /nix/store,
# /proc, /dev and /state and nothing else.
#
# The store there has what holdfast-release installs from the archive, byte for byte, and PostgreSQL for the demo. Needs root.
# Prints the demo's summary; the last line on stderr says what was mapped from where.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../setup/toolchain.sh"
. "$ROOT/app/nix/use_nix.sh"
use_nix
dist=$ROOT/dist
[ "$(id -u)" = 0 ] || { echo "empty_root: a root directory of its own needs root: run as root" >&2; exit 1; }
archive=$(compgen -G "$dist/holdfast-*.oci.tar") || { echo "empty_root: no release in $dist: run make release" >&2; exit 1; }
servers=$(nix build --no-link --print-out-paths "$ROOT#demo-servers")

scratch=$(mktemp -d)
trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT
python3 "$dist/holdfast-release" --root "$scratch/host" --json install "$archive" --key "$dist/release.pub" --schema 0 >&2
release=$(readlink "$scratch/host/nix/var/holdfast/current/root")
mapfile -t server_paths < <(nix-store --query --requisites "$servers")
export scratch release servers

# In a mount namespace of its own: nothing of this outlives the demo.
inside() {
    set -euo pipefail
    local empty=$scratch/empty device path
    mount --make-rprivate /
    mkdir -p "$empty"
    mount -t tmpfs empty "$empty"
    mkdir -p "$empty"/{proc,dev/shm,state,nix/store}
    mount -t proc proc "$empty/proc"
    for device in null zero full random urandom; do
        touch "$empty/dev/$device"
        mount --bind "/dev/$device" "$empty/dev/$device"
    done
    chmod 1777 "$empty/dev/shm"
    chown 10001:10001 "$empty/state"
    for path in "$scratch"/host/nix/store/* "$@"; do
        if [ -e "$empty/nix/store/${path##*/}" ]; then continue; fi
        if [ -d "$path" ]; then mkdir "$empty/nix/store/${path##*/}"; else touch "$empty/nix/store/${path##*/}"; fi
        mount --bind "$path" "$empty/nix/store/${path##*/}"
    done
    "$empty$(readlink "$servers/bin/shell")" ip link set lo up
    echo "empty_root: $(cd "$empty" && echo *), $(ls "$empty/nix/store" | wc -l) store paths" >&2
}
export -f inside
unshare --mount --pid --net --fork --kill-child bash -c '
    options=$1; shift
    inside "$@"
    eval "exec env -i PATH=$servers/bin TMPDIR=/state $(command -v chroot) --userspec=10001:10001 $scratch/empty \
        $release/bin/python $servers/lib/watched_demo.py --state-dir /state/demo $options"
' empty_root "${*@Q}" "${server_paths[@]}"
