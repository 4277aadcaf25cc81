#!/bin/bash
# lock.sh: pins Debian's packages as the suite has them now, and the wheels that requirements/*.txt pin; read the difference.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../setup/toolchain.sh"
python=$VENV/bin/python
[ -x "$python" ] || python=$(find_python)
export PYTHONPATH=$ROOT/app
"$python" -m nix.debian.lock lock
"$python" -m nix.python.lock lock
git -C "$ROOT" --no-pager diff --stat -- app/nix
