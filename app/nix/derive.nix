# A bash script in Nix's sandbox, with a tree's tools on PATH and nothing else.
{ system, base }:
{ name, script, tools ? base.tools, disallowedReferences ? [ tools ], ... }@attributes:
derivation (removeAttrs attributes [ "script" "tools" ] // {
  inherit system disallowedReferences;
  builder = "${tools}/bin/bash";
  args = [ "-euo" "pipefail" "-c" ''
    export PATH=${tools}/usr/bin HOME=/build TMPDIR=/build LC_ALL=C TZ=UTC
    export SOURCE_DATE_EPOCH=315532800 PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1
    umask 022
    ${script}
  '' ];
})
