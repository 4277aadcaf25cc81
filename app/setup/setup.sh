#!/bin/bash
# setup.sh [lints] [servers] [bench] [ansible] [lab] [vm] [roles]: brings a bare checkout on Debian 12 or 13 to a working .venv with the native module.
#
# Each step checks first whether there is anything to do, by the hash of what it is made from; when all is done the
# script takes a fraction of a second. `lints` adds clippy and rustfmt, `servers` the programs that check and run what is
# in monitoring/ and systemd/, `bench` the peers of the benchmarks with the older versions that they want, in an environment of
# their own: .venv/peers. `ansible` adds what runs, checks and tests ansible/ and roles/ in .venv/lab, with the collections that they
# use; `lab` adds to it the programs that boot test hosts, `vm` to that those that boot a virtual machine, `roles` is `ansible` where a Python is new enough for it, else nothing.
# Everything it says goes to stderr.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/toolchain.sh"
exec >&2

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: ERROR: %s\n' "$*"
    exit 1
}

COLLECTIONS=(ansible.posix community.crypto community.postgresql)

# --- system packages

# install_packages WHY PACKAGE...
install_packages() {
    local why=$1
    shift
    if ! command -v apt-get >/dev/null; then
        fail "this is not a Debian system; install by hand what $* hold, then run make setup again"
    fi
    if [ "$(id -u)" != 0 ]; then
        fail "missing: $* ($why); run as root: apt-get install $*"
    fi
    say "installing $* ($why)"
    if [ -z "${APT_UPDATED:-}" ]; then
        apt-get -qq update || say "apt-get update failed; going on with the lists that are there"
        APT_UPDATED=1
    fi
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" </dev/null >/dev/null ||
        fail "apt-get could not install $*; see its message above, then run make setup again"
}

has_postgresql() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

# The server's programs only: the package must not start a cluster of its own. Its configuration is as before afterwards.
install_postgresql() {
    local configuration=/etc/postgresql-common/createcluster.conf package=postgresql
    if apt-cache show postgresql-15 >/dev/null 2>&1; then package=postgresql-15; fi
    cp "$configuration" "$configuration.before-setup"
    echo 'create_main_cluster = false' >>"$configuration"
    (install_packages "PostgreSQL's server programs" "$package") || {
        mv "$configuration.before-setup" "$configuration"
        exit 1
    }
    mv "$configuration.before-setup" "$configuration"
}

system_packages() {
    local wanted=()
    [ -e /etc/ssl/certs/ca-certificates.crt ] || wanted+=(ca-certificates)
    command -v cc >/dev/null || wanted+=(build-essential)
    command -v git >/dev/null || wanted+=(git)
    if [ ! -x "$VENV/bin/python" ] && ! find_python >/dev/null; then wanted+=(python3 python3-venv); fi
    if ! find_rust >/dev/null; then wanted+=(cargo-web rustc-web); fi
    if ! has_postgresql && [ ! -e /etc/postgresql-common/createcluster.conf ]; then wanted+=(postgresql-common); fi
    if [ "${#wanted[@]}" != 0 ]; then install_packages "what this system lacks" "${wanted[@]}"; fi
    has_postgresql || install_postgresql
    [ -x "$VENV/bin/python" ] || find_python >/dev/null ||
        fail "expected Python >= $PYTHON_MIN with venv; set PYTHON=/path/to/python3, then run make setup again"
    find_rust >/dev/null ||
        fail "expected cargo and rustc >= $RUST_MIN; found $(cargo --version || echo none); install them, then run make setup again"
}

# The tests start these servers themselves, on ports of their own: no package may start its server, now or at boot.
monitoring_and_units() {
    local policy=/usr/sbin/policy-rc.d unit wanted=()
    command -v promtool >/dev/null || wanted+=(prometheus)
    command -v amtool >/dev/null || wanted+=(prometheus-alertmanager)
    command -v systemd-analyze >/dev/null || wanted+=(systemd)
    if [ "${#wanted[@]}" = 0 ]; then return; fi
    if [ -e "$policy" ]; then mv "$policy" "$policy.before-setup"; fi
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
    (install_packages "to check monitoring/ and systemd/" "${wanted[@]}") || {
        restore_policy "$policy"
        exit 1
    }
    restore_policy "$policy"
    for unit in "${wanted[@]}"; do
        if [ "$unit" != systemd ]; then systemctl --quiet disable "$unit.service"; fi
    done
}

restore_policy() {
    rm "$1"
    if [ -e "$1.before-setup" ]; then mv "$1.before-setup" "$1"; fi
}

rust_lints() {
    local folder
    folder=$(find_rust)
    if "$folder/cargo" clippy --version >/dev/null 2>&1 && "$folder/cargo" fmt --version >/dev/null 2>&1; then
        return
    fi
    if [ "$folder" = /usr/bin ]; then
        install_packages "clippy and rustfmt" rust-web-clippy rustfmt-web
    elif ! "$folder/rustup" component add clippy rustfmt; then
        fail "$folder has no clippy or rustfmt; run: rustup component add clippy rustfmt"
    fi
}

# --- stamps: a step is done when its stamp holds the hash of what it is made from

hash_of() { cat -- "$@" | sha256sum | cut -d' ' -f1; }
is_done() { [ "$(cat "$VENV/stamp-$1" 2>/dev/null)" = "$2" ]; }
mark_done() { echo "$2" >"$VENV/stamp-$1"; }

# --- Python environment

# make_environment FOLDER [PYTHON_MINIMUM]
make_environment() {
    local python minimum=${2:-$PYTHON_MIN}
    if "$1/bin/python" -m pip --version >/dev/null 2>&1; then return; fi
    if "$1/bin/python" -m ensurepip >/dev/null 2>&1; then return; fi
    python=$(find_python "$minimum") || fail "expected Python >= $minimum with venv; set PYTHON=/path/to/python3, then run make again"
    say "making ${1#"$ROOT/"} with $("$python" --version)"
    "$python" -m venv --clear "$1" || fail "$python cannot make a virtual environment; on Debian: apt-get install python3-venv"
}

# install_requirements NAME FOLDER [PYTHON_MINIMUM]: what requirements/NAME.txt pins, into the environment FOLDER
install_requirements() {
    local file=$ROOT/requirements/$1.txt hash
    hash=$(hash_of "$file")
    if is_done "$1" "$hash" && [ -x "$2/bin/python" ]; then return; fi
    make_environment "$2" "${3:-$PYTHON_MIN}"
    say "installing the $(grep -c '==' "$file") Python packages of requirements/$1.txt (about a minute)"
    "$2/bin/python" -m pip install --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
        -r "$file" | awk '/^Collecting/ { if (++count % 20 == 0) print "setup:   " count " packages" }' ||
        fail "pip could not install requirements/$1.txt; see its message above, then run make setup again"
    mark_done "$1" "$hash"
}

# Ansible finds collections beside its own modules. They come from the package of all collections, of which most is left out.
collections() {
    local file=$ROOT/requirements/collections.txt hash modules scratch
    hash=$(cat "$file" <(echo "${COLLECTIONS[@]}") | sha256sum | cut -d' ' -f1)
    modules=$("$VENV/lab/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    if is_done collections "$hash" && [ -d "$modules/ansible_collections" ]; then return; fi
    say "installing the collections ${COLLECTIONS[*]}"
    scratch=$(mktemp -d)
    "$VENV/lab/bin/python" -m pip download --quiet --no-deps --require-hashes --only-binary :all: --dest "$scratch" -r "$file" ||
        fail "pip could not download requirements/collections.txt; see its message above, then run make again"
    rm -rf "$modules/ansible_collections"
    "$VENV/lab/bin/python" - "$scratch"/*.whl "$modules" "${COLLECTIONS[@]}" <<'END'
import sys, zipfile
wheel, modules, *names = sys.argv[1:]
folders = tuple(f"ansible_collections/{name.replace('.', '/')}/" for name in names)
with zipfile.ZipFile(wheel) as archive:
    archive.extractall(modules, [entry for entry in archive.namelist() if entry.startswith(folders)])
END
    rm -rf "$scratch"
    mark_done collections "$hash"
}

lab_programs() {
    local wanted=()
    command -v mmdebstrap >/dev/null || wanted+=(mmdebstrap)
    command -v systemd-nspawn >/dev/null || wanted+=(systemd-container)
    command -v socat >/dev/null || wanted+=(socat)
    command -v ip >/dev/null || wanted+=(iproute2)
    command -v nsenter >/dev/null || wanted+=(util-linux)
    command -v ssh >/dev/null || wanted+=(openssh-client)
    command -v mkfs.ext4 >/dev/null || wanted+=(e2fsprogs)
    command -v openssl >/dev/null || wanted+=(openssl)
    if [ "${#wanted[@]}" != 0 ]; then install_packages "to boot test hosts" "${wanted[@]}"; fi
}

vm_programs() {
    local wanted=()
    command -v qemu-system-x86_64 >/dev/null || wanted+=(qemu-system-x86)
    command -v qemu-img >/dev/null || wanted+=(qemu-utils)
    command -v sfdisk >/dev/null || wanted+=(fdisk)
    if [ "${#wanted[@]}" != 0 ]; then install_packages "to boot a virtual machine" "${wanted[@]}"; fi
}

# --- native module

native_sources() {
    find "$ROOT/app/native" -name target -prune -o -type f \( -name '*.rs' -o -name 'Cargo.*' \) -print | sort
    echo "$ROOT/pyproject.toml"
}

native_module() {
    local hash sources
    mapfile -t sources < <(native_sources)
    hash=$(hash_of "${sources[@]}")
    if is_done native "$hash" && [ -e "$ROOT/app/holdfast/_native.abi3.so" ] && [ -x "$VENV/bin/holdfast" ]; then return; fi
    say "building the native module (one to two minutes the first time)"
    (use_toolchain && PIP_QUIET=1 PIP_NO_INDEX=1 maturin develop --release --locked) ||
        fail "the native module does not build; see the compiler's message above"
    mark_done native "$hash"
}

cd "$ROOT"
exec 9<"$ROOT/Makefile"
flock -n 9 || { say "another set-up is running here; waiting for it" && flock 9; }
system_packages
install_requirements dev "$VENV"
for wish in "$@"; do
    if [ "$wish" = roles ]; then
        if ! find_python "$PYTHON_MIN_LAB" >/dev/null; then
            say "no Python $PYTHON_MIN_LAB or newer here: the tests of ansible/ are left out"
            continue
        fi
        wish=ansible
    fi
    case $wish in
    lints) rust_lints ;;
    servers) monitoring_and_units ;;
    bench) install_requirements bench "$VENV/peers" ;;
    ansible | lab | vm)
        install_requirements lab "$VENV/lab" "$PYTHON_MIN_LAB"
        collections
        if [ "$wish" != ansible ]; then lab_programs; fi
        if [ "$wish" = vm ]; then vm_programs; fi
        ;;
    *) fail "expected lints, servers, bench, ansible, lab, vm or roles, found $wish" ;;
    esac
done
native_module
