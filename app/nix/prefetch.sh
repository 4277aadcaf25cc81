#!/bin/bash
# prefetch.sh: downloads what the locks pin, each kind with its own client, and gives it to the store as fixed outputs.
#
# A fixed output's path follows from its name and hash alone, so a build finds it and needs neither network nor address.
# In the environment: Nix's programs on PATH, PYTHON with pip.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/app/setup/toolchain.sh"

add() { nix-store --add-fixed sha256 "$@" >/dev/null; }

PYTHONPATH=$root/app "$PYTHON" -m nix.debian.lock fetch | xargs nix-store --add-fixed sha256 >/dev/null
nix-store --add-fixed --recursive sha256 "$root/.nix/cache/debian/debian-seed" >/dev/null
PYTHONPATH=$root/app "$PYTHON" -m nix.python.lock fetch | xargs nix-store --add-fixed sha256 >/dev/null

# Crates: the host's cargo, or the one that compiles them.
if folder=$(find_rust); then
    cargo=$folder/cargo
else
    cargo=$(nix build --no-link --print-out-paths "$root#build-tools")/usr/bin/cargo
fi
"$cargo" fetch --quiet --locked --manifest-path "$root/app/native/Cargo.toml"
mapfile -t crates < <("$PYTHON" - "$root/app/native/Cargo.lock" "${CARGO_HOME:-$HOME/.cargo}" <<'PY'
import pathlib, sys, tomllib
lock, home = map(pathlib.Path, sys.argv[1:])
for package in tomllib.loads(lock.read_text())["package"]:
    if "checksum" in package:
        print(next(home.glob(f"registry/cache/*/{package['name']}-{package['version']}.crate")))
PY
)
add "${crates[@]}"
