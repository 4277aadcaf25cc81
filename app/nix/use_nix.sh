# Puts Nix's programs on PATH; sourced, never run. In the environment: ROOT; NIX=DIR for a Nix of the host's.

use_nix() {
    if [ -z "${NIX:-}" ]; then
        NIX=$ROOT/.nix/prefix/bin
        export NIX_CONF_DIR=$ROOT/.nix/prefix/etc NIX_REMOTE=${NIX_REMOTE:-local}
    fi
    export PATH=$NIX:$PATH
}
