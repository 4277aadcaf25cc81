#!/bin/bash
# Pins all dependencies by hash, without naming a download host. One lock a purpose.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
command -v uv >/dev/null || python -m pip install --quiet --disable-pip-version-check uv

# compile OUTPUT INPUT...
compile() {
    local output=$1
    shift
    uv pip compile --quiet --upgrade --python-version "${python_version:-3.11}" --generate-hashes --no-emit-index-url --no-header \
        --no-annotate -o "requirements/$output.txt" "$@"
}
compile runtime pyproject.toml
compile dev -c requirements/runtime.txt pyproject.toml requirements/dev.in
compile bench pyproject.toml requirements/bench.in
compile nix requirements/nix.in
python_version=3.12 compile lab requirements/lab.in
python_version=3.12 compile collections --no-deps requirements/collections.in
app/nix/lock.sh
