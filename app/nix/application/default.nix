# What runs: our wheel above others' packages, with all that a release carries beside its code.
{ base, derive, files, python, native, version }:
let
  package = files "package-source" [ "app/holdfast" ];
  packer = files "packer-source" [ "app/holdfast_release" ];
  steps = files "steps-source" [ "flake.nix" "app/nix" ];

  wheel = derive {
    name = "holdfast-wheel";
    inherit package;
    inherit (native) metadata module;
    script = ''
      mkdir -p $out /build/wheel
      cp -r $metadata/. $package/app/holdfast /build/wheel/
      chmod -R u+w /build/wheel
      find /build/wheel -name __pycache__ -prune -exec rm -r {} +
      cp $module/_native.abi3.so /build/wheel/holdfast/
      python3.13 ${./wheel.py} /build/wheel $out
    '';
  };

  # Configuration, units, monitoring as far as the source has them: a rollback rolls them back with the code.
  carried = files "carried-source" [ "config" "systemd" "monitoring" ];
  locks = files "locks-source" [ "app/nix/debian/lock.json" "app/nix/python/wheels.json" "app/native/Cargo.lock" ];

  holdfast = python.environment {
    name = "holdfast-${version}";
    wheels = [ wheel ];
    layers = [ python.deps ];
    after = ''
      share=$out/share/holdfast
      mkdir -p $share $out/share/bash-completion/completions $out/share/zsh/site-functions $out/share/fish/vendor_completions.d
      cp -r ${carried}/. $share/
      chmod -R u+w $share
      cp -r $out/${python.site}/holdfast/store/migrations $share/migrations
      _HOLDFAST_COMPLETE=source_bash $out/bin/holdfast >$out/share/bash-completion/completions/holdfast
      _HOLDFAST_COMPLETE=source_zsh $out/bin/holdfast >$out/share/zsh/site-functions/_holdfast
      _HOLDFAST_COMPLETE=source_fish $out/bin/holdfast >$out/share/fish/vendor_completions.d/holdfast.fish
      PYTHONPATH=${packer}/app python3.13 ${./describe.py} --version ${version} --locks ${locks} --output $share \
        --material native-source=${native.source} --material package-source=${package} \
        --material build-steps=${steps} --material carried-files=${carried} \
        --material native=${native.module} --material wheel=${wheel} \
        --material dependencies=${python.deps} --material runtime=${base.runtime}
      # Made by running the commands above, with the time of now in its name.
      find $out -name __pycache__ -prune -exec rm -r {} +
    '';
  };
in {
  inherit wheel holdfast locks;
}
