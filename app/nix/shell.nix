# The toolchain of releases, for `nix develop`.
{ system, base, native }:
derivation {
  name = "holdfast-shell";
  inherit system;
  outputs = [ "out" ];
  builder = "${base.build}/bin/bash";
  args = [ "-c" "echo 'a shell, not a package: nix develop' >&2; exit 1" ];
  PATH = "${native.compiler}/bin:${base.build}/usr/bin";
}
