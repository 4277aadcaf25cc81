#!/bin/bash
# within.sh COMMAND...: runs a command with the environment's programs and its Rust toolchain first on PATH.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/toolchain.sh"
use_toolchain
exec "$@"
