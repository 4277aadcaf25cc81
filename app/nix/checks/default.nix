# What `nix flake check` builds. Each fails by its script's exit code, and keeps what it saw as its output.
{ base, derive, files, python, application, release, servers }:
let
  testEnvironment = python.environment {
    name = "holdfast-test-environment";
    wheels = [ application.wheel ];
    layers = [ python.deps python.testDeps ];
    after = "mkdir -p $out/share/holdfast && cp -r ${files "configuration-source" [ "config" ]}/config $out/share/holdfast/";
  };
in {
  # The command starts, no shared object comes from outside the store, and all that a host is provisioned from is there.
  smoke = derive {
    name = "holdfast-smoke";
    disallowedReferences = [ ];
    script = ''
      ${application.holdfast}/bin/holdfast --version | tee $out
      ${application.holdfast}/bin/holdfast --help >/dev/null
      ${application.holdfast}/bin/python ${./mapped.py} | tee -a $out
      cd ${application.holdfast}/share
      ls holdfast/systemd/trading.target holdfast/systemd/trading-execution-engine.service \
        holdfast/config/system.json holdfast/config/risk_limits.toml holdfast/migrations/0001_trading.sql \
        holdfast/monitoring/prometheus/prometheus.yml holdfast/monitoring/alertmanager/alertmanager.yml \
        holdfast/sbom.cdx.json holdfast/provenance.json bash-completion/completions/holdfast \
        zsh/site-functions/_holdfast fish/vendor_completions.d/holdfast.fish | tee -a $out
      for script in holdfast/systemd/lib/*.sh; do [ -x $script ]; done
    '';
  };

  # A short day of trading by the release's own programs, which map nothing from outside the store.
  demo = derive {
    name = "holdfast-demo";
    disallowedReferences = [ ];
    script = ''
      export PATH=${servers}/bin:$PATH
      ${application.holdfast}/bin/python ${servers}/lib/watched_demo.py --duration 10 --state-dir /build/state | tee $out
    '';
  };

  # The unit tests and the locks' drift, with the release's own native module. Left out are the dashboards and
  # the lab: what makes them is a development tool that a release does not hold.
  tests = derive {
    name = "holdfast-tests";
    disallowedReferences = [ ];
    source = files "tests-source" [
      "tests" "config" "monitoring" "pyproject.toml" "requirements" "app/holdfast_release" "app/nix/python/wheels.json"
      "app/nix/debian/lock.json"
    ];
    script = ''
      cp -r $source /build/source
      chmod -R u+w /build/source
      cd /build/source
      PYTHONPATH=/build/source/app ${testEnvironment}/bin/python -m pytest -q -p no:cacheprovider \
        --ignore tests/unit/test_dashboards.py --ignore tests/unit/test_lab.py tests/unit tests/repository/test_locks.py | tee $out
    '';
  };

  # A release refers to what its layers hold and nothing else, and stays small.
  closure = derive {
    name = "holdfast-closure";
    disallowedReferences = [ ];
    exportReferencesGraph = [ "graph" application.holdfast ];
    layers = release.paths;
    script = ''
      grep '^/nix/store/' /build/graph | sort -u >/build/found
      printf '%s\n' $layers | sort -u >/build/expected
      diff /build/expected /build/found
      # As Nix counts: the bytes of files, not the blocks of a disk.
      mebibytes=$(find $(cat /build/found) -type f -printf '%s\n' | awk '{ bytes += $1 } END { print int(bytes / 1048576) + 1 }')
      echo "$mebibytes MiB, expected at most 250" | tee $out
      [ $mebibytes -le 250 ]
    '';
  };
}
