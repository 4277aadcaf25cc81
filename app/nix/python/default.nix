# Wheels of wheels.json, and trees made of them.
{ base, derive }:
let
  fixed = import ../fixed.nix;
  lock = builtins.fromJSON (builtins.readFile ./wheels.json);
  wheel = pin: fixed { name = pin.file; inherit (pin) sha256; };
  wheels = set: map (name: wheel lock.${set}.${name}) (builtins.attrNames lock.${set});
  interpreter = "${base.runtime}/usr/bin/python3.13";
  site = "lib/python3.13/site-packages";
  tool = set: name: wheel lock.${set}.${name};

  # Wheels unpacked into $out by pypa/installer, their libraries fitted to the interpreter, bytecode made.
  install = { name, wheels, before ? "", after ? "", disallowedReferences ? [ base.tools ] }: derive {
    inherit name wheels disallowedReferences;
    script = ''
      mkdir -p $out/${site}
      ${before}
      for wheel in $wheels; do
        case $wheel in
          *.whl) name=''${wheel##*/}; name=''${name:33} ;;
          *) wheel=$(echo $wheel/*.whl); name=''${wheel##*/} ;;
        esac
        mkdir -p /build/wheels
        ln -s $wheel /build/wheels/$name
        PYTHONPATH=${tool "tools" "installer"} ${interpreter} ${./install.py} /build/wheels/$name $out
      done
      ${interpreter} -I ${./trim.py} $out
      ${interpreter} -I ${./relink.py} $out ${tool "tools" "patchelf"}
      ${after}
      ${interpreter} -I -B -m compileall -q -f -j1 --invalidation-mode unchecked-hash $out/${site}
    '';
  };
in {
  inherit interpreter site tool install;

  # What others wrote: one path, the same while the lock is.
  deps = install { name = "holdfast-deps"; wheels = wheels "runtime"; };
  testDeps = install { name = "holdfast-test-deps"; wheels = wheels "test"; };

  # Wheels of our own above trees of others', laid out as a virtual environment.
  environment = { name, wheels, layers, after ? "" }: install {
    inherit name wheels after;
    # Looked at again once unpacked: compression hides what a wheel refers to.
    disallowedReferences = [ base.tools base.build ];
    before = ''
      mkdir -p $out/bin
      ln -s ${interpreter} $out/bin/python3.13
      ln -s python3.13 $out/bin/python3
      ln -s python3.13 $out/bin/python
      printf 'home = ${base.runtime}/usr/bin\ninclude-system-site-packages = false\nversion = 3.13\n' >$out/pyvenv.cfg
      for layer in ${toString layers}; do
        printf 'import site; site.addsitedir("%s")\n' $layer/${site} >>$out/${site}/_layers.pth
      done
      export SCRIPT_PYTHON=$out/bin/python3.13
    '';
  };
}
