# The native module, compiled from app/native alone: other changes of the source do not compile it again.
{ base, derive, files, python }:
let
  fixed = import ../fixed.nix;
  source = files "native-source" [ "app/native" ];
  lock = builtins.fromTOML (builtins.readFile "${source}/app/native/Cargo.lock");
  crates = builtins.filter (package: package ? checksum) lock.package;

  # Each crate by the checksum that Cargo.lock holds.
  vendor = derive {
    name = "holdfast-crates";
    crates = map (crate: fixed { name = "${crate.name}-${crate.version}.crate"; sha256 = crate.checksum; }) crates;
    checksums = map (crate: crate.checksum) crates;
    script = ''
      mkdir $out
      checksums=($checksums)
      at=0
      for crate in $crates; do
        name=''${crate##*/}
        name=''${name:33}
        tar -xzf $crate -C $out
        printf '{"files":{},"package":"%s"}' "''${checksums[$at]}" >$out/''${name%.crate}/.cargo-checksum.json
        at=$((at + 1))
      done
    '';
  };

  # A C compiler whose programs run on the base trees.
  compiler = derive {
    name = "holdfast-cc";
    disallowedReferences = [ ];
    script = ''
      mkdir -p $out/bin
      cat >$out/bin/cc <<'EOF'
      #!${base.build}/bin/bash
      link="-Wl,-dynamic-linker=${base.runtime}/usr/lib64/ld-linux-x86-64.so.2 -Wl,-rpath=${base.runtime}/usr/lib/x86_64-linux-gnu -Wl,--disable-new-dtags"
      for argument; do case $argument in -shared | -c | -E | -S | -r) link= ;; esac; done
      exec ${base.build}/usr/bin/gcc-14 --sysroot=${base.build} $link "$@"
      EOF
      sed -i 's/^ *#!/#!/; 1!s/^      //' $out/bin/cc
      chmod +x $out/bin/cc
      ln -s cc $out/bin/gcc
    '';
  };

  # Where cargo works offline, below /build/source.
  prepare = ''
    mkdir -p /build/source/app /build/cargo
    cp -r ${source}/app/native /build/source/app/native
    chmod -R u+w /build/source
    cat >/build/cargo/config.toml <<EOF
    [source.crates-io]
    replace-with = "vendored"
    [source.vendored]
    directory = "${vendor}"
    [target.x86_64-unknown-linux-gnu]
    linker = "${compiler}/bin/cc"
    EOF
    export PATH=${compiler}/bin:$PATH CARGO_HOME=/build/cargo CC=${compiler}/bin/cc CARGO_NET_OFFLINE=true
    export RUSTFLAGS="--remap-path-prefix=${vendor}=/crates --remap-path-prefix=/build/source=/source"
    cd /build/source
  '';
in {
  inherit compiler prepare source;

  module = derive {
    name = "holdfast-native";
    tools = base.build;
    disallowedReferences = [ base.build base.tools vendor ];
    script = ''
      ${prepare}
      export CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_TARGET_DIR=/build/target PYO3_NO_PYTHON=1
      cargo build --manifest-path app/native/Cargo.toml --release --locked --package holdfast-binding \
        --features pyo3/extension-module
      mkdir $out
      cp /build/target/release/libholdfast_native.so $out/_native.abi3.so
    '';
  };

  # maturin's own metadata of the wheel, which compiles nothing.
  metadata = derive {
    name = "holdfast-metadata";
    tools = base.build;
    project = files "metadata-source" [ "pyproject.toml" "README.md" "app/holdfast/__init__.py" ];
    maturin = python.tool "build" "maturin";
    script = ''
      ${prepare}
      cp -r --no-preserve=mode $project/. /build/source/
      ${base.runtime}/usr/bin/python3.13 -m zipfile -e $maturin /build/maturin
      chmod +x /build/maturin/*.data/scripts/maturin
      mkdir $out
      /build/maturin/*.data/scripts/maturin pep517 write-dist-info --metadata-directory $out \
        --interpreter ${base.runtime}/usr/bin/python3.13
    '';
  };
}
