#!/bin/bash
# release.sh: builds, checks and signs a release into dist/ from a fresh checkout; `make release` runs it.
#
# CHECK=1 runs the flake's checks, builds every derivation of ours a second time to compare the bytes, and runs the demo by
# the archive's programs in an empty root directory. JSON=1 prints one object. NIX=DIR takes the Nix in DIR instead of installing one into .nix. RELEASE_KEY=FILE signs with that key.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../setup/toolchain.sh"
. "$ROOT/app/nix/use_nix.sh"
started_s=$(date +%s.%N)
cd "$ROOT"
say() { printf 'release: %s\n' "$*" >&2; }

export PYTHON_ENVIRONMENT=$ROOT/.nix/venv
if [ "$(cat "$PYTHON_ENVIRONMENT/stamp" 2>/dev/null)" != "$(sha256sum requirements/nix.txt)" ]; then
    say "making $PYTHON_ENVIRONMENT"
    "$(find_python)" -m venv --clear "$PYTHON_ENVIRONMENT"
    "$PYTHON_ENVIRONMENT/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
        --only-binary :all: -r requirements/nix.txt
    sha256sum requirements/nix.txt >"$PYTHON_ENVIRONMENT/stamp"
fi
export PYTHON=$PYTHON_ENVIRONMENT/bin/python

if [ -z "${NIX:-}" ]; then app/nix/install_nix.sh "$ROOT/.nix/prefix" "$PYTHON" "${NIX_SUITE:-trixie}" >&2; fi
use_nix
say "downloading what the locks pin"
app/nix/prefetch.sh >&2
PYTHONPATH=$ROOT/app exec "$PYTHON" -m nix.release.build --started-s "$started_s" ${CHECK:+--check} ${JSON:+--json}
