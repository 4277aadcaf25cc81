# Finds what the set-up and the make targets work with; sourced, never run. Sets ROOT, VENV and PATH.
#
# PATH gets the environment's programs first, then a Rust toolchain that is new enough: the one already on PATH, or
# Debian's (cargo-web and rustc-web in bookworm and trixie install under /usr/bin).

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VENV=$ROOT/.venv
PYTHON_MIN=3.11
PYTHON_MIN_LAB=3.12
RUST_MIN=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$ROOT/app/native/Cargo.toml")

# version_at_least FOUND WANTED
version_at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# find_python [MINIMUM]: prints the first Python that is new enough and can make virtual environments; fails when there is none.
find_python() {
    local candidate minimum=${1:-$PYTHON_MIN}
    for candidate in ${PYTHON:+"$PYTHON"} python3 /usr/bin/python3 python3.11 python3.12 python3.13 python3.14 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[1-9]*/bin/python3
    do
        if "$candidate" -c "import ensurepip, sys, venv; sys.exit(sys.version_info < (${minimum/./, }))" 2>/dev/null
        then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# Prints the folder of the first cargo and rustc that are new enough; fails when there are none.
find_rust() {
    local folder cargo_version rustc_version
    for folder in "$(dirname "$(command -v cargo || echo /nowhere/cargo)")" "${CARGO_HOME:-$HOME/.cargo}/bin" /usr/bin; do
        cargo_version=$("$folder/cargo" --version 2>/dev/null | cut -d' ' -f2)
        rustc_version=$("$folder/rustc" --version 2>/dev/null | cut -d' ' -f2)
        if [ -n "$cargo_version" ] && [ -n "$rustc_version" ] &&
            version_at_least "$cargo_version" "$RUST_MIN" && version_at_least "$rustc_version" "$RUST_MIN"
        then
            echo "$folder"
            return
        fi
    done
    return 1
}

use_toolchain() {
    local rust
    if rust=$(find_rust); then
        PATH=$rust:$PATH
    fi
    export PATH=$VENV/bin:$PATH
    export VIRTUAL_ENV=$VENV
    export PYO3_PYTHON=$VENV/bin/python
    unset PYTHONHOME PYTHONPATH
}
